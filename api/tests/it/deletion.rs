//! Deleting an account: what goes, and what others see of it.

use std::time::Duration;

use caudal_livestream::StreamId;
use caudal_livestream::admission::DenialCode;
use caudal_livestream::report::EndReason;
use futures::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::lifecycle::Order;
use crate::redis_server::RedisServer;
use crate::running::{Answer, PASSWORD, Person, Running, send};

async fn delete(person: &Person<'_>, password: &str) -> Answer {
    send(person.request(Method::DELETE, "/api/users/me").json(&json!({"password": password}))).await
}

async fn say(person: &Person<'_>, stream: StreamId, text: &str) -> String {
    let path = format!("/api/chat/{stream}/messages");
    loop {
        let answer = person.post(&path, json!({"message": text})).await;
        // A second must lie between two messages of one person.
        if answer.json["code"] != "too_fast" {
            assert!(answer.status.is_success(), "{}", answer.json);
            return answer.json["id"].as_str().unwrap().to_owned();
        }
    }
}

#[tokio::test]
async fn nothing_of_a_deleted_person_is_left_in_the_database() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let key = ana.stream_key().await;
    ana.patch("/api/users/me", json!({"displayName": "Ana María", "bio": "from Cádiz"})).await;
    assert_eq!(ana.post(&format!("/api/users/{}/follow", bob.id), json!({})).await.status, 204);
    assert_eq!(bob.post(&format!("/api/users/{}/follow", ana.id), json!({})).await.status, 204);
    let eve = api.register("eve").await;
    assert_eq!(eve.put(&format!("/api/users/me/blocks/{}", ana.id)).await.status, 204);
    let live = bob.goes_live().await;
    say(&ana, live, "a word of ana").await;
    // Its title is of her name, as nobody wrote one.
    api.done(ana.goes_live().await, "unpublished").await;
    api.database
        .execute(
            "insert into notifications (user_id, id, type, actor_id, created_at)
             select u.id, gen_random_uuid(), 'stream_started', s.user_id, now()
             from users u, streams s where u.username = 'ana' on conflict do nothing;
             insert into notification_preferences select id, true, false from users where username = 'ana'",
        )
        .await;
    let url = api.database.url.clone().into();
    caudal_api::password_reset_link(&url, "https://live.test", "ana").await.unwrap();

    let gone = delete(&ana, PASSWORD).await;
    assert_eq!(gone.status, 204, "{}", gone.json);
    assert!(gone.header("set-cookie").starts_with("caudal_refresh=;"), "{}", gone.header("set-cookie"));
    let rows: Vec<String> = sqlx::query_scalar(
        "select row_to_json(t)::text from users t where id = $1::uuid
         union all select row_to_json(t)::text from sessions t where user_id = $1::uuid
         union all select row_to_json(t)::text from streams t where user_id = $1::uuid
         union all select row_to_json(t)::text from chat_messages t where user_id = $1::uuid
         union all select row_to_json(t)::text from followers t where $1::uuid in (follower_id, following_id)
         union all select row_to_json(t)::text from user_blocks t where $1::uuid in (blocker_id, blocked_id)
         union all select row_to_json(t)::text from notifications t where user_id = $1::uuid
         union all select row_to_json(t)::text from notification_preferences t where user_id = $1::uuid
         union all select row_to_json(t)::text from password_resets t where user_id = $1::uuid",
    )
    .bind(&ana.id)
    .fetch_all(&api.database.pool)
    .await
    .unwrap();
    // The account, its session, its broadcast and its message.
    assert_eq!(rows.len(), 4, "{rows:#?}");
    let dump = rows.concat();
    for trace in ["ana", "Ana", "Cádiz", "127.0.0.1", "$argon2id", "a word"] {
        assert!(!dump.contains(trace), "{trace}: {rows:#?}");
    }
    assert_eq!(api.authorize(&key).await.unwrap_err().code, DenialCode::UnknownKey);
    assert_eq!(bob.get("/api/users/me").await.json["username"], "bob");
}

#[tokio::test]
async fn whoever_is_deleted_is_nobody_and_their_address_is_free_but_not_their_name() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let phone = api.post("/api/auth/login", json!({"login": "ana", "password": PASSWORD})).await;
    let phone = Person::of(&api, &phone);
    assert_eq!(delete(&ana, "not it at all").await.refusal(), (403, "wrong_password"));
    assert_eq!(ana.get("/api/users/me").await.status, 200);
    assert_eq!(delete(&ana, PASSWORD).await.status, 204);
    for session in [&ana, &phone] {
        assert_eq!(session.get("/api/users/me").await.refusal(), (401, "session_revoked"));
        let refreshed = api.post("/api/auth/refresh", json!({"refreshToken": session.refresh})).await;
        assert_eq!(refreshed.refusal(), (401, "refresh_invalid"));
    }
    for login in ["ana", "ana@example.test"] {
        let answer = api.post("/api/auth/login", json!({"login": login, "password": PASSWORD})).await;
        assert_eq!(answer.refusal(), (401, "wrong_credentials"));
    }
    for path in [format!("/api/users/{}", ana.id), "/api/users/@ana".to_owned()] {
        assert_eq!(api.get(&path).await.refusal(), (404, "not_found"), "{path}");
    }
    assert_eq!(api.get("/api/search?q=ana").await.json["channels"], json!([]));
    let register = |username: &str| {
        let body = json!({"username": username, "email": "ana@example.test", "password": PASSWORD});
        api.post("/api/auth/register", body)
    };
    for name in ["ana", "ANA", "_ana"] {
        let kept = register(name).await;
        assert_eq!(kept.refusal(), (409, "taken"), "{name}");
        assert_eq!(kept.json["errors"][0]["pointer"], "/username");
    }
    assert_eq!(register("ana_again").await.status, 201);
    api.database
        .execute("update former_names set free_at = free_at - interval '365 days'; delete from users where username = 'ana_again'")
        .await;
    assert_eq!(register("ana").await.status, 201);
}

#[tokio::test]
async fn a_broadcast_ends_with_its_account_and_a_prepared_one_too() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let live = ana.goes_live().await;
    let prepared = bob.post("/api/streams", json!({"title": "Tomorrow"})).await;
    assert_eq!(prepared.status, 201);
    assert_eq!(delete(&ana, PASSWORD).await.status, 204);
    assert_eq!(delete(&bob, PASSWORD).await.status, 204);
    api.lifecycle.was_told(&Order::End(live, EndReason::EndedByOwner)).await;
    assert!(api.lifecycle.orders().contains(&Order::Drop(live)));
    api.done(live, "ended_by_owner").await;
    api.database.says("select count(*) = 2 from streams where ended_at is not null").await;
    let name = api.stream(live).await["user"]["username"].clone();
    assert!(name.as_str().unwrap().starts_with("deleted_"), "{name}");
}

#[tokio::test]
async fn a_broadcast_ends_even_when_the_lifecycle_is_away_at_the_time() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    api.lifecycle.set_away(true);
    assert_eq!(delete(&ana, PASSWORD).await.status, 204);
    api.lifecycle.set_away(false);
    api.lifecycle.was_told(&Order::End(live, EndReason::EndedByOwner)).await;
}

#[tokio::test]
async fn what_a_deleted_person_said_disappears_where_it_is_being_read() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let live = bob.goes_live().await;
    let (first, second) = (say(&ana, live, "one of mine").await, say(&ana, live, "two of mine").await);
    let stays = say(&bob, live, "one of bob's").await;
    let url = format!("{}/ws/chat/{live}", api.url.replace("http", "ws"));
    let (mut socket, _) = connect_async(url).await.unwrap();
    assert_eq!(delete(&ana, PASSWORD).await.status, 204);
    let mut deleted = Vec::new();
    while deleted.len() < 2 {
        let message = tokio::time::timeout(Duration::from_secs(20), socket.next()).await;
        if let Message::Text(text) = message.expect("nobody was told").unwrap().unwrap() {
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["event"] == "message_deleted" {
                deleted.push(frame["data"]["id"].as_str().unwrap().to_owned());
            }
        }
    }
    deleted.sort();
    let mut expected = vec![first, second];
    expected.sort();
    assert_eq!(deleted, expected);
    let history = api.get(&format!("/api/chat/{live}")).await.json;
    let left: Vec<_> = history.as_array().unwrap().iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(left, [stays]);
    let refused = ana.post(&format!("/api/chat/{live}/messages"), json!({"message": "still here"})).await;
    assert_eq!(refused.refusal(), (401, "session_revoked"));
}

#[tokio::test]
async fn a_message_that_postgresql_gets_long_after_the_deletion_is_kept_from_everybody() {
    let redis = RedisServer::start();
    let url = redis.url().into();
    let api = Running::start_with(|config| config.redis_url = Some(url)).await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let live = bob.goes_live().await;
    let held = api.database.lock("chat_messages in share mode").await;
    say(&ana, live, "late").await;
    // As if it had been so long ago that nobody looks for her messages any more.
    api.database.execute("update users set deleted_at = now() where username = 'ana'").await;
    held.commit().await.unwrap();
    api.database
        .says("select count(*) = 1 from chat_messages where message = '' and deleted_at is not null")
        .await;
    assert_eq!(api.get(&format!("/api/chat/{live}")).await.json, json!([]));
}

#[tokio::test]
async fn a_message_that_arrives_late_is_erased_in_the_background() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let live = bob.goes_live().await;
    say(&bob, live, "one of bob's").await;
    assert_eq!(delete(&ana, PASSWORD).await.status, 204);
    // As one that Redis had, and PostgreSQL not yet.
    sqlx::query(
        "insert into chat_messages (id, stream_id, user_id, message, created_at, epoch, sequence)
         select gen_random_uuid(), $1, $2::uuid, 'late', now(), 1, n from generate_series(1, 2100) n",
    )
    .bind(live.0)
    .bind(&ana.id)
    .execute(&api.database.pool)
    .await
    .unwrap();
    api.database
        .says("select count(*) = 2100 from chat_messages where message = '' and deleted_at is not null")
        .await;
    api.database.says("select count(*) = 1 from chat_messages where message <> ''").await;
    // It is looked for as long as one may come, and then no more.
    api.database.says("select count(*) = 1 from users where erasing_since is not null").await;
    api.database
        .execute(
            "update users set erasing_since = now() - interval '11 minutes' where erasing_since is not null",
        )
        .await;
    api.database.says("select count(*) = 0 from users where erasing_since is not null").await;
}

#[tokio::test]
async fn an_admin_who_goes_is_no_admin_any_more_and_without_a_password_nobody_goes() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    api.database.execute("update users set role = 'admin'").await;
    assert_eq!(ana.delete("/api/users/me").await.status, 415);
    let empty = send(ana.request(Method::DELETE, "/api/users/me").json(&json!({}))).await;
    assert_eq!(empty.refusal(), (422, "invalid"));
    let nobody =
        send(api.request(Method::DELETE, "/api/users/me").json(&json!({"password": PASSWORD}))).await;
    assert_eq!(nobody.refusal(), (401, "unauthenticated"));
    assert_eq!(delete(&ana, PASSWORD).await.status, 204);
    api.database.says("select count(*) = 1 from users where role = 'user' and deleted_at is not null").await;
    // Who is banned makes nobody an admin.
    api.register_admin("eve").await;
    api.database.execute("update users set banned_at = now() where username = 'eve'").await;
    assert_eq!(delete(&bob, PASSWORD).await.refusal(), (409, "last_admin"));
    api.database.says("select count(*) = 1 from users where username = 'bob' and role = 'admin'").await;
}

#[tokio::test]
async fn of_two_admins_who_go_at_once_one_remains() {
    let api = Running::start().await;
    for round in 0..8 {
        let (one, other) = (format!("one{round}"), format!("other{round}"));
        let (one, other) = (api.register_admin(&one).await, api.register_admin(&other).await);
        let (gone, stays) = tokio::join!(delete(&one, PASSWORD), delete(&other, PASSWORD));
        let mut answers = [gone.status.as_u16(), stays.status.as_u16()];
        answers.sort_unstable();
        assert_eq!(answers, [204, 409], "{gone:?} {stays:?}");
        api.database.says("select count(*) = 1 from users where role = 'admin'").await;
        api.database.execute("update users set role = 'user'").await;
    }
}
