//! Channels, who follows whom, and who is blocked.

use caudal_directory::Audience as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::running::{Person, Running, pages};
use crate::snapshot::tidy;

fn names(list: &[Value]) -> Vec<&str> {
    list.iter().map(|item| item["user"]["username"].as_str().unwrap()).collect()
}

async fn profile(person: &Person<'_>, name: &str) -> Value {
    let answer = person.get(&format!("/api/users/@{name}")).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    answer.json
}

async fn follow(person: &Person<'_>, name: &str) {
    let answer = person.post(&format!("/api/users/@{name}/follow"), json!({})).await;
    assert_eq!(answer.status, 204, "{}", answer.json);
}

#[tokio::test]
async fn a_channel_shows_what_everybody_may_know() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("Ana").await, api.register("bob").await);
    let changed =
        ana.patch("/api/users/me", json!({"displayName": " Ana Ruiz ", "bio": "Chess\r\nand tea"})).await;
    assert_eq!(changed.json["displayName"], "Ana Ruiz", "{}", changed.json);
    follow(&bob, "ana").await;
    let live = ana.goes_live().await;
    let strangers = api.get("/api/users/@ANA").await;
    assert_eq!(strangers.json["streamId"], live.to_string());
    insta::assert_json_snapshot!(tidy(strangers.json.clone()));
    assert_eq!(api.get(&format!("/api/users/{}", ana.id)).await.json, strangers.json);
    assert_eq!(profile(&bob, "ana").await["isFollowing"], true);
    assert_eq!(profile(&ana, "bob").await["isFollowing"], false);
    for nobody in ["@eve", "@", "nonsense", "@a%00b", &Uuid::now_v7().to_string()] {
        let answer = api.get(&format!("/api/users/{nobody}")).await;
        assert_eq!(answer.refusal(), (404, "not_found"), "{nobody}: {}", answer.json);
    }
    api.database.execute("update users set banned_at = now() where username = 'Ana'").await;
    assert_eq!(api.get("/api/users/@ana").await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn what_one_says_of_oneself_can_be_changed_and_taken_away() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let mine = ana.get("/api/users/me").await;
    assert_eq!((&mine.json["email"], &mine.json["role"]), (&json!("ana@example.test"), &json!("user")));
    let said = |answer: &Value| (answer["displayName"].clone(), answer["bio"].clone());
    for (change, name, bio) in [
        (json!({"displayName": "Ana", "bio": "Hello"}), json!("Ana"), json!("Hello")),
        (json!({"bio": "Hola"}), json!("Ana"), json!("Hola")),
        (json!({}), json!("Ana"), json!("Hola")),
        (json!({"bio": "  "}), json!("Ana"), Value::Null),
        (json!({"displayName": null}), Value::Null, Value::Null),
    ] {
        let answer = ana.patch("/api/users/me", &change).await;
        assert_eq!(said(&answer.json), (name, bio), "{change}: {}", answer.json);
    }
    for (change, pointer, code) in [
        (json!({"displayName": " "}), "/displayName", "too_short"),
        (json!({"displayName": "x".repeat(51)}), "/displayName", "too_long"),
        (json!({"displayName": "\u{202e}ana"}), "/displayName", "invalid"),
        (json!({"bio": "x".repeat(501)}), "/bio", "too_long"),
        (json!({"role": "admin"}), "/role", "wrong_shape"),
        (json!({"username": "eve"}), "/username", "wrong_shape"),
    ] {
        let answer = ana.patch("/api/users/me", &change).await;
        assert_eq!(answer.refusal(), (422, "invalid"), "{change}: {}", answer.json);
        assert_eq!(answer.json["errors"][0]["pointer"], pointer, "{}", answer.json);
        assert_eq!(answer.json["errors"][0]["code"], code, "{}", answer.json);
    }
    assert_eq!(api.get("/api/users/me").await.refusal(), (401, "unauthenticated"));
}

#[tokio::test]
async fn following_counts_once_and_ends_when_it_is_taken_back() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    for _ in 0..2 {
        follow(&bob, "ana").await;
    }
    assert_eq!(profile(&bob, "ana").await["followers"], 1);
    assert_eq!(profile(&ana, "bob").await["following"], 1);
    let path = format!("/api/users/{}/follow", ana.id);
    for _ in 0..2 {
        assert_eq!(bob.delete(&path).await.status, 204);
    }
    assert_eq!(profile(&bob, "ana").await["followers"], 0);
    assert_eq!(ana.post(&path, json!({})).await.refusal(), (422, "oneself"));
    assert_eq!(api.post(&path, json!({})).await.refusal(), (401, "unauthenticated"));
    assert_eq!(bob.post("/api/users/@eve/follow", json!({})).await.refusal(), (404, "not_found"));
    // A banned channel can be let go, and not followed.
    follow(&bob, "ana").await;
    api.database.execute("update users set banned_at = now() where username = 'ana'").await;
    assert_eq!(bob.delete(&path).await.status, 204);
    assert_eq!(bob.post(&path, json!({})).await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn nobody_follows_more_than_anybody_reads() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    sqlx::query(
        r"with made as (
              insert into users (id, username, email, password_hash, stream_key, stream_key_enc, stream_key_kid)
              select gen_random_uuid(), 'many' || n, n || '@example.test', '', n::text, '', '1'
              from generate_series(1, 5000) n returning id
          )
          insert into followers (follower_id, following_id) select $1, id from made",
    )
    .bind(Uuid::parse_str(&bob.id).unwrap())
    .execute(&api.database.pool)
    .await
    .unwrap();
    let path = format!("/api/users/{}/follow", ana.id);
    assert_eq!(bob.post(&path, json!({})).await.refusal(), (409, "too_many"));
    sqlx::query("delete from followers where ctid in (select ctid from followers limit 1)")
        .execute(&api.database.pool)
        .await
        .unwrap();
    assert_eq!(bob.post(&path, json!({})).await.status, 204);
}

#[tokio::test]
async fn who_follows_is_for_the_one_who_is_followed() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    for n in 0..5 {
        follow(&api.register(&format!("fan{n}")).await, "ana").await;
    }
    let followers = pages(async |path| ana.get(path).await, "/api/users/@ana/followers?limit=2").await;
    assert_eq!(names(&followers), ["fan4", "fan3", "fan2", "fan1", "fan0"]);
    let fan = api.register("eve").await;
    follow(&fan, "fan0").await;
    follow(&fan, "ana").await;
    let following = pages(async |path| fan.get(path).await, "/api/users/@eve/following?limit=1").await;
    assert_eq!(names(&following), ["ana", "fan0"]);
    for list in ["followers", "following"] {
        assert_eq!(fan.get(&format!("/api/users/@ana/{list}")).await.refusal(), (403, "forbidden"));
        assert_eq!(api.get(&format!("/api/users/@ana/{list}")).await.refusal(), (401, "unauthenticated"));
        let path = format!("/api/users/@eve/{list}?cursor=nonsense");
        assert_eq!(fan.get(&path).await.refusal(), (422, "invalid"));
    }
}

#[tokio::test]
async fn a_block_ends_following_on_both_sides_and_keeps_it_ended() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    follow(&ana, "bob").await;
    follow(&bob, "ana").await;
    let block = format!("/api/users/me/blocks/{}", bob.id);
    for _ in 0..2 {
        assert_eq!(ana.put(&block).await.status, 204);
    }
    assert_eq!(profile(&ana, "bob").await["isBlocked"], true);
    // Whoever is blocked is not told.
    assert_eq!(profile(&bob, "ana").await["isBlocked"], false);
    for (person, name) in [(&ana, "bob"), (&bob, "ana")] {
        assert_eq!(profile(person, name).await["followers"], 0);
        let again = person.post(&format!("/api/users/@{name}/follow"), json!({})).await;
        assert_eq!(again.refusal(), (403, "blocked"));
    }
    assert_eq!(names(ana.get("/api/users/me/blocks").await.json.as_array().unwrap()), ["bob"]);
    assert_eq!(bob.get("/api/users/me/blocks").await.json, json!([]));
    assert_eq!(ana.put(&format!("/api/users/me/blocks/{}", ana.id)).await.refusal(), (422, "oneself"));
    assert_eq!(ana.put("/api/users/me/blocks/@eve").await.refusal(), (404, "not_found"));
    for _ in 0..2 {
        assert_eq!(ana.delete(&block).await.status, 204);
    }
    follow(&bob, "ana").await;
}

#[tokio::test]
async fn a_follow_and_a_block_at_one_moment_leave_no_follower() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let (follows, blocks) = ("/api/users/@ana/follow", format!("/api/users/me/blocks/{}", bob.id));
    for _ in 0..40 {
        let (followed, blocked) = tokio::join!(bob.post(follows, json!({})), ana.put(&blocks));
        assert!(matches!(followed.status.as_u16(), 204 | 403), "{}", followed.json);
        assert_eq!(blocked.status, 204);
        assert_eq!(profile(&ana, "ana").await["followers"], 0);
        assert_eq!(ana.delete(&blocks).await.status, 204);
    }
}

#[tokio::test]
async fn who_is_live_of_those_whom_one_follows() {
    let api = Running::start().await;
    let eve = api.register("eve").await;
    for (name, viewers) in [("ana", 3), ("bob", 9), ("kim", 5)] {
        let live = api.register(name).await.goes_live().await;
        sqlx::query("update streams set viewer_count = $2 where id = $1")
            .bind(live.0)
            .bind(viewers)
            .execute(&api.database.pool)
            .await
            .unwrap();
        api.audience.record(live, u32::try_from(viewers).unwrap());
    }
    assert_eq!(eve.get("/api/users/me/following/live").await.json, json!([]));
    follow(&eve, "ana").await;
    follow(&eve, "bob").await;
    let live = pages(async |path| eve.get(path).await, "/api/users/me/following/live?limit=1").await;
    assert_eq!(names(&live), ["bob", "ana"]);
    assert_eq!(api.get("/api/users/me/following/live").await.refusal(), (401, "unauthenticated"));
}

#[tokio::test]
async fn a_channel_lists_its_broadcasts_and_not_what_was_only_prepared() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let first = ana.goes_live().await;
    api.done(first, "publisher_stopped").await;
    let second = ana.goes_live().await;
    api.done(second, "publisher_stopped").await;
    let third = ana.goes_live().await;
    let ids = |list: &[Value]| {
        list.iter().map(|stream| stream["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = pages(async |path| api.get(path).await, "/api/users/@ana/streams?limit=1").await;
    assert_eq!(ids(&all), [third.to_string(), second.to_string(), first.to_string()]);
    let live = api.get("/api/users/@ana/streams?live=true").await;
    assert_eq!(ids(live.json.as_array().unwrap()), [third.to_string()]);
    let over = api.get("/api/users/@ana/streams?live=false").await;
    assert_eq!(ids(over.json.as_array().unwrap()), [second.to_string(), first.to_string()]);
    api.done(third, "publisher_stopped").await;
    ana.post("/api/streams", json!({"title": "Soon"})).await;
    assert_eq!(api.get("/api/users/@ana/streams").await.json.as_array().unwrap().len(), 3);
    assert_eq!(api.get("/api/users/@ana/streams?live=maybe").await.refusal(), (400, "malformed"));
}
