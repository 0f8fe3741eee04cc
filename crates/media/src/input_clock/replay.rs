//! What a router sends again after it has connected anew.

use caudal_livestream::{MediaTime, UnixMillis};

use super::{Input, JUMP_MS, SourceClock};

/// On from a relay connection's beginning until each track's first tag above what was consumed (ARCHITECTURE §3.5).
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplayFilter {
    pub(super) video: bool,
    pub(super) audio: bool,
    pub(super) began: Option<UnixMillis>,
}

pub(super) enum Replayed {
    No,
    /// This worker had it.
    Consumed,
    /// An earlier worker may have had it, this one had nothing yet.
    Wanted,
}

impl SourceClock {
    pub(super) fn replay(
        &mut self,
        input: Input,
        at: MediaTime,
        delta: i64,
        consumed: Option<MediaTime>,
        now: UnixMillis,
    ) -> Replayed {
        // Of the track that leads, everything since its last keyframe was kept, however long ago that is.
        let leads = self.video.is_none() && self.audio.is_none();
        let farthest = if leads { MAX_GOP_MS } else { MAX_REPLAY_MS };
        let behind_earlier = self.resumed.is_some_and(|earlier| at.0 / 1000 <= earlier.end());
        let Some(filter) = &mut self.filter else { return Replayed::No };
        let on = match input {
            Input::Video => &mut filter.video,
            Input::Audio => &mut filter.audio,
        };
        if !*on {
            return Replayed::No;
        }
        // A publisher whose clock stepped back looks like a replay without end; a real one is over in moments.
        let began = *filter.began.get_or_insert(now);
        let fresh = consumed.map_or(delta > 0, |consumed| at.0 >= consumed.0);
        let follows = fresh && !behind_earlier && delta >= -JUMP_MS;
        if delta < -farthest || now.0 - began.0 > REPLAY_DEADLINE_MS || follows {
            *on = false;
            return Replayed::No;
        }
        // New to this worker, but an earlier one may have had it.
        if fresh || consumed.is_none() { Replayed::Wanted } else { Replayed::Consumed }
    }
}

/// The router's replay covers two GOPs and 15 s, of long GOPs the open one and 30 s, and sound of the last 30 s.
pub(super) const MAX_REPLAY_MS: i64 = 60_000;
/// Timestamps that step back by more are no replay.
const MAX_GOP_MS: i64 = 600_000;
/// It comes at once.
const REPLAY_DEADLINE_MS: i64 = 5_000;
