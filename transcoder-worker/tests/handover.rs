//! Two workers and one stream: the first hands it over, or dies on the way.
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

use caudal_livestream::assignment::{Assignment, AssignmentMode, Floor};
use caudal_livestream::feed::{Event, Frame};
use caudal_livestream::timeline::{SegmentPhase, Timeline, Track};
use caudal_livestream::{MediaTime, Msn};
use caudal_media::flv::{FlvTag, TagKind};
use caudal_rtmp::RelayPublisher;
use support::{
    ALONE, Broadcast, Encoder, Reader, Worker, decoded_frames, is_header, is_keyframe, rung, send,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// What becomes of the relay that is switched from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OldRelay {
    IsHandedOver,
    Breaks,
}

/// A router with one publisher, which goes over to another relay at the next keyframe.
struct Router {
    switch: mpsc::Sender<(RelayPublisher<TcpStream>, OldRelay)>,
    task: JoinHandle<()>,
}

impl Router {
    fn start(relay: RelayPublisher<TcpStream>) -> Self {
        let (switch, switches) = mpsc::channel(1);
        Self { switch, task: tokio::spawn(route(relay, switches)) }
    }

    async fn switch(&self, to: RelayPublisher<TcpStream>, old: OldRelay) {
        self.switch.send((to, old)).await.unwrap();
    }

    async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

async fn route(
    mut relay: RelayPublisher<TcpStream>,
    mut switches: mpsc::Receiver<(RelayPublisher<TcpStream>, OldRelay)>,
) {
    let mut encoder = Encoder::start();
    let mut headers: Vec<FlvTag> = Vec::new();
    let mut next = None;
    loop {
        let tags = encoder.tags().await;
        if tags.is_empty() {
            return;
        }
        for tag in tags {
            next = switches.try_recv().ok().or(next);
            if tag.kind == TagKind::Script || is_header(&tag) {
                headers.push(tag.clone());
            }
            if is_keyframe(&tag)
                && let Some((to, old)) = next.take()
            {
                let old_relay = std::mem::replace(&mut relay, to);
                if old == OldRelay::IsHandedOver {
                    tokio::spawn(old_relay.hand_over());
                }
                for header in &headers {
                    send(&mut relay, &FlvTag { timestamp_ms: tag.timestamp_ms, ..header.clone() });
                }
            }
            send(&mut relay, &tag);
        }
        // A worker that was killed takes nothing any more; the next relay comes.
        let _ = timeout(Duration::from_secs(1), relay.flush()).await;
    }
}

fn track<'a>(timeline: &'a Timeline, name: &str) -> &'a Track {
    timeline.track(&name.parse().unwrap()).unwrap()
}

/// A stream of two stored segments on a first worker, and a second one that is ready to take it.
async fn two_workers(folder: &Path, broadcast: &Broadcast) -> (Worker, Reader, Router, Worker, Reader) {
    let (first, mut reader) = broadcast.live(folder, &["source"]).await;
    let relay = broadcast.publish(&first, 1).await;
    let router = Router::start(relay);
    reader.stored("source", 2).await;

    let second = broadcast.worker(folder).await;
    broadcast.assign(&second, 2, AssignmentMode::Prepare, None).await;
    let next = broadcast.feed(&second, 2, &["source"]).await;
    (first, reader, router, second, next)
}

/// Reads until the reader's timeline holds `count` whole segments of each rendition under `epoch`.
async fn whole(reader: &mut Reader, epoch: u32, count: usize) {
    reader
        .until("whole segments of the next worker", |_, timeline| {
            timeline.is_some_and(|timeline| {
                timeline.tracks.iter().all(|track| {
                    let whole = |s: &&caudal_livestream::timeline::Segment| {
                        s.epoch.0 == epoch && s.phase == SegmentPhase::Stored
                    };
                    track.segments.iter().filter(whole).count() >= count
                })
            })
        })
        .await;
}

/// Nothing is missing, nothing is there twice, and no player sees where one worker ends and the other begins.
fn is_unbroken(track: &Track) {
    let inits: Vec<_> = track.segments.iter().filter_map(|segment| segment.init.clone()).collect();
    assert!(inits.windows(2).all(|two| two[0] == two[1]), "{}: {inits:?}", track.name);
    for two in track.segments.iter().collect::<Vec<_>>().windows(2) {
        let (before, after) = (two[0], two[1]);
        let case = format!("{} {before:?}\n{after:?}", track.name);
        assert_eq!(after.msn, before.msn.next(), "{case}");
        assert!(!before.gap && !after.gap, "{case}");
        assert_eq!(after.discontinuity, before.discontinuity, "{case}");
        let hole = after.start.0 - before.start.plus(before.duration).0;
        assert!(hole.abs() <= 1_000, "a hole of {hole} µs: {case}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_handed_over_at_a_keyframe_and_nobody_sees_where() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(vec![rung(180, 311_000)]);
    let (first, mut reader, router, second, mut next) = two_workers(folder.path(), &broadcast).await;
    assert!(
        !broadcast.media(folder.path()).join("state-2.json").exists(),
        "an epoch is claimed when it begins"
    );
    // An encoder that has just started lags by more than a hand-over waits for.
    reader.stored("180p", 2).await;

    let relay = broadcast.publish(&second, 2).await;
    next.until("the relay", |event, _| matches!(event, Event::Input(input) if input.up)).await;
    router.switch(relay, OldRelay::IsHandedOver).await;
    reader.until("the switch", |event, _| matches!(event, Event::Input(input) if input.moved)).await;
    whole(&mut next, 2, 2).await;
    first.ended().await;

    let timeline = next.timeline.clone().unwrap();
    let names: Vec<_> = timeline.tracks.iter().map(|track| track.name.to_string()).collect();
    assert_eq!(names, ["source", "180p", "audio"]);
    let live = broadcast.media(folder.path());
    for track in &timeline.tracks {
        is_unbroken(track);
        let epochs: Vec<_> = track.segments.iter().map(|segment| segment.epoch.0).collect();
        assert!(epochs.contains(&1) && epochs.contains(&2) && epochs.is_sorted(), "{epochs:?}");
        let own = live.join(track.name.as_str());
        let stored: Vec<_> = track.segments.iter().filter(|s| s.phase == SegmentPhase::Stored).collect();
        let init = stored.iter().rev().find_map(|segment| segment.init.as_ref()).unwrap();
        let mut files = vec![own.join(format!("init-{init}.mp4"))];
        files.extend(stored.iter().map(|s| own.join(format!("{}-{}.m4s", s.msn, s.epoch))));
        if track.is_video() {
            let micros: u64 = stored.iter().map(|segment| segment.duration.0).sum();
            let frames = decoded_frames(&files).await;
            assert_eq!(frames, usize::try_from((micros + 20_000) / 40_000).unwrap(), "{}", track.name);
        }
    }
    assert!(timeline.part_hold_back == reader.timeline.unwrap().part_hold_back, "frozen");

    // The controller's word that it is the only one now changes nothing.
    broadcast.assign(&second, 2, AssignmentMode::Live, None).await;
    whole(&mut next, 2, 3).await;
    router.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_cannot_write_does_not_get_ready_and_the_stream_stays_where_it_is() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(Vec::new());
    let (first, mut reader) = broadcast.live(folder.path(), &["source"]).await;
    let router = Router::start(broadcast.publish(&first, 1).await);
    reader.stored("source", 1).await;
    // Only the second worker's probe meets what a full disk would be to all.
    std::fs::create_dir_all(broadcast.media(folder.path()).join("probe-2/in the way")).unwrap();
    let second = broadcast.worker(folder.path()).await;
    let assignment = Assignment { mode: AssignmentMode::Prepare, ..broadcast.assignment(&second, 2) };
    let refused = broadcast.try_assign(&second, &assignment).await.unwrap_err();
    assert!(refused.to_string().contains("probe-2"), "{refused}");
    reader.stored("source", 2).await;
    router.stop().await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_predecessor_dies_in_the_switch_waits_for_the_floor_and_begins_behind_it() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(Vec::new());
    let (first, reader, router, second, mut next) = two_workers(folder.path(), &broadcast).await;
    let relay = broadcast.publish(&second, 2).await;
    first.kill().await;
    router.switch(relay, OldRelay::Breaks).await;
    next.until(
        "media",
        |event, _| matches!(event, Event::Input(input) if input.up && input.silent_ms.is_some()),
    )
    .await;
    // Heartbeats, and nothing else, until somebody says where to begin.
    match next.next().await.unwrap() {
        Frame::Event(Event::Heartbeat | Event::Input(_)) => {}
        other => panic!("{other:?}"),
    }
    assert!(!broadcast.media(folder.path()).join("state-2.json").exists());
    let seen = reader.timeline.unwrap();
    let last = track(&seen, "source").segments.back().unwrap();
    let floor =
        Floor { msn: Msn(last.msn.0 + 3), discontinuity: 0, media_end: MediaTime(last.start.0 + 6_000_000) };
    broadcast.assign(&second, 2, AssignmentMode::Live, Some(floor)).await;
    whole(&mut next, 2, 1).await;
    let timeline = next.timeline.unwrap();
    let first_of_ours = track(&timeline, "source").segments.iter().find(|s| s.epoch.0 == 2 && !s.gap);
    assert!(first_of_ours.unwrap().msn > floor.msn, "{timeline:?}");
    router.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_ready_writes_the_end_when_the_broadcast_is_over_before_its_turn() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(Vec::new());
    let (first, _reader, router, second, mut next) = two_workers(folder.path(), &broadcast).await;
    router.stop().await;
    first.stop().await;
    broadcast.assign(&second, 2, AssignmentMode::Finish, None).await;
    next.until("the end", |event, _| matches!(event, Event::End)).await;
    second.ended().await;
    let playlist = broadcast.media(folder.path()).join("source/index.m3u8");
    assert!(std::fs::read_to_string(playlist).unwrap().contains("#EXT-X-ENDLIST"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_told_to_go_says_so_and_serves_on_until_it_has_handed_over() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(Vec::new());
    let (first, mut reader, router, second, mut next) = two_workers(folder.path(), &broadcast).await;
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
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(Vec::new());
    let (first, _reader, router, second, mut next) = two_workers(folder.path(), &broadcast).await;
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
