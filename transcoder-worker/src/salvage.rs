//! Where to go on when an earlier epoch's state cannot be read: what it announced is known only from the controller
//! and from the names of its segments.

use std::cmp::Ordering;

use caudal_livestream::assignment::Floor;
use caudal_livestream::state::{FilledState, InputClock};
use caudal_livestream::timeline::{HIGHEST_NUMBER, Timeline};
use caudal_livestream::{Epoch, Generation, MediaDuration, MediaTime, Msn, SessionId, StreamId, UnixMillis};
use caudal_media::Beyond;

/// What a new epoch begins behind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Before {
    pub(crate) filled: FilledState,
    pub(crate) floor: Option<Floor>,
    /// Whether everything that was announced is known.
    pub(crate) known: Known,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    Whole,
    /// A later epoch was claimed and its state never filled: it may have announced what lies between the timeline and the
    /// floor.
    UpToState,
    /// A state was damaged or never written: the timeline is an older one, or none at all.
    InPart,
}

impl Before {
    /// Under whose names those segments were announced that the timeline does not list. A later epoch that may have announced
    /// some did not, where the last announced segment bears no later name.
    pub(crate) fn beyond(&self) -> Beyond {
        let named = self.floor.and_then(|floor| floor.epoch);
        match self.known {
            Known::Whole => Beyond::SameEpoch,
            Known::UpToState if named.is_some_and(|named| named <= self.filled.timeline.epoch) => {
                Beyond::SameEpoch
            }
            Known::UpToState | Known::InPart => Beyond::Unknown,
        }
    }

    /// What was claimed, with what the controller has said since.
    pub(crate) fn known_further(
        claimed: Option<Self>,
        epoch: (StreamId, Epoch),
        floor: Option<Floor>,
        now: UnixMillis,
    ) -> Option<Self> {
        let (readable, known) = match claimed {
            Some(before) if before.known != Known::InPart => {
                return Some(Self { floor: floor.or(before.floor), ..before });
            }
            Some(before) => (Some(before.filled), before.floor),
            None => (None, None),
        };
        Self::behind_damage(epoch, readable, further(known, floor), None, now)
    }

    /// From what is left, where a state is damaged or there is none: the highest state that can be read, the controller's floor, and the highest number that a
    /// stored segment bears. None when no epoch has announced anything.
    ///
    /// Numbers may have holes and never go back. The publisher's timestamps count as new, so the media behind is a
    /// discontinuity: nobody can say any more how the old ones lay.
    pub(crate) fn behind_damage(
        (stream, epoch): (StreamId, Epoch),
        readable: Option<FilledState>,
        floor: Option<Floor>,
        stored: Option<Msn>,
        now: UnixMillis,
    ) -> Option<Self> {
        let last = readable.as_ref().and_then(|state| end_of(&state.timeline));
        let floor = further(last, floor);
        let floor = match stored {
            Some(stored) if floor.is_none_or(|floor| stored > floor.msn) => {
                let from = floor.unwrap_or(BEFORE_ANYTHING);
                let unknown = stored.0.saturating_sub(from.msn.0);
                Floor {
                    msn: stored,
                    // A discontinuity begins a segment, so there were no more of them.
                    discontinuity: from.discontinuity.saturating_add(unknown).min(HIGHEST_NUMBER),
                    media_end: from.media_end.plus(MediaDuration(LONGEST_SEGMENT.0.saturating_mul(unknown))),
                    epoch: None,
                }
            }
            _ => floor?,
        };
        let date_anchor = readable
            .as_ref()
            .and_then(|state| state.clock)
            .map_or(UnixMillis(now.0.saturating_sub(floor.media_end.0 / 1000)), |clock| clock.date_anchor);
        let near = |last: Floor| floor.msn.0.saturating_sub(last.msn.0) <= NEAR;
        let timeline = match readable.map(|state| state.timeline) {
            Some(timeline) if last.is_some_and(near) => timeline,
            older => without_tracks(stream, epoch, floor, older.as_ref()),
        };
        let clock = InputClock {
            session: SessionId::generate(),
            generation: Generation::default(),
            offset: MediaTime(
                floor.media_end.0.saturating_sub(i64::from(FAR_TIMESTAMP).saturating_mul(1000)),
            ),
            wraps: 0,
            last_rtmp: FAR_TIMESTAMP,
            date_anchor,
        };
        let filled = FilledState { timeline, clock: Some(clock), closed: true };
        Some(Self { filled, floor: Some(floor), known: Known::InPart })
    }
}

fn end_of(timeline: &Timeline) -> Option<Floor> {
    let lasts = || timeline.tracks.iter().filter_map(|track| track.segments.back());
    let epoch = lasts().map(|last| last.epoch).max();
    lasts()
        .map(|last| Floor {
            msn: last.msn,
            discontinuity: last.discontinuity,
            media_end: last.start.plus(last.duration),
            epoch,
        })
        .fold(None, |end, last| further(end, Some(last)))
}

fn further(a: Option<Floor>, b: Option<Floor>) -> Option<Floor> {
    let (Some(a), Some(b)) = (a, b) else { return a.or(b) };
    Some(Floor {
        msn: a.msn.max(b.msn),
        discontinuity: a.discontinuity.max(b.discontinuity),
        media_end: a.media_end.max(b.media_end),
        epoch: match a.msn.cmp(&b.msn) {
            Ordering::Less => b.epoch,
            Ordering::Equal => a.epoch.max(b.epoch),
            Ordering::Greater => a.epoch,
        },
    })
}

fn without_tracks(stream: StreamId, epoch: Epoch, floor: Floor, older: Option<&Timeline>) -> Timeline {
    Timeline {
        stream,
        epoch,
        target_duration: older.map_or(TARGET_WITHOUT_HISTORY, |older| older.target_duration),
        part_hold_back: older.map_or(MediaDuration::default(), |older| older.part_hold_back),
        first_msn: floor.msn.next(),
        tracks: Vec::new(),
        captions: older.map_or_else(Vec::new, |older| older.captions.clone()),
        ended: false,
    }
}

/// A new broadcast: its first segment has number 7, its first frame lies at 24 s.
const BEFORE_ANYTHING: Floor =
    Floor { msn: Msn(6), discontinuity: 0, media_end: MediaTime(24_000_000), epoch: None };
/// TARGETDURATION is never above ten seconds.
const LONGEST_SEGMENT: MediaDuration = MediaDuration::from_secs(10);
/// ARCHITECTURE §5.
const TARGET_WITHOUT_HISTORY: u32 = 4;
/// Segments that an older timeline may be behind and still be shown, with gaps: a minute.
const NEAR: u64 = 30;
/// Half-way round: no publisher's first timestamp is taken to follow this one.
const FAR_TIMESTAMP: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use caudal_livestream::timeline::SegmentPhase;

    use super::*;
    use crate::fixtures::{segment, timeline};

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn floor(msn: u64, discontinuity: u64) -> Floor {
        Floor {
            msn: Msn(msn),
            discontinuity,
            media_end: MediaTime(i64::try_from(msn).unwrap() * 2_000_000),
            epoch: None,
        }
    }

    fn readable(stream: StreamId, last: u64) -> FilledState {
        let segments = (last - 3..=last).map(|msn| segment(msn, SegmentPhase::Stored)).collect();
        FilledState { timeline: timeline(stream, segments), clock: None, closed: false }
    }

    #[test]
    fn numbers_go_on_behind_whatever_knows_of_the_highest() {
        let stream = StreamId::generate();
        for (readable_to, floor, stored, goes_on_behind) in [
            (None, None, None, None),
            (Some(20), None, None, Some(20)),
            (Some(20), Some(floor(22, 0)), None, Some(22)),
            (Some(20), Some(floor(22, 0)), Some(21), Some(22)),
            (Some(20), Some(floor(22, 0)), Some(25), Some(25)),
            (Some(20), None, Some(25), Some(25)),
            (None, Some(floor(500, 3)), None, Some(500)),
            (None, Some(floor(500, 3)), Some(502), Some(502)),
            (None, None, Some(7), Some(7)),
        ] {
            let state = readable_to.map(|last| readable(stream, last));
            let before = Before::behind_damage((stream, Epoch(3)), state, floor, stored.map(Msn), NOW);
            let case = format!("{readable_to:?} {floor:?} {stored:?}");
            let end = before.as_ref().and_then(|before| before.floor);
            assert_eq!(end.map(|floor| floor.msn.0), goes_on_behind, "{case}");
            let Some((before, end)) = before.zip(end) else { continue };
            assert!(floor.is_none_or(|floor| end.discontinuity >= floor.discontinuity), "{case}");
            assert!(floor.is_none_or(|floor| end.media_end >= floor.media_end), "{case}");
            assert_eq!(before.known, Known::InPart, "{case}");
        }
    }

    #[test]
    fn a_floor_that_is_heard_after_the_claim_counts_whatever_was_claimed() {
        let stream = StreamId::generate();
        let ids = (stream, Epoch(3));
        let damaged = |state| Before::behind_damage(ids, state, Some(floor(20, 0)), None, NOW);
        let filled = readable(stream, 20);
        let whole = |known| Some(Before { filled: filled.clone(), floor: Some(floor(20, 0)), known });
        for (claimed, known) in [
            (None, Known::InPart),
            (damaged(None), Known::InPart),
            (damaged(Some(filled.clone())), Known::InPart),
            (whole(Known::UpToState), Known::UpToState),
            (whole(Known::Whole), Known::Whole),
        ] {
            let before = Before::known_further(claimed.clone(), ids, Some(floor(25, 0)), NOW).unwrap();
            let end = before.floor.map(|floor| floor.msn.0);
            assert_eq!((end, before.known), (Some(25), known), "{claimed:?}");
            let shown = claimed.as_ref().map_or(0, |before| before.filled.timeline.tracks.len());
            assert_eq!(before.filled.timeline.tracks.len(), shown, "{claimed:?}");
            let unheard = Before::known_further(claimed.clone(), ids, None, NOW);
            let floor_of = |before: Option<Before>| before.and_then(|before| before.floor);
            assert_eq!(floor_of(unheard), floor_of(claimed));
        }
    }

    #[test]
    fn of_equal_numbers_the_later_epoch_counts() {
        let named = |msn, epoch| Some(Floor { epoch: Some(Epoch(epoch)), ..floor(msn, 0) });
        for (a, b, epoch) in [
            (named(7, 1), named(7, 2), 2),
            (named(7, 2), named(7, 1), 2),
            (named(8, 1), named(7, 2), 1),
            (named(7, 2), named(8, 1), 1),
        ] {
            assert_eq!(further(a, b).unwrap().epoch, Some(Epoch(epoch)), "{a:?} {b:?}");
        }
    }

    #[test]
    fn an_old_timeline_is_shown_while_it_is_near_and_only_counted_from_when_it_is_not() {
        let stream = StreamId::generate();
        for (stored, shown) in [(21, true), (50, true), (51, false), (100_000, false)] {
            let state = Some(readable(stream, 20));
            let before =
                Before::behind_damage((stream, Epoch(3)), state, None, Some(Msn(stored)), NOW).unwrap();
            assert_eq!(!before.filled.timeline.tracks.is_empty(), shown, "{stored}");
            assert_eq!(before.filled.timeline.target_duration, 2, "frozen");
        }
    }
}
