//! Rooms of broadcasts that are over.

use serde_json::json;

use crate::chat::{Peer, say};
use crate::redis_server::RedisServer;
use crate::running::Running;

#[tokio::test]
async fn a_broadcast_that_is_over_has_its_history_and_no_room() {
    for redis in [None, Some(RedisServer::start())] {
        let url = redis.as_ref().map(RedisServer::url);
        let api = Running::start_with(|config| config.redis_url = url.map(Into::into)).await;
        let (ana, bob) = (api.register("ana").await, api.register("bob").await);
        let stream = ana.goes_live().await;
        let (mut peer, _) = Peer::join(&api, stream).await;
        let said = say(&bob, stream, "hola").await;
        assert_eq!(peer.hear("new_message").await, said);
        api.database.says("select count(*) = 1 from chat_messages").await;
        // The report says that it was years ago. The room hears of it, and ends.
        api.done(stream, "unpublished").await;
        let ended = peer.hear("stream_ended").await;
        assert_eq!(peer.closed().await, 4408);
        if let Some(redis) = &redis {
            assert_eq!(redis.ask::<String>(&["FLUSHALL"]).await, "OK");
        }

        let (mut back, joined) = Peer::join_since(&api, stream, Some(&ended)).await;
        assert_eq!((&joined["recovered"], &joined["messages"]), (&json!(false), &json!([said])));
        back.authenticate(&bob).await;
        assert_eq!(back.ask("send_message", json!({ "message": "adiós" })).await["code"], "ended");
        let history = format!("/api/chat/{stream}");
        assert_eq!(api.get(&history).await.json, json!([said]));
        // It is taken away from there, and nobody is left to be told.
        let removal = format!("{history}/messages/{}", said["id"].as_str().unwrap());
        assert_eq!(ana.delete(&removal).await.status, 204);
        assert_eq!(api.get(&history).await.json, json!([]));
        if let Some(redis) = &redis {
            let kept: Vec<String> = redis.ask(&["KEYS", "chat:*:*"]).await;
            assert!(kept.is_empty(), "of a room that is closed: {kept:?}");
        }
    }
}
