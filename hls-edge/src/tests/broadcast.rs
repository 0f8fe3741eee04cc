//! A timeline that grows as a worker's does, with the events that made it grow.

use caudal_livestream::feed::{Event, PartAnnounced, SegmentAnnounced};
use caudal_livestream::timeline::{Part, Segment, SegmentPhase, Timeline, Track, TrackMedia, VideoRange};
use caudal_livestream::{
    Epoch, MediaDuration, MediaTime, Msn, PartNumber, RenditionName, StreamId, UnixMillis,
};

pub(crate) struct Broadcast {
    pub(crate) timeline: Timeline,
    position: MediaTime,
    next_part: u64,
}

impl Broadcast {
    /// Nothing announced yet but the renditions.
    pub(crate) fn new(stream: StreamId, epoch: u32, tracks: &[&str]) -> Self {
        let track = |name: &&str| Track {
            name: name.parse().unwrap(),
            media: match *name {
                "audio" => TrackMedia::Audio { sample_rate: 48_000, channels: 2 },
                _ => TrackMedia::Video {
                    width: 1280,
                    height: 720,
                    frame_rate_milli: 30_000,
                    range: VideoRange::Sdr,
                },
            },
            codecs: if *name == "audio" { "mp4a.40.2" } else { "avc1.64001f" }.to_owned(),
            peak_bandwidth: 1_000_000,
            average_bandwidth: 900_000,
            part_target: MediaDuration::from_millis(210),
            segments: std::collections::VecDeque::new(),
            withdrawn: false,
        };
        Self {
            timeline: Timeline {
                stream,
                epoch: Epoch(epoch),
                target_duration: 2,
                part_hold_back: MediaDuration::from_millis(630),
                first_msn: Msn(7),
                tracks: tracks.iter().map(track).collect(),
                captions: Vec::new(),
                ended: false,
            },
            position: MediaTime(10_000_000),
            next_part: 0,
        }
    }

    /// What a new worker goes on with after this one.
    pub(crate) fn succeeded_by(&self, epoch: u32) -> Self {
        let mut timeline = self.timeline.clone();
        timeline.epoch = Epoch(epoch);
        Self { timeline, position: self.position, next_part: 0 }
    }

    /// A part of 200 ms in each rendition, audio first as it is cut first.
    pub(crate) fn part(&mut self) -> Vec<Event> {
        let names = self.names();
        let mut events = Vec::new();
        for name in names {
            let last = self.timeline.track(&name).unwrap().segments.back();
            let open = last.filter(|s| s.phase == SegmentPhase::Open).map(|s| s.msn);
            let opens = open.is_none().then(|| {
                Box::new(Segment {
                    msn: last.map_or(Msn(7), |s| s.msn.next()),
                    epoch: self.timeline.epoch,
                    start: self.position,
                    duration: MediaDuration(0),
                    discontinuity: 0,
                    program_date_time: UnixMillis(1_795_356_000_000 + self.position.0 / 1000),
                    init: Some("abc".parse().unwrap()),
                    phase: SegmentPhase::Open,
                    gap: false,
                    independent: true,
                    lead_in: false,
                    size: 0,
                    parts: Vec::new(),
                })
            });
            let part = Part {
                number: PartNumber(self.next_part),
                duration: MediaDuration::from_millis(200),
                size: u32::try_from(part_bytes(&name, self.timeline.epoch, self.next_part).len()).unwrap(),
                independent: opens.is_some(),
            };
            let msn = opens.as_ref().map_or_else(|| open.unwrap(), |s| s.msn);
            let event = Event::Part(PartAnnounced { rendition: name, msn, part, opens });
            self.timeline.apply(&event).unwrap();
            events.push(event);
        }
        self.next_part += 1;
        self.position = self.position.plus(MediaDuration::from_millis(200));
        events
    }

    /// The open segment of each rendition is whole.
    pub(crate) fn close(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for name in self.names() {
            let mut segment = self.timeline.track(&name).unwrap().segments.back().unwrap().clone();
            segment.phase = SegmentPhase::Finished;
            let event = Event::Segment(SegmentAnnounced {
                window_start: Msn(segment.msn.0.saturating_sub(20).max(7)),
                rendition: name,
                segment,
                peak_bandwidth: 1_000_000,
                average_bandwidth: 900_000,
            });
            self.timeline.apply(&event).unwrap();
            events.push(event);
        }
        events
    }

    /// Whole segments of five parts, then `parts` more; for tests that look at timelines only.
    pub(crate) fn with(mut self, segments: usize, parts: usize) -> Self {
        for _ in 0..segments {
            for _ in 0..5 {
                self.part();
            }
            self.close();
        }
        for _ in 0..parts {
            self.part();
        }
        self
    }

    fn names(&self) -> Vec<RenditionName> {
        self.timeline.tracks.iter().rev().map(|track| track.name.clone()).collect()
    }
}

/// What the part of that number holds.
pub(crate) fn part_bytes(rendition: &RenditionName, epoch: Epoch, number: u64) -> bytes::Bytes {
    bytes::Bytes::from(format!("[{rendition} {epoch} {number}]"))
}
