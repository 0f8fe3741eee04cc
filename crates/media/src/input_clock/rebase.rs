//! Where a timeline begins anew.

use caudal_livestream::{MediaTime, UnixMillis};

use super::replay_age::Burst;
use super::{
    ALIVE_MS, FIRST_MEDIA_MS, Input, JUMP_MS, Latest, SourceClock, Stragglers, TrackClock, low, unwrap,
};

impl SourceClock {
    /// Takes `rtmp` as the beginning of a new timeline: beside the other track, if that goes on, where the clock before puts a
    /// replay, and else at the place that the wall clock gives it; never before `earliest`. False when the publisher has used
    /// up its changes.
    pub(crate) fn rebase(&mut self, input: Input, rtmp: u32, earliest: MediaTime, now: UnixMillis) -> bool {
        // A line that flaps is no fault of the publisher's media.
        let budget = if self.other_session { &mut self.sessions } else { &mut self.changes };
        if !budget.spend(now) {
            return false;
        }
        let anchor = *self.anchor.get_or_insert(now.0 - FIRST_MEDIA_MS);
        let earliest = earliest.0.saturating_add(999) / 1000;
        let other =
            self.track(input.other()).filter(|other| !self.anew && other.was_heard_within(ALIVE_MS, now));
        let (wanted, is_known) = match (other, self.replayed_place(input, rtmp, now)) {
            (Some(_), _) => (self.expected(now), true),
            (None, Some(at)) => (at, true),
            (None, None) => (now.0 - anchor, false),
        };
        let at = wanted.clamp(earliest, earliest.saturating_add(MAX_HOLE_MS));
        let offset = at - i64::from(rtmp);
        let old = self.track(input).or(self.track(input.other())).or(self.resumed).filter(|_| !self.anew);
        self.stragglers = Some(Stragglers {
            last: old.map_or(0, |old| old.last),
            left: if old.is_some() { MAX_STRAGGLERS } else { 0 },
        });
        // Sound that has jumped a moment before lies on the same clock as these pictures.
        let together = other.filter(|other| {
            let (_, delta) = unwrap(i64::from(rtmp), low(other.last));
            other.moved.is_some_and(|moved| now.0 - moved.0 <= JUMP_MS) && delta.abs() <= JUMP_MS
        });
        *self.track_mut(input.other()) = match together {
            Some(other) => {
                let (last, _) = unwrap(i64::from(rtmp), low(other.last));
                Some(TrackClock { last, offset, moved: None, ..other })
            }
            None => other.map(|other| TrackClock { moved: None, ..other }),
        };
        *self.track_mut(input) =
            Some(TrackClock { last: rtmp.into(), offset, heard: Some(now), moved: None });
        self.latest = Some(Latest { at, heard: now });
        self.run_from = Some(at);
        self.resumed = None;
        self.filter = None;
        self.burst = (!is_known).then(|| Burst::new(now));
        (self.anew, self.other_session) = (false, false);
        true
    }
}

/// A reconnect window is 30 s; beyond a day the wall clock itself was set.
const MAX_HOLE_MS: i64 = 24 * 3_600 * 1000;
/// Tags of the other track that were queued behind the first one after a jump: about a second of them.
const MAX_STRAGGLERS: u32 = 64;
