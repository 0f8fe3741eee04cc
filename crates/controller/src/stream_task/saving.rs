//! Storing a stream's record before anything is done on the strength of it.

use std::time::Duration;

use caudal_livestream::lifecycle::{Evidence, Input};
use tokio::time::Instant;

use super::{StreamTask, hints_from, is_to_be_stored};
use crate::backoff::Backoff;
use crate::edit::{Edit, Refusal, take_spec};
use crate::metrics::{Kind, Reconciled};
use crate::record_store::{Durability, Record, Shown, StoreError, Stored, WhenItFails};

/// Something that changes a record, and can be applied again to a newer one.
pub(super) enum Step {
    /// Somebody said so.
    Heard(Input),
    /// Somebody wants it so.
    Asked(Edit),
}

/// What became of a record that was to be stored.
enum Saving {
    /// The task may go by it.
    Done,
    /// Somebody else's was newer, and is now the task's.
    Overtaken(Overtaken),
    /// The record is gone, or the controller stops.
    Given,
}

/// What was newer in somebody else's record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overtaken {
    Spec,
    /// Another controller leads this stream.
    Machine,
}

impl StreamTask {
    /// Applies `step`, stores what comes of it, and only then acts on it.
    pub(super) async fn take(&mut self, step: Step) -> Result<(), Refusal> {
        let answer = self.take_one(step).await;
        while let Some(measured) = self.unheard.take() {
            let _ = self.take_one(Step::Heard(measured)).await;
        }
        answer
    }

    async fn take_one(&mut self, step: Step) -> Result<(), Refusal> {
        let begun = Instant::now();
        let (outcome, answer) = self.take_and_judge(step).await;
        self.shared.carriers.metrics.reconciled(Kind::Stream, outcome, begun.elapsed());
        answer
    }

    async fn take_and_judge(&mut self, mut step: Step) -> (Reconciled, Result<(), Refusal>) {
        let mut outcome = Reconciled::Changed;
        let mut stepped_ms = 0_i64;
        let (mut in_a_row, mut backoff) = (0_u32, Backoff::new(FIRST_PAUSE, LONGEST_PAUSE));
        loop {
            if let Some(by_ms) = self.clock.take_step() {
                tracing::debug!(stream = %self.stream, by_ms, "the machine's clock was set");
                stepped_ms = stepped_ms.saturating_add(by_ms);
            }
            let now = self.clock.now();
            let (next, answer) = self.changed_with_last_words(now, stepped_ms, |next| match &step {
                Step::Heard(input) => {
                    next.machine.handle(now, input.clone());
                    Ok(())
                }
                Step::Asked(edit) => edit.apply(next, now),
            });
            if next == self.record && !self.unsaved {
                return (Reconciled::Unchanged, answer);
            }
            match self.save(&next, stepped_ms).await {
                Saving::Done => {
                    let before = std::mem::replace(&mut self.record, next);
                    let reason = match &step {
                        Step::Heard(Input::WorkerLost(_, evidence)) => Some(*evidence),
                        Step::Heard(Input::Finished(_)) => Some(Evidence::ProcessEnded),
                        Step::Heard(Input::Publisher(..)) => Some(Evidence::HandedOver),
                        Step::Asked(Edit::RelayFailed(_)) => Some(Evidence::RelayFailed),
                        Step::Heard(_) | Step::Asked(_) => None,
                    };
                    self.say_replacement(&before, reason);
                    self.act();
                    return (outcome, answer);
                }
                Saving::Overtaken(overtaken) => {
                    // The record that the task goes by now is of the clock as it was set.
                    stepped_ms = 0;
                    outcome = Reconciled::Overtaken;
                    match (overtaken, &step) {
                        (Overtaken::Spec, _) | (Overtaken::Machine, Step::Asked(_)) => {}
                        // It was of our machine, and theirs hears of it in its own way.
                        (Overtaken::Machine, Step::Heard(_)) if self.unsaved => {
                            step = Step::Heard(Input::Tick);
                        }
                        (Overtaken::Machine, Step::Heard(_)) => {
                            self.act();
                            return (outcome, Ok(()));
                        }
                    }
                    in_a_row = in_a_row.saturating_add(1);
                    if in_a_row >= AT_ONCE
                        && self.shared.stop.run_until_cancelled(backoff.wait()).await.is_none()
                    {
                        return given();
                    }
                }
                Saving::Given => return given(),
            }
        }
    }

    /// Takes in what somebody else has stored.
    pub(super) async fn changed(&mut self, newer: Stored) {
        // News may have been on its way while this task wrote: going back to it would act on what is stored no more.
        if self.stored.as_ref().is_some_and(|stored| newer.version <= stored.version) {
            return;
        }
        self.merge(newer, 0);
        if self.unsaved {
            let _ = self.take(Step::Heard(Input::Tick)).await;
        } else {
            self.act();
        }
    }

    /// `stepped_ms` is what `next` knows of the clock and the task's own record does not.
    async fn save(&mut self, next: &Record, stepped_ms: i64) -> Saving {
        let synced = self.unsaved
            || next.spec != self.record.spec
            || next.machine.orders() != self.record.machine.orders();
        let durability = if synced { Durability::Synced } else { Durability::Lazy };
        let store = self.shared.carriers.store.clone();
        let (mut refused, mut backoff) = (false, Backoff::new(FIRST_PAUSE, LONGEST_PAUSE));
        loop {
            let outcome = match &self.stored {
                None => store.create(next).await,
                Some(stored) => store.store(next, &stored.version, durability).await,
            };
            if !matches!(outcome, Err(StoreError::Unavailable(_))) && self.shared.can_be_stored(self.stream) {
                tracing::info!("the streams' states can be stored again");
            }
            match outcome {
                Ok(version) => {
                    let media = self.stored.take().and_then(|before| before.media);
                    self.stored = Some(Stored { record: next.clone(), version, shown: Shown::AsItIs, media });
                    self.unsaved = false;
                    return Saving::Done;
                }
                // A try whose answer was lost. Whatever has been measured since comes with no other news.
                Err(StoreError::Conflict(newer)) if !is_to_be_stored(next, &newer) => {
                    self.unheard = self.measured_in(&newer);
                    self.stored = Some(*newer);
                    self.unsaved = false;
                    return Saving::Done;
                }
                Err(StoreError::Conflict(newer)) => {
                    return Saving::Overtaken(self.merge(*newer, stepped_ms));
                }
                Err(StoreError::Gone) => {
                    self.removed();
                    return Saving::Given;
                }
                Err(error @ (StoreError::Unavailable(_) | StoreError::Refused(_))) => {
                    let is_refused = matches!(error, StoreError::Refused(_));
                    if !is_refused || !std::mem::replace(&mut refused, true) {
                        self.say_failure(&error);
                    }
                    if store.when_it_fails() == WhenItFails::GoOn {
                        self.unsaved = true;
                        return Saving::Done;
                    }
                }
            }
            if self.shared.stop.run_until_cancelled(backoff.wait()).await.is_none() {
                return Saving::Given;
            }
        }
    }

    /// A planned move has lines of its own.
    fn say_replacement(&mut self, before: &Record, reason: Option<Evidence>) {
        let (from, to) = (before.machine.epoch(), self.machine().epoch());
        if from == to || before.machine.moves_to() == Some(to) {
            return;
        }
        self.observed.lost(reason);
        if let Some(reason) = reason {
            tracing::warn!(stream = %self.stream, %reason, %from, %to, "a stream's worker is lost; looking for another one");
        }
    }

    fn say_failure(&self, error: &StoreError) {
        let stream = self.stream;
        if matches!(error, StoreError::Refused(_)) {
            tracing::error!(%error, %stream, "the stream's state cannot be stored; it stands still until it can");
        } else if !self.shared.cannot_be_stored(stream) {
            tracing::debug!(%error, %stream, "cannot store the stream's state");
        } else if self.shared.carriers.store.when_it_fails() == WhenItFails::GoOn {
            // What is lost is only the streams' recovery after a crash, and an epoch that is chosen twice then is still
            // claimed only once, in storage.
            tracing::error!(%error, %stream, "cannot store the streams' states; they go on, and would be lost if this process ended now");
        } else {
            tracing::error!(%error, %stream, "cannot store the streams' states; they stay as they are until they can be stored");
        }
    }

    /// What the machine has yet to hear of what is measured in a newer record. Of whichever publisher: the next broadcast's headers must hold
    /// for all of this one.
    fn measured_in(&self, newer: &Stored) -> Option<Input> {
        let known = self.stored.as_ref().and_then(|known| known.media.as_ref());
        let media = newer.media.as_ref().filter(|media| known != Some(*media));
        media.and_then(hints_from).map(Input::Measured)
    }

    /// The clock was set by `stepped_ms` since the task's record was made.
    fn merge(&mut self, mut newer: Stored, stepped_ms: i64) -> Overtaken {
        if let Some(known) = self.stored.as_ref().filter(|_| newer.shown == Shown::NotYet) {
            newer.record.machine.first_seen_with(&known.record.machine);
        }
        // One that nobody has stored is no other controller's, whatever its creator has written since; nor is one whose machine somebody
        // has taken away.
        let is_of = |known: &Stored| known.record.machine == newer.record.machine;
        let ours = self.stored.as_ref().is_some_and(|known| newer.shown == Shown::NotYet || is_of(known));
        let now = self.clock.now();
        let measured = self.measured_in(&newer);
        let overtaken = if ours {
            let (next, ()) = self.changed_with_last_words(now, stepped_ms, |record| {
                if let Some(measured) = measured.clone() {
                    record.machine.handle(now, measured);
                }
                if let Some(spec) = &newer.record.spec {
                    take_spec(record, spec, now);
                }
            });
            let before = std::mem::replace(&mut self.record, next);
            // Of all that a spec says, this alone costs a worker.
            self.say_replacement(&before, Some(Evidence::RelayFailed));
            Overtaken::Spec
        } else {
            tracing::warn!(stream = %self.stream, "another controller leads this stream; going on from what it stored");
            self.record = newer.record.clone();
            if let Some(measured) = measured {
                self.record.machine.handle(now, measured);
            }
            self.record.heed_spec(now);
            self.drop_jobs();
            Overtaken::Machine
        };
        self.unsaved = is_to_be_stored(&self.record, &newer);
        self.stored = Some(newer);
        overtaken
    }
}

/// What becomes of a step that is stored no more.
fn given() -> (Reconciled, Result<(), Refusal>) {
    (Reconciled::Failed, Err(Refusal::Unavailable("the controller is closing".to_owned())))
}

/// Tries, each onto somebody else's newer record, before there are pauses too. Others write a record every few seconds at most.
const AT_ONCE: u32 = 3;
/// Between two tries to store a record.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
