//! Changing a password, and choosing a new one by a link.

use caudal_api::Limits;
use reqwest::Method;
use serde_json::json;

use crate::running::{Answer, PASSWORD, Person, Running, send};

const NEW: &str = "another horse battery";

async fn log_in(api: &Running, name: &str, password: &str) -> Answer {
    api.post("/api/auth/login", json!({"login": name, "password": password})).await
}

async fn another_session<'a>(api: &'a Running, name: &str) -> Person<'a> {
    Person::of(api, &log_in(api, name, PASSWORD).await)
}

async fn is_logged_in(person: &Person<'_>) -> bool {
    let answer = person.get("/api/users/me").await;
    assert!(answer.status == 200 || answer.refusal() == (401, "session_revoked"), "{}", answer.json);
    answer.status == 200
}

/// The token of an administrator's link.
async fn token(api: &Running, name: &str) -> String {
    let url = api.database.url.clone().into();
    let link = caudal_api::password_reset_link(&url, "https://live.test", name).await.unwrap();
    link.strip_prefix("https://live.test/reset-password#token=").expect(&link).to_owned()
}

async fn reset(api: &Running, token: &str, password: &str) -> Answer {
    api.post("/api/auth/password/reset", json!({"token": token, "newPassword": password})).await
}

#[tokio::test]
async fn a_changed_password_is_the_only_one_and_ends_all_other_sessions() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let phone = another_session(&api, "ana").await;
    let link = token(&api, "ana").await;
    let changed = ana.post("/api/auth/password", json!({"password": PASSWORD, "newPassword": NEW})).await;
    assert_eq!(changed.status, 204, "{}", changed.json);
    assert!(is_logged_in(&ana).await && is_logged_in(&bob).await);
    assert!(!is_logged_in(&phone).await);
    let refreshed = api.post("/api/auth/refresh", json!({"refreshToken": phone.refresh})).await;
    assert_eq!(refreshed.refusal(), (401, "refresh_invalid"));
    let refused = log_in(&api, "ana", PASSWORD).await;
    assert_eq!(refused.refusal(), (401, "wrong_credentials"));
    assert_eq!(log_in(&api, "ana", NEW).await.status, 200);
    // Whoever changes it has no use for a link any more, and somebody else may have it.
    assert_eq!(reset(&api, &link, PASSWORD).await.refusal(), (422, "invalid"));
}

#[tokio::test]
async fn a_password_is_not_changed_without_the_old_one_or_to_one_that_is_none() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let phone = another_session(&api, "ana").await;
    let change = |password: &str, new: &str| {
        let body = json!({"password": password, "newPassword": new});
        ana.post("/api/auth/password", body)
    };
    assert_eq!(change("not it at all", NEW).await.refusal(), (403, "wrong_password"));
    let short = change(PASSWORD, "seven77").await;
    assert_eq!(short.refusal(), (422, "invalid"));
    assert_eq!(short.json["errors"][0]["pointer"], "/newPassword");
    assert_eq!(short.json["errors"][0]["code"], "too_short");
    let nobody = api.post("/api/auth/password", json!({"password": PASSWORD, "newPassword": NEW})).await;
    assert_eq!(nobody.refusal(), (401, "unauthenticated"));
    assert!(is_logged_in(&phone).await);
    assert_eq!(log_in(&api, "ana", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn guesses_at_changing_have_a_limit_that_keeps_nobody_from_logging_in() {
    let api = Running::start_with(|config| {
        config.limits = Limits { requests_a_minute: 1_000_000, attempts_a_minute: 3 };
    })
    .await;
    let ana = api.register("ana").await;
    let guess = || ana.post("/api/auth/password", json!({"password": "guess guess", "newPassword": NEW}));
    for _ in 0..3 {
        assert_eq!(guess().await.refusal(), (403, "wrong_password"));
    }
    assert_eq!(guess().await.refusal(), (429, "rate_limited"));
    assert_eq!(log_in(&api, "ana", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn of_two_who_change_it_at_once_only_one_does() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let change =
        |new: &'static str| ana.post("/api/auth/password", json!({"password": PASSWORD, "newPassword": new}));
    let (one, other) = tokio::join!(change("the first of two"), change("the second of two"));
    let mut statuses = [one.status.as_u16(), other.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 403]);
    let right = if one.status == 204 { "the first of two" } else { "the second of two" };
    assert_eq!(log_in(&api, "ana", right).await.status, 200);
}

#[tokio::test]
async fn a_link_sets_a_password_once_and_ends_every_session() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let (first, token) = (token(&api, "ana").await, token(&api, "ANA@example.test").await);
    let done = reset(&api, &token, NEW).await;
    assert_eq!(done.status, 204, "{}", done.json);
    assert!(!is_logged_in(&ana).await && is_logged_in(&bob).await);
    assert_eq!(log_in(&api, "ana", PASSWORD).await.status, 401);
    assert_eq!(log_in(&api, "ana", NEW).await.status, 200);
    // Neither it nor another one of the same person is good any more.
    for used in [&token, &first] {
        let again = reset(&api, used, PASSWORD).await;
        assert_eq!(again.refusal(), (422, "invalid"));
        assert_eq!(again.json["errors"][0]["pointer"], "/token");
    }
    assert_eq!(log_in(&api, "ana", NEW).await.status, 200);
}

#[tokio::test]
async fn a_link_is_good_for_an_hour_and_for_whoever_is_there() {
    let api = Running::start().await;
    api.register("ana").await;
    let link = token(&api, "ana").await;
    api.database.execute("update password_resets set expires_at = expires_at - interval '59 minutes'").await;
    let weak = reset(&api, &link, "seven77").await;
    assert_eq!(weak.json["errors"][0]["pointer"], "/newPassword");
    api.database.execute("update password_resets set expires_at = expires_at - interval '1 minute'").await;
    assert_eq!(reset(&api, &link, NEW).await.refusal(), (422, "invalid"));
    for nonsense in ["x", "", &"x".repeat(200), &"A".repeat(43)] {
        assert_eq!(reset(&api, nonsense, NEW).await.refusal(), (422, "invalid"), "{nonsense}");
    }
    let url = api.database.url.clone().into();
    let nobody = caudal_api::password_reset_link(&url, "https://live.test", "nobody").await;
    assert_eq!(nobody, Err("nobody has this username or email address".to_owned()));
}

#[tokio::test]
async fn a_person_has_three_links_at_most_and_no_readable_one() {
    let api = Running::start().await;
    api.register("ana").await;
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(token(&api, "ana").await);
    }
    let rows: Vec<String> = sqlx::query_scalar("select row_to_json(r)::text from password_resets r")
        .fetch_all(&api.database.pool)
        .await
        .unwrap();
    assert_eq!(rows.len(), 3);
    for token in &tokens {
        assert!(!rows.concat().contains(token.as_str()));
    }
    assert_eq!(reset(&api, &tokens[0], NEW).await.refusal(), (422, "invalid"));
    assert_eq!(reset(&api, &tokens[1], NEW).await.status, 204);
}

#[tokio::test]
async fn links_that_nobody_used_are_swept() {
    let api = Running::start_with(|config| {
        config.deadlines.sweep = std::time::Duration::from_millis(10);
        config.deadlines.tidy = std::time::Duration::ZERO;
    })
    .await;
    api.register("ana").await;
    let token = token(&api, "ana").await;
    api.database
        .execute(
            "insert into email_verifications (token_hash, user_id, email, expires_at) select 'x', id, email, now() from users;
             insert into former_names (skeleton_hash, free_at) values ('x', now()), ('y', now() + interval '1 day');
             insert into password_resets (token_hash, user_id, expires_at) select 'x', id, now() from users",
        )
        .await;
    api.database.says("select count(*) = 1 from password_resets").await;
    api.database.says("select count(*) = 0 from email_verifications").await;
    api.database.says("select count(*) = 1 from former_names").await;
    assert_eq!(reset(&api, &token, NEW).await.status, 204);
}

#[tokio::test]
async fn tokens_are_not_guessed_by_the_dozen() {
    let api = Running::start_with(|config| config.limits.attempts_a_minute = 3).await;
    for path in ["/api/auth/password/reset", "/api/auth/email/verify"] {
        let body = if path.ends_with("reset") {
            json!({"token": "x", "newPassword": NEW})
        } else {
            json!({"token": "x"})
        };
        for _ in 0..3 {
            assert_eq!(api.post(path, &body).await.refusal(), (422, "invalid"), "{path}");
        }
        assert_eq!(api.post(path, &body).await.refusal(), (429, "rate_limited"), "{path}");
    }
}

#[tokio::test]
async fn somebody_sees_where_they_are_logged_in_and_ends_what_they_do_not_know() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let login = api.request(Method::POST, "/api/auth/login").header("user-agent", "Phone/1.0");
    let phone = send(login.json(&json!({"login": "ana", "password": PASSWORD}))).await;
    let phone = Person::of(&api, &phone);
    let ended = another_session(&api, "ana").await;
    assert_eq!(send(ended.request(Method::POST, "/api/auth/logout")).await.status, 204);

    let listed = ana.get("/api/auth/sessions").await;
    assert_eq!(listed.status, 200);
    let list = listed.json.as_array().unwrap();
    assert_eq!(list.len(), 2, "{}", listed.json);
    assert_eq!((&list[0]["userAgent"], &list[0]["current"]), (&json!("Phone/1.0"), &json!(false)));
    assert_eq!(list[1]["current"], true);
    assert_eq!(list[0]["ip"], "127.0.0.1");
    let mut names: Vec<_> = list[0].as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["createdAt", "current", "id", "ip", "lastUsedAt", "userAgent"]);

    let path = format!("/api/auth/sessions/{}", list[0]["id"].as_str().unwrap());
    assert_eq!(bob.delete(&path).await.refusal(), (404, "not_found"));
    assert!(is_logged_in(&phone).await);
    assert_eq!(ana.delete(&path).await.status, 204);
    assert!(!is_logged_in(&phone).await);
    // It has ended, which is what was asked for.
    assert_eq!(ana.delete(&path).await.status, 204);
    for unknown in [uuid::Uuid::now_v7().to_string(), "x".to_owned()] {
        let answer = ana.delete(&format!("/api/auth/sessions/{unknown}")).await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{unknown}");
    }
    assert_eq!(ana.get("/api/auth/sessions").await.json.as_array().unwrap().len(), 1);
    assert_eq!(api.get("/api/auth/sessions").await.refusal(), (401, "unauthenticated"));
}

#[tokio::test]
async fn all_other_sessions_end_at_once_and_nobody_else_s() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let others = [another_session(&api, "ana").await, another_session(&api, "ana").await];
    assert_eq!(ana.delete("/api/auth/sessions").await.status, 204);
    for other in &others {
        assert!(!is_logged_in(other).await);
        let refreshed = api.post("/api/auth/refresh", json!({"refreshToken": other.refresh})).await;
        assert_eq!(refreshed.refusal(), (401, "refresh_invalid"));
    }
    assert!(is_logged_in(&ana).await && is_logged_in(&bob).await);
    let own = ana.get("/api/auth/sessions").await.json;
    let own = format!("/api/auth/sessions/{}", own[0]["id"].as_str().unwrap());
    assert_eq!(ana.delete(&own).await.status, 204);
    assert!(!is_logged_in(&ana).await);
    assert_eq!(ana.delete("/api/auth/sessions").await.refusal(), (401, "session_revoked"));
}
