//! The router's question and the controller's reports.

use caudal_livestream::StreamId;
use caudal_livestream::admission::DenialCode;
use caudal_livestream::record::Phase;
use caudal_livestream::report::EndReason;
use reqwest::StatusCode;
use serde_json::json;

use crate::lifecycle::Order;
use crate::running::{Person, Running, send};
use crate::snapshot::tidy;

#[tokio::test]
async fn the_internal_listener_answers_signed_requests_only() {
    let api = Running::start().await;
    let request = api.http.post(format!("{}/internal/ingest/authorize", api.internal_url)).body("{}");
    assert_eq!(send(request).await.refusal(), (401, "unauthenticated"));
    // And the public one knows nothing of it.
    assert_eq!(
        api.post("/internal/ingest/authorize", json!({})).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        api.as_router("/internal/ingest/authorize", json!({"key": 1})).await.refusal(),
        (400, "malformed")
    );
    assert_eq!(api.as_router("/internal/else", json!({})).await.refusal(), (404, "not_found"));
}

#[tokio::test]
async fn a_good_key_gets_everything_a_broadcast_needs() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let request = json!({"key": ana.stream_key().await, "app": "live", "remote": "127.0.0.1", "session": StreamId::generate()});
    let mut answer = api.as_router("/internal/ingest/authorize", request).await;
    assert_eq!(answer.status, StatusCode::OK);
    insta::assert_json_snapshot!(tidy(answer.json.take()));
}

#[tokio::test]
async fn a_key_that_is_nobodys_is_refused_in_words_for_obs() {
    let api = Running::start().await;
    for key in ["", "live_", "live_00000000000000000000000000000000", "' or 1=1 --"] {
        assert_eq!(api.authorize(key).await.unwrap_err().code, DenialCode::UnknownKey, "{key}");
    }
    insta::assert_json_snapshot!(api.authorize("nonsense").await.unwrap_err());
}

#[tokio::test]
async fn a_banned_streamer_is_refused() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let key = ana.stream_key().await;
    sqlx::query("update users set banned_at = now()").execute(&api.database.pool).await.unwrap();
    assert_eq!(api.authorize(&key).await.unwrap_err().code, DenialCode::Banned);
}

#[tokio::test]
async fn a_prepared_stream_is_the_one_that_goes_live() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let prepared = ana.post("/api/streams", json!({"title": "Chess at noon"})).await;
    let authorized = api.authorize(&ana.stream_key().await).await.unwrap();
    assert_eq!(authorized.stream.to_string(), prepared.json["id"].as_str().unwrap());
    assert_eq!(authorized.title, "Chess at noon");
}

#[tokio::test]
async fn the_answer_is_the_same_while_the_row_is_open() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let key = ana.stream_key().await;
    let first = api.authorize(&key).await.unwrap();
    assert_eq!(api.authorize(&key).await.unwrap(), first);
    api.published(first.stream).await;
    assert_eq!(api.authorize(&key).await.unwrap(), first);
    // About another stream than the open one.
    assert_eq!(api.authorize_after(&key, Some(StreamId::generate())).await.unwrap(), first);
}

#[tokio::test]
async fn publishers_who_come_at_once_get_one_stream() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let key = ana.stream_key().await;
    let answers = futures::future::join_all((0..8).map(|_| api.authorize(&key))).await;
    let first = answers[0].as_ref().unwrap();
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap() == first));
    let rows: i64 =
        sqlx::query_scalar("select count(*) from streams").fetch_one(&api.database.pool).await.unwrap();
    assert_eq!(rows, 1);
}

#[tokio::test]
async fn a_stream_that_the_directory_calls_over_makes_room_for_a_new_one() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let old = ana.goes_live().await;
    let key = ana.stream_key().await;
    let answers = futures::future::join_all((0..4).map(|_| api.authorize_after(&key, Some(old)))).await;
    let new = answers[0].as_ref().unwrap().stream;
    assert_ne!(new, old);
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().stream == new));
    let pushed_out = api.stream(old).await;
    assert_eq!(pushed_out["isLive"], false);
    assert!(pushed_out["endedAt"].is_string());

    // The old one's reports come after it, and touch only the old one.
    api.published(new).await;
    api.published(old).await;
    assert_eq!(api.stream(old).await["isLive"], false);
    api.done(old, "publisher_lost").await;
    assert_eq!(api.stream(old).await["endedAt"], "2023-11-14T22:23:20Z");
    assert_eq!(api.stream(new).await["isLive"], true);
    let streaming: bool =
        sqlx::query_scalar("select is_streaming from users").fetch_one(&api.database.pool).await.unwrap();
    assert!(streaming);
}

#[tokio::test]
async fn nobody_can_end_somebody_elses_stream_by_naming_it() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let anas = ana.goes_live().await;
    api.authorize_after(&bob.stream_key().await, Some(anas)).await.unwrap();
    assert_eq!(api.stream(anas).await["isLive"], true);
}

#[tokio::test]
async fn published_and_done_tell_the_stream_and_the_streamer() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let stream = api.authorize(&ana.stream_key().await).await.unwrap().stream;
    let streaming = async || -> bool {
        sqlx::query_scalar("select is_streaming from users").fetch_one(&api.database.pool).await.unwrap()
    };
    assert_eq!(api.stream(stream).await["isLive"], false);
    assert!(!streaming().await);

    for _ in 0..2 {
        api.published(stream).await;
        let live = api.stream(stream).await;
        assert_eq!((&live["isLive"], &live["startedAt"]), (&json!(true), &json!("2023-11-14T22:13:20Z")));
        assert!(streaming().await);
    }
    for reason in ["unpublished", "shutdown"] {
        api.done(stream, reason).await;
        let over = api.stream(stream).await;
        assert_eq!((&over["isLive"], &over["endedAt"]), (&json!(false), &json!("2023-11-14T22:23:20Z")));
        assert!(!streaming().await);
    }
    let reason: String =
        sqlx::query_scalar("select ended_reason from streams").fetch_one(&api.database.pool).await.unwrap();
    assert_eq!(reason, "unpublished");
    // A late `published` is acknowledged and ignored.
    api.published(stream).await;
    assert_eq!(api.stream(stream).await["isLive"], false);
    assert!(!streaming().await);
}

#[tokio::test]
async fn why_the_last_broadcast_failed_stays_to_be_read_until_there_is_another() {
    let api = Running::start().await;
    let (ana, bob) = (api.register("ana").await, api.register("bob").await);
    let key = ana.stream_key().await;
    let failed = async |who: &Person| who.get("/api/streams/failed").await.json;
    assert_eq!(failed(&ana).await, json!([]));
    let stream = api.authorize(&key).await.unwrap().stream;
    let report = json!({
        "stream": stream, "published": false, "startedAt": null, "endedAt": 1_700_000_600_000_i64,
        "reason": "nothing_playable", "detail": "video came, but no keyframe; no sound came", "hints": null,
    });
    assert_eq!(api.as_controller("/internal/ingest/done", report).await.status, StatusCode::NO_CONTENT);
    let told = json!([{
        "id": stream,
        "endedAt": "2023-11-14T22:23:20Z",
        "reason": "what was sent cannot be played: video came, but no keyframe; no sound came",
        "reasonCode": "nothing_playable",
        "detail": "video came, but no keyframe; no sound came",
    }]);
    assert_eq!(failed(&ana).await, told);
    assert_eq!(failed(&bob).await, json!([]), "it is nobody else's business");
    assert_eq!(api.get("/api/streams/failed").await.refusal(), (401, "unauthenticated"));
    // The encoder tries again by itself.
    let again = api.authorize(&key).await.unwrap().stream;
    assert_eq!(failed(&ana).await, told);
    api.done(again, "workers_lost").await;
    let failure = failed(&ana).await[0].clone();
    assert_eq!(
        (&failure["reason"], &failure["reasonCode"], &failure["detail"]),
        (&json!("its workers kept failing"), &json!("workers_lost"), &json!(null))
    );
    let last = api.authorize(&key).await.unwrap().stream;
    api.done(last, "unpublished").await;
    assert_eq!(failed(&ana).await, json!([]));
}

#[tokio::test]
async fn done_implies_published() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let stream = api.authorize(&ana.stream_key().await).await.unwrap().stream;
    api.done(stream, "unpublished").await;
    assert_eq!(api.stream(stream).await["startedAt"], "2023-11-14T22:13:20Z");
}

#[tokio::test]
async fn reports_on_streams_that_are_unknown_here_are_acknowledged() {
    let api = Running::start().await;
    api.published(StreamId::generate()).await;
    api.done(StreamId::generate(), "shutdown").await;
}

#[tokio::test]
async fn the_next_broadcast_begins_with_what_the_last_one_was() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let key = ana.stream_key().await;
    ana.post("/api/streams", json!({"title": "Chess at noon", "description": "Come and see"})).await;
    let first = api.authorize(&key).await.unwrap();
    assert_eq!(first.hints, None);
    api.done(first.stream, "unpublished").await;
    let second = api.authorize(&key).await.unwrap();
    assert_ne!(second.stream, first.stream);
    assert_eq!(second.title, "Chess at noon");
    assert_eq!(second.hints.unwrap().keyframe_ms, 2000);
    assert_eq!(api.stream(second.stream).await["description"], "Come and see");
}

#[tokio::test]
async fn a_stream_created_just_when_it_was_ended_is_ended_when_it_appears() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let stream = api.authorize(&ana.stream_key().await).await.unwrap().stream;
    // The directory does not know it yet: the row closes.
    assert_eq!(ana.delete(&format!("/api/streams/{stream}")).await.status, StatusCode::ACCEPTED);
    assert!(api.stream(stream).await["endedAt"].is_string());
    api.lifecycle.knows(stream, Phase::Live);
    let before = api.lifecycle.orders().len();
    api.published(stream).await;
    assert_eq!(api.stream(stream).await["isLive"], false);
    assert!(api.lifecycle.orders()[before..].contains(&Order::End(stream, EndReason::EndedByOwner)));
}
