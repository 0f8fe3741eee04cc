//! What is heard of the publisher, by its worker and by its router.

use super::deadline::Deadline;
use super::move_end::MoveFailure;
use super::worker_slot::Slot;
use super::{Lifecycle, Publisher, Stage};
use crate::feed::InputState;
use crate::report::EndReason;
use crate::{Epoch, UnixMillis};

impl Lifecycle {
    pub(super) fn publisher_seen(&mut self, now: UnixMillis, epoch: Epoch, state: &InputState) {
        // Once it is being closed, a publisher that leaves or comes changes nothing.
        if !self.is_serving(epoch) {
            return;
        }
        if let Slot::Serving { leaving, .. } = &mut self.slot {
            *leaving |= state.leaving;
        }
        if state.moved {
            return self.input_moved(now);
        }
        if state.leaving && !state.up && !state.explicit {
            return self.worker_leaves(now);
        }
        if self.stage != Stage::Open || self.is_handing_over() {
            return;
        }
        if state.silent_ms.is_some() && self.heard < Some(state.generation) {
            // What was wrong with an earlier one is not what is wrong with this one.
            self.unplayable = None;
            self.heard = Some(state.generation);
        }
        if state.up {
            self.publisher = Publisher::Up;
            self.recovery = None;
            self.generation = self.generation.max(state.generation);
            if let Slot::Serving { session_since, .. } = &mut self.slot {
                session_since.get_or_insert(now);
            }
            // One that was replaced says nothing about its successor.
            if let Some(words) = state.unplayable.as_ref().filter(|_| state.generation >= self.generation) {
                self.nothing_playable(now, words.clone());
            }
        } else if state.session.is_some() {
            // A publisher that was replaced may well say good-bye; its successor is on the way.
            let explicit = state.explicit && state.generation >= self.generation;
            if state.leaving {
                // Without a publisher it ends, whatever becomes of the publisher.
                self.old_worker_leaves(now);
            } else {
                // It takes the keyframe with it that the router waits for.
                self.give_up_move_before_the_switch(MoveFailure::PublisherLost);
            }
            self.publisher.lost(now, explicit, self.reconnect_window_ms);
            if state.generation >= self.generation {
                self.publisher.chosen_is_gone();
            }
            if self.heard < Some(state.generation) {
                self.unplayable.get_or_insert_with(|| NO_MEDIA.to_owned());
            }
        }
    }

    /// A worker that was told to go has no publisher any more, and ends. Whether it was the worker that closed the connection,
    /// at the end of its grace, or the publisher, the next worker will see: as behind any lost worker.
    fn worker_leaves(&mut self, now: UnixMillis) {
        if self.stage == Stage::Open && !self.is_handing_over() {
            self.publisher.worker_lost();
            self.publisher.worker_ready(now);
        }
        self.old_worker_leaves(now);
    }

    /// Whoever is turned away tries again, each second perhaps: before the first segment that is the same broadcast, for
    /// as long as one may take to start. In the middle of one, a single bad message ends nothing.
    pub(super) fn media_refused(&mut self, now: UnixMillis, words: String) {
        let before = self.turned_away.replace(Deadline::after(now, TURNED_AWAY_MS));
        let again = before.is_some_and(|until| !until.passed(now));
        if self.started_at.is_some() && again {
            self.nothing_playable(now, words);
        } else if self.stage == Stage::Open {
            self.unplayable = Some(words);
        }
    }

    fn nothing_playable(&mut self, now: UnixMillis, words: String) {
        if self.stage == Stage::Open {
            self.unplayable = Some(words);
            self.close(now, EndReason::NothingPlayable);
        }
    }
}

/// Of a publisher that left before any audio or video of it had come.
const NO_MEDIA: &str = "neither pictures nor sound came";
/// An encoder that has the wrong codec sends it again at once; a message that was damaged on its way is rare.
const TURNED_AWAY_MS: u32 = 60_000;
