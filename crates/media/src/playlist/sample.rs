//! A broadcast made up for tests: announces as a worker does, and keeps the timeline that its readers have.

use caudal_livestream::feed::{Event, PartAnnounced, SegmentAnnounced};
use caudal_livestream::timeline::{Part, Segment, SegmentPhase, Timeline, Track, TrackMedia, VideoRange};
use caudal_livestream::{Epoch, MediaDuration, MediaTime, Msn, PartNumber, RenditionName, UnixMillis};

pub(crate) const PART: MediaDuration = MediaDuration::from_millis(200);
const WINDOW: MediaDuration = MediaDuration::from_secs(24);
/// Wall clock of media time zero.
const ANCHOR: i64 = 1_795_356_000_000;

pub(crate) struct Broadcast {
    pub(crate) timeline: Timeline,
    pub(crate) position: MediaTime,
    discontinuity: u64,
    anchor: i64,
    next_part: u64,
    lead_in: bool,
}

/// What can happen to a broadcast.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Part,
    Close,
    Gap,
    Discontinuity,
    NextEpoch,
    Store,
    End,
}

impl Broadcast {
    pub(crate) fn new(tracks: &[&str]) -> Self {
        let tracks = tracks.iter().map(|name| track(name)).collect();
        Self {
            timeline: Timeline {
                stream: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
                epoch: Epoch(1),
                target_duration: 2,
                part_hold_back: MediaDuration(633_000),
                first_msn: Msn(7),
                tracks,
                captions: Vec::new(),
                ended: false,
            },
            position: MediaTime(10_000_000),
            discontinuity: 0,
            anchor: ANCHOR,
            next_part: 0,
            lead_in: false,
        }
    }

    /// Its first segment can have a lead-in.
    pub(crate) fn with_lead_in(self) -> Self {
        Self { lead_in: true, ..self }
    }

    /// Segments of ten parts, then `parts` more.
    pub(crate) fn with(mut self, segments: usize, parts: usize) -> Self {
        for _ in 0..segments {
            for _ in 0..10 {
                self.step(Step::Part);
            }
            self.step(Step::Close);
        }
        for _ in 0..parts {
            self.step(Step::Part);
        }
        self
    }

    /// A rendition joins, before all others.
    pub(crate) fn joined_by(mut self, name: &str) -> Self {
        self.close();
        self.timeline.tracks.insert(0, track(name));
        self
    }

    pub(crate) fn step(&mut self, step: Step) {
        if self.timeline.ended {
            return;
        }
        let open = self.open_parts();
        match step {
            Step::Part if open < 10 => self.part(),
            Step::Part => {
                self.close();
                self.part();
            }
            Step::Close => self.close(),
            Step::Gap => {
                self.close();
                let gap = self.segment(true);
                self.position = self.position.plus(gap.duration);
                for name in self.names() {
                    self.announce_segment(&name, gap.clone());
                }
            }
            Step::Discontinuity => {
                self.close();
                self.discontinuity += 1;
                self.anchor += 5_000;
            }
            Step::NextEpoch => {
                self.close();
                self.timeline.epoch = self.timeline.epoch.next();
                self.next_part = 0;
            }
            Step::Store => {
                for name in self.names() {
                    let finished = |s: &&Segment| s.phase == SegmentPhase::Finished;
                    let next = self
                        .timeline
                        .track(&name)
                        .and_then(|t| t.segments.iter().find(finished))
                        .map(|s| s.msn);
                    if let Some(msn) = next {
                        self.apply(&Event::Stored { rendition: name, msn });
                    }
                }
            }
            Step::End => {
                self.close();
                self.apply(&Event::End);
            }
        }
    }

    fn open_parts(&self) -> usize {
        let last = self.timeline.tracks[0].segments.back();
        last.filter(|s| s.phase == SegmentPhase::Open).map_or(0, |s| s.parts.len())
    }

    fn part(&mut self) {
        let first = self.open_parts() == 0;
        let opens = first.then(|| Box::new(self.segment(false)));
        for name in self.names() {
            let msn = opens.as_ref().map_or_else(|| self.next_msn().0 - 1, |s| s.msn.0);
            let independent = first || name.as_str() == "audio";
            let part = Part { number: PartNumber(self.next_part), duration: PART, size: 25_000, independent };
            let opens = opens.clone();
            self.apply(&Event::Part(PartAnnounced { rendition: name, msn: Msn(msn), part, opens }));
        }
        self.next_part += 1;
        self.position = self.position.plus(PART);
    }

    fn close(&mut self) {
        if self.open_parts() == 0 {
            return;
        }
        for name in self.names() {
            let mut segment = self.timeline.track(&name).unwrap().segments.back().unwrap().clone();
            segment.phase = SegmentPhase::Finished;
            self.announce_segment(&name, segment);
        }
    }

    fn announce_segment(&mut self, name: &RenditionName, segment: Segment) {
        let window_start = self.window_start(name);
        self.apply(&Event::Segment(SegmentAnnounced {
            rendition: name.clone(),
            segment,
            window_start,
            peak_bandwidth: 3_000_000,
            average_bandwidth: 2_500_000,
        }));
    }

    /// The live window is the least number of segments that hold [`WINDOW`].
    fn window_start(&self, name: &RenditionName) -> Msn {
        let mut held = 0;
        for segment in self.timeline.track(name).unwrap().segments.iter().rev() {
            if held >= WINDOW.0 {
                return segment.msn.next();
            }
            held += segment.duration.0;
        }
        Msn(7)
    }

    fn segment(&self, gap: bool) -> Segment {
        Segment {
            msn: self.next_msn(),
            epoch: self.timeline.epoch,
            start: self.position,
            duration: if gap { MediaDuration::from_secs(2) } else { MediaDuration(0) },
            discontinuity: self.discontinuity,
            program_date_time: UnixMillis(self.anchor + self.position.0 / 1000),
            init: Some(format!("abc{}", self.discontinuity).parse().unwrap()),
            phase: if gap { SegmentPhase::Finished } else { SegmentPhase::Open },
            gap,
            independent: true,
            lead_in: self.lead_in && !gap && self.next_msn() == self.timeline.first_msn,
            size: 0,
            parts: Vec::new(),
        }
    }

    fn next_msn(&self) -> Msn {
        let newest =
            self.timeline.tracks.iter().filter_map(|track| track.segments.back()).map(|last| last.msn);
        newest.max().map_or(Msn(7), Msn::next)
    }

    fn names(&self) -> Vec<RenditionName> {
        // The first track decides the numbers, so it is announced last.
        self.timeline.tracks.iter().rev().map(|track| track.name.clone()).collect()
    }

    fn apply(&mut self, event: &Event) {
        self.timeline.apply(event).unwrap_or_else(|gap| panic!("{event:?}: {gap}"));
    }
}

pub(crate) fn track(name: &str) -> Track {
    let audio = name == "audio";
    Track {
        name: name.parse().unwrap(),
        media: if audio {
            TrackMedia::Audio { sample_rate: 48_000, channels: 2 }
        } else {
            TrackMedia::Video { width: 1280, height: 720, frame_rate_milli: 29_970, range: VideoRange::Sdr }
        },
        codecs: if audio { "mp4a.40.2".to_owned() } else { "avc1.64001f".to_owned() },
        peak_bandwidth: if audio { 160_000 } else { 3_000_000 },
        average_bandwidth: if audio { 150_000 } else { 2_500_000 },
        part_target: MediaDuration(211_000),
        segments: std::collections::VecDeque::new(),
        withdrawn: false,
    }
}
