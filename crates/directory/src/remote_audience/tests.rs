//! An edge's reports, against an api that notes what it is told.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use caudal_livestream::audience::ViewerCount;
use caudal_service::internal::{CallerKey, SIGNATURE_HEADER, Verifier};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::*;

type Told = Arc<watch::Sender<Vec<AudienceReport>>>;

fn key() -> CallerKey {
    CallerKey::new(*b"edge 6789abcdef0123456789abcdef0")
}

async fn api() -> (String, Told, AbortHandle) {
    let told: Told = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = axum::Router::new().route(AUDIENCE_PATH, post(take)).with_state(Arc::clone(&told));
    let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (url, told, serving.abort_handle())
}

async fn take(State(told): State<Told>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers.get(SIGNATURE_HEADER).unwrap().to_str().unwrap();
    let verifier = Verifier::new().allow("hls-edge", key());
    let caller = verifier.verify(signature, "POST", AUDIENCE_PATH, &body, SystemTime::now());
    if caller != Some("hls-edge") {
        return StatusCode::UNAUTHORIZED;
    }
    told.send_modify(|told| told.push(serde_json::from_slice(&body).unwrap()));
    StatusCode::NO_CONTENT
}

#[tokio::test]
async fn an_edge_tells_its_viewers_and_when_it_stops_that_it_has_none() {
    let (url, told, _serving) = api().await;
    let audience = Arc::new(RemoteAudience::new(&url, Signer::new("hls-edge", key())).unwrap());
    let stream = StreamId::generate();
    audience.record(stream, 7);
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (audience, shutdown) = (Arc::clone(&audience), shutdown.clone());
        async move { audience.run(shutdown).await }
    });
    let mut hears = told.subscribe();
    let patience = Duration::from_secs(20);
    let first = timeout(patience, hears.wait_for(|told| !told.is_empty())).await.unwrap().unwrap()[0].clone();
    assert_eq!(first.counts, [ViewerCount { stream, viewers: 7 }]);
    assert!(!first.last);
    // The edge itself ends first, and records that nobody watches.
    audience.record(stream, 0);
    shutdown.cancel();
    timeout(patience, running).await.unwrap().unwrap();
    let all = told.borrow().clone();
    let last = all.last().unwrap();
    assert!(last.last && last.counts.is_empty() && last.edge == first.edge);
    assert!(all.is_sorted_by_key(|report| report.sequence));
}

#[tokio::test]
async fn an_edge_that_nobody_watches_finds_its_api_once() {
    let (url, told, _serving) = api().await;
    let audience = RemoteAudience::new(&url, Signer::new("hls-edge", key())).unwrap();
    let shutdown = CancellationToken::new();
    let mut hears = told.subscribe();
    let watching = async {
        let patience = Duration::from_secs(20);
        timeout(patience, hears.wait_for(|told| !told.is_empty())).await.unwrap().unwrap();
        // Two rounds later.
        tokio::time::pause();
        tokio::time::sleep(INTERVAL * 2).await;
        shutdown.cancel();
    };
    tokio::join!(audience.run(shutdown.clone()), watching);
    let all = told.borrow().clone();
    assert_eq!(all.iter().map(|report| report.last).collect::<Vec<_>>(), [false, true]);
}

#[tokio::test]
async fn an_edge_stops_in_time_although_its_api_is_away() {
    let (url, _, serving) = api().await;
    serving.abort();
    let audience = RemoteAudience::new(&url, Signer::new("hls-edge", key())).unwrap();
    audience.record(StreamId::generate(), 7);
    audience.outbox().round();
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    timeout(Duration::from_secs(20), audience.run(shutdown)).await.unwrap();
}

#[test]
fn an_address_that_no_api_can_have_is_refused() {
    for address in ["", "api:3001", "https://api.example", "http://"] {
        assert!(RemoteAudience::new(address, Signer::new("hls-edge", key())).is_err(), "{address}");
    }
}

#[test]
fn an_api_that_is_not_there_at_the_start_is_worth_a_warning_only_when_it_stays_away() {
    use Said::{Away, NotYet, Nothing};
    let refused = |last, starting| Said::of(false, last, starting);
    assert_eq!((refused(Nothing, true), refused(NotYet, true)), (NotYet, NotYet));
    assert_eq!((refused(NotYet, false), refused(Nothing, false)), (Away, Away));
    assert_eq!((refused(Away, true), refused(Away, false)), (Away, Away));
    assert_eq!([Nothing, NotYet, Away].map(|last| Said::of(true, last, false)), [Nothing; 3]);
}
