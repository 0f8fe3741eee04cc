//! A planned move: the edge reads the next worker's feed ahead, and shows it from its first snapshot on.

use caudal_livestream::Epoch;
use caudal_livestream::feed::Event;
use caudal_livestream::record::{NextWorker, Phase};

use super::fake_worker::FakeWorker;
use super::{Scene, feed_key, until, until_text};

const PLAYLIST: &str = "/live/{s}/source/index.m3u8";

/// The first worker, whose feed the edge reads.
async fn followed_worker(scene: &Scene) -> FakeWorker {
    let first = scene.worker(1).await;
    first.announce(&["source"]);
    scene.text(PLAYLIST).await;
    until("the feed carries the rendition", || first.carries("source")).await;
    first
}

/// A worker that the record names as the next one.
async fn next_worker(scene: &Scene, epoch: u32) -> FakeWorker {
    let next = FakeWorker::start(scene.stream, epoch, &feed_key(), scene.store.clone()).await;
    let named = NextWorker { address: next.address(), epoch: Epoch(epoch) };
    scene.directory.change(|record| record.status.next = Some(named));
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_go_over_at_the_next_workers_first_snapshot_and_waiting_requests_with_them() {
    let scene = Scene::new().await;
    let first = scene.worker(1).await;
    first.announce(&["source", "audio"]);
    scene.text(PLAYLIST).await;
    until("the feed carries the rendition", || first.carries("source")).await;
    for _ in 1..5 {
        first.part();
    }
    let next = next_worker(&scene, 2).await;
    until("its feed is read ahead", || next.carries("source")).await;
    // Until it has something to show, the first worker's word counts.
    let waiting = scene.start("/live/{s}/source/index.m3u8?_HLS_msn=8&_HLS_part=0");
    scene.until_waiting(1).await;
    first.close();
    next.take_up(first.successor(2));
    next.part();
    let (status, text) = waiting.await.unwrap();
    assert_eq!(status, 200);
    assert!(text.contains("\n7-1.m4s\n") && text.contains("\"p2-0.m4s\""), "{text}");
    let (_, media) = text.split_once("7-1.m4s").unwrap();
    assert!(!text.contains("DISCONTINUITY\n") && !media.contains("GAP"), "{text}");
    assert_eq!(scene.bytes("/live/{s}/source/p2-0.m4s").await, "[source 2 0]");

    // The record follows a moment later, and the first worker has gone by then.
    first.kill();
    next.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p2-1.m4s\"\n")).await;
    scene.directory.assign(&next, Phase::Live);
    scene.directory.change(|record| record.status.next = None);
    next.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p2-2.m4s\"\n")).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_next_workers_feed_that_was_lost_is_opened_again_however_much_the_first_worker_says() {
    let scene = Scene::new().await;
    let first = followed_worker(&scene).await;
    let next = next_worker(&scene, 2).await;
    until("its feed is read ahead", || next.carries("source")).await;
    next.cut_feeds();
    until("its feed is read ahead again", || {
        first.event(&Event::Heartbeat);
        next.carries("source")
    })
    .await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_is_given_up_changes_nothing_for_viewers() {
    let scene = Scene::new().await;
    let first = followed_worker(&scene).await;
    let next = next_worker(&scene, 2).await;
    until("its feed is read ahead", || next.carries("source")).await;
    next.kill();
    first.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p1-1.m4s\"\n")).await;
    scene.directory.change(|record| record.status.next = None);
    first.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p1-2.m4s\"\n")).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_breaks_while_the_router_waits_for_a_keyframe_is_opened_again() {
    let scene = Scene::new().await;
    let first = followed_worker(&scene).await;
    let next = next_worker(&scene, 2).await;
    until("its feed is read ahead", || next.carries("source")).await;
    first.cut_feeds();
    until("the feed is there again", || first.carries("source")).await;
    first.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p1-1.m4s\"\n")).await;
    // It breaks again, and the move is given up.
    first.cut_feeds();
    scene.directory.change(|record| record.status.next = None);
    until("the feed is there again", || first.carries("source")).await;
    first.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p1-2.m4s\"\n")).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_of_the_next_worker_that_breaks_before_the_record_follows_is_opened_again() {
    let scene = Scene::new().await;
    let first = followed_worker(&scene).await;
    for _ in 1..5 {
        first.part();
    }
    let next = next_worker(&scene, 2).await;
    until("its feed is read ahead", || next.carries("source")).await;
    first.close();
    next.take_up(first.successor(2));
    next.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p2-0.m4s\",INDEPENDENT")).await;
    next.cut_feeds();
    until("its feed is there again", || next.carries("source")).await;
    next.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p2-1.m4s\"\n")).await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_was_opened_ahead_is_gone_on_with_where_the_record_is_faster_than_the_first_worker() {
    let scene = Scene::new().await;
    let first = followed_worker(&scene).await;
    for _ in 1..5 {
        first.part();
    }
    let next = next_worker(&scene, 2).await;
    until("its feed is read ahead", || next.carries("source")).await;
    first.close();
    scene.directory.change(|record| {
        record.status.worker = Some(next.address());
        record.status.epoch = next.epoch();
        record.status.next = None;
    });
    until("the first worker is not read any more", || !first.carries("source")).await;
    next.take_up(first.successor(2));
    next.part();
    until_text(&scene, PLAYLIST, |text| text.contains("\"p2-0.m4s\",INDEPENDENT")).await;
    assert_eq!(next.feeds(), 1);
    scene.stop().await;
}
