//! Who counts as a viewer, over real connections; the rules themselves have their tables in `crowd`.

use std::time::Duration;

use caudal_livestream::record::Phase;
use reqwest::Method;

use super::fake_worker::FakeWorker;
use super::{Scene, until, until_text};
use crate::EdgeLimits;

const FIRST: &str = "/live/{s}/source/p1-0.m4s";
const SECOND: &str = "/live/{s}/source/p1-5.m4s";

/// A stream of two segments; a viewer is who has fetched media of both.
async fn scene() -> (Scene, FakeWorker) {
    let scene = Scene::with_limits(EdgeLimits { settling: Duration::ZERO, ..EdgeLimits::default() }).await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    scene.text("/live/{s}/source/index.m3u8").await;
    until("the feed carries the rendition", || worker.carries("source")).await;
    for _ in 1..5 {
        worker.part();
    }
    worker.close();
    worker.part();
    until_text(&scene, "/live/{s}/source/index.m3u8", |text| text.contains("\"p1-5.m4s\",INDEPENDENT")).await;
    (scene, worker)
}

impl Scene {
    /// The path prefix of a new player.
    async fn ticket(&self) -> String {
        let response = self.get("/live/{s}/master.m3u8?viewer=new").await;
        assert_eq!(response.status(), 200);
        let path = response.url().path().to_owned();
        path.strip_suffix(&format!("/live/{}/master.m3u8", self.stream)).unwrap().to_owned()
    }

    async fn watch(&self, prefix: &str, address: &str) {
        for path in [FIRST, SECOND] {
            let url = self.url(&format!("{prefix}{path}"));
            let answer = self.client.get(url).header("x-forwarded-for", address).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    }

    async fn until_viewers(&self, count: u32) {
        until(&format!("{count} viewers are told"), || self.viewers() == count).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn players_behind_one_address_are_told_apart_by_their_tickets() {
    let (scene, _worker) = scene().await;
    let (ada, grace) = (scene.ticket().await, scene.ticket().await);
    assert_ne!(ada, grace);
    for prefix in [&ada, &grace, &ada] {
        scene.watch(prefix, "203.0.113.1").await;
    }
    scene.until_viewers(2).await;
    let text = scene.text(&format!("{ada}/live/{{s}}/source/index.m3u8")).await;
    assert_eq!(text, scene.text("/live/{s}/source/index.m3u8").await, "playlists are the same for all");
    // One ticket is one viewer, from however many addresses it is used.
    for host in 2..20 {
        scene.watch(&ada, &format!("203.0.113.{host}")).await;
    }
    // A player without a ticket is one more.
    scene.watch("", "203.0.113.1").await;
    scene.until_viewers(3).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_requests_of_one_address_make_one_viewer() {
    let (scene, _worker) = scene().await;
    for number in 0..1500 {
        scene.watch(&format!("/v/{number:048x}"), "203.0.113.1").await;
    }
    scene.until_viewers(1).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_the_api_counts_the_edge_does_not() {
    let (scene, _worker) = scene().await;
    for host in 1..20 {
        scene.watch("/v/present", &format!("203.0.113.{host}")).await;
    }
    let master = scene.text("/v/present/live/{s}/master.m3u8").await;
    assert_eq!(master, scene.text("/live/{s}/master.m3u8").await, "what they are sent is the same");
    // Counted after it, so that the second that counts has passed.
    scene.watch("", "203.0.113.1").await;
    scene.until_viewers(1).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fetches_no_media_is_no_viewer() {
    let (scene, _worker) = scene().await;
    let ticket = scene.ticket().await;
    for path in [FIRST, SECOND] {
        let url = scene.url(&format!("{ticket}{path}"));
        assert_eq!(scene.client.request(Method::HEAD, &url).send().await.unwrap().status(), 200);
        let byte = scene.client.get(&url).header("range", "bytes=0-0").send().await.unwrap();
        assert_eq!(byte.status(), 206);
    }
    for _ in 0..10 {
        scene.text(&format!("{ticket}/live/{{s}}/source/index.m3u8")).await;
        scene.text(&format!("{ticket}/live/{{s}}/master.m3u8")).await;
        scene.bytes(&format!("{ticket}{FIRST}")).await;
    }
    // Told after it, so that the second that counts has passed.
    for _ in 0..2 {
        scene.watch(&scene.ticket().await, "203.0.113.1").await;
    }
    scene.until_viewers(2).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_for_one_stream_that_is_live_and_what_is_none_does_no_harm() {
    let (scene, _worker) = scene().await;
    let other = scene.ticket().await;
    let again = scene.get(&format!("{other}/live/{{s}}/master.m3u8?viewer=new")).await;
    assert!(again.url().path().starts_with(&other), "who has one keeps it");
    let made_up = scene.get("/v/made-up/live/{s}/master.m3u8?viewer=new").await;
    assert_eq!(made_up.status(), 200);
    assert!(!made_up.url().path().contains("made-up"));
    assert_eq!(scene.status("/v/made-up/live/{s}/source/index.m3u8").await, 200);
    for nothing in ["/v/", "/v/x", "/v/x/", "/v//live", "/v/x/v/y/live/{s}/master.m3u8"] {
        assert_eq!(scene.status(nothing).await, 404, "{nothing}");
    }
    let nowhere = caudal_livestream::StreamId::generate();
    assert_eq!(scene.status(&format!("/live/{nowhere}/master.m3u8?viewer=new")).await, 404);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_stops_has_no_viewers() {
    let (scene, _worker) = scene().await;
    scene.watch("", "203.0.113.1").await;
    scene.until_viewers(1).await;
    scene.directory.without_worker(Phase::Reconnecting);
    let (audience, stream) = (std::sync::Arc::clone(&scene.audience), scene.stream);
    scene.stop().await;
    assert_eq!(caudal_directory::Audience::viewers(audience.as_ref(), stream), 0);
}
