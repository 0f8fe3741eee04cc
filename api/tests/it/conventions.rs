//! What all answers have in common.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::running::{Running, send};
use crate::snapshot::tidy;

#[tokio::test]
async fn every_error_is_a_problem_with_a_code_and_the_request_s_id() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let login = || api.request(Method::POST, "/api/auth/login");
    let cases = [
        (api.request(Method::GET, "/api/nothing"), 404, "not_found"),
        (api.request(Method::PUT, "/api/streams"), 405, "method_not_allowed"),
        (login().body("{}"), 415, "unsupported_media_type"),
        (login().header("content-type", "application/json").body("{\"login\":"), 400, "malformed"),
        (login().header("content-type", "application/json").body("{} {}"), 422, "invalid"),
        (login().json(&json!({"login": "x"})), 422, "invalid"),
        (login().json(&json!({"login": "x", "password": "y".repeat(70_000)})), 413, "too_large"),
        (ana.request(Method::POST, "/api/streams").json(&json!([])), 422, "invalid"),
    ];
    for (request, status, code) in cases {
        let answer = send(request).await;
        assert_eq!(answer.refusal(), (status, code), "{}", answer.json);
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json["status"], status);
        assert_eq!(answer.json["requestId"], answer.header("x-request-id"));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'");
    }
    let answer = send(api.request(Method::PUT, "/api/streams")).await;
    assert_eq!(answer.header("allow"), "GET,HEAD,POST");
    insta::assert_json_snapshot!(tidy(send(login().json(&json!({"login": "x", "pass": 1}))).await.json));
}

#[tokio::test]
async fn only_named_origins_may_use_the_api_from_elsewhere() {
    let api = Running::start().await;
    let preflight = |origin: &'static str| {
        send(
            api.request(Method::OPTIONS, "/api/streams")
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", "authorization,content-type"),
        )
    };
    let friend = preflight("https://friend.test").await;
    assert_eq!(friend.header("access-control-allow-origin"), "https://friend.test");
    assert_eq!(friend.header("access-control-allow-credentials"), "true");
    assert_eq!(preflight("https://stranger.test").await.header("access-control-allow-origin"), "");
    let answer =
        send(api.request(Method::GET, "/api/streams").header("origin", "https://stranger.test")).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, ""));
}

#[tokio::test]
async fn without_postgresql_the_answer_is_unavailable() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let read = api.get("/api/streams?sort=recent").await;
    api.database.goes_away().await;
    let edit = ana.patch("/api/users/me", json!({ "displayName": "Ana María" })).await;
    assert_eq!(edit.refusal(), (503, "unavailable"));
    let again = api.get("/api/streams?sort=recent").await;
    assert_eq!((again.status, &again.json), (read.status, &read.json), "what was read before stands in");
    assert!(!again.header("age").is_empty());
    for answer in [api.get("/api/streams").await, ana.get("/api/auth/stream-key").await] {
        assert_eq!(answer.refusal(), (503, "unavailable"), "{}", answer.json);
        assert_eq!(answer.header("retry-after"), "2");
    }
}

#[tokio::test]
async fn a_start_without_postgresql_waits_and_then_says_where_it_looked() {
    let started = tokio::time::Instant::now();
    let outcome = tokio::spawn(async {
        Running::start_with(|config| {
            config.database_url = "postgresql://caudal:secret@127.0.0.1:1/caudal".to_owned().into();
            config.deadlines.database_start = Duration::from_millis(300);
        })
        .await;
    })
    .await
    .unwrap_err();
    let words = outcome.into_panic().downcast::<String>().unwrap();
    assert!(words.contains("127.0.0.1:1") && !words.contains("secret"), "{words}");
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn weak_secrets_stop_the_start() {
    let outcome = tokio::spawn(async {
        Running::start_with(|config| config.secrets.jwt = "your-secret-key".to_owned().into()).await;
    })
    .await
    .unwrap_err();
    let words = outcome.into_panic().downcast::<String>().unwrap();
    assert!(words.contains("WeakSecret"), "{words}");
}

#[tokio::test]
async fn a_shutdown_finishes_what_was_begun() {
    let mut api = Running::start().await;
    let ana = api.register("ana").await;
    // Somebody holds the row that the request needs, so that the shutdown comes while it is being answered.
    let mut held = api.database.pool.begin().await.unwrap();
    sqlx::query("select id from users for update").execute(&mut *held).await.unwrap();
    let asked = tokio::spawn(send(ana.request(Method::POST, "/api/streams").json(&json!({"title": "Soon"}))));
    let waiting = async {
        let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&api.database.pool).await.unwrap() == 0 {}
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("the request never came");
    api.shutdown.cancel();
    held.commit().await.unwrap();
    assert_eq!(asked.await.unwrap().status, 201);
    tokio::time::timeout(Duration::from_secs(10), &mut api.task)
        .await
        .expect("it did not stop")
        .unwrap()
        .unwrap();
}
