//! Refreshing, and ending sessions.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::running::{Answer, Person, Running, send};

async fn refresh(api: &Running, token: &str) -> Answer {
    api.post("/api/auth/refresh", json!({"refreshToken": token})).await
}

#[tokio::test]
async fn every_refresh_changes_the_token() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let mut token = ana.refresh.clone();
    for _ in 0..3 {
        let answer = refresh(&api, &token).await;
        assert_eq!(answer.status, 200);
        let next = Person::of(&api, &answer);
        assert_ne!(next.refresh, token);
        assert_eq!(next.get("/api/streams/mine").await.refusal(), (404, "not_found"));
        token = next.refresh;
    }
}

#[tokio::test]
async fn a_lost_answer_is_given_again_within_the_grace() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let first = Person::of(&api, &refresh(&api, &ana.refresh).await);
    let again = Person::of(&api, &refresh(&api, &ana.refresh).await);
    assert_eq!(first.refresh, again.refresh);
    assert_eq!(refresh(&api, &first.refresh).await.status, 200);
}

#[tokio::test]
async fn two_refreshes_at_once_get_the_same_successor() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let tabs = futures::future::join_all((0..8).map(|_| refresh(&api, &ana.refresh))).await;
    let mut successors: Vec<_> = tabs.iter().map(|tab| tab.json["refreshToken"].as_str().unwrap()).collect();
    successors.dedup();
    assert_eq!(successors.len(), 1);
    assert_eq!(refresh(&api, successors[0]).await.status, 200);
    let tokens: i64 = sqlx::query_scalar("select count(*) from refresh_tokens")
        .fetch_one(&api.database.pool)
        .await
        .unwrap();
    assert_eq!(tokens, 3);
}

#[tokio::test]
async fn a_token_used_after_its_grace_ends_the_whole_session() {
    let api = Running::start_with(|config| config.deadlines.refresh_grace = Duration::ZERO).await;
    let ana = api.register("ana").await;
    let next = Person::of(&api, &refresh(&api, &ana.refresh).await);
    assert_eq!(refresh(&api, &ana.refresh).await.refusal(), (401, "refresh_reused"));
    assert_eq!(refresh(&api, &next.refresh).await.refusal(), (401, "refresh_invalid"));
    assert_eq!(next.get("/api/streams/mine").await.refusal(), (401, "session_revoked"));
}

#[tokio::test]
async fn the_grace_is_for_the_immediate_predecessor_only() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let second = Person::of(&api, &refresh(&api, &ana.refresh).await);
    let third = Person::of(&api, &refresh(&api, &second.refresh).await);
    // All within ten seconds: what lies two steps behind was copied.
    assert_eq!(refresh(&api, &ana.refresh).await.refusal(), (401, "refresh_reused"));
    assert_eq!(refresh(&api, &third.refresh).await.refusal(), (401, "refresh_invalid"));
}

#[tokio::test]
async fn one_session_ending_leaves_the_others() {
    let api = Running::start_with(|config| config.deadlines.refresh_grace = Duration::ZERO).await;
    let phone = api.register("ana").await;
    let login =
        api.post("/api/auth/login", json!({"login": "ana", "password": crate::running::PASSWORD})).await;
    let laptop = Person::of(&api, &login);
    refresh(&api, &phone.refresh).await;
    assert_eq!(refresh(&api, &phone.refresh).await.refusal(), (401, "refresh_reused"));
    assert_eq!(laptop.get("/api/auth/stream-key").await.status, 200);
    assert_eq!(refresh(&api, &laptop.refresh).await.status, 200);
}

#[tokio::test]
async fn a_session_has_an_end_however_often_it_is_refreshed() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    sqlx::query("update refresh_tokens set family_expires_at = now() + interval '1 hour'")
        .execute(&api.database.pool)
        .await
        .unwrap();
    let answer = refresh(&api, &ana.refresh).await;
    let cookie = answer.header("set-cookie");
    let seconds: u32 = cookie.split("Max-Age=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{cookie}");
    sqlx::query("update refresh_tokens set family_expires_at = now()")
        .execute(&api.database.pool)
        .await
        .unwrap();
    let next = answer.json["refreshToken"].as_str().unwrap();
    assert_eq!(refresh(&api, next).await.refusal(), (401, "refresh_invalid"));
}

#[tokio::test]
async fn an_expired_access_token_says_so() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let past = jsonwebtoken::get_current_timestamp() - 1;
    let claims = json!({
        "sub": ana.id, "sid": ana.id, "iss": "caudal", "aud": "caudal-api", "typ": "access", "iat": past, "exp": past,
    });
    let key = jsonwebtoken::EncodingKey::from_secret(crate::running::JWT_SECRET.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let answer = send(api.request(Method::GET, "/api/streams/mine").bearer_auth(token)).await;
    assert_eq!(answer.refusal(), (401, "token_expired"));
}

#[tokio::test]
async fn a_browser_refreshes_by_its_cookie_alone() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let with_cookie = || {
        api.request(Method::POST, "/api/auth/refresh")
            .header("cookie", format!("a=b; caudal_refresh={}", ana.refresh))
    };
    let answer = send(with_cookie()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("set-cookie").contains(answer.json["refreshToken"].as_str().unwrap()));
    // The web pages send an empty object.
    assert_eq!(send(with_cookie().json(&json!({}))).await.status, 200);
    let nothing = send(api.request(Method::POST, "/api/auth/refresh")).await;
    assert_eq!(nothing.refusal(), (401, "refresh_invalid"));
    assert!(nothing.header("set-cookie").starts_with("caudal_refresh=; Path=/api/auth; Max-Age=0;"));
}

#[tokio::test]
async fn cookies_are_secure_where_the_world_reaches_us_under_tls() {
    let api = Running::start_with(|config| config.urls.api = "https://live.test".into()).await;
    let answer = api
        .post("/api/auth/register", json!({"username": "ana", "email": "a@b.test", "password": "12345678"}))
        .await;
    assert!(answer.header("set-cookie").ends_with("; HttpOnly; SameSite=Strict; Secure"));
    assert_eq!(answer.header("strict-transport-security"), "max-age=31536000");
}

#[tokio::test]
async fn logging_out_ends_both_tokens() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let answer = send(ana.request(Method::POST, "/api/auth/logout")).await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(ana.get("/api/auth/stream-key").await.refusal(), (401, "session_revoked"));
    assert_eq!(refresh(&api, &ana.refresh).await.refusal(), (401, "refresh_invalid"));
    // Again, and without anything to end.
    assert_eq!(send(ana.request(Method::POST, "/api/auth/logout")).await.status, 204);
    assert_eq!(send(api.request(Method::POST, "/api/auth/logout")).await.status, 204);
}

#[tokio::test]
async fn logging_out_works_by_the_refresh_token_alone() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    assert_eq!(api.post("/api/auth/logout", json!({"refreshToken": ana.refresh})).await.status, 204);
    assert_eq!(ana.get("/api/auth/stream-key").await.refusal(), (401, "session_revoked"));
}

#[tokio::test]
async fn an_ended_session_stays_ended_when_the_api_starts_again() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    send(ana.request(Method::POST, "/api/auth/logout")).await;
    let next = Running::replica(api.database.clone(), |_| ()).await;
    let answer = send(next.request(Method::GET, "/api/auth/stream-key").bearer_auth(&ana.access)).await;
    assert_eq!(answer.refusal(), (401, "session_revoked"));
}
