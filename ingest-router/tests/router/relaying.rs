//! From the publisher to the worker, and to the next worker.

use std::time::{Duration, Instant};

use caudal_livestream::Epoch;
use caudal_rtmp::{PublisherEvent, Refusal};

use crate::fake_worker::{FakeWorker, Heard, Manner};
use crate::harness::{Frame, HEADER, Harness, INTER, KEYFRAME, input_key, send_frame, send_headers, within};

/// `gops` GOPs of four frames, a second each, from `start_ms` on.
async fn send_gops(encoder: &mut crate::harness::Encoder, start_ms: u32, gops: u32) {
    for gop in 0..gops {
        let at = start_ms + gop * 1000;
        send_frame(encoder, at, Frame::Key, 1000).await;
        for index in 1..4 {
            send_frame(encoder, at + index * 250, Frame::Inter, 500).await;
        }
    }
}

#[tokio::test]
async fn a_worker_gets_the_publishers_tags_unchanged_and_the_routers_proof() {
    let harness = Harness::start().await;
    let mut encoder = harness.publish().await.unwrap();
    let mut worker = FakeWorker::start().await;
    harness.directory.assign(harness.stream, worker.address, 3);
    let Heard::Relay { app, stream, epoch, session, generation, auth } = worker.hears().await else {
        panic!()
    };
    assert_eq!((app.as_str(), stream), ("relay", harness.stream.to_string()));
    assert_eq!((epoch.as_str(), generation.as_str()), ("3", "1"));
    assert_eq!(session, harness.record().spec.ingest.session.to_string());
    assert_eq!(auth, input_key().proof(harness.stream, Epoch(3)).reveal());
    send_headers(&mut encoder).await;
    send_frame(&mut encoder, 40, Frame::Key, 70_000).await;
    let mut heard = Vec::new();
    while heard.len() < 3 {
        if let Heard::Event(event) = worker.hears().await {
            heard.push(event);
        }
    }
    assert!(
        matches!(&heard[0], PublisherEvent::Video { timestamp_ms: 40, data } if *data == crate::harness::AVC_HEADER)
    );
    assert!(matches!(&heard[1], PublisherEvent::Audio { timestamp_ms: 40, .. }));
    assert!(matches!(&heard[2], PublisherEvent::Video { timestamp_ms: 40, data } if data.len() == 70_000));
    harness.stop().await;
}

#[tokio::test]
async fn the_next_worker_gets_headers_and_the_replay_before_what_follows() {
    let harness = Harness::start().await;
    let (mut encoder, mut first) = harness.live().await;
    send_headers(&mut encoder).await;
    send_gops(&mut encoder, 0, 2).await;
    assert_eq!(first.hears_video().await, (HEADER, 0));
    for _ in 0..8 {
        first.hears_video().await;
    }
    first.die().await;
    let mut second = FakeWorker::start().await;
    harness.directory.assign(harness.stream, second.address, 1);
    assert_eq!(second.hears_relay().await, ("1".into(), "1".into()));
    send_frame(&mut encoder, 2000, Frame::Key, 100).await;
    let mut expected = vec![(HEADER, 0)];
    for gop in 0..2 {
        expected.push((KEYFRAME, gop * 1000));
        expected.extend((1..4).map(|index| (INTER, gop * 1000 + index * 250)));
    }
    expected.push((KEYFRAME, 2000));
    for expected in expected {
        assert_eq!(second.hears_video().await, expected);
    }
    harness.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_not_to_get_the_replay_begins_with_the_next_keyframe() {
    let harness = Harness::start().await;
    let (mut encoder, mut first) = harness.live().await;
    send_headers(&mut encoder).await;
    send_gops(&mut encoder, 0, 2).await;
    while first.hears_video().await != (INTER, 1750) {}
    let mut second = FakeWorker::start().await;
    harness.directory.change(harness.stream, |record| {
        record.status.worker = Some(second.address);
        record.status.epoch = Epoch(2);
        record.status.without_replay = true;
    });
    second.hears_relay().await;
    send_gops(&mut encoder, 2000, 1).await;
    // The first of these frames may come before the relay is up: then the next keyframe is the next GOP's.
    send_gops(&mut encoder, 3000, 1).await;
    let (kind, at) = second.hears_video().await;
    assert_eq!(kind, HEADER);
    assert!(at >= 2000);
    assert_eq!(second.hears_video().await, (KEYFRAME, at));
    harness.stop().await;
}

#[tokio::test]
async fn a_worker_that_is_gone_is_reported_with_its_epoch() {
    let harness = Harness::start().await;
    let (mut encoder, mut worker) = harness.live().await;
    send_headers(&mut encoder).await;
    worker.die().await;
    assert_eq!(within(harness.directory.unreachable()).await[0], (harness.stream, Epoch(0)));
    send_frame(&mut encoder, 0, Frame::Key, 100).await;
    harness.stop().await;
}

#[tokio::test]
async fn failures_are_counted_for_each_worker_of_a_session() {
    let harness = Harness::start().await;
    let (mut encoder, mut worker) = harness.live().await;
    send_headers(&mut encoder).await;
    worker.die().await;
    let session = harness.record().spec.ingest.session;
    let told = within(harness.directory.relay_failures(|told| told.failures >= 3)).await;
    assert!(told.is_sorted_by_key(|(_, failures)| failures.failures));
    assert!(told.iter().all(|(_, failures)| (failures.epoch, failures.session) == (Epoch(0), session)));
    // The next one counts from one.
    let next = FakeWorker::start().await;
    next.treat(Manner::HangUp);
    harness.directory.assign(harness.stream, next.address, 1);
    let told = within(harness.directory.relay_failures(|told| told.epoch == Epoch(1))).await;
    assert_eq!(told.last().map(|(_, failures)| failures.failures), Some(1));
    harness.stop().await;
}

#[tokio::test]
async fn a_worker_that_hangs_up_at_once_is_reported_and_tried_again() {
    let harness = Harness::start().await;
    let _encoder = harness.publish().await.unwrap();
    let mut worker = FakeWorker::start().await;
    worker.treat(Manner::HangUp);
    harness.directory.assign(harness.stream, worker.address, 0);
    worker.hears_relay().await;
    assert_eq!(within(harness.directory.unreachable()).await[0], (harness.stream, Epoch(0)));
    worker.treat(Manner::Listen);
    worker.hears_relay().await;
    harness.stop().await;
}

#[tokio::test]
async fn a_worker_that_knows_better_is_no_dead_worker() {
    let harness = Harness::start().await;
    let mut encoder = harness.publish().await.unwrap();
    send_headers(&mut encoder).await;
    let mut old = FakeWorker::start().await;
    old.treat(Manner::Refuse(Refusal::BadName));
    harness.directory.assign(harness.stream, old.address, 0);
    old.hears_relay().await;
    old.hears_relay().await;
    let mut new = FakeWorker::start().await;
    harness.directory.assign(harness.stream, new.address, 1);
    assert_eq!(new.hears_relay().await.0, "1");
    assert_eq!(harness.directory.reports(), 0);
    harness.stop().await;
}

#[tokio::test]
async fn a_worker_that_reads_nothing_costs_frames_and_neither_memory_nor_the_publishers_time() {
    let harness = Harness::start().await;
    let mut encoder = harness.publish().await.unwrap();
    let mut worker = FakeWorker::start().await;
    worker.treat(Manner::Freeze);
    harness.directory.assign(harness.stream, worker.address, 0);
    worker.hears_relay().await;
    send_headers(&mut encoder).await;
    // 60 s of media and 48 MB: more than the replay and the kernel's buffers hold, and still under the bitrate that is
    // allowed within the window.
    for index in 0..240u32 {
        let kind = if index % 4 == 0 { Frame::Key } else { Frame::Inter };
        send_frame(&mut encoder, index * 250, kind, 200_000).await;
    }
    worker.treat(Manner::Listen);
    let mut frames = Vec::new();
    loop {
        let (kind, at) = worker.hears_video().await;
        frames.push((kind, at));
        if at == 239 * 250 {
            break;
        }
    }
    let hole =
        frames.windows(2).position(|pair| pair[1].1.abs_diff(pair[0].1) > 250).expect("frames are missing");
    assert_eq!(frames[hole + 1].0, HEADER, "behind the hole come headers");
    assert_eq!(frames[hole + 2].0, KEYFRAME, "and a keyframe");
    let sent = frames.iter().filter(|(kind, _)| *kind != HEADER).count();
    let media = within(
        harness
            .directory
            .wait_for(|record| record.status.media.as_ref().is_some_and(|media| media.dropped_frames > 0)),
    );
    let dropped = media.await.status.media.clone().unwrap().dropped_frames;
    assert_eq!(usize::try_from(dropped).unwrap() + sent, 240);
    harness.stop().await;
}

#[tokio::test]
async fn what_the_publisher_sends_is_measured_and_published() {
    let harness = Harness::start().await;
    let (mut encoder, _worker) = harness.live().await;
    send_headers(&mut encoder).await;
    send_gops(&mut encoder, 0, 3).await;
    let measured = |record: &caudal_livestream::record::LiveStream| {
        record.status.media.as_ref().is_some_and(|media| media.keyframe_interval_ms.is_some())
    };
    let record = within(harness.directory.wait_for(measured)).await;
    let media = record.status.media.clone().unwrap();
    assert_eq!((media.fps_milli, media.keyframe_interval_ms), (4000, Some(1000)));
    assert_eq!((media.video_codec.as_deref(), media.audio_codec.as_deref()), (Some("H.264"), Some("AAC")));
    assert_eq!((media.width, media.height), (Some(1280), Some(720)));
    assert!(media.connected_at.is_some());
    harness.stop().await;
}

#[tokio::test]
async fn a_measurement_that_the_directory_did_not_take_is_told_again() {
    let harness = Harness::start().await;
    let (mut encoder, _worker) = harness.live().await;
    send_frame(&mut encoder, 0, Frame::Key, 500).await;
    let measured = harness.directory.wait_for(|record| record.status.media.is_some());
    assert_eq!(within(measured).await.status.media.as_ref().unwrap().video_codec, None);
    harness.directory.set_deaf(true);
    let told = within(harness.directory.hears_measurement());
    tokio::join!(told, send_headers(&mut encoder));
    harness.directory.set_deaf(false);
    let known = |record: &caudal_livestream::record::LiveStream| {
        record.status.media.as_ref().is_some_and(|media| media.video_codec.is_some())
    };
    within(harness.directory.wait_for(known)).await;
    harness.stop().await;
}

#[tokio::test]
async fn a_measurement_that_the_directory_refused_is_told_again() {
    let harness = Harness::start().await;
    harness.directory.set_refusing(true);
    let (mut encoder, _worker) = harness.live().await;
    send_frame(&mut encoder, 0, Frame::Key, 500).await;
    within(harness.directory.has_heard_a_measurement()).await;
    harness.directory.set_refusing(false);
    within(harness.directory.wait_for(|record| record.status.media.is_some())).await;
    harness.stop().await;
}

#[tokio::test]
async fn what_a_worker_needs_only_with_later_tags_comes_with_them() {
    let harness = Harness::start().await;
    let mut encoder = harness.publish().await.unwrap();
    let mut worker = FakeWorker::start().await;
    worker.treat(Manner::Await(200));
    harness.directory.assign(harness.stream, worker.address, 0);
    worker.hears_relay().await;
    send_headers(&mut encoder).await;
    send_frame(&mut encoder, 0, Frame::Key, 500).await;
    while worker.hears_video().await.0 != KEYFRAME {}
    // The worker says it behind each tag: the two headers came with the keyframe.
    harness.counts(AWAITED, 3).await;
    for at in [40, 80] {
        send_frame(&mut encoder, at, Frame::Inter, 500).await;
    }
    let early = tokio::time::timeout(Duration::from_millis(50), worker.hears_video()).await;
    assert!(early.is_err(), "{early:?}");
    // What is awaited goes by its timestamp: here it comes sooner.
    send_frame(&mut encoder, 200, Frame::Inter, 500).await;
    for at in [40, 80, 200] {
        assert_eq!(worker.hears_video().await.1, at);
    }
    harness.counts(AWAITED, 6).await;
    let (kept, seconds) = harness.observed(HOLD);
    assert_eq!(kept, 1, "once for the three of them");
    assert!(seconds >= 0.05, "as long as the oldest of them: {seconds}");
    // A keyframe is always needed, and a publisher that stalls is not waited for.
    send_frame(&mut encoder, 240, Frame::Key, 500).await;
    assert_eq!(worker.hears_video().await.1, 240);
    harness.counts(AWAITED, 7).await;
    assert_eq!(harness.observed(HOLD).0, 1, "the keyframe was not kept");
    let begun = Instant::now();
    send_frame(&mut encoder, 280, Frame::Inter, 500).await;
    assert_eq!(worker.hears_video().await.1, 280);
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_millis(160), "{waited:?}");
    // What it sent last is sent on at once.
    harness.counts(AWAITED, 8).await;
    send_frame(&mut encoder, 320, Frame::Inter, 500).await;
    encoder.unpublish().await;
    assert_eq!(worker.hears_video().await.1, 320);
    assert!(worker.hears_loss().await);
    harness.stop().await;
}

const AWAITED: &str = "caudal_ingest_router_relay_awaited_total";
const HOLD: &str = "caudal_ingest_router_relay_hold_seconds";
