//! Transactions that lock two rows lock them in one order, or they wait for each other.

use futures::StreamExt as _;
use futures::future::BoxFuture;
use reqwest::StatusCode;
use serde_json::json;

use crate::running::{PASSWORD, Running};

const WAITS: &str = "select count(*) > 0 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";

#[tokio::test]
async fn closing_a_stream_waits_for_its_owner_before_it_locks_the_stream() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let stream = api.authorize(&ana.stream_key().await).await.unwrap().stream;
    api.lifecycle.set_away(true);
    assert_eq!(ana.delete(&format!("/api/streams/{stream}")).await.status, StatusCode::ACCEPTED);

    // As `authorize` does: first the account, then the stream, while the background closes the stream.
    let mut admission = api.database.pool.begin().await.unwrap();
    sqlx::query("select id from users for update").execute(&mut *admission).await.unwrap();
    api.lifecycle.set_away(false);
    api.database.says(WAITS).await;
    sqlx::query("update streams set revision = revision + 1").execute(&mut *admission).await.unwrap();
    admission.commit().await.unwrap();
    api.database.says("select ended_at is not null from streams").await;
}

#[tokio::test]
async fn people_who_do_everything_at_once_never_wait_for_each_other() {
    let api = Running::start_with(|config| config.deadlines.key_hold = std::time::Duration::ZERO).await;
    let people = [api.register("ana").await, api.register("bob").await];
    let mut requests: Vec<BoxFuture<'_, StatusCode>> = Vec::new();
    for round in 0..60 {
        for person in &people {
            let api = &api;
            requests.push(Box::pin(async move {
                person.post("/api/streams", json!({"title": format!("Take {round}")})).await.status
            }));
            requests.push(Box::pin(async move {
                let mine = person.get("/api/streams/mine").await;
                let id = mine.json["id"].as_str().unwrap_or("none").to_owned();
                person.delete(&format!("/api/streams/{id}")).await.status
            }));
            requests.push(Box::pin(async move {
                let mine = person.get("/api/streams/mine").await;
                let id = mine.json["id"].as_str().unwrap_or("none").to_owned();
                person.patch(&format!("/api/streams/{id}"), json!({"title": "Changed"})).await.status
            }));
            requests.push(Box::pin(async move {
                let key = person.stream_key().await;
                let request =
                    json!({"key": key, "app": "live", "session": caudal_livestream::SessionId::generate()});
                let answer = api.as_router("/internal/ingest/authorize", request).await;
                if answer.status != StatusCode::OK {
                    return answer.status;
                }
                let stream = answer.json["stream"].clone();
                let report = json!({"stream": stream, "startedAt": 1_700_000_000_000_i64});
                let published = api.as_controller("/internal/ingest/published", report).await.status;
                let report = json!({
                    "stream": stream, "published": true, "startedAt": 1_700_000_000_000_i64,
                    "endedAt": 1_700_000_600_000_i64, "reason": "unpublished", "hints": null,
                });
                let done = api.as_controller("/internal/ingest/done", report).await.status;
                if published.is_server_error() { published } else { done }
            }));
            if round % 10 == 0 {
                requests.push(Box::pin(async move {
                    person.post("/api/auth/stream-key/rotate", json!({"password": PASSWORD})).await.status
                }));
            }
        }
    }
    let answers: Vec<_> = futures::stream::iter(requests).buffer_unordered(16).collect().await;
    let failed: Vec<_> = answers.iter().filter(|status| status.is_server_error()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    let deadlocks: i64 = sqlx::query_scalar(deadlocks).fetch_one(&api.database.pool).await.unwrap();
    assert_eq!(deadlocks, 0);
}
