//! Time in which this process did not run: somebody stopped it, or the machine was too busy to let it. That nothing was heard
//! of another process meanwhile says nothing about that one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often in a row silence was excused, because this process was not there to hear.
#[derive(Debug, Default)]
pub struct Excuses(u32);

impl Excuses {
    /// How long a wait has taken that began at `asked` and was to end after `at_most`, if it ended so late that this process
    /// cannot have run. None from the third such wait in a row on: a process that is always late must find out who is gone, too.
    pub fn excuse(&mut self, asked: Instant, at_most: Duration) -> Option<Duration> {
        let took = asked.elapsed();
        if took < at_most.saturating_add(LATE) || self.0 >= MOST_EXCUSES {
            return None;
        }
        self.0 = self.0.saturating_add(1);
        Some(took)
    }
}

/// The last standstill of this process that was logged. Every stream notices it by itself, and one line is enough.
#[derive(Default)]
pub(crate) struct LoggedStandstill(Mutex<Option<Instant>>);

impl LoggedStandstill {
    /// Whether nobody has logged the standstill yet that a wait noticed which began at `asked`.
    pub(crate) fn is_new(&self, asked: Instant) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What was logged since this wait began was noticed by another wait that was under way then.
        let is_new = logged.is_none_or(|logged| logged < asked);
        if is_new {
            *logged = Some(Instant::now());
        }
        is_new
    }
}

/// A timer that is later than this was not late by chance.
const LATE: Duration = Duration::from_secs(1);
const MOST_EXCUSES: u32 = 2;
