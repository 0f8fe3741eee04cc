//! A machine whose clock is set while streams wait.

use super::*;

/// NTP after boot, a laptop that was opened, a person with a calendar.
const STEPS_MS: [i64; 3] = [-3_600_000, 3_600_000, 31_536_000_000];

#[tokio::test]
async fn a_stream_that_waits_for_its_publisher_goes_on_waiting_when_the_clock_is_set() {
    for step in STEPS_MS {
        let stage = Stage::new().await;
        let (stream, worker) = stage.live().await;
        worker.publisher_gone(Generation(1), false);
        stage.until(stream, |s| s.status.phase == Phase::Reconnecting).await;
        stage.wall.set_by(step);
        // Whatever happens next makes the controller look at its clock.
        worker.announce_segment();
        let back = stage.directory.reconnect(stream, ingest(2)).await;
        assert!(back.is_ok(), "{step} ms: {back:?}");
        worker.publisher_up(Generation(2));
        stage.until(stream, |s| s.status.phase == Phase::Live).await;
        stage.directory.close().await;
    }
}

#[tokio::test]
async fn a_stream_that_starts_goes_on_starting_when_the_clock_is_set() {
    for step in STEPS_MS {
        let stage = Stage::new().await;
        stage.workers.scarce(true);
        let stream = stage.open().await;
        stage.wall.set_by(step);
        // A measurement makes the controller look at its clock.
        let session = stage.directory.get(stream).unwrap().spec.ingest.session;
        let media =
            MediaInfo { keyframe_interval_ms: Some(2_000), fps_milli: 30_000, ..MediaInfo::default() };
        stage.directory.report_media(stream, session, media).await;
        stage.until(stream, |s| s.status.media.is_some()).await;
        stage.workers.scarce(false);
        let worker = stage.workers.assigned(stream, Epoch(1), AssignmentMode::Live).await;
        worker.publisher_up(Generation(1));
        worker.announce_segment();
        stage.until(stream, |s| s.status.phase == Phase::Live).await;
        stage.directory.close().await;
    }
}

#[tokio::test]
async fn a_wait_ends_when_it_is_over_however_far_the_clock_was_set_back() {
    for step in STEPS_MS {
        let stage = Stage::new().await;
        let (stream, worker) = stage.live().await;
        worker.publisher_gone(Generation(1), true);
        stage.until(stream, |s| s.status.phase == Phase::Reconnecting).await;
        stage.wall.set_by(step);
        // Five seconds after a publisher's good-bye.
        stage.until(stream, |s| s.status.phase.is_over()).await;
        stage.directory.close().await;
    }
}

#[tokio::test]
async fn after_a_restart_on_a_clock_that_was_set_back_a_stream_waits_no_longer_than_its_window() {
    let mut stage = Stage::new().await;
    let (stream, worker) = stage.live().await;
    worker.publisher_gone(Generation(1), true);
    stage.until(stream, |s| s.status.phase == Phase::Reconnecting).await;
    stage.wall.set_by(-31_536_000_000);
    stage.restart().await;
    stage.until(stream, |s| s.status.phase.is_over()).await;
    stage.directory.close().await;
}
