//! Epochs of rooms: each is later than all before it, whatever clocks say and whatever Redis has forgotten.

use std::sync::Arc;

use serde_json::json;

use crate::chat::{Peer, on, say, texts};
use crate::database::TestDatabase;
use crate::redis_server::RedisServer;
use crate::running::{Person, Running};

#[tokio::test]
async fn what_is_said_after_a_clock_was_ahead_stands_behind_what_was_said_then() {
    for with_redis in [false, true] {
        let database = Arc::new(TestDatabase::create().await);
        let redis = RedisServer::start();
        let before = Running::replica(Arc::clone(&database), |_| ()).await;
        let ana = before.register("ana").await;
        let stream = ana.goes_live().await;
        // What a clock that was forty days ahead left behind; and what no clock has said.
        database
            .execute(
                "insert into chat_messages (id, stream_id, user_id, message, created_at, epoch, sequence)
                 select gen_random_uuid(), s.id, s.user_id, text, now(), epoch, 1
                 from streams s, (values ('absurd', 9223372036854775807),
                     ('ahead', (extract(epoch from now() + interval '40 days') * 1000)::bigint)) old (text, epoch)",
            )
            .await;
        let url = with_redis.then(|| redis.url().into());
        let after = Running::replica(Arc::clone(&database), |config| config.redis_url = url).await;
        let here = Person { api: &after, ..ana.clone() };
        let first = say(&here, stream, "first").await;
        let second = say(&here, stream, "second").await;
        assert_eq!(second["offset"], first["offset"].as_i64().unwrap() + 1);
        assert!(first["epoch"].as_i64().unwrap() < 1 << 52, "{first}");
        let history = after.get(&format!("/api/chat/{stream}")).await;
        assert_eq!(texts(history.json.as_array().unwrap()), ["absurd", "second", "first", "ahead"]);
        let (_peer, joined) = Peer::join(&after, stream).await;
        assert_eq!(joined["epoch"], first["epoch"]);
    }
}

#[tokio::test]
async fn a_redis_that_lost_its_end_begins_a_new_epoch_at_all_replicas_and_no_message_is_lost() {
    let redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let (here, there) = (on(&redis, &database).await, on(&redis, &database).await);
    // Each says one thing, so that nobody talks too fast.
    let (ana, bob) = (here.register("ana").await, here.register("bob").await);
    let (kim, eve) = (here.register("kim").await, here.register("eve").await);
    let stream = ana.goes_live().await;
    let (mut near, _) = Peer::join(&here, stream).await;
    let (mut far, _) = Peer::join(&there, stream).await;
    let one = say(&ana, stream, "one").await;
    let two = say(&bob, stream, "two").await;
    for peer in [&mut near, &mut far] {
        assert_eq!(peer.hear("new_message").await, one);
        assert_eq!(peer.hear("new_message").await, two);
    }
    database.says("select count(*) = 2 from chat_messages").await;
    // As after a restart without the end of its append-only file.
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let events = format!("chat:{stream}:events");
    let kept: Vec<(String, Vec<String>)> =
        redis::cmd("XRANGE").arg(&events).arg("-").arg("+").query_async(&mut connection).await.unwrap();
    let (_, rest) = kept.split_last().unwrap();
    let mut lose = redis::pipe();
    lose.cmd("DEL").arg(&events).ignore();
    for (id, fields) in rest {
        lose.cmd("XADD").arg(&events).arg(id).arg(fields).ignore();
    }
    lose.cmd("HINCRBY").arg(format!("chat:{stream}:room")).arg("offset").arg(-1).ignore();
    let () = lose.query_async(&mut connection).await.unwrap();

    let three = say(&kim, stream, "three").await;
    assert_eq!(
        (&three["epoch"], &three["offset"]),
        (&two["epoch"], &two["offset"]),
        "the position is given out again"
    );
    let mut epochs = Vec::new();
    for peer in [&mut near, &mut far] {
        epochs.push(peer.hear("resync").await["epoch"].as_i64().unwrap());
    }
    assert!(epochs[0] > three["epoch"].as_i64().unwrap() && epochs[0] == epochs[1], "{epochs:?}");
    let four = say(&eve, stream, "four").await;
    assert_eq!(four["epoch"], json!(epochs[0]));
    for peer in [&mut near, &mut far] {
        assert_eq!(peer.hear("new_message").await, four);
    }
    database.says("select count(*) = 4 from chat_messages").await;
    let history = there.get(&format!("/api/chat/{stream}")).await;
    let mut all = texts(history.json.as_array().unwrap());
    assert_eq!((all.remove(0), all.len()), ("four", 3), "{all:?}");
    assert!(["one", "two", "three"].iter().all(|text| all.contains(text)), "{all:?}");
    let (_newcomer, joined) = Peer::join(&there, stream).await;
    assert_eq!(joined["messages"].as_array().unwrap().len(), 4);
}
