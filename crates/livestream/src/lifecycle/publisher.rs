//! The publisher's side of a broadcast: there, away, and for how long yet.

use serde::{Deserialize, Serialize};

use super::deadline::Deadline;
use crate::UnixMillis;
use crate::report::EndReason;

/// What is known of the publisher, by the worker's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "publisher")]
pub(super) enum Publisher {
    /// It has not reached the first worker yet.
    Expected,
    /// It has a worker.
    Up,
    /// Its worker was replaced; it should reach the new one until then (none while that is not ready).
    Awaited { until: Option<Deadline> },
    /// It is gone, and may come back until then.
    Lost {
        explicit: bool,
        until: Deadline,
        /// It was let in again since, and waits at a router for a worker.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        chosen: bool,
    },
}

impl Publisher {
    /// The worker has lost it.
    pub(super) fn lost(&mut self, now: UnixMillis, explicit: bool, window_ms: u32) {
        let window = if explicit { window_ms.min(EXPLICIT_WINDOW_MS) } else { window_ms };
        let until = Deadline::after(now, window);
        match self {
            // Said again, or now with a good-bye: the wait gets no longer by that.
            Self::Lost { explicit: known, until: earlier, .. } => {
                *known |= explicit;
                *earlier = (*earlier).min(until);
            }
            Self::Expected | Self::Up | Self::Awaited { .. } => {
                *self = Self::Lost { explicit, until, chosen: false };
            }
        }
    }

    /// It is away, or was let in again and has not reached its worker yet.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// A returning publisher was let in; its media has yet to arrive.
    pub(super) fn chosen(&mut self, now: UnixMillis) {
        if let Self::Lost { explicit, until, chosen } = self {
            (*explicit, *chosen) = (false, true);
            *until = (*until).max(Deadline::after(now, RELAY_MS));
        }
    }

    /// The one that was let in again is gone too.
    pub(super) fn chosen_is_gone(&mut self) {
        if let Self::Lost { chosen, .. } = self {
            *chosen = false;
        }
    }

    /// There is media, so there was a publisher, whether or not the worker's word of it was heard.
    pub(super) fn must_be_there(&mut self) {
        if *self == Self::Expected {
            *self = Self::Up;
        }
    }

    /// Its worker is gone. One that has come back meanwhile waits for the next one like any other.
    pub(super) fn worker_lost(&mut self) {
        if matches!(self, Self::Up | Self::Awaited { .. } | Self::Lost { chosen: true, .. }) {
            *self = Self::Awaited { until: None };
        }
    }

    /// A worker is there for it.
    pub(super) fn worker_ready(&mut self, now: UnixMillis) {
        if let Self::Awaited { until } = self {
            *until = Some(Deadline::after(now, RELAY_MS));
        }
    }

    /// Why the broadcast is to end, when it has been away too long.
    pub(super) fn expire(&mut self, now: UnixMillis, window_ms: u32) -> Option<EndReason> {
        match *self {
            Self::Awaited { until: Some(until) } if until.passed(now) => {
                self.lost(now, false, window_ms);
                None
            }
            Self::Lost { explicit, until, .. } if until.passed(now) => {
                Some(if explicit { EndReason::Unpublished } else { EndReason::PublisherLost })
            }
            _ => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Deadline> {
        match self {
            Self::Awaited { until } => *until,
            Self::Lost { until, .. } => Some(*until),
            Self::Expected | Self::Up => None,
        }
    }

    pub(super) fn deadline_mut(&mut self) -> Option<&mut Deadline> {
        match self {
            Self::Awaited { until } => until.as_mut(),
            Self::Lost { until, .. } => Some(until),
            Self::Expected | Self::Up => None,
        }
    }
}

/// Who says good-bye and does not mean it is an encoder being restarted: that takes seconds.
const EXPLICIT_WINDOW_MS: u32 = 5_000;
/// How long a router may take to bring a publisher to a worker that is ready: it hears of the worker at once, and
/// tries again each second.
const RELAY_MS: u32 = 5_000;
