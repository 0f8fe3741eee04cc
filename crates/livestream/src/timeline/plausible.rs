//! Which timelines some worker may have written: whoever takes one up goes on counting from its numbers, and whoever follows
//! one keeps it in memory.

use thiserror::Error;

use super::captions::MAX_CHANNELS;
use super::{Part, Segment, SegmentPhase, Timeline, Track};
use crate::{Epoch, MediaDuration, RenditionName, StreamId};

/// A timeline that no worker can have written.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Implausible {
    /// A number or length beyond anything that a broadcast reaches.
    #[error("{0} is out of bounds")]
    OutOfBounds(&'static str),
    /// Segments that do not follow one another.
    #[error("the segments of {0} do not follow one another")]
    Order(RenditionName),
    /// Two renditions of one name.
    #[error("there are two renditions {0}")]
    Twice(RenditionName),
    /// It is not of the stream that was asked for, or of a later epoch than the worker that was asked.
    #[error("it is of stream {0}, epoch {1}")]
    Stranger(StreamId, Epoch),
}

impl Timeline {
    /// Whether this can be taken up: numbers leave room to count on from, and segments follow one another.
    ///
    /// # Errors
    /// [`Implausible`] says what cannot be.
    pub fn check(&self) -> Result<(), Implausible> {
        within("the number of renditions", self.tracks.len() <= MAX_TRACKS)?;
        within("the target duration", (1..=MAX_TARGET_SECS).contains(&self.target_duration))?;
        within("the hold-back", self.part_hold_back <= LONGEST)?;
        within("the number of caption channels", self.captions.len() <= MAX_CHANNELS)?;
        within("the order of caption channels", self.captions.is_sorted_by(|a, b| a < b))?;
        within("the first number", self.first_msn.0 <= HIGHEST_NUMBER)?;
        for (index, track) in self.tracks.iter().enumerate() {
            if self.tracks.iter().take(index).any(|other| other.name == track.name) {
                return Err(Implausible::Twice(track.name.clone()));
            }
            self.check_track(track)?;
        }
        Ok(())
    }

    /// Whether the worker of `epoch` may have said this of `stream`. One that names a later epoch would keep its successors from
    /// being followed.
    ///
    /// # Errors
    /// [`Implausible`] says what cannot be.
    pub fn check_said_by(&self, stream: StreamId, epoch: Epoch) -> Result<(), Implausible> {
        if self.stream != stream || self.epoch > epoch {
            return Err(Implausible::Stranger(self.stream, self.epoch));
        }
        self.check()
    }

    fn check_track(&self, track: &Track) -> Result<(), Implausible> {
        within("the length of a codecs string", track.codecs.len() <= MAX_CODECS)?;
        within("the length of a part", track.part_target <= LONGEST)?;
        within("the live window", track.segments.len() <= MAX_SEGMENTS)?;
        within("the number of parts", parts_of(track) <= MAX_PARTS)?;
        let mut before: Option<&Segment> = None;
        for segment in &track.segments {
            check_segment(segment)?;
            within("a segment's epoch", segment.epoch <= self.epoch)?;
            if let Some(before) = before
                && (before.msn.next() != segment.msn
                    || before.phase == SegmentPhase::Open
                    || before.discontinuity > segment.discontinuity)
            {
                return Err(Implausible::Order(track.name.clone()));
            }
            before = Some(segment);
        }
        Ok(())
    }
}

/// Whether `track` may go on with `segment`, be that as long as the worker says: what leaves the window is the worker's word too.
pub(super) fn check_announced(track: &Track, epoch: Epoch, segment: &Segment) -> Result<(), Implausible> {
    check_segment(segment)?;
    within("a segment's epoch", segment.epoch <= epoch)?;
    within("the live window", track.segments.len() < MAX_SEGMENTS)?;
    within("the number of parts", parts_of(track).saturating_add(segment.parts.len()) <= MAX_PARTS)?;
    let before = track.segments.iter().rev().find(|before| before.msn < segment.msn);
    if before.is_some_and(|before| before.discontinuity > segment.discontinuity) {
        return Err(Implausible::Order(track.name.clone()));
    }
    Ok(())
}

/// Whether `track` may go on with `part`.
pub(super) fn check_part(track: &Track, part: &Part) -> Result<(), Implausible> {
    within("a part", is_part(part))?;
    within("the number of parts", parts_of(track) < MAX_PARTS)?;
    let open = track.segments.back().filter(|last| last.phase == SegmentPhase::Open);
    let length = open.map_or(0, |open| open.duration.0).saturating_add(part.duration.0);
    within("a segment's length", length <= LONGEST.0)
}

fn parts_of(track: &Track) -> usize {
    track.segments.iter().map(|segment| segment.parts.len()).sum()
}

fn is_part(part: &Part) -> bool {
    part.number.0 <= HIGHEST_NUMBER && part.duration <= LONGEST
}

fn check_segment(segment: &Segment) -> Result<(), Implausible> {
    within("a media sequence number", segment.msn.0 <= HIGHEST_NUMBER)?;
    within("a discontinuity sequence number", segment.discontinuity <= HIGHEST_NUMBER)?;
    within("a media time", segment.start.0.unsigned_abs() <= FURTHEST)?;
    within("a date", segment.program_date_time.0.unsigned_abs() <= FURTHEST)?;
    within("a segment's length", segment.duration <= LONGEST)?;
    within("a segment's size", segment.size <= HIGHEST_NUMBER)?;
    within("a part", segment.parts.iter().all(is_part))
}

fn within(what: &'static str, holds: bool) -> Result<(), Implausible> {
    if holds { Ok(()) } else { Err(Implausible::OutOfBounds(what)) }
}

/// A million years of parts; still leaves room to count on in every type that carries such a number.
pub const HIGHEST_NUMBER: u64 = 1 << 48;
/// In microseconds or milliseconds: 142 years of the former, which sums of a few never overflow.
const FURTHEST: u64 = 1 << 52;
/// No segment, part or hold-back is longer than a day.
const LONGEST: MediaDuration = MediaDuration::from_secs(86_400);
const MAX_TARGET_SECS: u32 = 3_600;
/// Eight renditions and their sound, twice over.
pub(super) const MAX_TRACKS: usize = 18;
/// A live window holds six target durations of 10 s at most, in segments of half a second at least; behind a lost worker it may
/// begin with 256 gaps. Four times those.
const MAX_SEGMENTS: usize = 1_024;
/// Of all segments of a track. Parts aim at 0.2 s, whatever the settings: a minute has 360 of them at most.
const MAX_PARTS: usize = 8_192;
/// The longest that is written is that of an HEVC track with all its constraint flags, 40 bytes.
const MAX_CODECS: usize = 256;

#[cfg(test)]
mod tests {
    use crate::feed::{Event, PartAnnounced, SegmentAnnounced};
    use crate::timeline::{TimelineGap, TrackMedia};
    use crate::{MediaTime, Msn, PartNumber, UnixMillis};

    use super::*;

    fn timeline() -> Timeline {
        let track = Track {
            name: "audio".parse().unwrap(),
            media: TrackMedia::Audio { sample_rate: 48_000, channels: 2 },
            codecs: "mp4a.40.2".to_owned(),
            peak_bandwidth: 1,
            average_bandwidth: 1,
            part_target: MediaDuration::from_millis(200),
            segments: std::collections::VecDeque::new(),
            withdrawn: false,
        };
        Timeline {
            stream: StreamId::generate(),
            epoch: Epoch(1),
            target_duration: 2,
            part_hold_back: MediaDuration::from_millis(600),
            first_msn: Msn(7),
            tracks: vec![track],
            captions: Vec::new(),
            ended: false,
        }
    }

    fn part(number: u64) -> Part {
        Part {
            number: PartNumber(number),
            duration: MediaDuration::from_millis(200),
            size: 100,
            independent: true,
        }
    }

    fn segment(msn: u64) -> Segment {
        Segment {
            msn: Msn(msn),
            epoch: Epoch(1),
            start: MediaTime(0),
            duration: MediaDuration::from_secs(2),
            discontinuity: 5,
            program_date_time: UnixMillis(0),
            init: None,
            phase: SegmentPhase::Finished,
            gap: false,
            independent: true,
            lead_in: false,
            size: 1000,
            parts: Vec::new(),
        }
    }

    fn announced(segment: Segment, window_start: u64) -> Event {
        Event::Segment(SegmentAnnounced {
            rendition: "audio".parse().unwrap(),
            segment,
            window_start: Msn(window_start),
            peak_bandwidth: 1,
            average_bandwidth: 1,
        })
    }

    fn part_announced(msn: u64, part: Part, opens: Option<Segment>) -> Event {
        let opens = opens.map(Box::new);
        Event::Part(PartAnnounced { rendition: "audio".parse().unwrap(), msn: Msn(msn), part, opens })
    }

    /// Applies `announce(0)`, `announce(1)` and so on until one is refused: how many were taken, and why no more.
    fn until_refused(timeline: &mut Timeline, announce: impl Fn(u64) -> Event) -> (u64, String) {
        for taken in 0..100_000 {
            if let Err(refused) = timeline.apply(&announce(taken)) {
                assert!(timeline.check().is_ok(), "what was taken before stays as it is");
                return (taken, refused.to_string());
            }
        }
        panic!("there is no end of it");
    }

    #[test]
    fn a_worker_that_lets_nothing_leave_the_window_is_followed_for_so_long_only() {
        let (taken, why) = until_refused(&mut timeline(), |n| announced(segment(n), 0));
        assert_eq!((taken, why.as_str()), (1_024, "the live window is out of bounds"));
        // Days of a broadcast whose window moves are nothing.
        let mut moving = timeline();
        for msn in 0..20_000 {
            moving.apply(&announced(segment(msn), msn.saturating_sub(380))).unwrap();
        }
    }

    #[test]
    fn a_worker_that_announces_parts_without_end_is_followed_for_so_long_only() {
        let open = || Segment { phase: SegmentPhase::Open, duration: MediaDuration(0), ..segment(0) };
        let in_one = |n| part_announced(0, part(n), (n == 0).then(open));
        let (taken, why) = until_refused(&mut timeline(), in_one);
        assert_eq!((taken, why.as_str()), (8_192, "the number of parts is out of bounds"));
        let whole = |n: u64| Segment { parts: (0..100).map(part).collect(), ..segment(n) };
        let (taken, why) = until_refused(&mut timeline(), |n| announced(whole(n), 0));
        assert_eq!((taken, why.as_str()), (81, "the number of parts is out of bounds"));
    }

    #[test]
    fn what_is_announced_is_held_to_the_bounds_of_what_is_stored() {
        let open = Segment { phase: SegmentPhase::Open, duration: MediaDuration(0), ..segment(8) };
        let endless = MediaDuration::from_secs(86_401);
        for (what, event) in [
            ("a number", announced(Segment { discontinuity: HIGHEST_NUMBER + 1, ..segment(8) }, 0)),
            ("a step back", announced(Segment { discontinuity: 4, ..segment(8) }, 0)),
            ("a later epoch", announced(Segment { epoch: Epoch(2), ..segment(8) }, 0)),
            ("a length", announced(Segment { duration: endless, ..segment(8) }, 0)),
            ("a part", part_announced(8, Part { duration: endless, ..part(0) }, Some(open.clone()))),
            ("another segment", part_announced(8, part(0), Some(Segment { msn: Msn(9), ..open.clone() }))),
            ("a whole segment", part_announced(8, part(0), Some(segment(8)))),
            ("a later epoch", part_announced(8, part(0), Some(Segment { epoch: Epoch(2), ..open }))),
        ] {
            let mut timeline = timeline();
            timeline.apply(&announced(segment(7), 0)).unwrap();
            let before = timeline.clone();
            assert!(timeline.apply(&event).is_err(), "{what}");
            assert_eq!(timeline, before, "{what}");
        }
        let mut named_at_length = timeline();
        named_at_length.tracks[0].codecs = "a".repeat(257);
        let refused = timeline().apply(&Event::Snapshot(Box::new(named_at_length)));
        assert!(matches!(refused, Err(TimelineGap::Implausible(_))), "{refused:?}");
    }

    #[test]
    fn a_worker_speaks_for_its_own_stream_and_for_no_later_epoch() {
        let timeline = timeline();
        assert_eq!(timeline.check_said_by(timeline.stream, Epoch(1)), Ok(()));
        assert_eq!(timeline.check_said_by(timeline.stream, Epoch(2)), Ok(()));
        assert!(timeline.check_said_by(timeline.stream, Epoch(0)).is_err());
        assert!(timeline.check_said_by(StreamId::generate(), Epoch(1)).is_err());
    }
}
