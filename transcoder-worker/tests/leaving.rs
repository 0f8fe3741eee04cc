//! Workers that are told to go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

#[allow(dead_code, reason = "other test files ask for more")]
mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caudal_livestream::feed::Event;
use support::router::{OldRelay, Router};
use support::two_workers::{Scene, two_workers, whole};
use support::{ALONE, Broadcast, rung};
use tokio::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_told_to_go_says_so_and_serves_on_until_it_has_handed_over() {
    let _alone = ALONE.lock().await;
    let Scene { folder: _folder, broadcast, first, mut reader, router, second, mut next } =
        two_workers(Vec::new()).await;
    first.leave.cancel();
    reader
        .until("its word", |event, _| matches!(event, Event::Input(input) if input.up && input.leaving))
        .await;
    reader.stored("source", 1).await;
    let relay = broadcast.publish(&second, 2).await;
    router.switch(relay, OldRelay::IsHandedOver).await;
    first.ended().await;
    whole(&mut next, 2, 1).await;
    router.stop().await;

    // The end of its input is the worker's doing, and not the publisher's.
    let relay = broadcast.relay(&second, 2, 1, broadcast.session).await.unwrap();
    next.until("the relay", |event, _| matches!(event, Event::Input(input) if input.up)).await;
    second.shutdown.cancel();
    next.until(
        "its last word",
        |event, _| matches!(event, Event::Input(input) if !input.up && input.leaving),
    )
    .await;
    second.ended().await;
    drop(relay);
}

/// An ffmpeg that keeps its output open for long after its work is done.
fn slow_ffmpeg(folder: &Path) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let ffmpeg = std::env::split_paths(&path).map(|folder| folder.join("ffmpeg")).find(|file| file.is_file());
    let program = folder.join("slow-ffmpeg");
    let ffmpeg = ffmpeg.unwrap();
    let ffmpeg = ffmpeg.display();
    // Only as an encoder of rungs: what it can do is asked before the assignment is answered.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *force_key_frames*) {ffmpeg} \"$@\"; exec sleep 10 ;; esac\nexec {ffmpeg} \"$@\"\n"
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_was_told_to_go_closes_within_the_second_that_a_successor_waits() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(vec![rung(180, 311_000)]);
    let ffmpeg = slow_ffmpeg(folder.path());
    let worker = broadcast.worker_with(folder.path(), ffmpeg, Duration::from_mins(1)).await;
    let mut reader = broadcast.begin(&worker, &["source"]).await;
    let router = Router::start(broadcast.publish(&worker, 1).await);
    reader.stored("180p", 2).await;
    worker.leave.cancel();
    reader.until("its word", |event, _| matches!(event, Event::Input(input) if input.leaving)).await;

    let told = Instant::now();
    worker.shutdown.cancel();
    worker.ended().await;
    // A second and what a loaded machine takes. All of the time that an encoder is given otherwise is 2.5 s.
    assert!(told.elapsed() < Duration::from_secs(2), "{:?}", told.elapsed());
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_a_publisher_that_is_told_to_go_says_so_and_goes_at_once() {
    let _alone = ALONE.lock().await;
    let Scene { folder, broadcast, first, reader: _reader, router, second, mut next } =
        two_workers(Vec::new()).await;
    second.leave.cancel();
    next.until("its word", |event, _| matches!(event, Event::Input(input) if input.leaving)).await;
    second.ended().await;
    router.stop().await;
    first.shutdown.cancel();
    first.ended().await;

    let idle = broadcast.worker(folder.path()).await;
    idle.leave.cancel();
    idle.ended().await;
}
