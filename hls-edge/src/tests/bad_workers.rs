//! Workers that were taken over by what strangers sent them, and say what they like.

use caudal_livestream::feed::{Event, SegmentAnnounced};
use caudal_livestream::timeline::Segment;
use caudal_livestream::{Epoch, Msn, StreamId};

use super::fake_worker::FakeWorker;
use super::{Scene, until, until_text};

const PLAYLIST: &str = "/live/{s}/source/index.m3u8";
const LOST: &str = "caudal_hls_edge_feeds_lost_total";

/// A worker that is followed, with a whole segment of one part.
async fn followed(scene: &Scene) -> FakeWorker {
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    worker.close();
    scene.text(PLAYLIST).await;
    until("its feed is read", || worker.only_carries("source")).await;
    worker
}

fn listed(playlist: &str) -> usize {
    playlist.lines().filter(|line| line.starts_with("#EXTINF")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_from_whose_window_nothing_leaves_is_followed_for_so_long_only() {
    let scene = Scene::new().await;
    let worker = followed(&scene).await;
    let last = worker.timeline().tracks[0].segments.back().unwrap().clone();
    let lost = scene.metric(LOST);
    for n in 1..3_000 {
        worker.say(&Event::Segment(SegmentAnnounced {
            rendition: "source".parse().unwrap(),
            segment: Segment { msn: Msn(last.msn.0 + n), ..last.clone() },
            window_start: Msn(0),
            peak_bandwidth: 1,
            average_bandwidth: 1,
        }));
    }
    until("the feed is given up", || scene.metric(LOST) > lost).await;
    let text = until_text(&scene, PLAYLIST, |text| listed(text) > 1_000).await;
    assert!(listed(&text) <= 1_024 + 7, "{}", listed(&text));
    // Whoever has the stream next is followed.
    let second = FakeWorker::start(scene.stream, 2, &super::feed_key(), scene.store.clone()).await;
    let mut next = worker.successor(2);
    next.timeline.tracks[0].segments.clear();
    next.timeline.tracks[0].segments.push_back(Segment { msn: Msn(last.msn.0 + 3_000), ..last });
    second.take_up(next);
    worker.kill();
    scene.directory.assign(&second, caudal_livestream::record::Phase::Live);
    until_text(&scene, PLAYLIST, |text| text.contains("MEDIA-SEQUENCE:3007\n")).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_speaks_of_no_other_stream_and_for_no_later_epoch() {
    let scene = Scene::new().await;
    let worker = followed(&scene).await;
    let mut later = worker.timeline();
    later.epoch = Epoch(u32::MAX);
    let mut other = worker.timeline();
    other.stream = StreamId::generate();
    for timeline in [later, other] {
        let (lost, snapshot) = (scene.metric(LOST), Event::Snapshot(Box::new(timeline)));
        // Again and again: behind the first one the feed is opened anew, after a pause.
        let is_given_up = || {
            worker.say(&snapshot);
            scene.metric(LOST) > lost
        };
        until("the feed is given up", is_given_up).await;
    }
    worker.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p1-1.m4s\"")).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_another_size_than_was_announced_is_not_kept() {
    for other in [&b"["[..], b"[source 1 1] and something more"] {
        let scene = Scene::new().await;
        let worker = followed(&scene).await;
        let lost = scene.metric(LOST);
        worker.part_with(other);
        until("the feed is given up", || scene.metric(LOST) > lost).await;
        until_text(&scene, PLAYLIST, |text| text.contains("\"p1-1.m4s\"")).await;
        assert_eq!(scene.bytes("/live/{s}/source/p1-1.m4s").await, "[source 1 1]");
        scene.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_another_size_than_was_announced_is_as_good_as_none_and_never_kept() {
    let scene = Scene::new().await;
    let worker = scene.worker(1).await;
    worker.announce(&["source"]);
    worker.close();
    worker.part();
    let files = ["7-1.m4s", "p1-1.m4s", "init-abc.mp4"];
    let right = files.map(|file| worker.held("source", file));
    worker.file("source", files[0], "[source 1 0] and more".into());
    worker.file("source", files[1], "[".into());
    worker.file("source", files[2], vec![0; 300_000].into());
    scene.text(PLAYLIST).await;
    for _ in 0..2 {
        for file in files {
            scene.cannot_say(&format!("/live/{{s}}/source/{file}")).await;
        }
    }
    for (file, right) in files.into_iter().zip(right) {
        worker.file("source", file, right.clone());
        assert_eq!(scene.bytes(&format!("/live/{{s}}/source/{file}")).await, right, "{file}");
    }
    scene.stop().await;
}
