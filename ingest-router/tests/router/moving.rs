//! A planned move: the next worker's relay is opened ahead, and has the publisher from a keyframe on.

use caudal_livestream::Epoch;
use caudal_livestream::record::{NextWorker, WorkerAddress};
use caudal_rtmp::{LossReason, PublisherEvent, Refusal};

use crate::fake_worker::{FakeWorker, Heard, Manner};
use crate::harness::{Encoder, Frame, HEADER, Harness, INTER, KEYFRAME, send_frame, send_headers, within};

fn name_next(harness: &Harness, next: Option<(WorkerAddress, u32)>) {
    harness.directory.change(harness.stream, |record| {
        record.status.next = next.map(|(address, epoch)| NextWorker { address, epoch: Epoch(epoch) });
    });
}

/// Everything that a worker hears until its publisher is gone: pictures, and why.
async fn hears_out(worker: &mut FakeWorker) -> (Vec<([u8; 2], u32)>, LossReason) {
    let mut pictures = Vec::new();
    loop {
        match worker.hears().await {
            Heard::Event(PublisherEvent::Video { timestamp_ms, data }) => {
                pictures.push(([data[0], data[1]], timestamp_ms));
            }
            Heard::Event(PublisherEvent::Lost { reason, .. }) => return (pictures, reason),
            _ => {}
        }
    }
}

async fn live(harness: &Harness) -> (Encoder, FakeWorker) {
    let (mut encoder, mut worker) = harness.live().await;
    send_headers(&mut encoder).await;
    send_frame(&mut encoder, 0, Frame::Key, 100).await;
    send_frame(&mut encoder, 250, Frame::Inter, 100).await;
    for expected in [(HEADER, 0), (KEYFRAME, 0), (INTER, 250)] {
        assert_eq!(worker.hears_video().await, expected);
    }
    (encoder, worker)
}

#[tokio::test]
async fn the_next_worker_has_the_publisher_from_a_keyframe_on_and_the_old_one_is_told_so() {
    let harness = Harness::start().await;
    let (mut encoder, mut old) = live(&harness).await;
    let mut next = FakeWorker::start().await;
    name_next(&harness, Some((next.address, 1)));
    assert_eq!(next.hears_relay().await, ("1".into(), "1".into()));
    send_frame(&mut encoder, 500, Frame::Inter, 100).await;
    assert_eq!(old.hears_video().await, (INTER, 500), "until a keyframe comes");
    send_frame(&mut encoder, 1000, Frame::Key, 100).await;
    send_frame(&mut encoder, 1250, Frame::Inter, 100).await;
    for expected in [(HEADER, 1000), (KEYFRAME, 1000), (INTER, 1250)] {
        assert_eq!(next.hears_video().await, expected);
    }
    assert_eq!(hears_out(&mut old).await, (vec![], LossReason::HandedOver));
    // The controller hears of it a moment later; until then its record names the old worker.
    harness.directory.change(harness.stream, |record| record.status.started_at = None);
    send_frame(&mut encoder, 1500, Frame::Inter, 100).await;
    assert_eq!(next.hears_video().await, (INTER, 1500));
    harness.directory.change(harness.stream, |record| {
        record.status.worker = Some(next.address);
        (record.status.epoch, record.status.next) = (Epoch(1), None);
    });
    send_frame(&mut encoder, 1750, Frame::Inter, 100).await;
    assert_eq!(next.hears_video().await, (INTER, 1750), "over the same relay");
    harness.stop().await;
}

#[tokio::test]
async fn when_the_old_worker_dies_first_the_next_one_gets_the_replay_over_the_relay_that_is_open() {
    let harness = Harness::start().await;
    let (mut encoder, mut old) = live(&harness).await;
    let mut next = FakeWorker::start().await;
    name_next(&harness, Some((next.address, 1)));
    next.hears_relay().await;
    old.die().await;
    harness.directory.change(harness.stream, |record| {
        record.status.worker = Some(next.address);
        (record.status.epoch, record.status.next) = (Epoch(1), None);
    });
    for expected in [(HEADER, 0), (KEYFRAME, 0), (INTER, 250)] {
        assert_eq!(next.hears_video().await, expected);
    }
    send_frame(&mut encoder, 500, Frame::Inter, 100).await;
    assert_eq!(next.hears_video().await, (INTER, 500));
    harness.stop().await;
}

#[tokio::test]
async fn a_move_that_is_given_up_leaves_the_publisher_where_it_is() {
    let harness = Harness::start().await;
    let (mut encoder, mut old) = live(&harness).await;
    let mut next = FakeWorker::start().await;
    name_next(&harness, Some((next.address, 1)));
    next.hears_relay().await;
    name_next(&harness, None);
    assert!(!next.hears_loss().await, "the relay that was opened ahead is closed");
    send_frame(&mut encoder, 1000, Frame::Key, 100).await;
    assert_eq!(old.hears_video().await, (KEYFRAME, 1000));
    harness.stop().await;
}

#[tokio::test]
async fn a_move_that_is_given_up_in_the_moment_of_the_switch_brings_the_publisher_back() {
    let harness = Harness::start().await;
    let (mut encoder, mut old) = live(&harness).await;
    let mut next = FakeWorker::start().await;
    name_next(&harness, Some((next.address, 1)));
    next.hears_relay().await;
    send_frame(&mut encoder, 1000, Frame::Key, 100).await;
    for expected in [(HEADER, 1000), (KEYFRAME, 1000)] {
        assert_eq!(next.hears_video().await, expected);
    }
    assert_eq!(hears_out(&mut old).await, (vec![], LossReason::HandedOver));
    name_next(&harness, None);
    assert_eq!(old.hears_relay().await, ("0".into(), "1".into()));
    assert!(!next.hears_loss().await);
    harness.stop().await;
}

#[tokio::test]
async fn a_next_worker_that_cannot_be_reached_is_reported_and_the_old_one_keeps_the_publisher() {
    let harness = Harness::start().await;
    let (mut encoder, mut old) = live(&harness).await;
    let mut next = FakeWorker::start().await;
    next.die().await;
    name_next(&harness, Some((next.address, 1)));
    assert_eq!(within(harness.directory.unreachable()).await.first(), Some(&(harness.stream, Epoch(1))));
    send_frame(&mut encoder, 1000, Frame::Key, 100).await;
    assert_eq!(old.hears_video().await, (KEYFRAME, 1000));

    // One that refuses because it is not ready yet is asked again.
    let mut next = FakeWorker::start().await;
    next.treat(Manner::Refuse(Refusal::BadName));
    name_next(&harness, Some((next.address, 2)));
    next.hears_relay().await;
    next.treat(Manner::Listen);
    next.hears_relay().await;
    send_frame(&mut encoder, 2000, Frame::Key, 100).await;
    assert_eq!(next.hears_video().await, (HEADER, 2000));
    harness.stop().await;
}
