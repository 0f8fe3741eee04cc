//! Assignments, timelines and pictures for unit tests.

use caudal_livestream::admission::LatencyMode;
use caudal_livestream::assignment::{Assignment, AssignmentMode};
use caudal_livestream::proof::RoleKey;
use caudal_livestream::timeline::{Segment, SegmentPhase, Timeline, Track, TrackMedia, VideoRange};
use caudal_livestream::{Epoch, Generation, MediaDuration, MediaTime, Msn, StreamId, UnixMillis, WorkerId};
use caudal_media::codec::{PictureFormat, Scan};

/// Live at once, without renditions below the source, until the first second of 1970 is over.
pub(crate) fn assignment(worker: WorkerId, stream: StreamId, epoch: Epoch) -> Assignment {
    let digest = RoleKey::new([1; 32]).proof(stream, epoch).digest();
    Assignment {
        worker,
        stream,
        epoch,
        generation: Generation(1),
        mode: AssignmentMode::Live,
        floor: None,
        ladder: Vec::new(),
        latency_mode: LatencyMode::Low,
        record: false,
        hints: None,
        input_key_digest: digest.clone(),
        feed_key_digest: digest,
        other_input_key_digests: Vec::new(),
        other_feed_key_digests: Vec::new(),
        credentials: None,
        expires: UnixMillis(1000),
    }
}

/// What most publishers send.
pub(crate) fn hd() -> PictureFormat {
    PictureFormat {
        width: 1920,
        height: 1080,
        pixel_aspect: (1, 1),
        scan: Scan::Progressive,
        range: VideoRange::Sdr,
    }
}

/// A source of its own, in its first epoch, with these segments.
pub(crate) fn timeline(stream: StreamId, segments: Vec<Segment>) -> Timeline {
    let track = Track {
        name: "source".parse().unwrap(),
        media: TrackMedia::Video {
            width: 640,
            height: 360,
            frame_rate_milli: 25_000,
            range: VideoRange::Sdr,
        },
        codecs: "avc1.64001e".to_owned(),
        peak_bandwidth: 1,
        average_bandwidth: 1,
        part_target: MediaDuration::from_millis(200),
        segments: segments.into(),
        withdrawn: false,
    };
    Timeline {
        stream,
        epoch: Epoch(1),
        target_duration: 2,
        part_hold_back: MediaDuration::from_millis(600),
        first_msn: Msn(7),
        tracks: vec![track],
        captions: Vec::new(),
        ended: false,
    }
}

/// Two seconds, behind those before it.
pub(crate) fn segment(msn: u64, phase: SegmentPhase) -> Segment {
    let second = i64::try_from(msn).unwrap() * 2;
    Segment {
        msn: Msn(msn),
        epoch: Epoch(1),
        start: MediaTime(second * 1_000_000),
        duration: MediaDuration::from_secs(2),
        discontinuity: 0,
        program_date_time: UnixMillis(second * 1000),
        init: Some("0a".parse().unwrap()),
        phase,
        gap: false,
        independent: true,
        lead_in: false,
        size: 5,
        parts: Vec::new(),
    }
}
