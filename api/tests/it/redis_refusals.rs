//! A Redis that refuses connections for a while.

use caudal_livestream::StreamId;
use serde_json::json;

use crate::chat::soon;
use crate::redis_server::RedisServer;
use crate::running::{Person, Running};

#[tokio::test]
async fn a_redis_that_wanted_another_password_when_it_was_connected_to_is_connected_to_again() {
    let redis = RedisServer::start();
    // As yet it knows no password, so this connection stays welcome.
    let client = redis::Client::open(redis.url()).unwrap();
    let mut operator = client.get_multiplexed_async_connection().await.unwrap();
    let set = redis::cmd("CONFIG").arg("SET").arg("requirepass").to_owned();
    let _: () = set.clone().arg("right").query_async(&mut operator).await.unwrap();
    let url = format!("{}?pass=right", redis.url());
    let api = Running::start_with(|config| config.redis_url = Some(url.into())).await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    says(&ana, live, true).await;
    for (password, works) in [("wrong", false), ("right", true)] {
        let _: () = set.clone().arg(password).query_async(&mut operator).await.unwrap();
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
        let _: u64 = kill.query_async(&mut operator).await.unwrap();
        says(&ana, live, works).await;
    }
}

/// Until it is so whether something can be said.
async fn says(person: &Person<'_>, stream: StreamId, works: bool) {
    let mut n = 0;
    soon(async {
        loop {
            n += 1;
            let path = format!("/api/chat/{stream}/messages");
            let answer = person.post(&path, json!({ "message": format!("message {n}") })).await;
            match answer.status.as_u16() {
                201 if works => return,
                503 if !works => return,
                // Said a moment ago.
                201 | 429 | 503 => {}
                other => panic!("{other}: {}", answer.json),
            }
        }
    })
    .await;
}
