//! Refreshing, and ending sessions.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::running::{Answer, Person, Running, send};

async fn refresh(api: &Running, token: &str) -> Answer {
    api.post("/api/auth/refresh", json!({"refreshToken": token})).await
}

/// As if `seconds` had passed since everything that the database knows of sessions.
async fn later(api: &Running, seconds: i64) {
    sqlx::query(
        "update sessions set created_at = created_at - d, exchanged_at = exchanged_at - d, expires_at = expires_at - d, \
         ends_at = ends_at - d, revoked_at = revoked_at - d from (select make_interval(secs => $1::bigint::double precision) as d) as passed",
    )
    .bind(seconds)
    .execute(&api.database.pool)
    .await
    .unwrap();
}

/// Until the background has looked once more for sessions to forget.
async fn tidied(api: &Running) {
    let marker = uuid::Uuid::now_v7();
    sqlx::query(
        "insert into sessions (id, user_id, expires_at, ends_at) \
         select $1, id, '1970-01-01', '1970-01-01' from users limit 1",
    )
    .bind(marker)
    .execute(&api.database.pool)
    .await
    .unwrap();
    while sqlx::query("select from sessions where id = $1")
        .bind(marker)
        .fetch_optional(&api.database.pool)
        .await
        .unwrap()
        .is_some()
    {
        tokio::task::yield_now().await;
    }
}

async fn sessions(api: &Running) -> i64 {
    sqlx::query_scalar("select count(*) from sessions").fetch_one(&api.database.pool).await.unwrap()
}

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// With a background that is always tidying.
async fn tidying() -> Running {
    Running::start_with(|config| {
        config.deadlines.sweep = Duration::from_millis(10);
        config.deadlines.tidy = Duration::ZERO;
    })
    .await
}

#[tokio::test]
async fn a_session_refreshed_every_hour_lives_for_a_month_in_one_row() {
    let api = tidying().await;
    let ana = api.register("ana").await;
    let mut now = ana.clone();
    for hour in 1..30 * 24 {
        later(&api, HOUR).await;
        if hour % 24 == 0 {
            tidied(&api).await;
        }
        let answer = refresh(&api, &now.refresh).await;
        assert_eq!(answer.status, 200, "hour {hour}: {}", answer.json);
        now = Person::of(&api, &answer);
    }
    assert_eq!(now.get("/api/auth/stream-key").await.status, 200);
    assert_eq!(sessions(&api).await, 1);
    later(&api, HOUR).await;
    assert_eq!(refresh(&api, &now.refresh).await.refusal(), (401, "refresh_invalid"));
    // Its last access token has run out long before the row goes.
    later(&api, DAY + 2 * HOUR).await;
    tidied(&api).await;
    assert_eq!(sessions(&api).await, 0);
}

#[tokio::test]
async fn a_token_from_weeks_ago_still_ends_the_session_that_it_was_copied_from() {
    let api = tidying().await;
    let ana = api.register("ana").await;
    let mut now = ana.clone();
    for day in 1..=28 {
        later(&api, DAY).await;
        tidied(&api).await;
        let answer = refresh(&api, &now.refresh).await;
        assert_eq!(answer.status, 200, "day {day}");
        now = Person::of(&api, &answer);
    }
    assert_eq!(refresh(&api, &ana.refresh).await.refusal(), (401, "refresh_reused"));
    assert_eq!(now.get("/api/auth/stream-key").await.refusal(), (401, "session_revoked"));
}

#[tokio::test]
async fn a_laptop_may_sleep_for_six_days_and_not_for_eight() {
    let api = tidying().await;
    let mut laptop = api.register("ana").await;
    for _ in 0..2 {
        later(&api, 6 * DAY).await;
        tidied(&api).await;
        laptop = Person::of(&api, &refresh(&api, &laptop.refresh).await);
    }
    later(&api, 8 * DAY).await;
    assert_eq!(refresh(&api, &laptop.refresh).await.refusal(), (401, "refresh_invalid"));
}

#[tokio::test]
async fn an_ended_session_is_not_forgotten_while_its_access_token_holds() {
    let api = Running::start_with(|config| {
        config.deadlines.sweep = Duration::from_millis(10);
        config.deadlines.tidy = Duration::ZERO;
        config.deadlines.access_token = Duration::from_secs(90 * 24 * 3600);
    })
    .await;
    let ana = api.register("ana").await;
    send(ana.request(Method::POST, "/api/auth/logout")).await;
    later(&api, 60 * DAY).await;
    tidied(&api).await;
    assert_eq!(ana.get("/api/auth/stream-key").await.refusal(), (401, "session_revoked"));
}

#[tokio::test]
async fn logging_in_a_thousand_times_keeps_a_hundred_sessions_the_newest_ones() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    sqlx::query(
        "insert into sessions (id, user_id, exchanged_at, expires_at, ends_at) \
         select gen_random_uuid(), user_id, now() - make_interval(secs => n), ends_at, ends_at \
         from sessions, generate_series(1, 1000) n",
    )
    .execute(&api.database.pool)
    .await
    .unwrap();
    let login = json!({"login": "ana", "password": crate::running::PASSWORD});
    let laptop = Person::of(&api, &api.post("/api/auth/login", login).await);
    assert_eq!(sessions(&api).await, 100);
    assert_eq!(ana.get("/api/auth/stream-key").await.status, 200);
    assert_eq!(laptop.get("/api/auth/stream-key").await.status, 200);
}

#[tokio::test]
async fn a_log_out_during_a_refresh_ends_what_the_refresh_gave() {
    let api = Running::start().await;
    api.register("ana").await;
    let login = json!({"login": "ana", "password": crate::running::PASSWORD});
    for _ in 0..10 {
        let ana = Person::of(&api, &api.post("/api/auth/login", &login).await);
        let (refreshed, _) =
            tokio::join!(refresh(&api, &ana.refresh), send(ana.request(Method::POST, "/api/auth/logout")));
        if refreshed.status == 200 {
            let next = Person::of(&api, &refreshed);
            assert_eq!(next.get("/api/auth/stream-key").await.refusal(), (401, "session_revoked"));
            assert_eq!(refresh(&api, &next.refresh).await.refusal(), (401, "refresh_invalid"));
        }
    }
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
    // The page gives up after 15 s, and asks again after a pause.
    for seconds in [0, 16, 45] {
        later(&api, seconds).await;
        let again = Person::of(&api, &refresh(&api, &ana.refresh).await);
        assert_eq!(first.refresh, again.refresh);
    }
    assert_eq!(refresh(&api, &first.refresh).await.status, 200);
}

#[tokio::test]
async fn twenty_tabs_refreshing_at_once_get_one_successor_under_the_usual_limits() {
    let api = Running::start_with(|config| config.limits = caudal_api::Limits::default()).await;
    let ana = api.register("ana").await;
    let tabs = futures::future::join_all((0..20).map(|_| refresh(&api, &ana.refresh))).await;
    let mut successors: Vec<_> = tabs.iter().map(|tab| tab.json["refreshToken"].as_str().unwrap()).collect();
    successors.dedup();
    assert_eq!(successors.len(), 1);
    assert_eq!(refresh(&api, successors[0]).await.status, 200);
}

#[tokio::test]
async fn a_phone_that_slept_through_its_answer_is_still_logged_in() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let lost = Person::of(&api, &refresh(&api, &ana.refresh).await);
    later(&api, 6 * DAY).await;
    // Two tabs wake up together.
    let (one, other) = tokio::join!(refresh(&api, &ana.refresh), refresh(&api, &ana.refresh));
    let awake = Person::of(&api, &one);
    assert_eq!(awake.refresh, Person::of(&api, &other).refresh);
    assert_eq!(awake.get("/api/auth/stream-key").await.status, 200);
    // The answer that nobody received is void: whoever has it took it.
    assert_ne!(awake.refresh, lost.refresh);
    assert_eq!(refresh(&api, &lost.refresh).await.refusal(), (401, "refresh_reused"));
    assert_eq!(refresh(&api, &awake.refresh).await.refusal(), (401, "refresh_invalid"));
}

#[tokio::test]
async fn a_copied_token_used_after_its_grace_ends_the_whole_session() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let next = Person::of(&api, &refresh(&api, &ana.refresh).await);
    // This answer did arrive.
    assert_eq!(next.get("/api/auth/stream-key").await.status, 200);
    later(&api, 121).await;
    assert_eq!(refresh(&api, &ana.refresh).await.refusal(), (401, "refresh_reused"));
    assert_eq!(refresh(&api, &next.refresh).await.refusal(), (401, "refresh_invalid"));
    assert_eq!(next.get("/api/auth/stream-key").await.refusal(), (401, "session_revoked"));
}

#[tokio::test]
async fn the_grace_is_for_the_immediate_predecessor_only() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let second = Person::of(&api, &refresh(&api, &ana.refresh).await);
    let third = Person::of(&api, &refresh(&api, &second.refresh).await);
    // All within the grace: what lies two steps behind was copied.
    assert_eq!(refresh(&api, &ana.refresh).await.refusal(), (401, "refresh_reused"));
    assert_eq!(refresh(&api, &third.refresh).await.refusal(), (401, "refresh_invalid"));
}

#[tokio::test]
async fn one_session_ending_leaves_the_others() {
    let api = Running::start().await;
    let phone = api.register("ana").await;
    let login =
        api.post("/api/auth/login", json!({"login": "ana", "password": crate::running::PASSWORD})).await;
    let laptop = Person::of(&api, &login);
    let next = Person::of(&api, &refresh(&api, &phone.refresh).await);
    refresh(&api, &next.refresh).await;
    assert_eq!(refresh(&api, &phone.refresh).await.refusal(), (401, "refresh_reused"));
    assert_eq!(laptop.get("/api/auth/stream-key").await.status, 200);
    assert_eq!(refresh(&api, &laptop.refresh).await.status, 200);
}

#[tokio::test]
async fn a_session_has_an_end_however_often_it_is_refreshed() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    sqlx::query("update sessions set ends_at = now() + interval '1 hour'")
        .execute(&api.database.pool)
        .await
        .unwrap();
    let answer = refresh(&api, &ana.refresh).await;
    let cookie = answer.header("set-cookie");
    let seconds: u32 = cookie.split("Max-Age=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&seconds), "{cookie}");
    sqlx::query("update sessions set ends_at = now()").execute(&api.database.pool).await.unwrap();
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
