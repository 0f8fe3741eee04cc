//! A Redis that refuses connections for a while.

use bytes::Bytes;
use caudal_api::bus::{Bus as _, RedisBus, Topic};
use caudal_livestream::StreamId;
use redis::aio::MultiplexedConnection;
use serde_json::json;
use uuid::Uuid;

use crate::chat::soon;
use crate::redis_server::RedisServer;
use crate::running::{Person, Running};

/// A Redis whose password changes.
struct Guarded {
    redis: RedisServer,
    operator: MultiplexedConnection,
}

impl Guarded {
    async fn start() -> Self {
        let redis = RedisServer::start();
        // As yet it knows no password, so this connection stays welcome.
        let client = redis::Client::open(redis.url()).unwrap();
        let operator = client.get_multiplexed_async_connection().await.unwrap();
        let mut guarded = Self { redis, operator };
        guarded.wants("right").await;
        guarded
    }

    fn url(&self) -> String {
        format!("{}?pass=right", self.redis.url())
    }

    /// Of all who connect from now on, and nobody else stays.
    async fn wants(&mut self, password: &str) {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("requirepass").arg(password);
        let _: () = set.query_async(&mut self.operator).await.unwrap();
        let mut kill = redis::cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg("normal").arg("SKIPME").arg("yes");
        let _: u64 = kill.query_async(&mut self.operator).await.unwrap();
    }
}

#[tokio::test]
async fn a_redis_that_wanted_another_password_when_it_was_connected_to_is_connected_to_again() {
    let mut guarded = Guarded::start().await;
    let url = guarded.url();
    let api = Running::start_with(|config| config.redis_url = Some(url.into())).await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    says(&ana, live, true).await;
    for (password, works) in [("wrong", false), ("right", true)] {
        guarded.wants(password).await;
        says(&ana, live, works).await;
    }
}

#[tokio::test]
async fn so_it_is_for_what_is_published() {
    let mut guarded = Guarded::start().await;
    let (bus, _listener) = RedisBus::open(&guarded.url().into()).unwrap();
    let topic = Topic::new("test", Uuid::now_v7());
    for (password, works) in [("right", true), ("wrong", false), ("right", true)] {
        guarded.wants(password).await;
        soon(async { while bus.publish(&topic, Bytes::from_static(b"hola")).await.is_ok() != works {} })
            .await;
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
