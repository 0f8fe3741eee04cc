//! State files that storage gives back otherwise than they were written.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::{FilledState, StoredState, UnreadableState};
use caudal_livestream::timeline::{Part, Segment, SegmentPhase, Timeline, Track, TrackMedia, VideoRange};
use caudal_livestream::{Epoch, MediaDuration, MediaTime, Msn, PartNumber, StreamId, UnixMillis, WorkerId};

#[test]
fn a_state_that_was_cut_off_at_any_byte_is_no_state() {
    let state = state();
    let whole = state.write().unwrap();
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "{length} bytes of {}", whole.len());
    }
    assert_eq!(read(&whole).unwrap(), state);
}

#[test]
fn a_state_with_any_changed_byte_is_no_state_or_says_the_same() {
    let state = state();
    let whole = state.write().unwrap();
    for at in 0..whole.len() {
        for change in [0x01, 0x04, 0x20, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= change;
            if let Ok(found) = read(&damaged) {
                assert_eq!(found, state, "byte {at} became {:?}", char::from(damaged[at]));
            }
        }
    }
}

#[test]
fn a_state_without_a_digest_or_with_fields_of_a_newer_version_is_read() {
    let state = state();
    let mut json = serde_json::to_value(&state).unwrap();
    assert_eq!(read(&serde_json::to_vec(&json).unwrap()).unwrap(), state);
    json["invented"] = "later".into();
    json["filled"]["timeline"]["invented"] = 7.into();
    assert_eq!(read(&serde_json::to_vec(&json).unwrap()).unwrap(), state);
}

#[test]
fn the_state_of_another_stream_or_epoch_is_not_this_ones() {
    let state = state();
    let elsewhere = StoredState::read(StreamId::generate(), state.epoch, &state.write().unwrap());
    assert!(matches!(elsewhere, Err(UnreadableState::Other(..))), "{elsewhere:?}");
    let later = StoredState::read(state.stream, Epoch(3), &state.write().unwrap());
    assert!(matches!(later, Err(UnreadableState::Other(..))), "{later:?}");
    for change in [|t: &mut Timeline| t.epoch = Epoch(1), |t: &mut Timeline| t.stream = StreamId::generate()]
    {
        let mut mixed = state.clone();
        change(&mut mixed.filled.as_mut().unwrap().timeline);
        assert!(matches!(read(&mixed.write().unwrap()), Err(UnreadableState::Other(..))));
    }
}

#[test]
fn a_timeline_that_no_worker_had_is_not_taken_up() {
    let cases: [(&str, Change); 12] = [
        ("numbers at their end", |t| last(t).msn = Msn(u64::MAX)),
        ("a first number at its end", |t| t.first_msn = Msn(u64::MAX)),
        ("discontinuities at their end", |t| last(t).discontinuity = u64::MAX),
        ("the end of time", |t| last(t).start = MediaTime(i64::MAX)),
        ("the beginning of time", |t| last(t).start = MediaTime(i64::MIN)),
        ("a date at its end", |t| last(t).program_date_time = UnixMillis(i64::MAX)),
        ("a segment of centuries", |t| last(t).duration = MediaDuration(u64::MAX)),
        ("a part number at its end", |t| last(t).parts[0].number = PartNumber(u64::MAX)),
        ("no target duration", |t| t.target_duration = 0),
        ("a hole", |t| last(t).msn = Msn(99)),
        ("an epoch that is yet to come", |t| last(t).epoch = Epoch(3)),
        ("two of one name", |t| t.tracks.push(t.tracks[0].clone())),
    ];
    for (case, change) in cases {
        let mut state = state();
        change(&mut state.filled.as_mut().unwrap().timeline);
        assert!(matches!(read(&state.write().unwrap()), Err(UnreadableState::Implausible(_))), "{case}");
    }
}

type Change = fn(&mut Timeline);

fn last(timeline: &mut Timeline) -> &mut Segment {
    timeline.tracks[0].segments.back_mut().unwrap()
}

fn read(json: &[u8]) -> Result<StoredState, UnreadableState> {
    StoredState::read(STREAM, Epoch(2), json)
}

const STREAM: StreamId = StreamId(uuid::Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));

fn state() -> StoredState {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let worker = WorkerId(uuid::Uuid::from_u128(7));
    let segment = |msn: u64| Segment {
        msn: Msn(msn),
        epoch: Epoch(2),
        start: MediaTime(i64::try_from(msn).unwrap() * 2_000_000),
        duration: MediaDuration::from_secs(2),
        discontinuity: 1,
        program_date_time: UnixMillis(1_790_000_000_000),
        init: Some("0a1b2c3d".parse().unwrap()),
        phase: SegmentPhase::Stored,
        gap: false,
        independent: true,
        lead_in: false,
        size: 1_000,
        parts: vec![Part {
            number: PartNumber(msn),
            duration: MediaDuration::from_secs(2),
            size: 1_000,
            independent: true,
        }],
    };
    let track = Track {
        name: "source".parse().unwrap(),
        media: TrackMedia::Video {
            width: 640,
            height: 360,
            frame_rate_milli: 30_000,
            range: VideoRange::Sdr,
        },
        codecs: "avc1.64001e".to_owned(),
        peak_bandwidth: 1,
        average_bandwidth: 1,
        part_target: MediaDuration::from_millis(200),
        segments: [segment(14), segment(15)].into(),
        withdrawn: false,
    };
    let timeline = Timeline {
        stream: STREAM,
        epoch: Epoch(2),
        target_duration: 2,
        part_hold_back: MediaDuration::from_millis(600),
        first_msn: Msn(7),
        tracks: vec![track],
        captions: Vec::new(),
        ended: false,
    };
    StoredState {
        stream: STREAM,
        epoch: Epoch(2),
        worker: WorkerAddress { worker, rtmp: nowhere, http: nowhere },
        owner: None,
        filled: Some(FilledState { timeline, clock: None, closed: false }),
    }
}
