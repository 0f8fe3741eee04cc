//! How far workers were when they lost the stream: their successor begins behind that.

use caudal_livestream::UnixMillis;
use caudal_livestream::assignment::Floor;
use caudal_livestream::lifecycle::{Input, Lifecycle};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::StreamTask;
use crate::record_store::Record;

/// A worker that is being followed.
pub(super) struct Following {
    pub(super) job: AbortHandle,
    /// What keeps its storage credentials fresh.
    pub(super) renewal: Option<AbortHandle>,
    /// Where everything ends that it has announced.
    pub(super) reached: watch::Receiver<Option<Floor>>,
}

impl StreamTask {
    /// The record with this change made, after the clock was set by `stepped_ms`, and with the last words of each worker that loses the
    /// stream by it: what was announced since the last whole segment is in no record and may be in no file.
    pub(super) fn changed_with_last_words<T>(
        &self,
        now: UnixMillis,
        stepped_ms: i64,
        change: impl Fn(&mut Record) -> T,
    ) -> (Record, T) {
        let changed = |words: &[Input]| {
            let mut next = self.record.clone();
            if stepped_ms != 0 {
                next.machine.clock_stepped(stepped_ms);
            }
            for word in words {
                next.machine.handle(now, word.clone());
            }
            let answer = change(&mut next);
            (next, answer)
        };
        let (next, answer) = changed(&[]);
        match self.last_words(&next.machine).as_slice() {
            [] => (next, answer),
            words => changed(words),
        }
    }

    /// Of the workers that lose the stream, or begin to hand it over, where the machine is to be `next`.
    fn last_words(&self, next: &Lifecycle) -> Vec<Input> {
        let held = |machine: &Lifecycle| {
            let orders = machine.orders();
            let keeps = orders.follow.filter(|_| !machine.is_handing_over());
            // One that hands over says its last word twice: a controller that crashes in between has the first one stored.
            [keeps, orders.follow, orders.follow_parting].map(|of| of.map(|(epoch, _)| epoch))
        };
        let lost = held(self.machine()).into_iter().zip(held(next)).filter(|(before, after)| before != after);
        lost.filter_map(|(before, _)| {
            let epoch = before?;
            let floor = *self.following.get(&epoch)?.reached.borrow();
            Some(Input::Announced(epoch, floor?))
        })
        .collect()
    }
}
