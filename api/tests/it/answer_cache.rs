//! Answers that Redis keeps for all replicas, and how they are dropped.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use serde_json::json;

use crate::chat::soon;
use crate::database::TestDatabase;
use crate::redis_server::RedisServer;
use crate::running::{Running, send};

const LIST: &str = "/api/streams";
/// What Redis has of it.
const KEPT: [&str; 3] = ["HEXISTS", "answers", "b/streams"];

/// Its background looks once, at the start: what is dropped later, a request has dropped.
async fn replica(database: &Arc<TestDatabase>, redis: &RedisServer) -> Running {
    let url = redis.url().into();
    Running::replica(Arc::clone(database), |config| {
        config.redis_url = Some(url);
        config.deadlines.sweep = Duration::from_hours(1);
    })
    .await
}

async fn titles(api: &Running) -> Vec<String> {
    let list = api.get(LIST).await.json;
    list.as_array().unwrap().iter().map(|stream| stream["title"].as_str().unwrap().to_owned()).collect()
}

/// Reads the list until it is kept, for longer than Redis would.
async fn keep(api: &Running, redis: &RedisServer) {
    soon(async {
        loop {
            api.get(LIST).await;
            let _: bool = redis.ask(&["PERSIST", "answers"]).await;
            if redis.ask(&KEPT).await {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_kept_for_all_replicas_until_a_request_to_any_changes_something() {
    let (redis, database) = (RedisServer::start(), Arc::new(TestDatabase::create().await));
    let (here, there) = (replica(&database, &redis).await, replica(&database, &redis).await);
    let ana = here.register("ana").await;
    let live = ana.goes_live().await;
    let path = format!("/api/streams/{live}");
    ana.patch(&path, json!({ "title": "first" })).await;
    keep(&here, &redis).await;
    // Nobody is told of this, which shows that PostgreSQL is not asked.
    database.execute("update streams set title = 'behind its back'").await;
    assert_eq!(
        (titles(&here).await, titles(&there).await),
        (vec!["first".to_owned()], vec!["first".to_owned()])
    );

    assert_eq!(ana.patch(&path, json!({ "title": "second" })).await.status, 200);
    assert_eq!(titles(&there).await, ["second"]);
    keep(&there, &redis).await;
    // What changes nothing drops nothing: a refusal, a log-in, and what is said.
    assert_eq!(there.post("/api/auth/register", json!({})).await.refusal().0, 422);
    assert_eq!(
        ana.post(&format!("/api/chat/{live}/messages"), json!({ "message": "hola" })).await.status,
        201
    );
    assert!(redis.ask::<bool>(&KEPT).await);

    here.done(live, "unpublished").await;
    assert!(titles(&there).await.is_empty());
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept_after_it() {
    let (redis, database) = (RedisServer::start(), Arc::new(TestDatabase::create().await));
    let api = replica(&database, &redis).await;
    let ana = api.register("ana").await;
    let lock = database.lock("streams in access exclusive mode").await;
    let slow = tokio::spawn(send(api.request(Method::GET, LIST)));
    // It has asked Redis, and asks PostgreSQL.
    database
        .says("select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')")
        .await;
    assert_eq!(ana.patch("/api/users/me", json!({ "displayName": "Ana B" })).await.status, 200);
    lock.rollback().await.unwrap();
    assert_eq!(slow.await.unwrap().status, 200);
    assert!(!redis.ask::<bool>(&KEPT).await);
}

#[tokio::test]
async fn a_kept_answer_has_its_headers_and_none_is_sent_to_whoever_knows_it() {
    let (redis, database) = (RedisServer::start(), Arc::new(TestDatabase::create().await));
    let api = replica(&database, &redis).await;
    let live = api.register("ana").await.goes_live().await;
    let path = format!("/api/streams/{live}");
    let made = api.get(&path).await;
    assert!(redis.ask::<bool>(&["HEXISTS", "answers", &format!("b/streams/{live}")]).await);
    let kept = api.get(&path).await;
    for name in ["etag", "content-type", "cache-control"] {
        assert_eq!(kept.header(name), made.header(name), "{name}");
    }
    assert_eq!(kept.json, made.json);
    let again = send(api.request(Method::GET, &path).header("if-none-match", made.header("etag"))).await;
    assert_eq!((again.status.as_u16(), again.header("etag")), (304, made.header("etag")));
    let other = send(api.request(Method::GET, &path).header("if-none-match", "\"other\"")).await;
    assert_eq!(other.json, made.json);
}

#[tokio::test]
async fn made_up_queries_fill_no_more_than_their_share_and_without_redis_all_is_as_ever() {
    let (mut redis, database) = (RedisServer::start(), Arc::new(TestDatabase::create().await));
    let api = replica(&database, &redis).await;
    let ana = api.register("ana").await;
    let live = ana.goes_live().await;
    for page in 0..10 {
        let asked = (0..50).map(|n| {
            let path = format!("{LIST}?q=word{page}x{n}");
            send(api.request(Method::GET, &path))
        });
        assert!(futures::future::join_all(asked).await.iter().all(|answer| answer.status == 200));
        assert!(redis.ask::<usize>(&["HLEN", "answers"]).await <= 129);
    }
    redis.stop();
    let path = format!("/api/streams/{live}");
    for title in ["one", "two"] {
        assert_eq!(ana.patch(&path, json!({ "title": title })).await.status, 200);
        assert_eq!(titles(&api).await, [title]);
    }
}
