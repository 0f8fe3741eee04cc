//! What becomes of an earlier epoch's announcements (ARCHITECTURE §3.8): what is stored stays, what the router's
//! replay reaches is made again under its old name, and the rest are gaps.

use std::collections::VecDeque;

use caudal_livestream::assignment::Floor;
use caudal_livestream::timeline::{Segment, SegmentPhase, Timeline, Track};
use caudal_livestream::{
    Epoch, InitHash, MediaDuration, MediaTime, Msn, PartNumber, RenditionName, SessionId, UnixMillis,
};

use super::{Beyond, Resume};
use crate::cut_plan::{PlanFloor, PlannedSegment};
use crate::input_clock::SourceClock;
use crate::lead_in;

/// Where a timeline is continued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) msn: Msn,
    pub(super) discontinuity: u64,
    /// Presentation time; 0 on a new stream.
    pub(super) end: i64,
}

impl Position {
    /// Of a new stream.
    pub(super) fn first() -> Self {
        Self { msn: FIRST_MSN, discontinuity: 0, end: 0 }
    }

    /// Behind everything that is known of earlier epochs, when their timeline is not.
    pub(super) fn behind_floor(floor: &Floor) -> Self {
        Self { msn: floor.msn.next(), discontinuity: floor.discontinuity, end: floor.media_end.0 }
    }

    /// Behind everything in a timeline.
    pub(super) fn behind(timeline: &Timeline) -> Self {
        let last = timeline.tracks.iter().filter_map(|track| track.segments.back());
        last.fold(Self::first(), |position, segment| Self {
            msn: position.msn.max(segment.msn.next()),
            discontinuity: position.discontinuity.max(segment.discontinuity),
            end: position.end.max(end_of(segment)),
        })
    }
}

/// What the replay begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// Presentation time of the first frame of the leading track.
    pub(super) from: i64,
    /// One frame of it.
    pub(super) frame: i64,
    /// Its presentation less its decode time.
    pub(super) shift: i64,
}

/// An earlier epoch's last segments, to be made again.
#[derive(Debug)]
pub(super) struct Rebuild {
    /// Everything before them.
    pub(super) timeline: Timeline,
    /// Those whose boundaries are known, and the one before them.
    pub(super) known: Vec<PlannedSegment>,
    pub(super) next_msn: Msn,
    pub(super) discontinuity: u64,
    pub(super) floor: PlanFloor,
    pub(super) tracks: Vec<TrackRebuild>,
}

impl Resume {
    /// How much is missing before media of `session` that begins at this timestamp: a replay that reaches so much farther back
    /// may hold it.
    pub fn missing_before(&self, session: SessionId, rtmp_ms: u32) -> Option<MediaDuration> {
        let clock = SourceClock::resume(self.clock?);
        let MediaTime(begins) = clock.resumed_place(session, rtmp_ms)?;
        // Where everything is stored, the leading track ends where the media does; sound may end a little before.
        let missing = self.timeline.tracks.iter().filter(|track| !track.withdrawn).filter_map(|track| {
            let open = track.segments.iter().find(|segment| !is_settled(segment));
            open.map(|segment| segment.start.0)
        });
        let end = self.timeline.tracks.first().and_then(|track| track.segments.back()).map(end_of);
        let missing = begins.saturating_sub(missing.chain(end).min()?);
        u64::try_from(missing).ok().filter(|_| missing > BESIDE).map(MediaDuration)
    }
}

/// One rendition's share.
#[derive(Clone, Debug)]
pub(super) struct TrackRebuild {
    pub(super) name: RenditionName,
    /// The first segment that is made again, or behind all of them.
    pub(super) cursor: Msn,
    /// Where it begins, by the leading track.
    pub(super) start: i64,
    /// Where this rendition's own media begins there, if that is known.
    pub(super) own_start: Option<i64>,
    /// First part numbers, as they were announced.
    pub(super) numbers: Vec<(Msn, PartNumber)>,
    pub(super) next_number: PartNumber,
    /// Whether those are all. A rung of which they are not has gaps instead of segments that are made again.
    pub(super) is_numbered: bool,
}

impl Rebuild {
    /// None when the replay does not reach back to what is missing, or to the end of everything, and when it does not reach the
    /// last segment of source or sound whose part numbers are known. `inits` are those that the publisher's headers make: segments of others
    /// cannot be made of them.
    pub(super) fn plan(
        resume: &Resume,
        epoch: Epoch,
        reach: Reach,
        inits: &[(&RenditionName, &InitHash)],
    ) -> Option<Self> {
        let mut timeline = resume.timeline.clone();
        let position = Position::behind(&timeline);
        let announced = Msn(position.msn.0.saturating_sub(1)).max(resume.floor.map_or(Msn(0), |f| f.msn));
        let end = media_end(resume);
        let discontinuity = position.discontinuity;
        if resume.floor.is_some_and(|floor| floor.discontinuity > discontinuity) {
            return None;
        }
        let old_epoch = timeline.epoch;
        let lead = timeline.tracks.first()?.segments.clone();
        let alike = |segment: &Segment| {
            segment.discontinuity == discontinuity
                && timeline.tracks.iter().filter_map(|track| of(track, segment.msn).map(|s| (track, s))).all(
                    |(track, segment)| {
                        // Only its parts tell how its bytes were divided.
                        let has_known_parts = is_settled(segment) || !segment.parts.is_empty();
                        let made = inits.iter().find(|(name, _)| **name == track.name).map(|(_, hash)| *hash);
                        let has_known_init =
                            made.is_none() || segment.init.is_none() || segment.init.as_ref() == made;
                        has_known_init && (has_known_parts || track.withdrawn)
                    },
                )
        };
        let closed: Vec<&Segment> =
            lead.iter().filter(|segment| segment.phase != SegmentPhase::Open).collect();
        let wanted = timeline
            .tracks
            .iter()
            .filter(|track| !track.withdrawn)
            .map(|track| first_missing(track, timeline.first_msn))
            .min()?;
        // The first one whose beginning the replay holds, with all behind it alike.
        let last_different = closed.iter().rev().find(|segment| !alike(segment)).map(|segment| segment.msn);
        let wanted = last_different.map_or(wanted, |last| wanted.max(last.next()));
        let behind_closed = match closed.last() {
            Some(last) => (last.msn.next(), end_of(last)),
            None => lead.front().map(|open| (open.msn, open.start.0))?,
        };
        let (from, _) = closed
            .iter()
            .map(|segment| (segment.msn, segment.start.0))
            .chain([behind_closed])
            .find(|(msn, start)| *msn >= wanted && *start + reach.frame / 2 >= reach.from)?;
        let start_of = |msn: Msn| {
            let known = lead.iter().find(|segment| segment.msn == msn).map(|segment| segment.start.0);
            known.or_else(|| (msn == behind_closed.0).then_some(behind_closed.1)).unwrap_or(end)
        };
        timeline.epoch = epoch;
        let mut tracks = Vec::new();
        for (track, listed) in timeline.tracks.iter_mut().zip(&resume.timeline.tracks) {
            if track.withdrawn {
                // If the rung returns, it starts with new segments.
                track.segments.clear();
            } else {
                give_up(track, from, &lead, epoch)?;
            }
            tracks.push(TrackRebuild::cut(track, listed, old_epoch, from, start_of)?);
        }
        let first = tracks.iter().map(|track| track.cursor).min()?;
        let before = Msn(first.0.saturating_sub(1));
        let mut known: Vec<_> = closed
            .iter()
            .filter(|segment| segment.msn >= before)
            .map(|segment| PlannedSegment::announced(segment, reach.shift))
            .collect();
        if announced >= position.msn && resume.beyond == Beyond::Unknown {
            let (first, start) = behind_closed;
            let bounds = (start - reach.shift, end - reach.shift);
            let lengths = even_lengths(bounds, announced.next().0.checked_sub(first.0)?)?;
            known.extend(lengths.zip(first.0..).map(|(bounds, msn)| {
                PlannedSegment::lost(Msn(msn), bounds, discontinuity, reach.shift, old_epoch)
            }));
        }
        let next_msn = known.last().map_or(from, |last| last.msn.next());
        let floor = PlanFloor { msn: announced, end: end - reach.shift, epoch: old_epoch };
        Some(Self { timeline, known, next_msn, discontinuity, floor, tracks })
    }

    /// How long the segments are that nobody can make again.
    pub(super) fn given_up(&self) -> MediaDuration {
        let lost = self.known.iter().filter(|segment| segment.lost);
        let micros: i64 = lost.filter_map(|segment| Some(segment.end? - segment.start)).sum();
        MediaDuration(u64::try_from(micros).unwrap_or(0))
    }

    pub(super) fn track(&self, name: &RenditionName) -> Option<&TrackRebuild> {
        self.tracks.iter().find(|track| track.name == *name)
    }
}

impl TrackRebuild {
    /// Takes what is to be made again out of `track`, of which `listed` is all that is known. What is not in there was announced
    /// under `epoch`, which counted its parts from 0. None when part numbers of the source or the sound are unknown, because a
    /// segment before was still open when it was listed.
    fn cut(
        track: &mut Track,
        listed: &Track,
        epoch: Epoch,
        from: Msn,
        start_of: impl Fn(Msn) -> i64,
    ) -> Option<Self> {
        let behind = track.segments.back().map_or(from, |last| last.msn.next().max(from));
        let cursor = track
            .segments
            .iter()
            .find(|segment| segment.msn >= from && !is_settled(segment))
            .map_or(behind, |segment| segment.msn);
        let own_start = match of(track, cursor) {
            Some(segment) => Some(segment.start.0),
            // Also where the one before is lost: sound does not end with the leading track.
            None => listed
                .segments
                .back()
                .filter(|last| last.msn.next() == cursor && last.phase != SegmentPhase::Open && !last.gap)
                .map(end_of),
        };
        let first_number = |segment: &Segment| segment.parts.first().map(|part| (segment.msn, part.number));
        let numbers: Vec<_> =
            track.segments.iter().filter(|s| s.msn >= cursor).filter_map(first_number).collect();
        track.segments.retain(|segment| segment.msn < cursor);
        // Of lost segments too, which have no parts in `track` any more.
        let before = || listed.segments.iter().rev().filter(|segment| segment.msn < cursor);
        let is_listed_whole = |last: &Segment| last.phase != SegmentPhase::Open && last.msn.next() == cursor;
        let is_numbered = numbers.first().is_some_and(|(msn, _)| *msn == cursor)
            || before().next().is_none_or(is_listed_whole);
        // One rendition that lags is not to cost all others theirs.
        if !is_numbered && !track.is_rung() {
            return None;
        }
        let last_part =
            before().filter(|segment| segment.epoch == epoch).find_map(|segment| segment.parts.last());
        let next_number = PartNumber(last_part.map_or(0, |part| part.number.0.saturating_add(1)));
        Some(Self {
            name: track.name.clone(),
            cursor,
            start: start_of(cursor),
            own_start,
            numbers,
            next_number,
            is_numbered,
        })
    }
}

/// An earlier epoch's timeline under a new one: what was announced and never stored became gaps, up to the floor.
pub(super) fn taken_up(resume: &Resume, epoch: Epoch) -> Timeline {
    let mut timeline = resume.timeline.clone();
    timeline.epoch = epoch;
    let stored_end = Position::behind(&timeline);
    let last = resume.floor.map_or(Msn(0), |floor| floor.msn).max(Msn(stored_end.msn.0.saturating_sub(1)));
    let end = media_end(resume);
    let discontinuity = resume.floor.map_or(0, |floor| floor.discontinuity).max(stored_end.discontinuity);
    let first_msn = timeline.first_msn;
    let mut lead = timeline.tracks.first().map(|track| track.segments.clone()).unwrap_or_default();
    if let Some(open) = lead.back_mut().filter(|open| open.phase == SegmentPhase::Open && open.msn == last) {
        open.duration = open.duration.max(MediaTime(end).since(open.start));
    }
    for track in &mut timeline.tracks {
        if track.withdrawn {
            track.segments.clear();
            continue;
        }
        if track.is_rung() && track.segments.is_empty() {
            // An encoder that never came: its first segment is the first one that is made.
            continue;
        }
        lose(track, last.next(), &lead);
        let (mut msn, mut start, date) =
            track.segments.back().map_or((first_msn, MediaTime(end), UnixMillis(0)), |segment| {
                let behind = segment.start.plus(segment.duration);
                let date = segment.program_date_time.0 - segment.start.0 / 1000;
                (segment.msn.next(), behind, UnixMillis(date))
            });
        let oldest = Msn(last.0.saturating_sub(MAX_WINDOW).saturating_add(1));
        if msn < oldest {
            // Far behind: a playlist of that many gaps is of no use, and its segments have left the window.
            track.segments.clear();
            msn = oldest;
        }
        while msn <= last {
            let left = i64::try_from(last.0.saturating_sub(msn.0).saturating_add(1)).unwrap_or(1);
            let length = match lead.iter().find(|segment| segment.msn == msn) {
                Some(like) => MediaTime(end_of(like)).since(start),
                None => MediaDuration(u64::try_from((end - start.0).max(0) / left).unwrap_or(0)),
            };
            track.segments.push_back(gap(msn, start, length, discontinuity, date, epoch));
            start = start.plus(length);
            msn = msn.next();
            if u64::try_from(track.segments.len()).is_ok_and(|length| length > MAX_WINDOW) {
                track.segments.pop_front();
            }
        }
    }
    timeline
}

/// Where an earlier epoch's announced media ends.
pub(super) fn media_end(resume: &Resume) -> i64 {
    let stored = Position::behind(&resume.timeline).end;
    resume.floor.map_or(stored, |floor| floor.media_end.0.max(stored))
}

/// That many bounds in a row. None when they are more than a plan can hold.
fn even_lengths((start, end): (i64, i64), count: u64) -> Option<impl Iterator<Item = (i64, i64)>> {
    let count = i64::try_from(count).ok().filter(|count| (1..=MOST_LOST).contains(count))?;
    let boundary = move |index: i64| start + (end - start).max(count * 1000) * index / count;
    Some((0..count).map(move |index| (boundary(index), boundary(index + 1))))
}

/// What is missing before `from` is lost. None when the leading track does not say how long it was.
fn give_up(track: &mut Track, from: Msn, lead: &VecDeque<Segment>, epoch: Epoch) -> Option<()> {
    lose(track, from, lead);
    let Some((mut msn, mut end)) = track.segments.back().map(|last| (last.msn.next(), end_of(last))) else {
        // An encoder that never came: its first segment is the first one that is made.
        return Some(());
    };
    while msn < from {
        let like = lead.iter().find(|segment| segment.msn == msn)?;
        let start = MediaTime(end);
        end = end_of(like);
        let duration = MediaTime(end).since(start);
        let mut lost = Segment { epoch, init: None, start, duration, ..like.clone() };
        lost.become_gap();
        track.segments.push_back(lost);
        msn = msn.next();
    }
    Some(())
}

/// What is not stored, before `below`, becomes gaps. One that had not all of its media is as long as the leading track's all the
/// same: the next one begins where that ends.
fn lose(track: &mut Track, below: Msn, lead: &VecDeque<Segment>) {
    for segment in track.segments.iter_mut().filter(|segment| segment.msn < below && !is_settled(segment)) {
        if segment.phase == SegmentPhase::Open
            && let Some(like) = lead.iter().find(|like| like.msn == segment.msn)
        {
            segment.duration = segment.duration.max(MediaTime(end_of(like)).since(segment.start));
        }
        segment.become_gap();
    }
}

/// Nothing has to be done about it.
fn is_settled(segment: &Segment) -> bool {
    segment.phase == SegmentPhase::Stored || segment.gap
}

fn first_missing(track: &Track, first_msn: Msn) -> Msn {
    let behind = track.segments.back().map_or(first_msn, |last| last.msn.next());
    track.segments.iter().find(|segment| !is_settled(segment)).map_or(behind, |segment| segment.msn)
}

fn of(track: &Track, msn: Msn) -> Option<&Segment> {
    track.segments.iter().find(|segment| segment.msn == msn)
}

fn end_of(segment: &Segment) -> i64 {
    segment.start.plus(segment.duration).0
}

fn gap(
    msn: Msn,
    start: MediaTime,
    duration: MediaDuration,
    discontinuity: u64,
    anchor: UnixMillis,
    epoch: Epoch,
) -> Segment {
    Segment {
        msn,
        epoch,
        start,
        duration,
        discontinuity,
        program_date_time: UnixMillis(anchor.0 + start.0 / 1000),
        init: None,
        phase: SegmentPhase::Finished,
        gap: true,
        independent: false,
        lead_in: false,
        size: 0,
        parts: Vec::new(),
    }
}

/// The lead-in's segments stand before it.
pub(super) const FIRST_MSN: Msn = Msn(lead_in::SEGMENTS);
/// Segments of a timeline that is taken up.
const MAX_WINDOW: u64 = 256;
/// Half of what a plan remembers.
const MOST_LOST: i64 = 32;
/// Decode times against presentation times, and the rounding of milliseconds: no hole worth a replay, in microseconds.
const BESIDE: i64 = 100_000;

#[cfg(test)]
mod tests {
    use caudal_livestream::state::InputClock;
    use caudal_livestream::{Generation, StreamId};

    use super::*;
    use crate::playlist::sample;

    #[test]
    fn what_is_missing_before_media_is_what_lies_between_it_and_what_is_stored() {
        let session = SessionId::generate();
        let start = MediaTime(24_000_000);
        let hole = gap(Msn(7), start, MediaDuration(2_000_000), 0, UnixMillis(0), Epoch(1));
        // Timestamp 0 lies at 24 s, where the only segment begins; it ends at 26 s.
        let clock = InputClock {
            session,
            generation: Generation(1),
            offset: start,
            wraps: 0,
            last_rtmp: 1960,
            date_anchor: UnixMillis(0),
        };
        for (phase, of, rtmp_ms, missing) in [
            (SegmentPhase::Stored, session, 2000, None),
            (SegmentPhase::Stored, session, 2050, None),
            (SegmentPhase::Stored, session, 3000, Some(1000)),
            (SegmentPhase::Open, session, 2000, Some(2000)),
            (SegmentPhase::Finished, session, 2000, Some(2000)),
            (SegmentPhase::Finished, session, 0, None),
            (SegmentPhase::Finished, SessionId::generate(), 2000, None),
        ] {
            let segment = Segment { phase, gap: false, ..hole.clone() };
            let track = Track { segments: [segment].into(), ..sample::track("source") };
            let timeline = Timeline {
                stream: StreamId::generate(),
                epoch: Epoch(1),
                target_duration: 4,
                part_hold_back: MediaDuration::default(),
                first_msn: Msn(7),
                tracks: vec![track],
                captions: Vec::new(),
                ended: false,
            };
            let resume = Resume { timeline, clock: Some(clock), floor: None, beyond: Beyond::SameEpoch };
            let missing = missing.map(MediaDuration::from_millis);
            assert_eq!(resume.missing_before(of, rtmp_ms), missing, "{phase:?} {rtmp_ms}");
        }
    }
}
