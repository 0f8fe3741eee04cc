//! Workers come and go; viewers see one stream.

use std::time::Duration;

use caudal_livestream::feed::Event;
use caudal_livestream::record::Phase;
use caudal_livestream::{Epoch, StreamId};
use caudal_storage::{Key, StreamFile};

use super::fake_worker::FakeWorker;
use super::{Scene, feed_key, until, until_text};

const PLAYLIST: &str = "/live/{s}/source/index.m3u8";

fn headers(playlist: &str) -> Vec<String> {
    let fixed = ["TARGETDURATION", "SERVER-CONTROL", "PART-INF", "VERSION"];
    playlist.lines().filter(|line| fixed.iter().any(|name| line.contains(name))).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_two_workers_the_playlist_goes_on_from_memory_and_then_from_the_new_one() {
    let scene = Scene::new().await;
    let first = scene.worker(1).await;
    first.announce(&["source", "audio"]);
    scene.text(PLAYLIST).await;
    until("the feed carries the rendition", || first.carries("source")).await;
    scene.bytes("/live/{s}/source/p1-0.m4s").await;
    for _ in 1..5 {
        first.part();
    }
    first.close();
    first.part();
    // It opens a segment; the playlist before it hints at it, without that word.
    let before = until_text(&scene, PLAYLIST, |text| text.contains("p1-5.m4s\",INDEPENDENT")).await;

    let hinted = scene.start("/live/{s}/source/p1-6.m4s");
    let waiting = scene.start("/live/{s}/source/index.m3u8?_HLS_msn=8&_HLS_part=1");
    scene.until_waiting(2).await;
    first.close();
    let handed = first.successor(2);
    first.kill();
    scene.directory.without_worker(Phase::Live);
    // What was served goes on being served, parts too.
    let meanwhile = until_text(&scene, PLAYLIST, |text| text.contains("\n8-1.m4s\n")).await;
    assert_eq!(headers(&meanwhile), headers(&before));
    assert_eq!(scene.bytes("/live/{s}/source/p1-4.m4s").await, "[source 1 4]");
    assert_eq!(scene.bytes("/live/{s}/source/7-1.m4s").await.len(), 60);

    let second = scene.worker(2).await;
    second.take_up(handed);
    // The dead worker's hint comes to nothing, at once; the new one's is waited for.
    assert_eq!(hinted.await.unwrap().0, 404);
    assert_eq!(scene.status("/live/{s}/source/p1-6.m4s").await, 404);
    until("the feed carries the rendition", || second.carries("source")).await;
    let hinted = scene.start("/live/{s}/source/p2-0.m4s");
    second.part();
    assert_eq!(hinted.await.unwrap(), (200, "[source 2 0]".to_owned()));
    let (status, text) = waiting.await.unwrap();
    assert_eq!(status, 200);
    assert!(text.contains("\n8-1.m4s\n") && text.contains("p2-0.m4s"), "{text}");
    assert!(!text.contains("DISCONTINUITY\n"), "{text}");
    assert_eq!(headers(&text), headers(&before));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_rendition_is_followed_without_the_first_one_missing_anything() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source", "480p", "audio"]);
    scene.text(PLAYLIST).await;
    until("the feed carries the first", || worker.carries("source")).await;
    scene.text("/live/{s}/480p/index.m3u8").await;
    for _ in 0..4 {
        worker.part();
    }
    until("the feed carries both", || worker.carries("480p") && worker.carries("source")).await;
    worker.part();
    let text = until_text(&scene, PLAYLIST, |text| text.contains("\"p1-5.m4s\"\n")).await;
    for number in 0..=5 {
        assert!(text.contains(&format!("\"p1-{number}.m4s\"")), "{text}");
        for rendition in ["source", "480p"] {
            let part = scene.bytes(&format!("/live/{{s}}/{rendition}/p1-{number}.m4s")).await;
            assert_eq!(part, format!("[{rendition} 1 {number}]"));
        }
    }
    assert!(worker.feeds() >= 2);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_breaks_is_opened_again() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    scene.text(PLAYLIST).await;
    until("no feed is being opened", || worker.only_carries("source")).await;
    let feeds = worker.feeds();
    worker.skip("source");
    until("there is a new feed", || worker.feeds() > feeds).await;
    until("it is read", || worker.carries("source")).await;
    worker.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p1-1.m4s\"\n")).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_starts_between_two_workers_reads_the_state_in_storage() {
    let scene = Scene::new().await;
    let worker = scene.worker_with_a_stored_segment().await;
    worker.kill();
    scene.directory.without_worker(Phase::Live);
    // The next worker has claimed its epoch and not filled it.
    let claim = Key::Live(scene.stream, StreamFile::State(Epoch(2)));
    scene.store.put(&claim, "{}".into()).await.unwrap();
    let text = scene.text(PLAYLIST).await;
    assert!(text.contains("\n7-1.m4s\n") && text.contains("PRELOAD-HINT"), "{text}");
    assert_eq!(scene.bytes("/live/{s}/source/7-1.m4s").await.len(), 60);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_followed_while_storage_hangs() {
    for named_at_once in [false, true] {
        let scene = Scene::new().await;
        // The higher one shows that it is read, and says nothing.
        let (asked, hangs) = (scene.hang("state-2.json"), scene.hang("state-1.json"));
        scene.directory.without_worker(Phase::Live);
        let worker = FakeWorker::start(scene.stream, 3, &feed_key(), scene.store.clone()).await;
        if named_at_once {
            scene.directory.assign(&worker, Phase::Live);
        }
        let viewer = scene.start(PLAYLIST);
        until("storage is asked", || asked.let_go().is_some()).await;
        scene.directory.assign(&worker, Phase::Live);
        worker.announce(&["source"]);
        let answer = tokio::time::timeout(Duration::from_secs(10), viewer).await;
        let (status, text) = answer.expect("the worker is followed").unwrap();
        assert!(status == 200 && text.contains("\"p3-0.m4s\""), "{text}");
        drop((asked, hangs));
        scene.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_starts_while_a_new_worker_has_no_publisher_reads_the_state_in_storage() {
    let scene = Scene::new().await;
    let worker = scene.worker_with_a_stored_segment().await;
    worker.kill();
    let second = scene.worker(2).await;
    let text = scene.text(PLAYLIST).await;
    assert!(text.contains("\n7-1.m4s\n"), "{text}");
    until("its feed is read", || second.carries("source")).await;
    second.take_up(worker.successor(2));
    second.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p2-0.m4s\"")).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_an_endlist_for_those_who_watched() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    scene.text(PLAYLIST).await;
    let waiting = scene.start("/live/{s}/source/index.m3u8?_HLS_msn=7&_HLS_part=1");
    scene.until_waiting(1).await;
    worker.close();
    worker.event(&Event::End);
    let (status, text) = waiting.await.unwrap();
    assert_eq!(status, 200);
    assert!(text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
    scene.directory.without_worker(Phase::Ended);
    assert!(scene.text(PLAYLIST).await.ends_with("#EXT-X-ENDLIST\n"));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_come_after_the_end_get_what_is_stored() {
    let scene = Scene::new().await;
    scene.directory.without_worker(Phase::Ended);
    let live = |file: &str| Key::Live(scene.stream, file.parse().unwrap());
    for (file, text) in [
        ("master.m3u8", "#EXTM3U\nsource/index.m3u8\n"),
        ("source/index.m3u8", "#EXTM3U\n#EXT-X-MAP:URI=\"init-abc.mp4\"\n7-1.m4s\n"),
        ("manifest.mpd", "manifest"),
        ("source/7-1.m4s", "segment"),
        ("source/init-abc.mp4", "init"),
    ] {
        scene.store.put(&live(file), text.into()).await.unwrap();
        assert_eq!(scene.text(&format!("/live/{{s}}/{file}")).await, text);
    }
    for file in ["source/p1-0.m4s", "source/8-1.m4s", "480p/index.m3u8"] {
        assert_eq!(scene.status(&format!("/live/{{s}}/{file}")).await, 404, "{file}");
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawn_rendition_is_gone_until_it_comes_back() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source", "480p"]);
    for _ in 0..3 {
        worker.part();
    }
    scene.text("/live/{s}/480p/index.m3u8").await;
    // A feed that is only just being opened would tell all that follows once more.
    until("the second feed took over", || worker.only_carries("480p")).await;
    let waiting = scene.start("/live/{s}/480p/index.m3u8?_HLS_msn=7&_HLS_part=4");
    scene.until_waiting(1).await;
    worker.event(&Event::Withdrawn { rendition: "480p".parse().unwrap() });
    assert_eq!(waiting.await.unwrap().0, 404);
    assert!(!scene.text("/live/{s}/master.m3u8").await.contains("480p"));
    let mut back = worker.timeline();
    for track in back.tracks.iter_mut().filter(|track| track.name.as_str() == "480p") {
        track.withdrawn = false;
    }
    worker.event(&Event::Snapshot(Box::new(back)));
    until_text(&scene, "/live/{s}/master.m3u8", |text| text.contains("480p")).await;
    let waiting = scene.start("/live/{s}/480p/index.m3u8?_HLS_msn=7&_HLS_part=4");
    scene.until_waiting(1).await;
    worker.part();
    assert_eq!(waiting.await.unwrap().0, 200);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_waits_is_told_without_an_error_when_there_is_something_to_watch() {
    const BEGUN: &str = "/live/{s}/begun";
    let scene = Scene::new().await;
    assert_eq!(scene.text(BEGUN).await, "false", "it starts");
    let unknown = StreamId::generate();
    assert_eq!(scene.text(&format!("/live/{unknown}/begun")).await, "false");
    assert_eq!(scene.text("/live/no-id/begun").await, "false");
    scene.directory.without_worker(Phase::Live);
    until_text(&scene, BEGUN, |text| text == "true").await;
    scene.directory.without_worker(Phase::Ended);
    until_text(&scene, BEGUN, |text| text == "false").await;
    scene.stop().await;
}
