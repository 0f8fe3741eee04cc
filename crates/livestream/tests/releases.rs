//! This release and the one before it understand each other: `golden/previous` holds the messages of the release before, as
//! `golden` holds ours. When a release is made, its `golden` becomes the next one's `previous`.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes only #[test] functions for tests here"
)]

use std::path::Path;

use bytes::{BufMut as _, BytesMut};
use caudal_livestream::admission::{Access, AuthorizeRequest, Authorized, Denied, LatencyMode};
use caudal_livestream::assignment::{Assignment, WorkerReady};
use caudal_livestream::feed::{self, Event, FeedError, Frame, InputState, SegmentAnnounced};
use caudal_livestream::lifecycle::{
    Evidence, Input, LastMove, Lifecycle, MoveAskedBy, MoveEnd, MoveFailure, WorkerOrder,
};
use caudal_livestream::proof::SignedAssignment;
use caudal_livestream::record::{DesiredState, LiveStream, Phase};
use caudal_livestream::report::{Done, EndReason, Published};
use caudal_livestream::state::StoredState;
use caudal_livestream::timeline::{CaptionChannel, Part, SegmentPhase, Timeline, TrackMedia, VideoRange};
use caudal_livestream::{
    Epoch, MediaDuration, MediaTime, Msn, PartNumber, RenditionName, UnixMillis, WorkerId,
};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn json_of(name: &str) -> Value {
    let path = Path::new("tests/golden").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The messages of the release before whose names begin so.
fn previous(kind: &str) -> Vec<String> {
    let files = std::fs::read_dir("tests/golden/previous").unwrap().map(|entry| entry.unwrap().path());
    let names = files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| name.starts_with(kind)).collect()
}

fn read<T: DeserializeOwned>(what: &str, value: Value) -> T {
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Whoever knew `before` finds all of it in `after`. Lists may have grown.
fn holds(after: &Value, before: &Value) -> bool {
    match (after, before) {
        (Value::Object(after), Value::Object(before)) => {
            before.iter().all(|(name, value)| after.get(name).is_some_and(|after| holds(after, value)))
        }
        (Value::Array(after), Value::Array(before)) => {
            after.len() >= before.len()
                && after.iter().zip(before).all(|(after, before)| holds(after, before))
        }
        (after, before) => after == before,
    }
}

/// As a newer release may say it: with a field more in each object.
fn of_a_newer_release(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, of_a_newer_release(value)));
            Value::Object(fields.chain([("ofANewerRelease".to_owned(), json!({"some": [1]}))]).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(of_a_newer_release).collect()),
        plain => plain,
    }
}

/// A message that both releases send and read.
fn understood<T: DeserializeOwned + Serialize>(name: &str) {
    let (ours, theirs) = (json_of(name), json_of(&format!("previous/{name}")));
    read::<T>(&format!("the release before's {name}"), theirs.clone());
    assert!(holds(&ours, &theirs), "{name}: the release before misses something in ours");
    let newer: T = read(name, of_a_newer_release(ours.clone()));
    assert_eq!(serde_json::to_value(newer).unwrap(), ours, "{name}: what is not known is skipped");
}

#[test]
fn messages_of_the_release_before_are_read_and_it_reads_ours() {
    understood::<AuthorizeRequest>("authorize-request");
    understood::<Authorized>("authorized");
    understood::<Denied>("denied");
    understood::<Published>("published");
    understood::<Done>("done");
    understood::<Done>("done-unplayable");
    understood::<Vec<EndReason>>("end-reasons");
    understood::<LiveStream>("live-stream");
    understood::<Assignment>("assignment");
    understood::<SignedAssignment>("signed-assignment");
    understood::<WorkerReady>("worker-ready");
    for input in previous("input") {
        understood::<InputState>(&input);
    }
    understood::<StoredState>("state-claim");
    understood::<StoredState>("state-filled");
    understood::<Timeline>("timeline-hdr-captions");
}

#[test]
fn what_a_controller_of_the_release_before_stored_is_taken_up() {
    for stage in previous("lifecycle") {
        read::<Lifecycle>(&stage, json_of(&format!("previous/{stage}")));
    }
}

const FIRST: &str = "01900000-0000-7000-8000-000000000003";
const SECOND: &str = "01900000-0000-7000-8000-000000000004";

/// The first release with moves knew neither who had asked for one nor from where it went, and counted the epochs of
/// moves beside the stream's.
fn of_the_first_release_with_moves(epoch: u32, last_move: Value, planned: Option<Value>) -> Lifecycle {
    let mut record = json_of("lifecycle-live");
    record["epoch"] = json!(epoch);
    record["spent"] = json!(2);
    record["lastMove"] = last_move;
    if let Some(planned) = planned {
        record["planned"] = planned;
    }
    read("a record of the first release with moves", record)
}

#[test]
fn a_record_of_the_first_release_with_moves_is_read_with_what_it_says_of_the_last_one() {
    let not_said = WorkerId("00000000-0000-0000-0000-000000000000".parse().unwrap());
    let asked_by = MoveAskedBy::Administrator;
    let moved = json!({"end": "moved", "from": FIRST, "to": SECOND, "steppedIn": true});
    let moved = of_the_first_release_with_moves(2, json!({"epoch": 2, "end": moved}), None);
    let end = MoveEnd::Moved { to: SECOND.parse().unwrap(), stepped_in: true, lost_ms: None };
    let expected = LastMove { asked_by, from: not_said, from_epoch: Epoch(0), epoch: Epoch(2), end };
    assert_eq!((moved.last_move(), moved.epoch()), (Some(expected), Epoch(2)));

    let failed = json!({"end": "failed", "failure": "noWorker"});
    let mut failed = of_the_first_release_with_moves(1, json!({"epoch": 2, "end": failed}), None);
    let end = MoveEnd::Failed { failure: MoveFailure::NoWorker };
    assert_eq!((failed.last_move(), failed.epoch()), (Some(LastMove { end, ..expected }), Epoch(1)));
    let written = serde_json::to_value(&failed).unwrap();
    assert_eq!(
        (&written["epoch"], &written["currentEpoch"], &written["spent"]),
        (&json!(2), &json!(1), &Value::Null)
    );
    failed.handle(UnixMillis(1_790_000_000_000), Input::WorkerLost(Epoch(1), Evidence::ProcessEnded));
    assert_eq!(failed.epoch(), Epoch(3), "the move was given the second one");
}

#[test]
fn a_move_that_the_first_release_with_moves_has_begun_goes_on() {
    let now = UnixMillis(1_790_000_000_000);
    let worker = json!({"worker": SECOND, "rtmp": "127.0.0.1:1", "http": "127.0.0.1:2"});
    let planned = json!({
        "from": FIRST, "epoch": 2, "stage": {"stage": "claimed", "worker": worker},
        "until": {"at": now.0 + 30_000, "lengthMs": 30_000}, "heard": null,
    });
    let mut machine = of_the_first_release_with_moves(1, Value::Null, Some(planned));
    assert_eq!(
        (machine.epoch(), machine.moves_to(), machine.moves_since()),
        (Epoch(1), Some(Epoch(2)), None)
    );
    machine.handle(now, Input::WorkerLost(Epoch(1), Evidence::ProcessEnded));
    assert_eq!((machine.epoch(), machine.moves_to()), (Epoch(2), Some(Epoch(2))));
}

#[test]
fn words_of_a_newer_release_on_moves_cost_no_stream() {
    let now = UnixMillis(1_790_000_033_000);
    let record = json_of("lifecycle-moving");
    for last in [json!({"end": "ofANewerRelease"}), json!("of another kind"), json!({"end": "moved"})] {
        let mut newer = record.clone();
        newer["lastMove"]["end"] = last;
        assert_eq!(read::<Lifecycle>("a last move", newer).last_move(), None);
    }

    let mut newer = record;
    newer["planned"]["stage"] = json!({"stage": "ofANewerRelease", "of": [1]});
    newer["planned"]["askedBy"] = json!("ofANewerRelease");
    let mut machine: Lifecycle = read("a stage", newer);
    let (epoch, next) = (machine.epoch(), machine.moves_to().unwrap());
    assert_eq!(machine.orders().next, None::<WorkerOrder>);
    machine.handle(now, Input::Tick);
    let failed = machine.last_move().map(|last| (last.epoch, last.end));
    assert_eq!(failed, Some((next, MoveEnd::Failed { failure: MoveFailure::Unknown })));
    assert_eq!(machine.epoch(), epoch, "the stream stays where it is");
    assert!(machine.orders().withdraw.contains(&next), "whoever was claimed for it is ended");
}

/// The bytes of a feed that says `frames`, as in its golden file.
fn bytes_of(frames: &Value) -> BytesMut {
    let mut bytes = BytesMut::new();
    for frame in frames.as_array().unwrap() {
        let body = match &frame["body"] {
            Value::Null => Vec::new(),
            body => serde_json::to_vec(body).unwrap(),
        };
        bytes.put_u32(u32::try_from(body.len() + 1).unwrap());
        bytes.put_u8(u8::try_from(frame["type"].as_u64().unwrap()).unwrap());
        bytes.put_slice(&body);
    }
    bytes
}

/// What a reader makes of it that skips frames which it does not know.
fn events(mut bytes: BytesMut) -> (Vec<Event>, Vec<u8>) {
    let (mut events, mut skipped) = (Vec::new(), Vec::new());
    loop {
        match feed::decode(&mut bytes) {
            Ok(Some(Frame::Event(event))) => events.push(event),
            Ok(Some(Frame::Bytes(_))) => panic!("no bytes were sent"),
            Ok(None) => return (events, skipped),
            Err(FeedError::UnknownType(kind)) => skipped.push(kind),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_feed_of_the_release_before_is_read_and_it_reads_ours() {
    let (ours, theirs) = (json_of("feed"), json_of("previous/feed"));
    let (read, skipped) = events(bytes_of(&theirs));
    assert_eq!((read.len(), skipped.len()), (theirs.as_array().unwrap().len(), 0));
    assert!(holds(&ours, &theirs), "the release before misses something in ours");
    // It knows no type above this one and takes any for a broken feed: only who asks for a control feed gets others.
    let newest = ours.as_array().unwrap().iter().map(|frame| frame["type"].as_u64().unwrap()).max();
    assert!(newest <= Some(9), "{newest:?}");
}

#[test]
fn what_a_newer_release_adds_to_a_feed_is_skipped() {
    for name in ["feed", "feed-control"] {
        let ours = json_of(name);
        let (known, _) = events(bytes_of(&ours));
        let mut newer = Vec::new();
        for frame in ours.as_array().unwrap() {
            newer.push(json!({"type": 200, "body": {"what": "this release does not know"}}));
            newer.push(json!({"type": frame["type"], "body": of_a_newer_release(frame["body"].clone())}));
            newer.push(json!({"type": 201, "body": null}));
        }
        let (read, skipped) = events(bytes_of(&Value::Array(newer)));
        assert_eq!(read, known, "{name}");
        assert_eq!(skipped.len(), known.len() * 2, "{name}");
    }
}

#[test]
fn a_word_of_a_newer_release_leaves_the_rest_of_a_record_readable() {
    let mut record = json_of("live-stream");
    let known: LiveStream = read("live-stream", record.clone());
    for (part, field) in [
        ("spec", "access"),
        ("spec", "latencyMode"),
        ("spec", "desiredState"),
        ("spec", "endReason"),
        ("status", "phase"),
        ("status", "endReason"),
    ] {
        record[part][field] = json!("of a newer release");
    }
    let mut expected = known;
    expected.spec.access = Access::Premium;
    expected.spec.latency_mode = LatencyMode::Standard;
    expected.spec.desired_state = DesiredState::Live;
    expected.spec.end_reason = Some(EndReason::Unknown);
    expected.status.phase = Phase::Unknown;
    expected.status.end_reason = Some(EndReason::Unknown);
    assert_eq!(read::<LiveStream>("the record", record), expected);
    assert!(!Phase::Unknown.is_over());

    let mut done = json_of("done");
    done["reason"] = json!("of_a_newer_release");
    let done: Done = read("done", done);
    assert_eq!((done.reason, done.reason.is_failure()), (EndReason::Unknown, false));
}

#[test]
fn caption_channels_of_a_newer_release_are_left_out() {
    let mut timeline = json_of("timeline-hdr-captions");
    timeline["captions"] = json!(["CC1", "TELETEXT888", "SERVICE12"]);
    let timeline: Timeline = read("timeline", timeline);
    assert_eq!(timeline.captions, [CaptionChannel::Cea608(1), CaptionChannel::Cea708(12)]);
}

#[test]
fn a_timeline_of_a_newer_release_is_read_but_for_what_carries_neither_pictures_nor_sound() {
    let mut newer = json_of("timeline-hdr-captions");
    let known: Timeline = read("timeline", newer.clone());
    newer["tracks"][0]["media"]["range"] = json!("ofANewerRelease");
    newer["tracks"][0]["segments"][0]["phase"] = json!("ofANewerRelease");
    let mut subtitles = newer["tracks"][0].clone();
    subtitles["name"] = json!("subtitles");
    subtitles["media"] = json!({"kind": "text", "language": "en"});
    newer["tracks"].as_array_mut().unwrap().push(subtitles);
    let mut expected = known;
    let TrackMedia::Video { range, .. } = &mut expected.tracks[0].media else { panic!("no video") };
    *range = VideoRange::Sdr;
    expected.tracks[0].segments[0].phase = SegmentPhase::Finished;
    let mut timeline: Timeline = read("timeline", newer);
    assert_eq!(timeline, expected);

    // A reader that asked for a new snapshot instead would get the same again.
    let rendition: RenditionName = "subtitles".parse().unwrap();
    let segment = expected.tracks[0].segments[0].clone();
    let announced = SegmentAnnounced {
        rendition: rendition.clone(),
        segment,
        window_start: Msn(0),
        peak_bandwidth: 1,
        average_bandwidth: 1,
    };
    for event in [
        Event::Segment(announced),
        Event::Stored { rendition: rendition.clone(), msn: Msn(7) },
        Event::Withdrawn { rendition },
    ] {
        timeline.apply(&event).unwrap();
    }
    assert_eq!(timeline, expected);

    let mut broken = json_of("timeline-hdr-captions");
    broken["tracks"][0].as_object_mut().unwrap().remove("name");
    assert!(serde_json::from_value::<Timeline>(broken).is_err());
}

/// What a reader has read of something that a peer sends.
struct Counted<'a>(&'a [u8], &'a std::cell::Cell<usize>);

impl std::io::Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.set(self.1.get() + read);
        Ok(read)
    }
}

/// A feed's JSON with `tracks` in the place of its own, and how much of it was read until it was taken or refused.
fn with_tracks(tracks: &str) -> (Result<Timeline, serde_json::Error>, usize) {
    let mut timeline = json_of("timeline-hdr-captions");
    timeline["tracks"] = json!("here");
    let text = timeline.to_string().replace("\"here\"", tracks);
    let read = std::cell::Cell::new(0);
    (serde_json::from_reader(Counted(text.as_bytes(), &read)), read.get())
}

#[test]
fn a_list_of_tracks_is_read_no_further_than_there_can_be_tracks() {
    let million = |entry: &str| format!("[{}{entry}]", format!("{entry},").repeat(1_000_000));
    let track = json_of("timeline-hdr-captions")["tracks"][0].to_string();
    for entries in [
        million("[0]"),
        million("{}"),
        million("7"),
        format!("[{}{track}]", format!("{track},").repeat(1000)),
    ] {
        let (refused, read) = with_tracks(&entries);
        assert!(refused.is_err());
        assert!(read < 64 * 1024, "{read} bytes of {}", entries.len());
    }
    let (timeline, _) = with_tracks(&million(r#"{"media":{"kind":"text"}}"#));
    assert_eq!(timeline.unwrap().tracks, []);

    // No value is built of these: it could not be, so deep do they lie.
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    let newer = track.replacen("\"kind\"", &format!("\"later\":{deep},\"kind\""), 1);
    let (timeline, _) =
        with_tracks(&format!("[{newer},{{\"media\":{{\"kind\":\"text\"}},\"later\":{deep}}}]"));
    let mut known: Timeline = read("timeline", json_of("timeline-hdr-captions"));
    known.tracks.truncate(1);
    assert_eq!(timeline.unwrap(), known);
}

#[test]
fn each_type_of_frame_has_its_own_limit() {
    let (small, timeline) = (64 * 1024, 2 * 1024 * 1024);
    for (kind, limit, limit_without_parts) in [
        (1, timeline, timeline),
        (2, timeline, timeline),
        (3, timeline, timeline),
        (4, small, small),
        (5, small, small),
        (6, small, small),
        (7, small, small),
        (8, small, small),
        (9, feed::MAX_FRAME, small),
        (10, small, small),
        (11, small, small),
        (200, timeline, timeline),
    ] {
        type Decode = fn(&mut BytesMut) -> Result<Option<Frame>, FeedError>;
        let readers: [(Decode, usize); 2] =
            [(feed::decode, limit), (feed::decode_without_parts, limit_without_parts)];
        for (decode, limit) in readers {
            for (length, fits) in [(limit, true), (limit + 1, false)] {
                // Of a frame that is too long nothing is waited for but its head.
                let mut buffer = BytesMut::new();
                buffer.put_u32(u32::try_from(length).unwrap());
                assert!(matches!(decode(&mut buffer), Ok(None)) || length > feed::MAX_FRAME);
                buffer.put_u8(kind);
                match decode(&mut buffer) {
                    Ok(None) => assert!(fits, "type {kind}, {length} bytes"),
                    Err(FeedError::TooLong { .. }) => assert!(!fits, "type {kind}, {length} bytes"),
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

/// The longest live window there can be: what a worker writes of it is never too long for those who read it.
#[test]
fn the_longest_live_window_fits_a_snapshot() {
    let mut timeline: Timeline = read("timeline", json_of("timeline-hdr-captions"));
    let mut track = timeline.tracks[0].clone();
    let mut segment = track.segments[0].clone();
    let mut part = segment.parts.first().copied().unwrap_or(Part {
        number: PartNumber(0),
        duration: MediaDuration(0),
        size: 0,
        independent: false,
    });
    // A broadcast that has run for years.
    part.number = PartNumber(9_999_999_999);
    part.duration = MediaDuration::from_millis(200);
    part.size = 99_999_999;
    segment.msn = Msn(9_999_999_999);
    segment.start = MediaTime(9_999_999_999_999_999);
    segment.discontinuity = 9_999_999;
    segment.size = 999_999_999;
    segment.parts = vec![part; 4];
    track.segments = vec![segment; 200].into();
    timeline.tracks = vec![track; 8];
    let frame = Event::Snapshot(Box::new(timeline)).encode();
    assert!(frame.len() < feed::MAX_TIMELINE, "{}", frame.len());
}

proptest! {
    /// Whatever a peer sends: reading ends, nothing is read twice, and what is over the limit is refused before it is kept.
    #[test]
    fn any_bytes_are_frames_or_errors(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut buffer = BytesMut::from(&bytes[..]);
        loop {
            let before = buffer.len();
            match feed::decode(&mut buffer) {
                Ok(Some(_)) | Err(FeedError::UnknownType(_)) => prop_assert!(buffer.len() < before),
                Err(FeedError::Json { .. }) => prop_assert!(buffer.len() < before),
                Err(FeedError::TooLong { length, limit }) => {
                    prop_assert!(length > limit);
                    break;
                }
                Err(FeedError::Empty) => break,
                Ok(None) => {
                    prop_assert_eq!(buffer.len(), before);
                    break;
                }
            }
        }
    }

    /// However a control feed is cut on its way, it says the same, byte for byte and frame for frame.
    #[test]
    fn a_control_feed_says_the_same_however_it_is_cut(cuts in prop::collection::vec(1usize..40, 1..60)) {
        let whole = bytes_of(&json_of("feed-control"));
        let (expected, _) = events(whole.clone());
        let (mut buffer, mut rest) = (BytesMut::new(), whole);
        let mut read = Vec::new();
        for cut in cuts.into_iter().cycle() {
            buffer.extend_from_slice(&rest.split_to(cut.min(rest.len())));
            while let Some(frame) = feed::decode(&mut buffer).unwrap() {
                let Frame::Event(event) = frame else { panic!("no bytes were sent") };
                read.push(event);
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(read, expected);
    }

    /// A control frame whose body was changed is refused or says a position: it takes no other room than its own.
    #[test]
    fn a_control_frame_with_any_other_body_is_a_position_or_an_error(
        kind in 10u8..=11,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut buffer = BytesMut::new();
        buffer.put_u32(u32::try_from(body.len() + 1).unwrap());
        buffer.put_u8(kind);
        buffer.put_slice(&body);
        buffer.put_slice(&Event::Heartbeat.encode());
        match feed::decode(&mut buffer) {
            Ok(Some(Frame::Event(Event::Floor(_) | Event::Reached(_)))) | Err(FeedError::Json { .. }) => {}
            other => prop_assert!(false, "{other:?}"),
        }
        prop_assert_eq!(&buffer[..], &Event::Heartbeat.encode()[..]);
    }
}
