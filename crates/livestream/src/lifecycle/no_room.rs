//! How long a stream may wait for room for its first worker.

use serde::{Deserialize, Serialize};

use super::deadline::Deadline;
use crate::UnixMillis;

/// There is no room for the first worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NoRoom {
    /// The start fails when there is still none then.
    until: Deadline,
    /// Until when what was heard counts.
    heard: Deadline,
}

impl NoRoom {
    /// It was said now, and perhaps `before`.
    pub(super) fn said(before: Option<Self>, now: UnixMillis) -> Self {
        let since = before.filter(|before| !before.heard.passed(now));
        Self {
            until: since.map_or(Deadline::after(now, NO_ROOM_MS), |since| since.until),
            heard: since
                .map(|since| since.heard)
                .filter(|heard| !heard.is_within(now, HEARD_MS / 2))
                .unwrap_or(Deadline::after(now, HEARD_MS)),
        }
    }

    /// When to look at it again.
    pub(super) fn until(&self) -> Deadline {
        self.until
    }

    /// Some once the wait is over: true when there is still no room.
    pub(super) fn outcome(&self, now: UnixMillis) -> Option<bool> {
        self.until.passed(now).then(|| !self.heard.passed(now))
    }

    pub(super) fn deadlines_mut(&mut self) -> [&mut Deadline; 2] {
        [&mut self.until, &mut self.heard]
    }
}

/// A publisher that cannot be served is better told so soon than left waiting.
const NO_ROOM_MS: u32 = 10_000;
/// It is said each second, and kept half as long before that counts anew: each time is a write. Where it was not said for so long, a worker is on its way, and may be slow.
const HEARD_MS: u32 = 5_000;
