//! How publishers leave, and how they are sent away.

use bytes::Bytes;
use caudal_livestream::record::{DesiredState, DropPublisher};
use caudal_livestream::report::EndReason;
use caudal_rtmp::{Refusal, RelayClient};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::fake_worker::FakeWorker;
use crate::harness::{Frame, Harness, refusal, send_frame, send_headers, target, within};

#[tokio::test]
async fn a_good_bye_reaches_the_worker_behind_the_last_frame() {
    let harness = Harness::start().await;
    let (mut encoder, mut worker) = harness.live().await;
    send_headers(&mut encoder).await;
    send_frame(&mut encoder, 0, Frame::Key, 100).await;
    encoder.unpublish().await;
    worker.hears_video().await;
    worker.hears_video().await;
    assert!(worker.hears_loss().await, "explicit");
    harness.stop().await;
}

#[tokio::test]
async fn a_connection_that_ends_without_a_word_is_no_good_bye() {
    let harness = Harness::start().await;
    let (mut encoder, mut worker) = harness.live().await;
    send_headers(&mut encoder).await;
    send_frame(&mut encoder, 0, Frame::Key, 100).await;
    drop(encoder);
    worker.hears_video().await;
    worker.hears_video().await;
    assert!(!worker.hears_loss().await, "not explicit");
    harness.stop().await;
}

#[tokio::test]
async fn a_worker_that_comes_late_still_gets_a_short_broadcast_and_its_end() {
    let harness = Harness::start().await;
    let mut encoder = harness.publish().await.unwrap();
    send_headers(&mut encoder).await;
    send_frame(&mut encoder, 0, Frame::Key, 100).await;
    encoder.unpublish().await;
    let mut worker = FakeWorker::start().await;
    harness.directory.assign(harness.stream, worker.address, 0);
    worker.hears_relay().await;
    worker.hears_video().await;
    worker.hears_video().await;
    assert!(worker.hears_loss().await);
    harness.stop().await;
}

#[tokio::test]
async fn a_router_that_stops_still_brings_the_last_words_of_who_has_just_left() {
    let harness = Harness::start().await;
    let mut encoder = harness.publish().await.unwrap();
    send_headers(&mut encoder).await;
    send_frame(&mut encoder, 0, Frame::Key, 100).await;
    encoder.unpublish().await;
    within(async {
        while harness.counted("caudal_ingest_router_publishers") > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    harness.shutdown.cancel();
    within(async { while TcpStream::connect(harness.rtmp).await.is_ok() {} }).await;
    // On a runtime of one thread, by then everybody has taken account of it.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let mut worker = FakeWorker::start().await;
    harness.directory.assign(harness.stream, worker.address, 0);
    worker.hears_relay().await;
    worker.hears_video().await;
    worker.hears_video().await;
    assert!(worker.hears_loss().await, "explicit");
    harness.stop().await;
}

#[tokio::test]
async fn a_publisher_is_dropped_by_order_and_its_worker_hears_no_good_bye() {
    let harness = Harness::start().await;
    let (mut encoder, mut worker) = harness.live().await;
    send_headers(&mut encoder).await;
    harness.directory.change(harness.stream, |record| {
        let session = record.spec.ingest.session;
        record.spec.drop = Some(DropPublisher { session, reason: "Your bitrate is too high.".into() });
    });
    let told = refusal(&within(encoder.lost()).await);
    assert_eq!(told, (Some(Refusal::Rejected), "Your bitrate is too high.".into()));
    assert!(!worker.hears_loss().await);
    harness.stop().await;
}

#[tokio::test]
async fn a_codec_that_is_refused_is_told_to_the_publisher_and_to_whoever_looks_after_the_broadcast() {
    for (video, name) in [(&b"\x90av01\x81"[..], "av01"), (b"\x14vp6", "VP6"), (b"\x96\x00av01\x00", "av01")]
    {
        let harness = Harness::start().await;
        let (mut encoder, _worker) = harness.live().await;
        encoder.send_video(0, Bytes::copy_from_slice(video)).unwrap();
        within(encoder.flush()).await.unwrap();
        let (refused, words) = refusal(&within(encoder.lost()).await);
        assert_eq!(refused, Some(Refusal::Rejected));
        assert!(words.starts_with(&format!("{name} is not supported.")), "{words}");
        let session = harness.record().spec.ingest.session;
        let reported = within(harness.directory.refused()).await;
        let words = format!("{name} is not supported; send H.264 or HEVC video and AAC audio");
        assert_eq!(reported, [(harness.stream, session, words)]);
        harness.stop().await;
    }
}

#[tokio::test]
async fn when_the_broadcast_is_ended_the_publisher_is_told() {
    let harness = Harness::start().await;
    let (mut encoder, _worker) = harness.live().await;
    harness.directory.change(harness.stream, |record| {
        record.spec.desired_state = DesiredState::Ended;
        record.spec.end_reason = Some(EndReason::KeyRotated);
    });
    let told = refusal(&within(encoder.lost()).await);
    assert_eq!(
        told,
        (Some(Refusal::Denied), "The stream key was changed. Copy the new one from the page Go live.".into())
    );
    harness.stop().await;
}

#[tokio::test]
async fn a_router_that_stops_tells_its_publishers_and_ends_no_broadcast() {
    let harness = Harness::start().await;
    let (mut encoder, mut worker) = harness.live().await;
    let rtmp = harness.rtmp;
    harness.shutdown.cancel();
    let told = refusal(&within(encoder.lost()).await);
    assert_eq!(told.0, Some(Refusal::Rejected));
    assert!(told.1.contains("restarting"));
    drop(encoder);
    assert!(!worker.hears_loss().await);
    assert_eq!(harness.record().spec.desired_state, DesiredState::Live);
    within(harness.router).await.unwrap().unwrap();
    let late =
        RelayClient::connect_tcp(rtmp, target("key"), Instant::now() + std::time::Duration::from_secs(5))
            .await;
    assert!(late.is_err(), "nobody listens any more");
}
