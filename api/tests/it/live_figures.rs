//! What a streamer's page shows of the publisher: the router's word, and failing that the record's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router, middleware};
use caudal_livestream::record::{MediaInfo, Phase};
use caudal_livestream::router_session::RouterSession;
use caudal_livestream::{SessionId, StreamId};
use caudal_service::internal::{Verifier, require_signature};
use futures::future::join_all;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::running::{Running, api_key};

/// A router that holds one publisher.
struct FakeRouter {
    url: String,
    asked: Arc<AtomicUsize>,
    says: watch::Sender<RouterSession>,
    serving: AbortHandle,
}

impl FakeRouter {
    async fn start() -> Self {
        let (asked, says) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(RouterSession::default()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let verifier = Arc::new(Verifier::new().allow("api", api_key()));
        let routes = Router::new()
            .route("/session/{stream}", get(session))
            .with_state((Arc::clone(&asked), says.subscribe()))
            .layer(middleware::from_fn_with_state(verifier, require_signature));
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, asked, says, serving: serving.abort_handle() }
    }

    fn measures(&self, session: SessionId, bitrate: u64) {
        self.says.send_modify(|says| {
            says.input.session = Some(session);
            says.media = Some(MediaInfo { bitrate, fps_milli: 50_000, ..MediaInfo::default() });
        });
    }
}

async fn session(
    State((asked, says)): State<(Arc<AtomicUsize>, watch::Receiver<RouterSession>)>,
    Path(_): Path<StreamId>,
) -> Json<RouterSession> {
    asked.fetch_add(1, Ordering::Relaxed);
    let says = says.borrow().clone();
    Json(says)
}

#[tokio::test]
async fn the_owners_page_shows_what_the_router_measures_now_and_twenty_pages_ask_it_once() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let router = FakeRouter::start().await;
    let stream = ana.goes_live().await;
    let session = api.lifecycle.is_published_at(stream, &router.url);
    router.measures(session, 1_234_567);
    let path = format!("/api/streams/{stream}/health");
    let began = std::time::Instant::now();
    for page in join_all((0..20).map(|_| ana.get(&path))).await {
        assert_eq!(
            (&page.json["ingest"]["bitrate"], &page.json["ingest"]["fps"]),
            (&1_234_567.into(), &50.0.into())
        );
    }
    // One question, and another for each second that a busy machine took.
    let asked = u64::try_from(router.asked.load(Ordering::Relaxed)).unwrap();
    assert!((1..=1 + began.elapsed().as_secs()).contains(&asked), "asked {asked} times");
}

#[tokio::test]
async fn where_the_router_cannot_say_the_record_stands_in() {
    let api = Running::start().await;
    let in_record = 6_000_000;
    for (name, says, expected) in
        [("ana", Says::This, 1_000), ("bob", Says::Other, in_record), ("cleo", Says::Nothing, in_record)]
    {
        let router = FakeRouter::start().await;
        let person = api.register(name).await;
        let stream = person.goes_live().await;
        let session = api.lifecycle.is_published_at(stream, &router.url);
        match says {
            Says::This => router.measures(session, 1_000),
            Says::Other => router.measures(SessionId::generate(), 1_000),
            Says::Nothing => router.serving.abort(),
        }
        let health = person.get(&format!("/api/streams/{stream}/health")).await;
        assert_eq!(health.json["ingest"]["bitrate"], expected, "{says:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Says {
    This,
    /// It has another publisher by now.
    Other,
    Nothing,
}

#[tokio::test]
async fn of_a_broadcast_that_is_over_no_router_is_asked() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    let router = FakeRouter::start().await;
    let stream = ana.goes_live().await;
    api.lifecycle.knows(stream, Phase::Ending);
    api.lifecycle.is_published_at(stream, &router.url);
    let health = ana.get(&format!("/api/streams/{stream}/health")).await;
    assert_eq!(health.json["phase"], "Ending");
    assert_eq!(router.asked.load(Ordering::Relaxed), 0);
}
