//! Whole streams through a worker: a publisher in front of it, a reader and a folder behind it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use caudal_directory::AssignError;
use caudal_livestream::assignment::{Assignment, AssignmentMode, Floor};
use caudal_livestream::feed::{Event, Frame};
use caudal_livestream::state::StoredState;
use caudal_livestream::timeline::SegmentPhase;
use caudal_livestream::{SessionId, StreamId};
use caudal_media::flv::TagKind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::publisher::{Encoder, Publisher, is_header, is_keyframe, send};
use support::{ALONE, Broadcast, PATIENCE, decoded_frames, encoders, rung, written};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

fn init_of(folder: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|end| end == "mp4")).expect("an initialization segment")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_stream_is_announced_at_once_and_stored_whole() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(vec![rung(180, 301_000)]);
    let (worker, mut reader) = broadcast.live(folder.path(), &["source"]).await;
    assert!(matches!(reader.next().await, Some(Frame::Event(Event::Input(input))) if !input.up));
    let relay = broadcast.publish(&worker, 1).await;
    let publisher = Publisher::start(relay, 0);
    reader.until("the publisher", |event, _| matches!(event, Event::Input(input) if input.up)).await;
    reader.until("a snapshot", |event, _| matches!(event, Event::Snapshot(_))).await;

    // Each part's bytes come with it, and are the same as those that can be fetched.
    let mut last = None;
    let mut parts = 0;
    while parts < 5 {
        match reader.next().await.unwrap() {
            Frame::Event(Event::Part(part)) if part.rendition.as_str() == "source" => last = Some(part),
            Frame::Event(_) => {}
            Frame::Bytes(bytes) => {
                let part = last.take().expect("bytes follow a part");
                assert_eq!(bytes.len(), usize::try_from(part.part.size).unwrap());
                let fetched =
                    broadcast.fetch(&worker, 1, "source", &format!("p1-{}.m4s", part.part.number)).await;
                assert_eq!(fetched, Some(bytes));
                parts += 1;
            }
        }
    }
    reader.stored("180p", 3).await;
    assert!(worker.observed("caudal_worker_part_publish_delay_seconds") > 0);
    publisher.stop().await;
    reader.until("the loss", |event, _| matches!(event, Event::Input(input) if !input.up)).await;
    broadcast.assign(&worker, 1, AssignmentMode::Finish, None).await;
    reader.until("the end", |event, _| matches!(event, Event::End)).await;
    assert!(timeout(PATIENCE, reader.feed.next()).await.unwrap().unwrap().is_none());
    let timeline = reader.timeline.unwrap();
    worker.ended().await;

    let live = broadcast.media(folder.path());
    let names: Vec<_> = timeline.tracks.iter().map(|track| track.name.to_string()).collect();
    assert_eq!(names, ["source", "180p", "audio"]);
    for track in &timeline.tracks {
        let own = live.join(track.name.as_str());
        let mut files = vec![init_of(&own)];
        for segment in track.segments.iter().filter(|segment| !segment.gap) {
            assert_eq!(segment.phase, SegmentPhase::Stored, "{} {}", track.name, segment.msn);
            files.push(own.join(format!("{}-1.m4s", segment.msn)));
        }
        assert!(decoded_frames(&files).await > 50, "{}", track.name);
        let playlist = std::fs::read_to_string(own.join("index.m3u8")).unwrap();
        assert!(playlist.contains("#EXT-X-ENDLIST"), "{playlist}");
    }
    assert!(std::fs::read_to_string(live.join("master.m3u8")).unwrap().contains("180p/index.m3u8"));
    assert!(live.join("manifest.mpd").is_file());
    assert!(!live.join("log").exists(), "only a recording needs a log");
    let poster = folder.path().join(format!("thumbnails/{}/poster.jpg", broadcast.stream));
    assert!(std::fs::read(poster).unwrap().starts_with(&[0xFF, 0xD8]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_encoder_comes_back_and_the_source_never_stops() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(vec![rung(180, 302_000)]);
    let (worker, mut reader) = broadcast.live(folder.path(), &[]).await;
    let relay = broadcast.publish(&worker, 1).await;
    let _publisher = Publisher::start(relay, 0);
    reader.stored("180p", 1).await;
    let children = encoders("302000");
    assert_eq!(children.len(), 1);
    for pid in children {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    // The source's parts go on in the meantime, none later than a segment.
    let mut last = Instant::now();
    let mut longest = Duration::ZERO;
    let mut again = 0;
    reader
        .until("four more segments of the rung", |event, _| {
            match event {
                Event::Part(part) if part.rendition.as_str() == "source" => {
                    longest = longest.max(last.elapsed());
                    last = Instant::now();
                }
                Event::Segment(done) if done.rendition.as_str() == "180p" && !done.segment.gap => again += 1,
                _ => {}
            }
            again == 4
        })
        .await;
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    assert!(worker.metric("caudal_worker_encoder_restarts_total") >= 1.0);
    let timeline = reader.timeline.as_ref().unwrap();
    let source = timeline.track(&"source".parse().unwrap()).unwrap();
    assert!(source.segments.iter().all(|segment| !segment.gap && segment.discontinuity == 0));
    worker.stop().await;
    assert!(encoders("302000").is_empty(), "no ffmpeg is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rung_of_slides_has_each_of_them_from_the_first_on() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(vec![rung(180, 304_000)]);
    let (worker, mut reader) = broadcast.live(folder.path(), &[]).await;
    let relay = broadcast.publish(&worker, 1).await;
    let _publisher = Publisher::start_with_some(relay, 0, |tag| {
        let (kind, packet) = (tag.body.first(), tag.body.get(1));
        tag.kind != TagKind::Video
            || packet == Some(&0)
            || (kind == Some(&0x17) && tag.timestamp_ms % 3_000 < 40)
    });
    let mut whole = 0;
    reader
        .until("six segments of the rung", |event, _| {
            whole += usize::from(matches!(event, Event::Segment(done) if done.rendition.as_str() == "180p"));
            whole == 6
        })
        .await;
    let timeline = reader.timeline.as_ref().unwrap();
    let rung = timeline.track(&"180p".parse().unwrap()).unwrap();
    assert!(rung.segments.iter().all(|segment| !segment.gap), "{:?}", rung.segments);
    assert!(worker.metric("caudal_worker_encoder_restarts_total") < 1.0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_is_disconnected_and_the_others_go_on() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(Vec::new());
    let worker = broadcast.worker(folder.path()).await;
    broadcast.assign(&worker, 1, AssignmentMode::Live, None).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut stuck = socket.connect(worker.address.http).await.unwrap();
    let request = format!(
        "GET /feed?renditions=source HTTP/1.1\r\nHost: w\r\nAuthorization: Bearer {}\r\n\r\n",
        broadcast.edge_proof(1).reveal()
    );
    stuck.write_all(request.as_bytes()).await.unwrap();
    let mut reader = broadcast.feed(&worker, 1, &["source"]).await;
    let relay = broadcast.publish(&worker, 1).await;
    // 5 MB a second: the kernel's buffers are full soon.
    let _publisher = Publisher::start(relay, 200_000);
    let deadline = Instant::now() + PATIENCE;
    while worker.metric("caudal_worker_feed_cut_total") < 1.0 {
        assert!(Instant::now() < deadline, "nobody is disconnected");
        reader.next().await.unwrap();
    }
    let before = reader.timeline.as_ref().unwrap().tracks[0].edge();
    reader.until("more", |_, timeline| timeline.unwrap().tracks[0].edge() > before).await;
    assert!((worker.metric("caudal_worker_feed_readers") - 1.0).abs() < f64::EPSILON);
    // What it reads now ends without the end of the body.
    let mut rest = Vec::new();
    let _ = timeout(PATIENCE, stuck.read_to_end(&mut rest)).await.expect("the connection is closed");
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_that_fails_for_a_while_loses_nothing_and_stops_nothing() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(Vec::new());
    let (worker, mut reader) = broadcast.live(folder.path(), &[]).await;
    let relay = broadcast.publish(&worker, 1).await;
    let _publisher = Publisher::start(relay, 0);
    reader.stored("source", 1).await;
    // Every write fails while a file is where the folder was.
    let (live, away) = (folder.path().join("live"), folder.path().join("away"));
    std::fs::rename(&live, &away).unwrap();
    std::fs::write(&live, b"").unwrap();
    let mut announced = 0;
    reader
        .until("two segments while storage is away", |event, _| {
            assert!(!matches!(event, Event::Stored { msn, .. } if msn.0 > 8), "nothing can be stored");
            announced +=
                usize::from(matches!(event, Event::Segment(done) if done.rendition.as_str() == "source"));
            announced == 3
        })
        .await;
    assert!(worker.metric("caudal_worker_storage_failures_total") >= 1.0);
    std::fs::remove_file(&live).unwrap();
    std::fs::rename(&away, &live).unwrap();
    reader
        .until("everything in storage", |_, timeline| {
            timeline.unwrap().tracks.iter().all(|track| {
                track.segments.len() > 4
                    && track
                        .segments
                        .iter()
                        .rev()
                        .skip(2)
                        .all(|segment| segment.phase == SegmentPhase::Stored)
            })
        })
        .await;
    let source = broadcast.media(folder.path()).join("source");
    for segment in reader.timeline.as_ref().unwrap().tracks[0].segments.iter().rev().skip(2) {
        assert!(source.join(format!("{}-1.m4s", segment.msn)).is_file(), "{}", segment.msn);
    }
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_worker_continues_the_media_sequence_under_the_next_epoch() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(Vec::new());
    let (first, mut reader) = broadcast.live(folder.path(), &[]).await;
    let relay = broadcast.publish(&first, 1).await;
    let publisher = Publisher::start(relay, 0);
    reader.stored("source", 3).await;
    let replay = publisher.stop().await;
    let timeline = reader.timeline.clone().unwrap();
    first.kill().await;
    let lasts = timeline.tracks.iter().map(|track| track.segments.back().unwrap());
    let floor = lasts
        .map(|last| Floor {
            msn: last.msn,
            discontinuity: last.discontinuity,
            media_end: last.start.plus(last.duration),
            epoch: None,
        })
        .max_by_key(|floor| (floor.msn, floor.media_end))
        .unwrap();

    let second = broadcast.worker(folder.path()).await;
    let stale = broadcast.assignment(&second, 1);
    assert!(
        matches!(broadcast.try_assign(&second, &stale).await, Err(AssignError::Conflict(_))),
        "claimed already"
    );
    broadcast.assign(&second, 2, AssignmentMode::Live, Some(floor)).await;
    let mut reader = broadcast.feed(&second, 2, &[]).await;
    let mut relay = broadcast.publish(&second, 2).await;
    for tag in &replay {
        send(&mut relay, tag);
    }
    relay.flush().await.unwrap();
    // The publisher went on meanwhile.
    let shift = replay.last().unwrap().timestamp_ms + 40;
    let gop: Vec<_> =
        replay.iter().filter(|tag| tag.timestamp_ms > replay[0].timestamp_ms).cloned().collect();
    let base = gop[0].timestamp_ms;
    let feeding = tokio::spawn(async move {
        let begun = Instant::now();
        for tag in gop {
            let at = tag.timestamp_ms - base;
            tokio::time::sleep_until(begun + Duration::from_millis(at.into())).await;
            send(&mut relay, &caudal_media::flv::FlvTag { timestamp_ms: shift + at, ..tag });
            relay.flush().await.unwrap();
        }
        sleep(PATIENCE).await;
        drop(relay);
    });
    reader
        .until("a segment of the second epoch", |event, _| {
            matches!(event, Event::Segment(done) if done.segment.epoch.0 == 2 && !done.segment.gap)
        })
        .await;
    let continued = reader.timeline.clone().unwrap();
    assert_eq!(continued.first_msn, timeline.first_msn);
    assert_eq!(continued.target_duration, timeline.target_duration);
    for track in &continued.tracks {
        let numbers: Vec<_> = track.segments.iter().map(|segment| segment.msn.0).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{} {numbers:?}", track.name);
        for segment in &track.segments {
            assert!(!segment.gap, "the replay holds all that was announced: {} {segment:?}", track.name);
            let epoch = if segment.msn <= floor.msn { 1 } else { 2 };
            assert_eq!(segment.epoch.0, epoch, "{} {}", track.name, segment.msn);
            if segment.phase == SegmentPhase::Open {
                continue;
            }
            let file = format!("{}-{epoch}.m4s", segment.msn);
            let stored = folder.path().join(format!("live/{}/{}/{file}", broadcast.stream, track.name));
            if !stored.is_file() {
                let made = broadcast.fetch(&second, 2, track.name.as_str(), &file).await;
                assert!(made.is_some_and(|data| !data.is_empty()), "{} {file}", track.name);
            }
        }
    }
    feeding.abort();
    second.stop().await;
    let state = broadcast.media(folder.path()).join("state-2.json");
    let state: StoredState = serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
    let filled = state.filled.unwrap();
    assert!(filled.closed && !filled.timeline.ended, "handed over, not over");

    // With nobody to continue it, a third one writes the end.
    let third = broadcast.worker(folder.path()).await;
    broadcast.assign(&third, 3, AssignmentMode::Finish, None).await;
    third.ended().await;
    let playlist = broadcast.media(folder.path()).join("source/index.m3u8");
    assert!(std::fs::read_to_string(playlist).unwrap().contains("#EXT-X-ENDLIST"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_state_stops_neither_the_next_worker_nor_the_end() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(Vec::new());
    let live = broadcast.media(folder.path());
    let (first, mut reader) = broadcast.live(folder.path(), &[]).await;
    let publisher = Publisher::start(broadcast.publish(&first, 1).await, 0);
    reader.stored("source", 2).await;
    publisher.stop().await;
    let last = reader.timeline.as_ref().unwrap().tracks[0].segments.back().unwrap().clone();
    let floor = Floor {
        msn: last.msn,
        discontinuity: last.discontinuity,
        media_end: last.start.plus(last.duration),
        epoch: None,
    };
    first.kill().await;
    let state = std::fs::read(live.join("state-1.json")).unwrap();
    std::fs::write(live.join("state-1.json"), &state[..state.len() / 2]).unwrap();

    let second = broadcast.worker(folder.path()).await;
    broadcast.assign(&second, 2, AssignmentMode::Live, Some(floor)).await;
    let mut reader = broadcast.feed(&second, 2, &[]).await;
    let relay = broadcast.relay(&second, 2, 2, SessionId::generate()).await.unwrap();
    let publisher = Publisher::start(relay, 0);
    reader.stored("source", 3).await;
    // Playlists follow the segments that they list.
    for rendition in ["source", "audio"] {
        written(&live.join(rendition).join("index.m3u8"), "-2.m4s").await;
    }
    publisher.stop().await;
    let source = reader.timeline.as_ref().unwrap().tracks[0].clone();
    let begun = source.segments.iter().find(|segment| segment.epoch.0 == 2 && !segment.gap).unwrap();
    assert!(begun.msn > floor.msn, "{} is behind {}", begun.msn, floor.msn);
    assert!(begun.discontinuity > floor.discontinuity);
    assert!(begun.start >= floor.media_end);
    second.kill().await;
    std::fs::write(live.join("state-2.json"), "").unwrap();

    let third = broadcast.worker(folder.path()).await;
    broadcast.assign(&third, 3, AssignmentMode::Finish, None).await;
    third.ended().await;
    for rendition in ["source", "audio"] {
        let playlist = std::fs::read_to_string(live.join(rendition).join("index.m3u8")).unwrap();
        assert!(playlist.ends_with("#EXT-X-ENDLIST\n"), "{playlist}");
        assert!(playlist.contains("-2.m4s"), "{playlist}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn assignments_and_relays_that_are_not_for_this_worker_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(Vec::new());
    let worker = broadcast.worker(folder.path()).await;
    assert!(broadcast.relay(&worker, 1, 1, broadcast.session).await.is_err(), "idle");
    let mine = broadcast.assignment(&worker, 2);
    broadcast.try_assign(&worker, &mine).await.unwrap();
    broadcast.try_assign(&worker, &mine).await.expect("the same again");
    let refused = [
        Assignment { stream: StreamId::generate(), ..mine.clone() },
        Assignment { epoch: caudal_livestream::Epoch(1), ..mine.clone() },
    ];
    for assignment in &refused {
        assert!(matches!(broadcast.try_assign(&worker, assignment).await, Err(AssignError::Conflict(_))));
    }
    let stranger = Broadcast::new(Vec::new());
    assert!(stranger.relay(&worker, 2, 1, SessionId::generate()).await.is_err());
    let first = broadcast.relay(&worker, 2, 2, broadcast.session).await.unwrap();
    assert!(broadcast.relay(&worker, 2, 1, SessionId::generate()).await.is_err(), "a lower generation");
    let mut first = first;
    let _second = broadcast.relay(&worker, 2, 3, SessionId::generate()).await.expect("a takeover");
    timeout(PATIENCE, first.lost()).await.expect("the one before is ended");
    worker.stop().await;
}

/// As a router does: what is not awaited goes with what is. Returns how many tags there were, and how many writes.
async fn relay_what_is_awaited(broadcast: &Broadcast, worker: &support::Worker) -> (usize, usize) {
    let mut relay = broadcast.publish(worker, 1).await;
    let mut encoder = Encoder::start();
    let (mut held, mut tags, mut writes) = (Vec::new(), 0, 0);
    while tags < 300 {
        let next = tokio::select! {
            next = encoder.tags() => next,
            error = relay.lost() => panic!("{error}"),
        };
        for tag in next {
            let opens = tag.kind == TagKind::Script || is_header(&tag) || is_keyframe(&tag);
            let reached = |awaited: u32| opens || tag.timestamp_ms.wrapping_sub(awaited).cast_signed() >= 0;
            let needed = relay.awaited().is_none_or(reached);
            held.push(tag);
            tags += 1;
            if needed {
                held.drain(..).for_each(|tag| send(&mut relay, &tag));
                relay.flush().await.unwrap();
                writes += 1;
            }
        }
    }
    (tags, writes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_makes_no_rungs_says_which_tag_completes_the_next_part() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(vec![]);
    let (worker, _reader) = broadcast.live(folder.path(), &[]).await;
    let (tags, writes) = relay_what_is_awaited(&broadcast, &worker).await;
    assert!(writes * 2 < tags, "{writes} for {tags}");
    let parts = worker.observed("caudal_worker_part_publish_delay_seconds");
    assert!(parts >= 15, "{parts} parts in four seconds");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_makes_rungs_gets_each_tag_at_once() {
    let _alone = ALONE.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(vec![rung(180, 303_000)]);
    let (worker, _reader) = broadcast.live(folder.path(), &[]).await;
    let (tags, writes) = relay_what_is_awaited(&broadcast, &worker).await;
    assert_eq!(writes, tags);
    worker.stop().await;
}
