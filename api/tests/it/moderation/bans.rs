//! Who may not talk: for a while or for good, on every replica, and what they said is gone.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{appoints, at, bans, gets_through, is_refused, on_one_and_on_two, path};
use crate::chat::{Peer, on, say, texts};
use crate::database::TestDatabase;
use crate::redis_server::RedisServer;
use crate::running::{Running, pages, send};

#[tokio::test]
async fn a_ban_silences_on_all_replicas_and_takes_away_what_was_said() {
    on_one_and_on_two(async |here, there| {
        let ana = here.register("ana").await;
        let (kim, bob, eve) =
            (here.register("kim").await, here.register("bob").await, here.register("eve").await);
        let stream = ana.goes_live().await;
        appoints(&ana, stream, &kim).await;
        let first = say(&bob, stream, "one").await;
        let second = say(&eve, stream, "two").await;
        let (mut near, _) = Peer::join(here, stream).await;
        let (mut far, _) = Peer::join(there, stream).await;

        bans(&at(there, &kim), stream, &bob, None).await;
        for peer in [&mut near, &mut far] {
            let told = peer.hear("user_banned").await;
            assert_eq!(told["userId"], *bob.id);
            assert_eq!(told["username"], "bob");
            assert_eq!(told["durationSeconds"], Value::Null);
            assert_eq!(told["offset"], second["offset"].as_i64().unwrap() + 1);
        }
        for api in [here, there] {
            assert_eq!(is_refused(&at(api, &bob), stream, "but", "banned_here").await.status, 403);
            assert_eq!(api.get(&format!("/api/chat/{stream}")).await.json, json!([second]));
            let (_, joined) = Peer::join(api, stream).await;
            assert_eq!(texts(joined["messages"].as_array().unwrap()), ["two"]);
            let (mut back, joined) = Peer::join_since(api, stream, Some(&first)).await;
            assert_eq!(joined["recovered"], true);
            back.hear("new_message").await;
            back.hear("user_banned").await;
        }
        here.database.says("select count(*) = 1 from chat_messages where deleted_at is not null").await;

        let list = kim.get(&path(stream, "bans")).await.json;
        assert_eq!(list.as_array().unwrap().len(), 1);
        assert_eq!(
            (
                &list[0]["user"]["username"],
                &list[0]["by"]["username"],
                &list[0]["reason"],
                &list[0]["expiresAt"]
            ),
            (&json!("bob"), &json!("kim"), &json!("enough"), &Value::Null)
        );
        let unban = path(stream, &format!("bans/{}", bob.id));
        assert_eq!(kim.delete(&unban).await.status, 204);
        assert_eq!(kim.delete(&unban).await.status, 204);
        for peer in [&mut near, &mut far] {
            for _ in 0..2 {
                assert_eq!(peer.hear("user_unbanned").await["userId"], *bob.id);
            }
        }
        let third = gets_through(&at(there, &bob), stream, "three").await;
        for peer in [&mut near, &mut far] {
            assert_eq!(peer.hear("new_message").await, third);
        }
        assert_eq!(here.get(&format!("/api/chat/{stream}")).await.json, json!([third, second]));
        let log = pages(async |path| kim.get(path).await, &path(stream, "modlog?limit=1")).await;
        let lines: Vec<_> = log.iter().map(|line| (&line["action"], &line["user"]["username"])).collect();
        assert_eq!(
            lines,
            [
                (&json!("unban"), &json!("bob")),
                (&json!("ban"), &json!("bob")),
                (&json!("add_moderator"), &json!("kim"))
            ]
        );
        assert_eq!(log[1]["by"]["username"], "kim");
        assert_eq!(log[1]["detail"], json!({ "durationSeconds": null, "reason": "enough" }));
    })
    .await;
}

#[tokio::test]
async fn a_timeout_comes_to_an_end_and_says_when() {
    on_one_and_on_two(async |here, there| {
        let (ana, bob) = (here.register("ana").await, here.register("bob").await);
        let stream = ana.goes_live().await;
        let (mut owner, joined) = Peer::join(here, stream).await;
        assert_eq!(joined["settings"]["slowSeconds"], 0);
        let answer = owner.ask("authenticate", json!({ "token": ana.access })).await;
        assert_eq!(answer["self"], json!({ "role": "owner", "banned": false, "bannedUntil": null }));
        let timeout = |seconds: Value| json!({ "userId": bob.id, "durationSeconds": seconds, "reason": "x" });
        for wrong in [json!(0), json!(1_209_601), json!("1")] {
            assert_eq!(owner.ask("timeout_user", timeout(wrong)).await["code"], "malformed");
        }
        let unsaid = json!({ "userId": bob.id });
        assert_eq!(owner.ask("timeout_user", unsaid).await["code"], "malformed");

        assert_eq!(timed_out(&mut owner, timeout(json!(600))).await["durationSeconds"], 600);
        let refused = is_refused(&at(there, &bob), stream, "but", "timed_out").await;
        assert_eq!(refused.status, 403);
        let wait: u64 = refused.header("retry-after").parse().unwrap();
        assert!((500..=600).contains(&wait), "{wait}");
        let (mut peer, _) = Peer::join(there, stream).await;
        let answer = peer.ask("authenticate", json!({ "token": bob.access })).await;
        assert_eq!((&answer["self"]["role"], &answer["self"]["banned"]), (&json!("viewer"), &json!(true)));
        assert!(answer["self"]["bannedUntil"].is_string());
        let refused = peer.ask("send_message", json!({ "message": "hola" })).await;
        assert_eq!(refused["code"], "timed_out");
        assert!(refused["retryAfterMs"].as_u64().unwrap() <= 600_000, "{refused}");
        assert_eq!(peer.ask("timeout_user", timeout(json!(1))).await["code"], "forbidden");

        // A shorter one takes its place.
        timed_out(&mut owner, timeout(json!(1))).await;
        gets_through(&at(there, &bob), stream, "hola").await;
    })
    .await;
}

/// The event comes before the answer, or after it.
async fn timed_out(peer: &mut Peer, timeout: Value) -> Value {
    use futures::SinkExt as _;
    let frame = json!({ "event": "timeout_user", "data": timeout, "id": "t" });
    peer.socket.send(frame.to_string().into()).await.unwrap();
    let (mut answered, mut event) = (false, None);
    while !answered || event.is_none() {
        let frame = peer.next().await;
        match frame["event"].as_str().unwrap() {
            "ack" => {
                assert_eq!(frame["data"]["ok"], true, "{frame}");
                answered = true;
            }
            "user_banned" => event = Some(frame["data"].clone()),
            // Another replica may have let something through meanwhile.
            other => assert_eq!(other, "new_message"),
        }
    }
    event.unwrap()
}

#[tokio::test]
async fn what_is_on_its_way_to_postgresql_when_its_author_is_banned_is_not_kept() {
    let redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let api = on(&redis, &database).await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    let held = database.lock("chat_messages in share mode").await;
    say(&bob, stream, "hola").await;
    let ban = path(stream, &format!("bans/{}", bob.id));
    let ban = tokio::spawn(send(ana.request(Method::PUT, &ban).json(&json!({ "durationSeconds": null }))));
    // The message and the ban's purge.
    database
        .says(
            "select count(*) = 2 from pg_stat_activity \
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .await;
    held.commit().await.unwrap();
    assert_eq!(ban.await.unwrap().status, 204);
    database.says("select count(*) = 1 from chat_messages where deleted_at is not null").await;
    assert_eq!(api.get(&format!("/api/chat/{stream}")).await.json, json!([]));
}

#[tokio::test]
async fn a_ban_whose_moderator_has_gone_is_carried_out_to_its_end() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    say(&bob, stream, "hola").await;
    let held = api.database.lock("chat_messages in share mode").await;
    let ban = path(stream, &format!("bans/{}", bob.id));
    let ban = tokio::spawn(send(ana.request(Method::PUT, &ban).json(&json!({ "durationSeconds": null }))));
    // It is committed, and takes away what was said.
    api.database
        .says(
            "select (select count(*) from channel_bans) = 1 and exists (select from pg_stat_activity \
             where datname = current_database() and wait_event_type = 'Lock')",
        )
        .await;
    ban.abort();
    assert!(ban.await.unwrap_err().is_cancelled());
    // The server has seen that the connection is gone: it answers another one.
    assert_eq!(api.get("/api/streams").await.status, 200);
    held.commit().await.unwrap();
    api.database.says("select count(*) = 1 from chat_messages where deleted_at is not null").await;
}

#[tokio::test]
async fn what_is_over_is_swept() {
    let api = Running::start_with(|config| config.deadlines.tidy = Duration::from_millis(100)).await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let stream = ana.goes_live().await;
    bans(&ana, stream, &bob, Some(60)).await;
    api.database
        .execute(
            "update channel_bans set expires_at = now() - interval '25 hours'; \
             insert into moderation_actions (id, channel_id, action, created_at) \
             select gen_random_uuid(), id, 'ban', now() - interval '366 days' from users where username = 'ana'",
        )
        .await;
    api.database.says("select count(*) = 0 from channel_bans").await;
    api.database.says("select count(*) = 1 from moderation_actions").await;
    assert_eq!(ana.get(&path(stream, "bans")).await.json, json!([]));
}
