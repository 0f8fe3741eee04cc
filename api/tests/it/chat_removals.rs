//! What was removed is shown to nobody, whichever way they come.

use reqwest::Method;
use serde_json::{Value, json};

use crate::chat::{Peer, say};
use crate::redis_server::RedisServer;
use crate::running::{Running, send};

#[tokio::test]
async fn whoever_comes_back_is_told_no_word_of_what_was_removed() {
    for redis in [None, Some(RedisServer::start())] {
        let url = redis.as_ref().map(RedisServer::url);
        let api = Running::start_with(|config| config.redis_url = url.map(Into::into)).await;
        let (ana, bob, eve) =
            (api.register("ana").await, api.register("bob").await, api.register("eve").await);
        let stream = ana.goes_live().await;
        let first = say(&ana, stream, "one").await;
        let removed = say(&bob, stream, "secret").await;
        let path = format!("/api/chat/{stream}/messages/{}", removed["id"].as_str().unwrap());
        assert_eq!(bob.delete(&path).await.status, 204);
        // A room that begins with this reads it in the log.
        let (mut peer, joined) = Peer::join_since(&api, stream, Some(&first)).await;
        assert_eq!(joined["recovered"], true);
        let placeholder = peer.hear("message_deleted").await;
        assert_eq!((&placeholder["offset"], &placeholder["id"]), (&removed["offset"], &removed["id"]));
        let removal = peer.hear("message_deleted").await;
        assert_eq!(removal["id"], removed["id"]);
        assert_eq!(removal["offset"], removed["offset"].as_i64().unwrap() + 1);

        // And one that is there hears it.
        let said = say(&eve, stream, "another secret").await;
        assert_eq!(peer.hear("new_message").await, said);
        let ban = ana.request(Method::PUT, &format!("/api/chat/{stream}/bans/{}", eve.id));
        assert_eq!(send(ban.json(&json!({ "durationSeconds": 60 }))).await.status, 204);
        let banned = peer.hear("user_banned").await;
        let (mut back, joined) = Peer::join_since(&api, stream, Some(&removal)).await;
        assert_eq!(joined["recovered"], true);
        let placeholder = back.hear("message_deleted").await;
        assert_eq!((&placeholder["offset"], &placeholder["id"]), (&said["offset"], &said["id"]));
        assert_eq!(back.hear("user_banned").await, banned);
    }
}

#[tokio::test]
async fn a_removal_that_the_room_was_not_told_of_holds_and_the_next_try_tells_it_once() {
    for redis in [None, Some(RedisServer::start())] {
        let url = redis.as_ref().map(RedisServer::url);
        let api = Running::start_with(|config| config.redis_url = url.map(Into::into)).await;
        let (ana, bob, eve) =
            (api.register("ana").await, api.register("bob").await, api.register("eve").await);
        let stream = ana.goes_live().await;
        let (history, path) = (format!("/api/chat/{stream}"), |said: &Value| {
            format!("/api/chat/{stream}/messages/{}", said["id"].as_str().unwrap())
        });
        let first = say(&bob, stream, "one").await;
        api.database.says("select count(*) = 1 from chat_messages").await;
        // As it stays where the log is away, or the replica ends, just then.
        api.database.execute("update chat_messages set deleted_at = now()").await;
        assert_eq!(api.get(&history).await.json, json!([]));
        // Nor is it told to whoever comes back.
        let before = json!({ "epoch": first["epoch"], "offset": first["offset"].as_i64().unwrap() - 1 });
        let (mut back, joined) = Peer::join_since(&api, stream, Some(&before)).await;
        assert_eq!(joined["recovered"], true);
        assert_eq!(back.hear("message_deleted").await["id"], first["id"]);
        let (mut peer, joined) = Peer::join(&api, stream).await;
        assert_eq!(joined["messages"], json!([]));
        for _ in 0..2 {
            assert_eq!(ana.delete(&path(&first)).await.status, 204);
        }
        assert_eq!(peer.hear("message_deleted").await["id"], first["id"]);

        // Where the moderators' log cannot be written, nothing is removed.
        let second = say(&eve, stream, "two").await;
        assert_eq!(peer.hear("new_message").await, second);
        api.database.says("select count(*) = 2 from chat_messages").await;
        api.database
            .execute(
                "create function refuse() returns trigger language plpgsql as $$ begin
                     raise exception 'a deadlock' using errcode = '40P01';
                 end $$;
                 create trigger refuse before insert on moderation_actions
                 for each row execute function refuse();",
            )
            .await;
        assert_eq!(ana.delete(&path(&second)).await.refusal(), (503, "unavailable"));
        assert_eq!(api.get(&history).await.json, json!([second]));
        api.database.execute("drop trigger refuse on moderation_actions").await;
        assert_eq!(ana.delete(&path(&second)).await.status, 204);
        assert_eq!(peer.hear("message_deleted").await["id"], second["id"]);
        api.database.says("select count(*) = 1 from moderation_actions").await;
    }
}

#[tokio::test]
async fn after_a_raid_newcomers_see_the_last_fifty_that_remain() {
    for redis in [None, Some(RedisServer::start())] {
        let url = redis.as_ref().map(RedisServer::url);
        let api = Running::start_with(|config| config.redis_url = url.map(Into::into)).await;
        let (ana, eve) = (api.register("ana").await, api.register("eve").await);
        let stream = ana.goes_live().await;
        api.database
            .execute(
                "insert into chat_messages (id, stream_id, user_id, message, created_at, epoch, sequence)
                 select gen_random_uuid(), s.id, u.id, u.username || ' ' || n, now(), 1, n
                 from streams s, generate_series(1, 110) n
                 join users u on u.username = case when n <= 60 then 'ana' else 'eve' end",
            )
            .await;
        let texts = |joined: &Value| {
            let lines = joined["messages"].as_array().unwrap();
            lines.iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let by = |name, from, to| (from..=to).map(|n| format!("{name} {n}")).collect::<Vec<_>>();
        let (mut peer, joined) = Peer::join(&api, stream).await;
        assert_eq!(texts(&joined), by("eve", 61, 110));
        let ban = ana.request(Method::PUT, &format!("/api/chat/{stream}/bans/{}", eve.id));
        assert_eq!(send(ban.json(&json!({ "durationSeconds": 60 }))).await.status, 204);
        peer.hear("user_banned").await;
        let (_newcomer, joined) = Peer::join(&api, stream).await;
        assert_eq!(texts(&joined), by("ana", 11, 60));
    }
}
