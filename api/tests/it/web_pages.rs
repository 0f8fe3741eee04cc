//! The built pages.

use std::fs;

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
    for path in ["/", "/studio", "/watch/0198?t=1", "/index.html"] {
        let answer = page(&api, path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json.as_str()),
            (200, Some("<!doctype html>app")),
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), "no-cache");
        let policy = answer.header("content-security-policy");
        for needed in [
            "worker-src 'self' blob:",
            "media-src 'self' blob: http://media.test:8000",
            "connect-src 'self' http://media.test:8000",
            "script-src 'self';",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(needed), "{policy}");
        }
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
