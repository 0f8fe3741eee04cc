//! Whether a controller hears its workers at all. One whose own network fails takes all of them for lost, and finds no other that
//! it can reach; each broadcast would then end for want of a worker that another controller may well reach.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use caudal_livestream::StreamId;
use tokio::time::{Instant, sleep};

/// What the workers of all streams said last.
pub(crate) struct Earshot(Mutex<Silence>);

struct Silence {
    since: Instant,
    /// The streams whose workers were not reached since.
    streams: HashSet<StreamId>,
}

impl Default for Earshot {
    fn default() -> Self {
        Self(Mutex::new(Silence { since: Instant::now(), streams: HashSet::new() }))
    }
}

impl Earshot {
    /// A worker has said something.
    pub(crate) fn heard(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Silence { since: Instant::now(), streams: HashSet::new() };
    }

    /// A worker of `stream` was given up because nothing came of it.
    pub(crate) fn nothing_of(&self, stream: StreamId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).streams.insert(stream);
    }

    /// Resolves once it is more likely that this controller is cut off than that so many workers are gone.
    pub(crate) async fn lost(&self) {
        while !self.is_lost() {
            sleep(LOOK_EACH).await;
        }
    }

    fn is_lost(&self) -> bool {
        let silence = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silence.streams.len() >= STREAMS && silence.since.elapsed() >= PATIENCE
    }
}

/// Fewer may well have had their workers on one machine that was lost.
const STREAMS: usize = 3;
/// Enough for new workers to be found, where some can be reached; and it leaves most of the minute after which a broadcast without a
/// worker ends to the next controller.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_EACH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_streams_of_whose_workers_nothing_comes_for_long_are_too_many() {
        for (streams, seconds, lost) in [(3, 10, true), (2, 60, false), (3, 9, false)] {
            let earshot = Earshot::default();
            for _ in 0..streams {
                earshot.nothing_of(StreamId::generate());
            }
            sleep(Duration::from_secs(seconds)).await;
            assert_eq!(earshot.is_lost(), lost, "{streams} for {seconds} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_stream_counts_once_and_one_worker_that_is_heard_is_enough() {
        let (earshot, stream) = (Earshot::default(), StreamId::generate());
        sleep(Duration::from_mins(1)).await;
        assert!(!earshot.is_lost(), "nobody was listened for");
        for _ in 0..10 {
            earshot.nothing_of(stream);
        }
        assert!(!earshot.is_lost());
        for _ in 0..2 {
            earshot.nothing_of(StreamId::generate());
        }
        assert!(earshot.is_lost());
        earshot.heard();
        sleep(Duration::from_mins(1)).await;
        assert!(!earshot.is_lost());
    }
}
