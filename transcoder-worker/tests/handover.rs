//! Two workers and one stream: the first hands it over, or dies on the way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

mod hanging;
#[allow(dead_code, reason = "other test files ask for more")]
mod support;

use std::time::Duration;

use caudal_livestream::assignment::{Assignment, AssignmentMode, Floor};
use caudal_livestream::feed::{Event, Frame};
use caudal_livestream::timeline::{SegmentPhase, Timeline, Track};
use caudal_livestream::{MediaTime, Msn};
use hanging::{Hanging, is_heard_for};
use support::router::{OldRelay, Router};
use support::two_workers::{Scene, two_workers, whole};
use support::{ALONE, Broadcast, PATIENCE, Reader, Worker, decoded_frames, rung};
use tokio::time::{Instant, timeout};

fn track<'a>(timeline: &'a Timeline, name: &str) -> &'a Track {
    timeline.track(&name.parse().unwrap()).unwrap()
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
    let Scene { folder, broadcast, first, mut reader, router, second, mut next } =
        two_workers(vec![rung(180, 311_000)]).await;
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
    let lost = |event: &Event| match event {
        Event::Input(input) => input.seam_lost_ms,
        _ => None,
    };
    next.until("that nothing was lost", |event, _| lost(event) == Some(0)).await;
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
    std::fs::create_dir_all(broadcast.media(folder.path()).join("probe/in the way")).unwrap();
    let second = broadcast.worker(folder.path()).await;
    let assignment = Assignment { mode: AssignmentMode::Prepare, ..broadcast.assignment(&second, 2) };
    let refused = broadcast.try_assign(&second, &assignment).await.unwrap_err();
    assert!(refused.to_string().contains("probe"), "{refused}");
    reader.stored("source", 2).await;
    router.stop().await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_ffmpeg_does_not_get_ready_for_a_stream_that_would_lose_its_renditions() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(vec![rung(180, 200_000)]);
    let (first, mut reader) = broadcast.live(folder.path(), &["180p", "source"]).await;
    let router = Router::start(broadcast.publish(&first, 1).await);
    let without =
        || broadcast.worker_with(folder.path(), "/nonexistent/ffmpeg".into(), Duration::from_mins(1));
    let prepare =
        |worker: &Worker| Assignment { mode: AssignmentMode::Prepare, ..broadcast.assignment(worker, 2) };
    // While the stream has no renditions yet, nothing is lost by a worker that makes none.
    let early = without().await;
    broadcast.try_assign(&early, &prepare(&early)).await.unwrap();
    early.stop().await;
    reader.stored("180p", 1).await;
    let late = without().await;
    let refused = broadcast.try_assign(&late, &prepare(&late)).await.unwrap_err();
    assert!(refused.to_string().contains("it has no ffmpeg"), "{refused}");
    let with = broadcast.worker(folder.path()).await;
    broadcast.try_assign(&with, &prepare(&with)).await.unwrap();
    router.stop().await;
    for worker in [first, late, with] {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_predecessor_dies_in_the_switch_waits_for_the_floor_and_begins_behind_it() {
    let _alone = ALONE.lock().await;
    let Scene { folder, broadcast, first, reader, router, second, mut next } = two_workers(Vec::new()).await;
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
    let floor = Floor {
        msn: Msn(last.msn.0 + 3),
        discontinuity: 0,
        media_end: MediaTime(last.start.0 + 6_000_000),
        epoch: None,
    };
    broadcast.assign(&second, 2, AssignmentMode::Live, Some(floor)).await;
    router.replays_to(&broadcast, &second).await;
    whole(&mut next, 2, 1).await;
    let timeline = next.timeline.unwrap();
    let first_of_ours = track(&timeline, "source").segments.iter().find(|s| s.epoch.0 == 2 && !s.gap);
    assert!(first_of_ours.unwrap().msn > floor.msn, "{timeline:?}");
    router.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_storage_hangs_while_it_takes_the_stream_is_heard_and_goes_on_with_all_that_came() {
    let _alone = ALONE.lock().await;
    let Scene { folder, broadcast, first, reader, router, second, mut next } = two_workers(Vec::new()).await;
    let relay = broadcast.publish(&second, 2).await;
    first.kill().await;
    let hanging = Hanging::begin(broadcast.media(folder.path()).join("state-1.json"));
    router.switch(relay, OldRelay::Breaks).await;
    next.until(
        "media",
        |event, _| matches!(event, Event::Input(input) if input.up && input.silent_ms.is_some()),
    )
    .await;
    let seen = reader.timeline.unwrap();
    let last = track(&seen, "source").segments.back().unwrap();
    let end = last.start.plus(last.duration);
    let floor = Floor { msn: last.msn, discontinuity: 0, media_end: end, epoch: None };
    broadcast.assign(&second, 2, AssignmentMode::Live, Some(floor)).await;
    // Longer than one try at the claim.
    is_heard_for(&mut next, Duration::from_secs(7)).await;
    let mut late = broadcast.feed(&second, 2, &["source"]).await;
    is_heard_for(&mut late, Duration::from_secs(1)).await;
    assert_eq!(next.timeline, None, "nothing is begun while nobody knows behind what");

    hanging.end();
    let over = Instant::now();
    // What the worker before had not stored is in the replay still.
    router.replays_to(&broadcast, &second).await;
    whole(&mut next, 2, 4).await;
    // A segment has two seconds: what came meanwhile was kept.
    assert!(over.elapsed() < Duration::from_secs(7), "{:?}", over.elapsed());
    for track in &next.timeline.unwrap().tracks {
        is_unbroken(track);
    }
    router.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_to_a_worker_that_closes_behind_the_switch_does_not_hear_that_the_broadcast_is_over() {
    let _alone = ALONE.lock().await;
    let Scene { folder, broadcast, first, mut reader, router, second, mut next } =
        two_workers(Vec::new()).await;
    // Storage takes no segment for a while, so that the worker does not close at once.
    let source = broadcast.media(folder.path()).join("source");
    let away = source.with_extension("away");
    std::fs::rename(&source, &away).unwrap();
    std::fs::write(&source, "").unwrap();
    let relay = broadcast.publish(&second, 2).await;
    router.switch(relay, OldRelay::IsHandedOver).await;
    reader.until("the switch", |event, _| matches!(event, Event::Input(input) if input.moved)).await;
    let mut late = broadcast.feed(&first, 1, &["source"]).await;
    late.until("what there is", |event, _| matches!(event, Event::Snapshot(_))).await;
    assert!(!late.timeline.unwrap().ended);
    std::fs::remove_file(&source).unwrap();
    std::fs::rename(&away, &source).unwrap();
    whole(&mut next, 2, 1).await;
    router.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_writes_the_end_is_heard_while_its_storage_hangs() {
    let _alone = ALONE.lock().await;
    let Scene { folder, broadcast, first, reader: _reader, router, second, mut next } =
        two_workers(Vec::new()).await;
    router.stop().await;
    first.stop().await;
    // The state is written behind the playlists, and looks first who else has claimed.
    let hanging = Hanging::begin(broadcast.media(folder.path()).join("state-1.json"));
    broadcast.assign(&second, 2, AssignmentMode::Finish, None).await;
    is_heard_for(&mut next, Duration::from_secs(6)).await;
    hanging.end();
    next.until("the end", |event, _| matches!(event, Event::End)).await;
    second.ended().await;
}

/// Reads until the worker is gone, and returns how far it announced.
async fn last_words(reader: &mut Reader) -> Floor {
    while let Ok(Some(frame)) = timeout(PATIENCE, reader.feed.next()).await.expect("the feed ends") {
        if let (Frame::Event(event), Some(timeline)) = (&frame, &mut reader.timeline) {
            timeline.apply(event).unwrap();
        }
    }
    Floor::of(reader.timeline.as_ref().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_had_not_stored_when_it_died_behind_the_switch_comes_from_the_routers_replay() {
    let _alone = ALONE.lock().await;
    let Scene { folder: _folder, broadcast, first, mut reader, router, second, mut next } =
        two_workers(Vec::new()).await;
    let relay = broadcast.publish(&second, 2).await;
    first.kill().await;
    router.switch(relay, OldRelay::Breaks).await;
    let floor = last_words(&mut reader).await;
    next.until(
        "media",
        |event, _| matches!(event, Event::Input(input) if input.up && input.silent_ms.is_some()),
    )
    .await;
    broadcast.assign(&second, 2, AssignmentMode::Live, Some(floor)).await;
    router.replays_to(&broadcast, &second).await;
    let mut never_down = true;
    next.until("media again", |event, timeline| {
        never_down &= !matches!(event, Event::Input(input) if !input.up);
        timeline.is_some()
    })
    .await;
    assert!(never_down, "the publisher was never away");
    whole(&mut next, 2, 3).await;
    let timeline = next.timeline.clone().unwrap();
    for track in &timeline.tracks {
        is_unbroken(track);
        let epochs: Vec<_> = track.segments.iter().map(|segment| segment.epoch.0).collect();
        assert!(epochs.contains(&1) && epochs.contains(&2) && epochs.is_sorted(), "{epochs:?}");
    }
    assert!(timeout(Duration::from_millis(100), router.refused.notified()).await.is_err(), "it asks once");
    router.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_ready_writes_the_end_when_the_broadcast_is_over_before_its_turn() {
    let _alone = ALONE.lock().await;
    let Scene { folder, broadcast, first, reader: _reader, router, second, mut next } =
        two_workers(Vec::new()).await;
    router.stop().await;
    first.stop().await;
    broadcast.assign(&second, 2, AssignmentMode::Finish, None).await;
    next.until("the end", |event, _| matches!(event, Event::End)).await;
    second.ended().await;
    let playlist = broadcast.media(folder.path()).join("source/index.m3u8");
    assert!(std::fs::read_to_string(playlist).unwrap().contains("#EXT-X-ENDLIST"));
}
