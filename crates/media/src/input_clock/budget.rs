//! How many new beginnings a publisher may make.

use std::collections::VecDeque;

use caudal_livestream::UnixMillis;

/// So many a minute, at whatever distances.
#[derive(Debug)]
pub(super) struct Budget {
    a_minute: usize,
    spent: VecDeque<UnixMillis>,
}

impl Budget {
    pub(super) fn new(a_minute: usize) -> Self {
        Self { a_minute, spent: VecDeque::new() }
    }

    /// Counts one; false when there were too many in the last minute.
    pub(super) fn spend(&mut self, now: UnixMillis) -> bool {
        while self.spent.front().is_some_and(|first| now.0 - first.0 >= 60_000) {
            self.spent.pop_front();
        }
        if self.spent.len() >= self.a_minute {
            return false;
        }
        self.spent.push_back(now);
        true
    }
}
