//! How old the media is with which a timeline begins anew.

use caudal_livestream::{MediaTime, UnixMillis};

use super::replay::MAX_REPLAY_MS;
use super::{Input, SourceClock, unwrap};

/// Follows a timeline that began at the wall clock's place with media of unknown age.
///
/// A router sends its replay at once, and then what the publisher sends now. By how far the media leads the wall clock then,
/// it was put too late where it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    began: UnixMillis,
    /// Milliseconds that the furthest media is ahead of the wall clock.
    lead: i64,
    grew: UnixMillis,
}

impl Burst {
    pub(super) fn new(now: UnixMillis) -> Self {
        Self { began: now, lead: 0, grew: now }
    }

    /// Media has come that leads the wall clock by so many milliseconds.
    pub(super) fn saw(&mut self, lead: i64, now: UnixMillis) {
        if lead > self.lead + JITTER_MS {
            (self.lead, self.grew) = (lead, now);
        }
    }

    fn is_over(&self, now: UnixMillis) -> bool {
        now.0 - self.grew.0 >= QUIET_MS || now.0 - self.began.0 >= LONGEST_MS
    }
}

impl SourceClock {
    /// Whether the timeline began anew and may yet turn out to have begun with a replay.
    pub(crate) fn may_replay(&self, now: UnixMillis) -> bool {
        self.burst.is_some_and(|burst| !burst.is_over(now))
    }

    /// The replay is over, and nothing of the new timeline was announced: puts it where it does not lead the wall clock, but
    /// at most `room` milliseconds earlier. Returns by how many milliseconds earlier media lies that was placed before.
    pub(crate) fn begin_earlier(&mut self, room: i64) -> i64 {
        let lead = self.burst.take().map_or(0, |burst| burst.lead);
        if self.continues() {
            // Nothing lies before it: its date alone was wrong.
            self.anchor = self.anchor.map(|anchor| anchor - lead);
            return 0;
        }
        let earlier = lead.clamp(0, room.max(0));
        self.delay(-earlier);
        self.run_from = self.run_from.map(|from| from - earlier);
        earlier
    }

    /// Whether the clock before puts this tag, with which a relay connection begins, before `earliest`: somebody has announced
    /// that already.
    pub(crate) fn was_announced(
        &self,
        input: Input,
        rtmp: u32,
        earliest: MediaTime,
        now: UnixMillis,
    ) -> bool {
        let earliest = earliest.0 / 1000;
        // What is dropped comes to an end: the publisher reaches the wall clock's place.
        self.anchor.is_some_and(|anchor| earliest <= now.0 - anchor)
            && self.replayed_place(input, rtmp, now).is_some_and(|at| at < earliest)
    }

    /// Where the clock before puts the tag with which a relay connection begins, if the wall clock confirms that it is as old
    /// as a replay may be.
    pub(super) fn replayed_place(&self, input: Input, rtmp: u32, now: UnixMillis) -> Option<i64> {
        let heard = [self.video, self.audio].iter().flatten().any(|track| track.heard.is_some());
        let known = self.track(input).or(self.track(input.other())).or(self.resumed);
        let known = known.filter(|_| !heard && !self.anew)?;
        let (unwrapped, _) = unwrap(known.last, rtmp);
        let (at, wall) = (unwrapped + known.offset, now.0 - self.anchor?);
        (wall - MAX_REPLAY_MS..=wall).contains(&at).then_some(at)
    }
}

/// Encoders send a frame a little sooner or later.
const JITTER_MS: i64 = 50;
/// Tags of a replay follow each other at once. TCP may wait longer for what is lost, and the rest of the replay then counts as
/// ahead.
const QUIET_MS: i64 = 150;
/// A publisher that goes on to send faster than in real time is catching up by itself.
const LONGEST_MS: i64 = 3_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_over_when_media_no_longer_comes_faster_than_it_plays() {
        let at = UnixMillis;
        for (what, tags, over_at, lead) in [
            ("no replay", vec![(0, 0), (40, 0), (80, 10), (120, -10)], 150, 0),
            ("a replay of 15 s at once", vec![(0, 0), (1, 7_000), (2, 15_000), (42, 15_020)], 152, 15_000),
            ("over a slow line", vec![(0, 0), (100, 5_000), (200, 10_000), (300, 15_000)], 450, 15_000),
            ("without end", (0..50).map(|n| (n * 100, n * 100)).collect(), 3_000, 3_000),
        ] {
            let mut burst = Burst::new(at(0));
            let mut over = None;
            for ms in 0..4_000 {
                for (_, lead) in tags.iter().filter(|(when, _)| *when == ms && over.is_none()) {
                    burst.saw(*lead, at(ms));
                }
                over = over.or(burst.is_over(at(ms)).then_some(ms));
            }
            assert_eq!((over, burst.lead), (Some(over_at), lead), "{what}");
        }
    }
}
