//! Text that no person types, in every field of every route.

use base64::Engine as _;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::running::{Person, Running, send};

/// Where a text can be put, as a JSON pointer into a body, or as a query parameter.
const BODIES: [(&str, &str, &[&str]); 13] = [
    ("POST", "/api/auth/register", &["/username", "/email", "/password"]),
    ("POST", "/api/auth/login", &["/login", "/password"]),
    ("POST", "/api/auth/refresh", &["/refreshToken"]),
    ("POST", "/api/auth/logout", &["/refreshToken"]),
    ("POST", "/api/auth/stream-key/rotate", &["/password"]),
    ("POST", "/api/auth/password", &["/password", "/newPassword"]),
    ("POST", "/api/auth/password/forgot", &["/email"]),
    ("POST", "/api/auth/password/reset", &["/token", "/newPassword"]),
    ("POST", "/api/auth/email/verify", &["/token"]),
    ("POST", "/api/streams", &["/title", "/description", "/categoryIds/0", "/language", "/isLive"]),
    ("PATCH", "/api/streams/{id}", &["/title", "/description", "/categoryIds/0", "/language"]),
    ("PATCH", "/api/users/me", &["/displayName", "/bio"]),
    ("DELETE", "/api/streams/{id}", &[]),
];
const QUERIES: [&str; 7] = ["category", "language", "q", "sort", "limit", "cursor", "colour"];

/// What a body is otherwise.
fn good_body(path: &str) -> Value {
    match path {
        "/api/auth/register" => {
            json!({"username": "kim", "email": "kim@example.test", "password": "correct horse battery"})
        }
        "/api/auth/login" => json!({"login": "ana", "password": "correct horse battery"}),
        "/api/auth/refresh" | "/api/auth/logout" => json!({"refreshToken": "x"}),
        "/api/auth/stream-key/rotate" => json!({"password": "not the password"}),
        "/api/auth/password" => json!({"password": "not the password", "newPassword": "short"}),
        "/api/auth/password/forgot" => json!({"email": "nobody@example.test"}),
        "/api/auth/password/reset" => json!({"token": "x", "newPassword": "correct horse battery"}),
        "/api/auth/email/verify" => json!({"token": "x"}),
        "/api/users/me" => json!({"displayName": "Ana", "bio": ""}),
        _ => json!({"title": "Title", "description": "", "categoryIds": []}),
    }
}

/// `text` at `pointer`, which has one or two steps.
fn put(body: &mut Value, pointer: &str, text: &str) {
    let mut steps = pointer.trim_start_matches('/').split('/');
    let field = steps.next().unwrap();
    body[field] = if steps.next().is_some() { json!([text]) } else { json!(text) };
}

fn request(person: &Person<'_>, method: &str, path: &str) -> RequestBuilder {
    let (method, path) = (method.parse().unwrap(), path.replace("{id}", &Uuid::now_v7().to_string()));
    // With a token, logging out would end the session that the other routes need.
    if path.ends_with("/logout") { person.api.request(method, &path) } else { person.request(method, &path) }
}

#[tokio::test]
async fn a_nul_in_any_field_is_refused_by_the_field_s_name() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let mine = ana.post("/api/streams", json!({"title": "Mine"})).await;
    let mine = format!("/api/streams/{}", mine.json["id"].as_str().unwrap());
    for (method, path, pointers) in BODIES {
        for pointer in pointers {
            let path = path.replace("/api/streams/{id}", &mine);
            let mut body = good_body(&path);
            put(&mut body, pointer, "a\0b");
            let answer = send(ana.request(method.parse().unwrap(), &path).json(&body)).await;
            assert_eq!(answer.refusal(), (422, "invalid"), "{method} {path} {pointer}: {}", answer.json);
            assert_eq!(answer.json["errors"][0]["pointer"], *pointer, "{path}: {}", answer.json);
        }
    }
    for name in QUERIES {
        let answer = api.get(&format!("/api/streams?{name}=a%00b")).await;
        assert_eq!(answer.refusal(), (422, "invalid"), "{name}: {}", answer.json);
        assert_eq!(answer.json["errors"][0]["pointer"], format!("?{name}"));
        let answer = api.get(&format!("/api/streams?{name}=%ff%fe")).await;
        assert_eq!(answer.refusal(), (422, "invalid"), "{name}: {}", answer.json);
    }
    // Written out, the escape is text like any other.
    let answer = ana.patch(&mine, json!({"title": r"the character \u0000"})).await;
    assert_eq!((answer.status.as_u16(), &answer.json["title"]), (200, &json!(r"the character \u0000")));
}

#[tokio::test]
async fn no_text_in_any_field_is_the_server_s_fault() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let long_word = "ü".repeat(5_000);
    let mut texts: Vec<String> = [
        "",
        "\0",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{202e}",
        "\u{2028}",
        "\u{200b}",
        "\u{feff}",
        "'",
        "\"",
        "\\",
        "%",
        "_",
        "& | ! <-> :*",
        "\"unclosed",
        "-",
        "or or or",
        "$1",
        "{}",
        "null",
        "9223372036854775808",
        "-1",
        "1e400",
        "NaN",
        "../../etc/passwd",
        "a\u{301}\u{301}\u{301}",
        "İ",
        "ß",
        &long_word,
    ]
    .map(str::to_owned)
    .into();
    let mut runner = TestRunner::deterministic();
    let strategy = proptest::string::string_regex(r"(?s).{0,80}").unwrap();
    texts.extend((0..16).map(|_| strategy.new_tree(&mut runner).unwrap().current()));

    for text in &texts {
        for (method, path, pointers) in BODIES {
            for pointer in pointers {
                let mut body = good_body(path);
                put(&mut body, pointer, text);
                let answer = send(request(&ana, method, path).json(&body)).await;
                assert!(answer.status.as_u16() < 500, "{method} {path} {pointer} {text:?}: {}", answer.json);
            }
        }
        for name in QUERIES {
            let answer = send(api.request(Method::GET, "/api/streams").query(&[(name, text.as_str())])).await;
            assert!(answer.status.as_u16() < 500, "{name} {text:?}: {}", answer.json);
        }
        for list in ["/api/categories", "/api/search", "/api/categories/music/streams"] {
            for name in QUERIES {
                let answer = send(api.request(Method::GET, list).query(&[(name, text.as_str())])).await;
                assert!(answer.status.as_u16() < 500, "{list} {name} {text:?}: {}", answer.json);
            }
        }
        for path in
            ["/api/streams/", "/api/users/", "/api/users/@", "/api/categories/", "/api/", "/", "/assets/"]
        {
            let mut url = reqwest::Url::parse(&api.url).unwrap();
            url.set_path(&format!("{path}{}", text.chars().take(500).collect::<String>()));
            let answer = send(api.http.get(url)).await;
            assert!(answer.status.as_u16() < 500, "{path} {text:?}: {}", answer.json);
        }
        let publisher = json!({"key": text, "app": text, "remote": null, "session": Uuid::now_v7()});
        let answer = api.as_router("/internal/ingest/authorize", publisher).await;
        assert!(answer.status.as_u16() < 500, "{text:?}: {}", answer.json);
    }
}

#[tokio::test]
async fn no_bytes_are_the_server_s_fault() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let deep = "[".repeat(30_000);
    let deep_nul = format!("{}\"\\u0000\"{}", "[".repeat(20_000), "]".repeat(20_000));
    for body in [
        &b""[..],
        b"\0",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"{\"title\":\"\\ud800\"}",
        b"{\"title\":\"\\udc00\\ud800\"}",
        b"{\"title\":\"\xff\"}",
        b"{\"title\":1e999}",
        b"{\"title\":\"a\",\"title\":\"b\"}",
        b"{\"ti\\u0000tle\":\"x\"}",
        b"{\"title\":\"x\",\"categoryIds\":[99999999999999999999999]}",
        deep.as_bytes(),
        deep_nul.as_bytes(),
    ] {
        for (method, path, _) in BODIES {
            let answer = send(
                request(&ana, method, path).header("content-type", "application/json").body(body.to_vec()),
            )
            .await;
            assert!(answer.status.as_u16() < 500, "{method} {path}: {}", answer.json);
        }
    }
    for target in [
        "/api/streams?limit=99999999999999999999",
        "/api/streams?limit=-1",
        "/api/streams?limit=1.5",
        "/api/streams?%00=%00",
        "/api/streams?q=%ed%a0%80",
        "/api/streams/%00",
        "/api/streams/%ff",
        "/%00",
        "/%ff",
        "/assets/%00",
        "/api/streams?cursor=eyJ2aWV3ZXJzIjo5OTk5OTk5OTk5OTksImlkIjoiMDE5MGI0YjAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAwIn0",
    ] {
        let answer = api.get(target).await;
        assert!(answer.status.as_u16() < 500, "{target}: {}", answer.json);
    }
    for started in [i64::MIN, -62_135_596_800_000_000 * 100, -1, 253_402_300_800_000_000, i64::MAX] {
        let place = json!({"at": started, "id": Uuid::nil()}).to_string();
        let cursor = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(place);
        let answer = api.get(&format!("/api/streams?sort=recent&cursor={cursor}")).await;
        assert_eq!(answer.refusal(), (422, "invalid"), "{started}: {}", answer.json);
    }
    let cursor = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .encode(json!({"viewers": 1, "name": "a\0b"}).to_string());
    assert_eq!(api.get(&format!("/api/categories?cursor={cursor}")).await.refusal(), (422, "invalid"));
    let stream = ana.goes_live().await;
    for at in [i64::MIN, -62_135_596_800_000_i64 * 2, -1, 253_402_300_800_000, i64::MAX] {
        let report = json!({"stream": stream, "startedAt": at});
        let answer = api.as_controller("/internal/ingest/published", report).await;
        assert_eq!(answer.refusal(), (400, "malformed"), "{at}: {}", answer.json);
    }
    for value in ["\"99999999999.0.-\"", "W/\"1\"", "*, *", "\"\u{fc}\""] {
        let change =
            ana.request(Method::PATCH, &format!("/api/streams/{stream}")).json(&json!({"title": "x"}));
        let answer = send(change.header("if-match", value.as_bytes())).await;
        assert!(answer.status.as_u16() < 500, "{value}: {}", answer.json);
    }
}
