//! Registering and logging in.

use serde_json::json;

use crate::running::{PASSWORD, Running, send};
use crate::snapshot::tidy;

#[tokio::test]
async fn registering_opens_an_account_and_logs_in() {
    let api = Running::start().await;
    let body = json!({"username": "Ana_1", "email": "ana@example.test", "password": PASSWORD});
    let answer = api.post("/api/auth/register", body).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.header("cache-control"), "no-store");
    let cookie = answer.header("set-cookie").to_owned();
    let refresh = answer.json["refreshToken"].as_str().unwrap();
    assert_eq!(
        cookie,
        format!("caudal_refresh={refresh}; Path=/api/auth; Max-Age=604799; HttpOnly; SameSite=Strict")
    );
    insta::assert_json_snapshot!(tidy(answer.json.clone()));
}

#[tokio::test]
async fn a_name_or_an_address_belongs_to_one_person_however_it_is_written() {
    let api = Running::start().await;
    api.register("ana").await;
    let register = |username: &str, email: &str| {
        api.post("/api/auth/register", json!({"username": username, "email": email, "password": PASSWORD}))
    };
    let same_name = register("ANA", "else@example.test").await;
    assert_eq!(same_name.refusal(), (409, "taken"));
    insta::assert_json_snapshot!(tidy(same_name.json));
    let same_address = register("bob", "Ana@Example.test").await;
    assert_eq!(same_address.refusal(), (409, "taken"));
    assert_eq!(same_address.json["errors"][0]["pointer"], "/email");
}

#[tokio::test]
async fn what_cannot_be_an_account_is_refused_field_by_field() {
    let api = Running::start().await;
    let good = json!({"username": "ana", "email": "ana@example.test", "password": PASSWORD});
    for (field, value, code) in [
        ("username", json!("an"), "invalid"),
        ("username", json!("a".repeat(26)), "invalid"),
        ("username", json!("ana maria"), "invalid"),
        ("username", json!("аna"), "invalid"),
        ("email", json!("ana"), "invalid"),
        // What no mail can be sent to.
        ("email", json!(".ana@example.test"), "invalid"),
        ("email", json!("a..na@example.test"), "invalid"),
        ("password", json!("seven77"), "too_short"),
        ("password", json!("x".repeat(129)), "too_long"),
        ("password", json!(12_345_678), "wrong_shape"),
        ("role", json!("admin"), "wrong_shape"),
    ] {
        let mut body = good.clone();
        body[field] = value.clone();
        let answer = api.post("/api/auth/register", body).await;
        assert_eq!(answer.refusal(), (422, "invalid"), "{field} {value}");
        assert_eq!(answer.json["errors"][0]["pointer"], format!("/{field}"), "{}", answer.json);
        assert_eq!(answer.json["errors"][0]["code"], code, "{}", answer.json);
    }
}

#[tokio::test]
async fn name_and_address_both_log_in() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    for login in ["ana", "ANA", "ana@example.test", "Ana@Example.Test"] {
        let answer = api.post("/api/auth/login", json!({"login": login, "password": PASSWORD})).await;
        assert_eq!(answer.status, 200, "{login}");
        assert_eq!(answer.json["user"]["id"], ana.id);
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_are_answered_alike() {
    let api = Running::start().await;
    api.register("ana").await;
    let wrong = api.post("/api/auth/login", json!({"login": "ana", "password": "not it at all"})).await;
    let unknown = api.post("/api/auth/login", json!({"login": "nobody", "password": PASSWORD})).await;
    assert_eq!(wrong.refusal(), (401, "wrong_credentials"));
    assert_eq!(wrong.header("www-authenticate"), "Bearer");
    assert_eq!(tidy(wrong.json), tidy(unknown.json));
}

#[tokio::test]
async fn a_banned_person_does_not_get_in() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    sqlx::query("update users set banned_at = now()").execute(&api.database.pool).await.unwrap();
    let answer = api.post("/api/auth/login", json!({"login": "ana", "password": PASSWORD})).await;
    assert_eq!(answer.refusal(), (403, "banned"));
    let answer = api.post("/api/auth/refresh", json!({"refreshToken": ana.refresh})).await;
    assert_eq!(answer.refusal(), (403, "banned"));
    // What the session could still do ends with the refused refresh.
    assert_eq!(ana.get("/api/streams/mine").await.refusal(), (401, "session_revoked"));
}

#[tokio::test]
async fn nothing_secret_is_readable_in_the_database() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let key = ana.stream_key().await;
    let rows: Vec<(String,)> = sqlx::query_as(
        "select row_to_json(u)::text from users u union all select row_to_json(s)::text from sessions s",
    )
    .fetch_all(&api.database.pool)
    .await
    .unwrap();
    let dump = rows.into_iter().map(|(row,)| row).collect::<String>();
    for secret in [PASSWORD, &key, &ana.refresh, &ana.access] {
        assert!(!dump.contains(secret));
        let hex = hex::encode(secret);
        assert!(!dump.contains(&hex));
    }
    assert!(dump.contains("$argon2id$v=19$m=19456,t=2,p=1$"));
}

#[tokio::test]
async fn without_a_token_there_is_nobody() {
    let api = Running::start().await;
    assert_eq!(api.get("/api/streams/mine").await.refusal(), (401, "unauthenticated"));
    let answer = send(api.request(reqwest::Method::GET, "/api/streams/mine").bearer_auth("nonsense")).await;
    assert_eq!(answer.refusal(), (401, "token_invalid"));
}
