//! The built pages.

use std::fs;
use std::time::Duration;

use reqwest::Method;
use tempfile::TempDir;

use crate::running::{Answer, Running, send};

/// A folder with the built pages in `dist`, and beside it what must not be served.
fn built() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let dist = folder.path().join("dist");
    fs::create_dir_all(dist.join("assets")).unwrap();
    fs::write(dist.join("index.html"), "<!doctype html>app").unwrap();
    fs::write(dist.join("assets/app-1a2b.js"), "plain").unwrap();
    fs::write(dist.join("assets/app-1a2b.js.br"), "brotli").unwrap();
    fs::write(dist.join("favicon.svg"), "<svg/>").unwrap();
    fs::write(folder.path().join("outside.txt"), "outside").unwrap();
    folder
}

async fn page(api: &Running, path: &str) -> Answer {
    send(api.request(Method::GET, path).header("accept", "text/html,*/*;q=0.8")).await
}

#[tokio::test]
async fn every_address_of_the_app_is_its_one_page() {
    let folder = built();
    let api = Running::start_with(|config| config.web = Some(folder.path().join("dist"))).await;
    let stream = api.register("marea").await.goes_live().await;
    for path in ["/", "/studio", &format!("/watch/{stream}?t=1"), "/index.html", "/nothing"] {
        let answer = page(&api, path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json.as_str()),
            (200, Some("<!doctype html>app")),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), "no-cache");
        let policy = answer.header("content-security-policy");
        for needed in [
            "worker-src 'none';",
            "media-src 'self' blob: http://media.test:8000",
            "connect-src 'self' ws://localhost:3000 http://media.test:8000",
            "script-src 'self';",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(needed), "{policy}");
        }
    }
}

#[tokio::test]
async fn a_streams_page_is_there_for_any_client_while_it_is_live_and_later_and_that_of_no_stream_for_none() {
    let folder = built();
    let api = Running::start_with(|config| config.web = Some(folder.path().join("dist"))).await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let watch = format!("/watch/{stream}");
    // As browsers, curl and those that say nothing of it ask.
    let kinds = [Some("text/html,*/*;q=0.8"), Some("*/*"), None];
    let ask = async |path: &str| {
        let mut answers = Vec::new();
        for (method, kind) in [Method::GET, Method::HEAD]
            .into_iter()
            .flat_map(|method| kinds.map(|kind| (method.clone(), kind)))
        {
            let request = api.request(method, path);
            answers.push(
                send(kind.into_iter().fold(request, |request, kind| request.header("accept", kind))).await,
            );
        }
        answers
    };
    let is_page = |answer: &Answer| answer.json.as_str() == Some("<!doctype html>app");
    let live = ask(&watch).await;
    api.done(stream, "ended_by_owner").await;
    for answers in [live, ask(&watch).await, ask("/studio").await] {
        assert_eq!(answers.iter().map(|answer| answer.status.as_u16()).collect::<Vec<_>>(), [200; 6]);
        assert!(answers.iter().take(3).all(is_page));
    }
    for path in ["/watch/0199b8a0-0000-7000-8000-000000000001", "/watch/1"] {
        let answers = ask(path).await;
        assert_eq!(
            answers.iter().map(|answer| answer.status.as_u16()).collect::<Vec<_>>(),
            [404; 6],
            "{path}"
        );
        // The page itself tells a person, who must not be told it by what was kept once there is such a stream.
        assert_eq!(
            answers.iter().map(is_page).collect::<Vec<_>>(),
            [true, false, false, false, false, false],
            "{path}"
        );
        assert_eq!(
            answers.first().map(|answer| (answer.header("cache-control"), answer.header("etag"))),
            Some(("no-store", ""))
        );
    }
}

#[tokio::test]
async fn files_with_a_hash_in_their_name_are_kept_for_ever() {
    let folder = built();
    let api = Running::start_with(|config| config.web = Some(folder.path().join("dist"))).await;
    let plain = api.get("/assets/app-1a2b.js").await;
    assert_eq!(
        (plain.json.as_str(), plain.header("cache-control")),
        (Some("plain"), "public, max-age=31536000, immutable")
    );
    let request = api.request(Method::GET, "/assets/app-1a2b.js").header("accept-encoding", "gzip, br");
    let packed = send(request).await;
    assert_eq!((packed.json.as_str(), packed.header("content-encoding")), (Some("brotli"), "br"));
    assert!(packed.header("content-type").contains("javascript"));
    assert_eq!(api.get("/favicon.svg").await.header("cache-control"), "no-cache");
}

/// Method, address, headers and the status that they lead to.
type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16);

/// What of an answer a browser applies to the page it kept.
fn kept(answer: &Answer) -> [&str; 5] {
    ["content-security-policy", "etag", "cache-control", "vary", "referrer-policy"]
        .map(|name| answer.header(name))
}

#[tokio::test]
async fn the_policy_goes_by_the_address_and_never_by_the_answer() {
    let folder = built();
    let dist = folder.path().join("dist");
    let api = Running::start_with(|config| config.web = Some(dist.clone())).await;
    let stream = api.register("marea").await.goes_live().await;
    let watch = format!("/watch/{stream}");
    let stream = format!("/api/streams/{stream}");
    let html = ("accept", "text/html,*/*;q=0.8");
    let br = ("accept-encoding", "br");
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = api.request(method, path);
        send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    };
    let long = format!("/{}", "a".repeat(300));
    let deep = "/a".repeat(3_000);
    let long_asset = format!("/assets{long}.js");
    let rows: [Row<'_>; 28] = [
        ("GET", "/", &[html], 200),
        ("GET", "/", &[], 200),
        ("HEAD", "/studio", &[html], 200),
        ("GET", &watch, &[html, br], 200),
        ("GET", &watch, &[("if-none-match", "*")], 304),
        ("GET", "/watch/1", &[html, ("if-none-match", "*")], 404),
        ("GET", "/", &[html, ("range", "bytes=0-3")], 200),
        ("GET", "/", &[html, ("if-none-match", "*")], 304),
        ("GET", "/studio", &[html, ("if-none-match", "*")], 304),
        ("GET", "/favicon.svg", &[("if-none-match", "*")], 304),
        ("GET", "/assets/app-1a2b.js", &[br], 200),
        ("HEAD", "/assets/app-1a2b.js", &[], 200),
        ("GET", "/assets/app-1a2b.js", &[("range", "bytes=0-2")], 206),
        ("GET", "/assets/app-1a2b.js", &[("range", "bytes=90-99")], 416),
        ("GET", "/assets/app-1a2b.js", &[("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT")], 304),
        ("GET", "/assets/app-0000.js", &[html], 404),
        ("GET", "/nothing.png", &[], 404),
        ("GET", &long, &[], 404),
        ("HEAD", &deep, &[html], 200),
        ("GET", &long_asset, &[html], 404),
        ("HEAD", "/assets/%00", &[], 404),
        ("HEAD", "/%00", &[], 404),
        ("POST", "/studio", &[html], 405),
        ("GET", &stream, &[], 200),
        ("GET", &stream, &[html, ("if-none-match", "*")], 304),
        ("GET", "/api", &[html], 404),
        ("GET", "/api/nothing", &[html], 404),
        ("DELETE", "/api/auth/login", &[html], 405),
    ];
    for (method, path, headers, status) in rows {
        let answer = ask(method, path, headers).await;
        assert_eq!(answer.status, status, "{method} {path} {headers:?}");
        assert_policy(path, &answer);
        if answer.status == 304 {
            let headers: Vec<_> =
                headers.iter().copied().filter(|(name, _)| !name.starts_with("if-")).collect();
            let whole = ask(method, path, &headers).await;
            assert_eq!(kept(&answer), kept(&whole), "{path}");
            // An empty answer that called itself JSON or a plain text would be taken for an error's.
            assert!(answer.json.is_null(), "{path}: {}", answer.json);
        }
    }
    // Limits, faults and deadlines answer before any route has been asked.
    let long = api.post("/api/auth/login", "x".repeat(100_000)).await;
    assert_eq!(long.status, 413);
    assert_policy("/api/auth/login", &long);
    fs::write(dist.join("index.html"), vec![b' '; 5_000_000]).unwrap();
    let broken = ask("GET", "/studio", &[html]).await;
    assert_eq!(broken.status, 500);
    assert_policy("/studio", &broken);
    let slow = Running::start_with(|config| {
        config.web = Some(dist.clone());
        config.deadlines.request = Duration::ZERO;
    })
    .await;
    for path in ["/watch/1", "/api/streams"] {
        let mut answer = page(&slow, path).await;
        // An answer that is there at the first look is in time even for a deadline of nothing.
        for _ in 0..100 {
            if answer.status == 503 {
                break;
            }
            answer = page(&slow, path).await;
        }
        assert_eq!(answer.status, 503, "{path}");
        assert_policy(path, &answer);
    }
    let busy = Running::start_with(|config| config.limits.requests_a_minute = 1).await;
    let search = "/api/streams?q=ana";
    assert_eq!(page(&busy, search).await.status, 200);
    let refused = page(&busy, search).await;
    assert_eq!(refused.status, 429);
    assert_policy(search, &refused);
}

fn assert_policy(path: &str, answer: &Answer) {
    let policy = answer.header("content-security-policy");
    let scripts = policy.contains("script-src 'self'");
    assert_eq!(scripts, !path.starts_with("/api"), "{path} {}: {policy}", answer.status);
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path} {}", answer.status);
}

#[tokio::test]
async fn a_page_of_another_build_is_noticed_though_its_date_and_length_are_the_same() {
    let folder = built();
    let dist = folder.path().join("dist");
    let write = |content: &str| {
        let index = fs::File::create(dist.join("index.html")).unwrap();
        std::io::Write::write_all(&mut &index, content.as_bytes()).unwrap();
        index.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    };
    let api = Running::start_with(|config| config.web = Some(dist.clone())).await;
    write("<script src=/assets/app-1a2b.js>");
    let first = page(&api, "/").await;
    let again = |kept: &Answer| {
        let request = api.request(Method::GET, "/").header("if-none-match", kept.header("etag"));
        send(request.header("if-modified-since", "Fri, 01 Jan 2100 00:00:00 GMT"))
    };
    assert_eq!(again(&first).await.status, 304);
    write("<script src=/assets/app-3c4d.js>");
    let second = again(&first).await;
    assert_eq!(
        (second.status.as_u16(), second.json.as_str()),
        (200, Some("<script src=/assets/app-3c4d.js>"))
    );
}

#[tokio::test]
async fn what_is_missing_is_missing() {
    let folder = built();
    let api = Running::start_with(|config| config.web = Some(folder.path().join("dist"))).await;
    for path in
        ["/assets/app-0000.js", "/nothing.png", "/%2e%2e/outside.txt", "/assets/..%2f..%2foutside.txt"]
    {
        let answer = api.get(path).await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{path}");
    }
    assert_eq!(page(&api, "/assets/app-0000.js").await.status, 404);
    assert_eq!(page(&api, "/api/nothing").await.refusal(), (404, "not_found"));
    let answer = send(api.request(Method::DELETE, "/studio")).await;
    assert_eq!((answer.refusal(), answer.header("allow")), ((405, "method_not_allowed"), "GET, HEAD"));
}

#[tokio::test]
async fn unbuilt_pages_say_how_to_build_them() {
    let api = Running::start().await;
    let answer = page(&api, "/").await;
    assert_eq!(answer.status, 404);
    assert!(answer.json.as_str().unwrap().contains("make run"));
}
