//! Requests that wait: what wakes them, and what does not.

use std::time::Duration;

use caudal_livestream::record::Phase;
use futures::future::join_all;

use super::broadcast::Broadcast;
use super::{Scene, until_text};
use crate::EdgeLimits;

const PLAYLIST: &str = "/live/{s}/source/index.m3u8";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_request_of_a_starting_stream_waits_for_media_where_players_begin() {
    let scene = Scene::new().await;
    let master = scene.start("/live/{s}/master.m3u8");
    scene.until_waiting(1).await;
    let worker = scene.worker(1).await;
    worker.announce(&["source", "audio"]);
    for part in 0..3 {
        until_text(&scene, PLAYLIST, |text| text.contains(&format!("\"p1-{part}.m4s\""))).await;
        assert!(!master.is_finished(), "less than PART-HOLD-BACK is there");
        worker.part();
    }
    let (status, text) = master.await.unwrap();
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("source/index.m3u8") && text.contains("audio/index.m3u8"), "{text}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_playlist_of_a_rung_waits_for_its_encoder() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    let mut broadcast = Broadcast::new(scene.stream, 1, &["source", "480p"]).with(0, 2);
    broadcast.timeline.tracks[1].segments.clear();
    worker.take_up(broadcast);
    scene.text(PLAYLIST).await;
    let rung = scene.start("/live/{s}/480p/index.m3u8");
    scene.until_waiting(1).await;
    worker.part();
    let (status, text) = rung.await.unwrap();
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("\"p1-2.m4s\""), "{text}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocked_playlist_is_answered_by_the_part_it_waits_for() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source", "audio"]);
    scene.text(PLAYLIST).await;
    let blocked = scene.start("/live/{s}/source/index.m3u8?_HLS_msn=7&_HLS_part=2");
    scene.until_waiting(1).await;
    worker.part();
    // One more part is to come: it goes on waiting.
    until_text(&scene, PLAYLIST, |text| text.contains("\"p1-1.m4s\"")).await;
    assert!(!blocked.is_finished());
    worker.part();
    let (status, text) = blocked.await.unwrap();
    assert_eq!(status, 200);
    assert!(
        text.contains("URI=\"p1-2.m4s\"\n") && text.contains("PRELOAD-HINT:TYPE=PART,URI=\"p1-3.m4s\""),
        "{text}"
    );
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_no_player_may_make_are_refused_at_once() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    for (query, status) in [
        ("_HLS_part=1", 400),
        ("_HLS_msn=x", 400),
        ("_HLS_msn=9", 400),
        ("_HLS_msn=7&_HLS_part=500", 400),
        ("_HLS_msn=3", 200),
        ("_HLS_skip=YES", 200),
    ] {
        let response = scene.get(&format!("{PLAYLIST}?{query}")).await;
        assert_eq!(response.status(), status, "{query}");
        let cache = response.headers()["cache-control"].to_str().unwrap();
        let expected =
            if query == "_HLS_msn=3" { "public, max-age=0, s-maxage=1" } else { "public, max-age=1" };
        assert_eq!(cache, expected, "{query}");
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_come_in_three_target_durations_is_a_503_for_playlists_and_a_404_for_parts() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    scene.text(PLAYLIST).await;
    let playlist = scene.start("/live/{s}/source/index.m3u8?_HLS_msn=7&_HLS_part=1");
    let part = scene.start("/live/{s}/source/p1-1.m4s");
    scene.until_waiting(2).await;
    assert_eq!(playlist.await.unwrap().0, 503);
    assert_eq!(part.await.unwrap().0, 404);
    scene.until_waiting(0).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_players_are_woken_by_one_part_and_all_read_the_same() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source", "audio"]);
    scene.text(PLAYLIST).await;
    let blocked: Vec<_> =
        (0..500).map(|_| scene.start("/live/{s}/source/index.m3u8?_HLS_msn=7&_HLS_part=1")).collect();
    scene.until_waiting(500).await;
    worker.part();
    let answers = join_all(blocked).await;
    let first = &answers[0].as_ref().unwrap().1;
    assert!(first.contains("\"p1-1.m4s\""), "{first}");
    for answer in &answers {
        let (status, text) = answer.as_ref().unwrap();
        assert_eq!((*status, text), (200, first));
    }
    scene.until_waiting(0).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_requests_wait_than_may() {
    let limits = EdgeLimits { waiting_per_stream: 2, ..EdgeLimits::default() };
    let scene = Scene::with_limits(limits).await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    scene.text(PLAYLIST).await;
    let blocked: Vec<_> =
        (0..2).map(|_| scene.start("/live/{s}/source/index.m3u8?_HLS_msn=7&_HLS_part=1")).collect();
    scene.until_waiting(2).await;
    let refused = scene.get("/live/{s}/source/index.m3u8?_HLS_msn=7&_HLS_part=1").await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    worker.part();
    for blocked in blocked {
        assert_eq!(blocked.await.unwrap().0, 200);
    }
    assert_eq!(scene.status("/live/{s}/source/index.m3u8?_HLS_msn=7&_HLS_part=1").await, 200);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_when_the_directory_forgets_the_stream_gets_a_404() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    scene.text(PLAYLIST).await;
    let blocked = scene.start("/live/{s}/source/index.m3u8?_HLS_msn=7&_HLS_part=1");
    scene.until_waiting(1).await;
    scene.directory.forget();
    assert_eq!(blocked.await.unwrap().0, 404);
    assert_eq!(scene.status(PLAYLIST).await, 404);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_when_the_edge_stops_gets_an_answer() {
    let scene = Scene::new().await;
    scene.directory.without_worker(Phase::Pending);
    let blocked = scene.start("/live/{s}/master.m3u8");
    scene.until_waiting(1).await;
    scene.stop().await;
    assert_eq!(blocked.await.unwrap().0, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_part_when_the_edge_stops_gets_the_part() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    scene.text(PLAYLIST).await;
    let blocked = scene.start("/live/{s}/source/index.m3u8?_HLS_msn=7&_HLS_part=1");
    scene.until_waiting(1).await;
    scene.shutdown.cancel();
    // Its listener is closed, so it has begun to stop.
    while scene.client.get(scene.url("/live/{s}/master.m3u8")).send().await.is_ok() {}
    worker.part();
    let (status, text) = blocked.await.unwrap();
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("\"p1-1.m4s\""), "{text}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_hinders_nobody() {
    use tokio::io::AsyncWriteExt as _;
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    scene.text(PLAYLIST).await;
    let mut deaf = tokio::net::TcpStream::connect(scene.address).await.unwrap();
    let request = format!("GET /live/{}/source/index.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n", scene.stream);
    // Pipelined until the edge no longer reads, because it cannot write: nothing was taken for a while.
    let flood = request.repeat(100);
    let mut taken = async || {
        let write = deaf.write_all(flood.as_bytes());
        tokio::time::timeout(Duration::from_secs(1), write).await.is_ok()
    };
    let mut floods = 0;
    while taken().await {
        floods += 1;
        assert!(floods < 10_000, "the edge reads on");
    }
    for number in 1..20 {
        let blocked = scene.start(&format!("/live/{{s}}/source/p1-{number}.m4s"));
        worker.part();
        assert_eq!(blocked.await.unwrap().1, format!("[source 1 {number}]"));
    }
    drop(deaf);
    scene.stop().await;
}
