//! Posters of whole streams: who makes them, and that nothing else suffers when one cannot be made.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

#[expect(dead_code, reason = "not every test file needs all of it")]
mod support;

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caudal_livestream::feed::Event;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::publisher::Publisher;
use support::{ALONE, Broadcast, PATIENCE, encoders, rung};
use tokio::time::{Instant, sleep};

/// An ffmpeg that ends at once, with an error, when its arguments are like this.
fn ffmpeg_without(folder: &Path, refused: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let ffmpeg = std::env::split_paths(&path).map(|folder| folder.join("ffmpeg")).find(|file| file.is_file());
    let ffmpeg = ffmpeg.expect("ffmpeg is in PATH");
    let program = folder.join("ffmpeg-without");
    let script =
        format!("#!/bin/sh\ncase \"$*\" in {refused}) exit 1 ;; esac\nexec {} \"$@\"\n", ffmpeg.display());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// Rungs together with posters.
const POSTERS_BESIDE_RUNGS: &str = "*filter_complex*image2pipe*";
/// One poster of one keyframe.
const A_POSTER_ALONE: &str = "*' -vf '*";

/// Waits for `count` posters that differ.
async fn posters(file: &Path, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = HashSet::new();
    while seen.len() < count {
        assert!(Instant::now() < deadline, "{} posters only", seen.len());
        if let Ok(poster) = std::fs::read(file) {
            assert!(poster.starts_with(&[0xFF, 0xD8]) && poster.ends_with(&[0xFF, 0xD9]));
            seen.insert(poster);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_encoder_of_the_rungs_makes_the_posters_and_so_does_the_one_after_it() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(vec![rung(180, 311_000)]);
    let ffmpeg = ffmpeg_without(folder.path(), A_POSTER_ALONE);
    let worker = broadcast.worker_with(folder.path(), ffmpeg, Duration::from_secs(1)).await;
    let mut reader = broadcast.begin(&worker, &[]).await;
    let relay = broadcast.publish(&worker, 1).await;
    let _publisher = Publisher::start(relay, 0);
    reader.stored("180p", 1).await;
    let file = folder.path().join(format!("thumbnails/{}/poster.jpg", broadcast.stream));
    posters(&file, 2).await;
    let children = encoders("311000");
    assert_eq!(children.len(), 1);
    for pid in children {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    posters(&file, 4).await;
    reader.stored("180p", 2).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ffmpeg_that_cannot_make_posters_beside_rungs_makes_the_rungs() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(vec![rung(180, 312_000)]);
    let ffmpeg = ffmpeg_without(folder.path(), POSTERS_BESIDE_RUNGS);
    let worker = broadcast.worker_with(folder.path(), ffmpeg, Duration::from_secs(1)).await;
    let mut reader = broadcast.begin(&worker, &[]).await;
    let relay = broadcast.publish(&worker, 1).await;
    let _publisher = Publisher::start(relay, 0);
    reader
        .until("a segment of the rung", |event, _| {
            matches!(event, Event::Segment(done) if done.rendition.as_str() == "180p" && !done.segment.gap)
        })
        .await;
    let file = folder.path().join(format!("thumbnails/{}/poster.jpg", broadcast.stream));
    posters(&file, 2).await;
    worker.stop().await;
}
