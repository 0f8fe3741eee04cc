//! One of each message, and how it is held against its file.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::path::Path;

use caudal_livestream::admission::{Access, BroadcastHints, LadderRung, LatencyMode};
use caudal_livestream::assignment::{Assignment, AssignmentMode, Floor};
use caudal_livestream::feed::InputState;
use caudal_livestream::proof::RoleKey;
use caudal_livestream::record::{
    DesiredState, DropPublisher, Ingest, MediaInfo, RelayFailures, Spec, WorkerAddress,
};
use caudal_livestream::report::EndReason;
use caudal_livestream::timeline::{Part, Segment, SegmentPhase, Timeline, Track, TrackMedia, VideoRange};
use caudal_livestream::{
    Epoch, Generation, MediaDuration, MediaTime, Msn, PartNumber, RenditionName, SessionId, StreamId,
    UnixMillis, WorkerId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

/// `value` is written as the file says, and the file is read as `value`.
pub fn golden<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let stored = stored(name, value);
    assert_eq!(&serde_json::from_str::<T>(&stored).unwrap(), value, "{name} is read otherwise");
}

pub fn stored(name: &str, value: &impl Serialize) -> String {
    let path = Path::new("tests/golden").join(format!("{name}.json"));
    let written = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var_os("CAUDAL_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &written).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(written, stored, "{name} is written otherwise");
    stored
}

pub fn stream() -> StreamId {
    StreamId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001))
}

pub fn session() -> SessionId {
    SessionId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002))
}

pub fn address() -> WorkerAddress {
    let worker = WorkerId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0003));
    WorkerAddress { worker, rtmp: socket(41935), http: socket(48080) }
}

pub fn socket(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub fn name(text: &str) -> RenditionName {
    text.parse().unwrap()
}

pub fn ladder() -> Vec<LadderRung> {
    vec![LadderRung { name: name("720p"), height: 720, bitrate: 2_500_000 }]
}

pub fn hints() -> BroadcastHints {
    BroadcastHints { keyframe_ms: 2_000, max_frame_ms: 34, fps_milli: 29_970 }
}

pub fn floor() -> Floor {
    Floor { msn: Msn(9), discontinuity: 1, media_end: MediaTime(16_000_000), epoch: None }
}

pub fn part() -> Part {
    Part { number: PartNumber(3), duration: MediaDuration::from_millis(200), size: 25_000, independent: true }
}

pub fn segment() -> Segment {
    Segment {
        msn: Msn(7),
        epoch: Epoch(1),
        start: MediaTime(10_000_000),
        duration: MediaDuration::from_millis(200),
        discontinuity: 0,
        program_date_time: UnixMillis(1_790_000_000_000),
        init: Some("9f86d081884c7d65".parse().unwrap()),
        phase: SegmentPhase::Stored,
        gap: false,
        independent: true,
        lead_in: true,
        size: 25_000,
        parts: vec![part()],
    }
}

pub fn timeline() -> Timeline {
    let track = |name, codecs: &str, media| Track {
        name,
        media,
        codecs: codecs.to_owned(),
        peak_bandwidth: 6_200_000,
        average_bandwidth: 6_000_000,
        part_target: MediaDuration::from_millis(200),
        segments: [segment()].into(),
        withdrawn: false,
    };
    let video =
        TrackMedia::Video { width: 1920, height: 1080, frame_rate_milli: 29_970, range: VideoRange::Sdr };
    let audio = TrackMedia::Audio { sample_rate: 48_000, channels: 2 };
    Timeline {
        stream: stream(),
        epoch: Epoch(1),
        target_duration: 4,
        part_hold_back: MediaDuration::from_millis(600),
        first_msn: Msn(7),
        tracks: vec![track(name("source"), "avc1.64001f", video), track(name("audio"), "mp4a.40.2", audio)],
        captions: Vec::new(),
        ended: false,
    }
}

pub fn spec() -> Spec {
    Spec {
        stream: stream(),
        channel: "ann".to_owned(),
        title: "A day by the sea".to_owned(),
        access: Access::Premium,
        pool: None,
        renditions: ladder(),
        latency_mode: LatencyMode::Standard,
        reconnect_window_ms: 30_000,
        record: true,
        hints: Some(hints()),
        desired_state: DesiredState::Ended,
        end_reason: Some(EndReason::EndedByOwner),
        drop: Some(DropPublisher { session: session(), reason: "a moderator's word".to_owned() }),
        key_revoked: true,
        ingest: Ingest {
            session: session(),
            generation: Generation(2),
            router: "http://10.0.0.7:3002".to_owned(),
            key_hash: "00ff".to_owned(),
            relay: Some(RelayFailures {
                epoch: Epoch(2),
                session: session(),
                failures: 3,
                last_failed_at: UnixMillis(1_790_000_000_500),
            }),
            refused: None,
        },
    }
}

pub fn assignment() -> Assignment {
    Assignment {
        worker: address().worker,
        stream: stream(),
        epoch: Epoch(2),
        generation: Generation(2),
        mode: AssignmentMode::Live,
        floor: Some(floor()),
        ladder: ladder(),
        latency_mode: LatencyMode::Low,
        record: true,
        hints: Some(hints()),
        input_key_digest: RoleKey::new([1; 32]).proof(stream(), Epoch(2)).digest(),
        feed_key_digest: RoleKey::new([2; 32]).proof(stream(), Epoch(2)).digest(),
        other_input_key_digests: Vec::new(),
        other_feed_key_digests: Vec::new(),
        credentials: None,
        expires: UnixMillis(1_790_000_030_000),
    }
}

pub fn input() -> InputState {
    InputState {
        session: Some(session()),
        generation: Generation(2),
        up: false,
        explicit: true,
        silent_ms: Some(40),
        unplayable: None,
        moved: false,
        leaving: false,
        seam_lost_ms: None,
    }
}

pub fn media() -> MediaInfo {
    MediaInfo {
        bitrate: 6_000_000,
        fps_milli: 29_970,
        keyframe_interval_ms: Some(2_000),
        width: Some(1920),
        height: Some(1080),
        video_codec: Some("H.264".to_owned()),
        audio_codec: Some("AAC".to_owned()),
        encoder: Some("obs-output module".to_owned()),
        b_frames: Some(true),
        dropped_frames: 3,
        connected_at: Some(UnixMillis(1_790_000_000_000)),
    }
}
