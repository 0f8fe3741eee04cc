//! What viewers make up: nothing of it is remembered, and nothing asks a worker or storage for it.

use caudal_livestream::feed::Event;
use caudal_livestream::record::Phase;
use caudal_storage::Key;

use super::broadcast::Broadcast;
use super::{Scene, until, until_text};
use crate::EdgeLimits;

const PLAYLIST: &str = "/live/{s}/source/index.m3u8";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_renditions_reach_no_worker_and_its_successor_is_followed() {
    let scene = Scene::new().await;
    let first = scene.worker(1).await;
    first.announce(&["source", "audio"]);
    scene.text(PLAYLIST).await;
    until("the feed carries the rendition", || first.carries("source")).await;
    let feeds = first.feeds();
    let make_up = async |from: u32| {
        for number in from..from + 300 {
            for file in ["1-1.m4s", "p1-0.m4s", "init-abc.mp4", "index.m3u8"] {
                assert_eq!(scene.status(&format!("/live/{{s}}/{number:018}/{file}")).await, 404);
            }
        }
    };
    make_up(0).await;
    first.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p1-1.m4s\"\n")).await;
    assert_eq!(first.feeds(), feeds, "no feed was opened for what nobody has");
    let handed = first.successor(2);
    first.kill();
    scene.directory.without_worker(Phase::Live);
    make_up(300).await;
    let second = scene.worker(2).await;
    second.take_up(handed);
    until("the successor's feed carries the rendition", || second.carries("source")).await;
    assert!(!second.carries("000000000000000001") && !second.carries("000000000000000301"));
    second.part();
    until_text(&scene, PLAYLIST, |text| text.contains("p2-0.m4s")).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_up_files_of_a_live_stream_are_not_asked_for() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    scene.text(PLAYLIST).await;
    until("the open segment is fetched", || worker.fetched().len() == 2).await;
    for number in 100..200 {
        for file in ["p1-{}.m4s", "p{}-0.m4s", "{}-1.m4s", "7-{}.m4s", "init-{}.mp4"] {
            let path = format!("/live/{{s}}/source/{}", file.replace("{}", &number.to_string()));
            assert_eq!(scene.status(&path).await, 404, "{path}");
        }
        assert_eq!(scene.status(&format!("{PLAYLIST}?_HLS_msn={number}")).await, 400);
    }
    assert_eq!(worker.fetched().len(), 2);
    assert_eq!(scene.metric("caudal_hls_edge_followed_streams"), 1);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_broadcast_that_is_over_storage_is_asked_only_for_what_its_playlists_name() {
    let scene = Scene::new().await;
    scene.directory.without_worker(Phase::Ended);
    let live = |file: &str| Key::Live(scene.stream, file.parse().unwrap());
    for (file, text) in [
        ("master.m3u8", "#EXTM3U\nsource/index.m3u8\n"),
        ("source/index.m3u8", "#EXTM3U\n#EXT-X-MAP:URI=\"init-abc.mp4\"\n17-1.m4s\n"),
        ("source/17-1.m4s", "named"),
        // They are there, so that only the edge's own knowledge can keep it from finding them.
        ("source/7-1.m4s", "not named"),
        ("source/init-abd.mp4", "not named"),
        ("ghost/index.m3u8", "#EXTM3U\n1-1.m4s\n"),
        ("ghost/1-1.m4s", "not named"),
    ] {
        scene.store.put(&live(file), text.into()).await.unwrap();
    }
    assert_eq!(scene.text("/live/{s}/source/17-1.m4s").await, "named");
    for file in ["source/7-1.m4s", "source/init-abd.mp4", "ghost/index.m3u8", "ghost/1-1.m4s", "none/1-1.m4s"]
    {
        assert_eq!(scene.status(&format!("/live/{{s}}/{file}")).await, 404, "{file}");
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_that_is_over_stays_in_memory_no_longer_whoever_asks_for_it() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    // What is nine target durations old is forgotten: here, after nine seconds.
    let mut broadcast = Broadcast::new(scene.stream, 1, &["source"]).with(1, 0);
    broadcast.timeline.target_duration = 1;
    worker.take_up(broadcast);
    worker.store().await;
    scene.text(PLAYLIST).await;
    worker.event(&Event::End);
    until_text(&scene, PLAYLIST, |text| text.ends_with("#EXT-X-ENDLIST\n")).await;
    worker.kill();
    scene.directory.without_worker(Phase::Ended);
    // Other bytes under the same name show where an answer comes from. Twice: by then no feed's tick has to do with it.
    for kept_elsewhere in ["first", "second"] {
        let segment = Key::Live(scene.stream, "source/7-1.m4s".parse().unwrap());
        scene.store.put(&segment, kept_elsewhere.into()).await.unwrap();
        until_text(&scene, "/live/{s}/source/7-1.m4s", |text| text == kept_elsewhere).await;
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_cannot_have_all_waiting_places() {
    let scene = Scene::with_limits(EdgeLimits { waiting_per_address: 2, ..EdgeLimits::default() }).await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    scene.text(PLAYLIST).await;
    let ask = |address: &str| {
        let url = scene.url("/live/{s}/source/p1-1.m4s");
        let request = scene.client.get(url).header("x-forwarded-for", address);
        tokio::spawn(async move { request.send().await.unwrap().status().as_u16() })
    };
    let waiting = [ask("2001:db8::1"), ask("2001:db8::2")];
    scene.until_waiting(2).await;
    assert_eq!(ask("2001:db8::3").await.unwrap(), 503);
    let others = [ask("2001:db8:0:1::1"), ask("203.0.113.1")];
    scene.until_waiting(4).await;
    worker.part();
    for answer in waiting.into_iter().chain(others) {
        assert_eq!(answer.await.unwrap(), 200);
    }
    scene.stop().await;
}
