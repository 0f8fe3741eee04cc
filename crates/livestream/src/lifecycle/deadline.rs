//! Instants by which something must have happened.

use serde::{Deserialize, Serialize};

use crate::UnixMillis;

/// An instant of the controller's clock, and how long the wait for it was when it was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Deadline {
    at: UnixMillis,
    length_ms: u32,
}

impl Deadline {
    pub(super) fn after(now: UnixMillis, length_ms: u32) -> Self {
        Self { at: UnixMillis(now.0.saturating_add(i64::from(length_ms))), length_ms }
    }

    /// Moves with the clock that it is an instant of: the wait stays as long as it was.
    pub(super) fn shift(&mut self, by_ms: i64) {
        self.at.0 = self.at.0.saturating_add(by_ms);
    }

    pub(super) fn at(self) -> UnixMillis {
        self.at
    }

    pub(super) fn passed(self, now: UnixMillis) -> bool {
        now >= self.at
    }

    /// Whether no more than this is left.
    pub(super) fn is_within(self, now: UnixMillis, left_ms: u32) -> bool {
        self.at <= Self::after(now, left_ms).at
    }

    /// What is left is never more than the wait was at first.
    pub(super) fn shorten(&mut self, now: UnixMillis) {
        *self = (*self).min(Self::after(now, self.length_ms));
    }

    /// What is left is at least so long.
    pub(super) fn no_earlier_than(&mut self, now: UnixMillis, length_ms: u32) {
        let earliest = Self::after(now, length_ms);
        if self.at < earliest.at {
            *self = Self { at: earliest.at, length_ms: self.length_ms.max(length_ms) };
        }
    }
}
