//! What time alone does to a broadcast, and what a clock that is set must not do to it.

use super::deadline::Deadline;
use super::no_room::NoRoom;
use super::planned_move::PlannedMove;
use super::worker_slot::Slot;
use super::{Lifecycle, REMEMBER_MS, START_MS, Stage};
use crate::UnixMillis;
use crate::report::EndReason;

impl Lifecycle {
    pub(super) fn expire(&mut self, now: UnixMillis) {
        self.expire_move(now);
        self.expire_parting(now);
        let room = self.no_room.and_then(|no_room| no_room.outcome(now));
        if room.is_some() {
            self.no_room = None;
        }
        match &mut self.stage {
            Stage::Open => {
                let without_worker = !matches!(self.slot, Slot::Serving { .. });
                let reason = if self.start.is_some_and(|start| start.passed(now)) {
                    Some(self.start_ran_out())
                } else if room == Some(true) {
                    Some(EndReason::NoCapacity)
                } else if without_worker && self.recovery.is_some_and(|recovery| recovery.passed(now)) {
                    Some(EndReason::WorkersLost)
                } else {
                    self.publisher.expire(now, self.reconnect_window_ms)
                };
                match reason {
                    // An encoder without a source comes back for as long as it is let in, and is not lost.
                    Some(EndReason::StartTimeout | EndReason::PublisherLost)
                        if self.started_at.is_none() && self.unplayable.is_some() =>
                    {
                        self.close(now, EndReason::NothingPlayable);
                    }
                    Some(reason) => self.close(now, reason),
                    None => {}
                }
            }
            Stage::Closing { reason, until } => {
                if until.passed(now) {
                    let reason = *reason;
                    self.over(now, reason);
                }
            }
            Stage::Over { forget, forgotten, .. } => {
                // Older versions began to wait only once `done` was acknowledged.
                let forget = forget.get_or_insert(Deadline::after(now, REMEMBER_MS));
                *forgotten |= forget.passed(now);
            }
        }
    }

    /// What a start has failed of that took too long: a publisher's pictures were not waited for where no worker could take them.
    fn start_ran_out(&self) -> EndReason {
        let other_cause = self.no_credentials.is_some() || self.unplayable.is_some();
        if self.slot == Slot::Wanted && !other_cause {
            EndReason::NoCapacity
        } else {
            EndReason::StartTimeout
        }
    }

    /// The controller's clock was set forward (or back, below zero) by so much since the last input. Deadlines move
    /// with it, because none of the wait has passed by that; what was reported of the past stays as it was said.
    pub fn clock_stepped(&mut self, by_ms: i64) {
        for deadline in self.deadlines_mut() {
            deadline.shift(by_ms);
        }
        for since in self.beginnings_mut() {
            since.0 = since.0.saturating_add(by_ms);
        }
    }

    /// Another controller drives it from now on. Nobody could be heard since the last one, so nothing runs out before
    /// there was time to listen.
    pub fn taken_over(&mut self, now: UnixMillis) {
        // A window in which something would count again is not a wait: one that is over stays so.
        self.turned_away.take_if(|until| until.passed(now));
        self.losses.forget_old_relay_failures(now);
        for deadline in self.deadlines_mut() {
            deadline.no_earlier_than(now, TAKE_OVER_MS);
        }
    }

    /// A controller sees it for the first time, and none has stored it: until now nobody could find a worker for it, however long ago it was
    /// created.
    pub fn first_seen(&mut self, now: UnixMillis) {
        if let Some(start) = &mut self.start {
            start.no_earlier_than(now, START_MS);
        }
    }

    /// It was first seen when `other` was, which is the same broadcast.
    pub fn first_seen_with(&mut self, other: &Self) {
        if let (Some(start), Some(of_other)) = (&mut self.start, other.start) {
            *start = of_other;
        }
    }

    /// A clock that was set back, or a restart in between, must not make a wait longer than it was meant to be.
    pub(super) fn shorten_deadlines(&mut self, now: UnixMillis) {
        for deadline in self.deadlines_mut() {
            deadline.shorten(now);
        }
        for since in self.beginnings_mut() {
            *since = (*since).min(now);
        }
    }

    /// Since when something goes on.
    fn beginnings_mut(&mut self) -> impl Iterator<Item = &mut UnixMillis> {
        let session_since = match &mut self.slot {
            Slot::Serving { session_since, .. } => session_since.as_mut(),
            Slot::Wanted | Slot::Claimed { .. } | Slot::Vacant => None,
        };
        let begun = self.planned.as_mut().and_then(PlannedMove::begun_mut);
        [session_since, begun].into_iter().flatten()
    }

    fn deadlines_mut(&mut self) -> impl Iterator<Item = &mut Deadline> {
        let stage = match &mut self.stage {
            Stage::Closing { until, .. } | Stage::Over { forget: Some(until), .. } => Some(until),
            Stage::Open | Stage::Over { .. } => None,
        };
        let turned_away = self.turned_away.as_mut();
        let planned = self.planned.iter_mut().flat_map(PlannedMove::deadlines_mut);
        let move_again = self.move_again.as_mut();
        let parting = self.parting.as_mut().map(|parting| &mut parting.until);
        let publisher = self.publisher.deadline_mut();
        let no_room = self.no_room.iter_mut().flat_map(NoRoom::deadlines_mut);
        let relay_failures = self.losses.deadline_mut();
        [self.start.as_mut(), self.recovery.as_mut(), publisher, turned_away, move_again, parting, stage]
            .into_iter()
            .flatten()
            .chain(planned)
            .chain(no_room)
            .chain(relay_failures)
    }
}

/// A worker's feed is opened, and a returning publisher read from the record, within a second or two.
const TAKE_OVER_MS: u32 = 5_000;
