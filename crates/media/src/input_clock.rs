//! Where a publisher's 32-bit millisecond timestamps lie on the stream's timeline.

use std::collections::VecDeque;

use caudal_livestream::state::InputClock;
use caudal_livestream::{Generation, MediaTime, SessionId, UnixMillis};

/// Unwraps timestamps, and judges which belong to a new timeline.
#[derive(Debug)]
pub(crate) struct SourceClock {
    session: SessionId,
    generation: Generation,
    base: Option<Base>,
    /// The base before the last jump, for tags of the other track that were still on their way.
    stragglers: Option<Stragglers>,
    filter: Option<ReplayFilter>,
    changes: VecDeque<UnixMillis>,
}

/// What a tag's timestamp means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It lies there.
    At(MediaTime),
    /// It was consumed before, or belongs to what was left behind by a jump.
    Drop,
    /// It is more than [`JUMP_MS`] away from the last: a new timeline has to be agreed with [`SourceClock::rebase`].
    Jump,
}

/// Which of the two tracks a tag is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Video,
    Audio,
}

#[derive(Clone, Copy, Debug)]
struct Base {
    /// The last timestamp, unwrapped, in milliseconds.
    last: i64,
    /// Media time of timestamp 0, in milliseconds.
    offset: i64,
    /// Wall clock of media time 0, in milliseconds.
    anchor: i64,
}

#[derive(Clone, Copy, Debug)]
struct Stragglers {
    last: i64,
    left: u32,
}

/// On from a relay connection's beginning until each track's first tag above what was consumed (ARCHITECTURE §3.5).
#[derive(Clone, Copy, Debug)]
struct ReplayFilter {
    video: bool,
    audio: bool,
    /// Only the session that was there before can replay from far behind; another one began anew.
    same_session: bool,
    began: Option<UnixMillis>,
}

enum Replayed {
    No,
    /// This worker had it.
    Consumed,
    /// An earlier worker may have had it, this one had nothing yet.
    Wanted,
}

impl SourceClock {
    pub(crate) fn new(session: SessionId, generation: Generation) -> Self {
        Self { session, generation, base: None, stragglers: None, filter: None, changes: VecDeque::new() }
    }

    pub(crate) fn resume(clock: InputClock) -> Self {
        let base = Base {
            last: i64::from(clock.wraps) << 32 | i64::from(clock.last_rtmp),
            offset: clock.offset.0 / 1000,
            anchor: clock.date_anchor.0,
        };
        Self { base: Some(base), ..Self::new(clock.session, clock.generation) }
    }

    /// A relay connection begins.
    pub(crate) fn connect(&mut self, session: SessionId, generation: Generation) {
        let same_session = self.session == session;
        self.session = session;
        self.generation = generation;
        self.stragglers = None;
        self.filter = self.base.map(|_| ReplayFilter { video: true, audio: true, same_session, began: None });
    }

    /// `consumed` is where the track's media ends so far.
    pub(crate) fn place(
        &mut self,
        input: Input,
        rtmp: u32,
        consumed: Option<MediaTime>,
        now: UnixMillis,
    ) -> Placed {
        let Some(base) = self.base else {
            let offset = FIRST_MEDIA_MS - i64::from(rtmp);
            self.base = Some(Base { last: rtmp.into(), offset, anchor: now.0 - FIRST_MEDIA_MS });
            return Placed::At(MediaTime(FIRST_MEDIA_MS * 1000));
        };
        let (unwrapped, delta) = unwrap(base.last, rtmp);
        let at = MediaTime((unwrapped + base.offset) * 1000);
        match self.replay(input, at, delta, consumed, now) {
            Replayed::Consumed => return Placed::Drop,
            Replayed::Wanted => return Placed::At(at),
            Replayed::No => {}
        }
        if delta.abs() > JUMP_MS {
            return if self.is_straggler(rtmp) { Placed::Drop } else { Placed::Jump };
        }
        if let Some(base) = &mut self.base {
            base.last = base.last.max(unwrapped);
        }
        Placed::At(at)
    }

    /// Takes `rtmp` as the beginning of a new timeline, at the place that the wall clock gives it but never before
    /// `earliest`. False when the publisher has used up its changes.
    pub(crate) fn rebase(&mut self, rtmp: u32, earliest: MediaTime, now: UnixMillis) -> bool {
        if !self.allow_change(now) {
            return false;
        }
        let anchor = self.base.map_or(now.0 - FIRST_MEDIA_MS, |base| base.anchor);
        let earliest = earliest.0.saturating_add(999) / 1000;
        let at = (now.0 - anchor).clamp(earliest, earliest.saturating_add(MAX_HOLE_MS));
        self.stragglers = self.base.map(|old| Stragglers { last: old.last, left: MAX_STRAGGLERS });
        self.filter = None;
        self.base = Some(Base { last: rtmp.into(), offset: at - i64::from(rtmp), anchor });
        true
    }

    /// Everything from here on lies so many milliseconds later.
    pub(crate) fn delay(&mut self, by: i64) {
        if let Some(base) = &mut self.base {
            base.offset += by;
        }
    }

    /// Counts one discontinuity; false when there were too many in the last minute.
    pub(crate) fn allow_change(&mut self, now: UnixMillis) -> bool {
        while self.changes.front().is_some_and(|first| now.0 - first.0 >= 60_000) {
            self.changes.pop_front();
        }
        if self.changes.len() >= MAX_CHANGES_A_MINUTE {
            return false;
        }
        self.changes.push_back(now);
        true
    }

    /// Whether timestamps go on where an earlier epoch's left off.
    pub(crate) fn continues(&self) -> bool {
        self.stragglers.is_none()
    }

    /// Wall clock of an instant of the timeline.
    pub(crate) fn date(&self, at: MediaTime) -> UnixMillis {
        UnixMillis(self.base.map_or(0, |base| base.anchor) + at.0 / 1000)
    }

    pub(crate) fn state(&self) -> Option<InputClock> {
        let base = self.base?;
        Some(InputClock {
            session: self.session,
            generation: self.generation,
            offset: MediaTime(base.offset * 1000),
            wraps: u32::try_from(base.last >> 32).unwrap_or(0),
            last_rtmp: u32::try_from(base.last & 0xFFFF_FFFF).unwrap_or(0),
            date_anchor: UnixMillis(base.anchor),
        })
    }

    fn replay(
        &mut self,
        input: Input,
        at: MediaTime,
        delta: i64,
        consumed: Option<MediaTime>,
        now: UnixMillis,
    ) -> Replayed {
        let Some(filter) = &mut self.filter else { return Replayed::No };
        let reach = if filter.same_session { MAX_REPLAY_MS } else { JUMP_MS };
        let on = match input {
            Input::Video => &mut filter.video,
            Input::Audio => &mut filter.audio,
        };
        if !*on {
            return Replayed::No;
        }
        // A publisher that began anew at zero looks like a replay without end; a real one is over in moments.
        let began = *filter.began.get_or_insert(now);
        let fresh = consumed.map_or(delta > 0, |consumed| at.0 >= consumed.0);
        if delta < -reach || now.0 - began.0 > REPLAY_DEADLINE_MS || (fresh && delta >= -JUMP_MS) {
            *on = false;
            return Replayed::No;
        }
        // New to this worker, but far behind the last timestamp that an earlier one saw.
        if fresh {
            return Replayed::Wanted;
        }
        if consumed.is_some() { Replayed::Consumed } else { Replayed::Wanted }
    }

    fn is_straggler(&mut self, rtmp: u32) -> bool {
        let Some(old) = &mut self.stragglers else { return false };
        let (_, delta) = unwrap(old.last, rtmp);
        if old.left == 0 || delta.abs() > JUMP_MS {
            return false;
        }
        old.left -= 1;
        true
    }
}

/// The timestamp nearest to `last` that has these 32 low bits, and how far from it that is.
fn unwrap(last: i64, rtmp: u32) -> (i64, i64) {
    let low = u32::try_from(last.rem_euclid(1 << 32)).unwrap_or(0);
    let delta = i64::from(rtmp.wrapping_sub(low).cast_signed());
    (last + delta, delta)
}

/// Where the first media of a broadcast lies, so that ffmpeg's encoder delay never makes a time negative.
const FIRST_MEDIA_MS: i64 = 10_000;
/// ARCHITECTURE §5: a greater one is a discontinuity, anything less a hole.
const JUMP_MS: i64 = 3_000;
/// A reconnect window is 30 s; beyond a day the wall clock itself was set.
const MAX_HOLE_MS: i64 = 24 * 3_600 * 1000;
/// ARCHITECTURE §6.
const MAX_CHANGES_A_MINUTE: usize = 6;
/// Tags of the other track that were queued behind the first one after a jump: about a second of them.
const MAX_STRAGGLERS: u32 = 64;
/// The router's replay covers two GOPs and two target durations, at most 20 s each way.
const MAX_REPLAY_MS: i64 = 60_000;
/// It comes at once.
const REPLAY_DEADLINE_MS: i64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> SourceClock {
        SourceClock::new(SessionId::generate(), Generation(1))
    }

    fn at(ms: i64) -> Placed {
        Placed::At(MediaTime(ms * 1000))
    }

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    #[test]
    fn the_first_timestamp_lies_at_ten_seconds_and_the_others_around_it() {
        let mut clock = clock();
        assert_eq!(clock.place(Input::Video, 5_000, None, NOW), at(10_000));
        assert_eq!(clock.place(Input::Audio, 4_990, None, NOW), at(9_990));
        assert_eq!(clock.place(Input::Video, 7_999, None, NOW), at(12_999));
        assert_eq!(clock.date(MediaTime(10_000_000)), NOW);
    }

    #[test]
    fn a_wrap_of_32_bits_means_nothing() {
        let mut clock = clock();
        assert_eq!(clock.place(Input::Video, u32::MAX - 20, None, NOW), at(10_000));
        assert_eq!(clock.place(Input::Video, 12, None, NOW), at(10_033));
        assert_eq!(clock.state().map(|state| (state.wraps, state.last_rtmp)), Some((1, 12)));
        let mut resumed = SourceClock::resume(clock.state().expect("media came"));
        assert_eq!(resumed.place(Input::Video, 45, None, NOW), at(10_066));
    }

    #[test]
    fn a_jump_over_three_seconds_is_placed_by_the_wall_clock() {
        let mut clock = clock();
        assert_eq!(clock.place(Input::Video, 0, None, NOW), at(10_000));
        assert_eq!(clock.place(Input::Video, 3_000, None, NOW), at(13_000));
        assert_eq!(clock.place(Input::Video, 6_001, None, NOW), Placed::Jump);
        assert!(clock.rebase(6_001, MediaTime(13_040_000), UnixMillis(NOW.0 + 8_000)));
        assert_eq!(clock.place(Input::Video, 6_001, None, NOW), at(18_000));
        // Audio that was still queued from before the jump.
        assert_eq!(clock.place(Input::Audio, 2_900, None, NOW), Placed::Drop);
    }

    #[test]
    fn the_timeline_never_runs_backwards_when_the_wall_clock_does() {
        let mut clock = clock();
        assert_eq!(clock.place(Input::Video, 100_000, None, NOW), at(10_000));
        assert!(clock.rebase(0, MediaTime(12_000_000), UnixMillis(NOW.0 - 60_000)));
        assert_eq!(clock.place(Input::Video, 0, None, NOW), at(12_000));
    }

    #[test]
    fn a_seventh_change_in_a_minute_is_refused() {
        let mut clock = clock();
        let allowed = (0..8).filter(|second| clock.allow_change(UnixMillis(second * 1000))).count();
        assert_eq!(allowed, 6);
        assert!(clock.allow_change(UnixMillis(60_000)));
    }

    #[test]
    fn a_replay_is_dropped_up_to_what_was_consumed_of_each_track() {
        let session = SessionId::generate();
        let mut clock = SourceClock::new(session, Generation(1));
        assert_eq!(clock.place(Input::Video, 0, None, NOW), at(10_000));
        for second in 1..=10 {
            clock.place(Input::Video, second * 1000, None, NOW);
        }
        clock.connect(session, Generation(1));
        let video = Some(MediaTime(20_033_000));
        let audio = Some(MediaTime(19_900_000));
        for second in 0..=10 {
            assert_eq!(clock.place(Input::Video, second * 1000, video, NOW), Placed::Drop);
        }
        assert_eq!(clock.place(Input::Audio, 9_880, audio, NOW), Placed::Drop);
        assert_eq!(clock.place(Input::Audio, 9_901, audio, NOW), at(19_901));
        assert_eq!(clock.place(Input::Video, 10_033, video, NOW), at(20_033));
    }
}
