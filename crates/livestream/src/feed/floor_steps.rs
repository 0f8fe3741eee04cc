//! What a control feed says of the announcements: how far they are.

use crate::Msn;
use crate::assignment::Floor;
use crate::feed::Event;
use crate::timeline::{SegmentPhase, Timeline};

/// Turns a timeline that grows into what a control feed says of it.
#[derive(Clone, Debug, Default)]
pub struct FloorSteps {
    /// The last whole segment that was told of; the stream's first part is told of as one below its segment.
    told: Option<Msn>,
    said: Option<Floor>,
}

impl FloorSteps {
    /// What there is to say once `timeline` stands so: [`Event::Floor`] at a step, [`Event::Reached`] where no more than
    /// parts were announced since, none where nothing was.
    pub fn take(&mut self, timeline: &Timeline) -> Option<Event> {
        let floor = Floor::of(timeline)?;
        let whole = last_whole(timeline).unwrap_or(Msn(floor.msn.0.saturating_sub(1)));
        if self.told.is_none_or(|told| whole > told) {
            self.told = Some(whole);
            self.said = Some(floor);
            return Some(Event::Floor(floor));
        }
        let position = |floor: Floor| (floor.msn, floor.media_end);
        if self.said.is_some_and(|said| position(floor) <= position(said)) {
            return None;
        }
        self.said = Some(floor);
        Some(Event::Reached(floor))
    }
}

impl Floor {
    /// The end of everything that `timeline` announces; none before there is a segment.
    pub fn of(timeline: &Timeline) -> Option<Self> {
        let lasts = || timeline.tracks.iter().filter_map(|track| track.segments.back());
        // One track may end in a gap under a new epoch, beside a segment of the old one.
        let epoch = lasts().map(|last| last.epoch).max();
        lasts()
            .map(|last| Self {
                msn: last.msn,
                discontinuity: last.discontinuity,
                media_end: last.start.plus(last.duration),
                epoch,
            })
            .max_by_key(|floor| (floor.msn, floor.media_end))
    }
}

/// The highest segment that can be watched to its end.
fn last_whole(timeline: &Timeline) -> Option<Msn> {
    let whole = timeline.tracks.iter().filter_map(|track| {
        track.segments.iter().rev().find(|segment| segment.phase != SegmentPhase::Open && !segment.gap)
    });
    whole.map(|segment| segment.msn).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{PartAnnounced, SegmentAnnounced};
    use crate::timeline::{Part, Segment, Track, TrackMedia};
    use crate::{Epoch, MediaDuration, MediaTime, PartNumber, StreamId, UnixMillis};

    fn timeline() -> Timeline {
        let track = |name: &str| Track {
            name: name.parse().unwrap(),
            media: TrackMedia::Audio { sample_rate: 48_000, channels: 2 },
            codecs: "mp4a.40.2".to_owned(),
            peak_bandwidth: 1,
            average_bandwidth: 1,
            part_target: MediaDuration::from_millis(200),
            segments: [].into(),
            withdrawn: false,
        };
        Timeline {
            stream: StreamId::generate(),
            epoch: Epoch(1),
            target_duration: 4,
            part_hold_back: MediaDuration::from_millis(600),
            first_msn: Msn(7),
            tracks: vec![track("source"), track("audio")],
            captions: Vec::new(),
            ended: false,
        }
    }

    /// Of segment `msn`, which begins two seconds behind the one before it, the part with that index.
    fn part(rendition: &str, msn: u64, index: u64) -> Event {
        Event::Part(PartAnnounced {
            rendition: rendition.parse().unwrap(),
            msn: Msn(msn),
            part: Part {
                number: PartNumber(msn * 10 + index),
                duration: MediaDuration::from_millis(200),
                size: 1,
                independent: true,
            },
            opens: (index == 0).then(|| Box::new(segment(msn, 0))),
        })
    }

    fn segment(msn: u64, millis: u64) -> Segment {
        Segment {
            msn: Msn(msn),
            epoch: Epoch(1),
            start: start(msn),
            duration: MediaDuration::from_millis(millis),
            discontinuity: 3,
            program_date_time: UnixMillis(0),
            init: None,
            phase: if millis == 0 { SegmentPhase::Open } else { SegmentPhase::Finished },
            gap: false,
            independent: true,
            lead_in: false,
            size: 1,
            parts: Vec::new(),
        }
    }

    fn start(msn: u64) -> MediaTime {
        MediaTime(24_000_000 + i64::try_from(msn - 7).unwrap() * 2_000_000)
    }

    fn whole(rendition: &str, segment: Segment) -> Event {
        Event::Segment(SegmentAnnounced {
            rendition: rendition.parse().unwrap(),
            segment,
            window_start: Msn(7),
            peak_bandwidth: 1,
            average_bandwidth: 1,
        })
    }

    fn floor(msn: u64, millis: u64) -> Floor {
        Floor {
            msn: Msn(msn),
            discontinuity: 3,
            media_end: start(msn).plus(MediaDuration::from_millis(millis)),
            epoch: Some(Epoch(1)),
        }
    }

    #[test]
    fn the_first_part_and_each_whole_segment_are_steps_and_parts_only_move_the_position() {
        let mut timeline = timeline();
        let mut steps = FloorSteps::default();
        assert_eq!(steps.take(&timeline), None, "nothing was announced");
        let gap = Segment { gap: true, ..segment(9, 2000) };
        for (event, said) in [
            (part("source", 7, 0), Some(Event::Floor(floor(7, 200)))),
            (part("audio", 7, 0), None),
            (part("source", 7, 1), Some(Event::Reached(floor(7, 400)))),
            (whole("source", segment(7, 2000)), Some(Event::Floor(floor(7, 2000)))),
            (whole("audio", segment(7, 2000)), None),
            (part("source", 8, 0), Some(Event::Reached(floor(8, 200)))),
            (part("audio", 8, 0), None),
            (whole("audio", segment(8, 2010)), Some(Event::Floor(floor(8, 2010)))),
            (whole("source", segment(8, 2000)), None),
            (whole("source", gap), Some(Event::Reached(floor(9, 2000)))),
            (Event::Stored { rendition: "audio".parse().unwrap(), msn: Msn(8) }, None),
        ] {
            timeline.apply(&event).unwrap();
            assert_eq!(steps.take(&timeline), said, "{event:?}");
        }
    }

    #[test]
    fn a_floor_bears_the_highest_epoch_of_any_track() {
        for later in ["source", "audio"] {
            let mut timeline = Timeline { epoch: Epoch(2), ..timeline() };
            for name in ["source", "audio"] {
                let epoch = Epoch(if name == later { 2 } else { 1 });
                let last = Segment { epoch, ..segment(7, 2000) };
                timeline.apply(&whole(name, last)).unwrap();
            }
            assert_eq!(
                Floor::of(&timeline),
                Some(Floor { epoch: Some(Epoch(2)), ..floor(7, 2000) }),
                "{later}"
            );
        }
    }
}
