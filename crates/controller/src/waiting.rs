//! What waits in a queue: how much, and for how long the oldest of it has.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGauge, IntGaugeVec, Opts};
use tokio::time::Instant;

/// The account of one queue. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Waiting {
    depth: IntGauge,
    since: Arc<Mutex<Since>>,
}

/// One thing that waits, until this is dropped.
#[derive(Debug)]
pub(crate) struct Waits {
    queue: Waiting,
    number: u64,
}

#[derive(Debug, Default)]
struct Since {
    next: u64,
    // In the order in which they came.
    waiting: BTreeMap<u64, Instant>,
}

/// The accounts of all queues of a process, as metrics with the label `queue`.
#[derive(Clone, Debug)]
pub(crate) struct Queues {
    depth: IntGaugeVec,
    oldest: GaugeVec,
    known: Arc<Mutex<HashMap<&'static str, Waiting>>>,
}

impl Waiting {
    /// Counts in `depth`.
    pub fn new(depth: IntGauge) -> Self {
        Self { depth, since: Arc::default() }
    }

    /// One more.
    pub(crate) fn begin(&self) -> Waits {
        self.depth.inc();
        let mut since = self.since();
        let number = since.next;
        since.next = number.wrapping_add(1);
        since.waiting.insert(number, Instant::now());
        drop(since);
        Waits { queue: self.clone(), number }
    }

    fn oldest_seconds(&self) -> f64 {
        self.since().waiting.values().next().map_or(0.0, |since| since.elapsed().as_secs_f64())
    }

    fn since(&self) -> MutexGuard<'_, Since> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.queue.depth.dec();
        self.queue.since().waiting.remove(&self.number);
    }
}

impl Queues {
    /// By the names that the options have.
    pub(crate) fn new(depth: Opts, oldest: Opts) -> Result<Self, prometheus::Error> {
        Ok(Self {
            depth: IntGaugeVec::new(depth, &["queue"])?,
            oldest: GaugeVec::new(oldest, &["queue"])?,
            known: Arc::default(),
        })
    }

    /// The account of the queue of this name.
    pub(crate) fn of(&self, name: &'static str) -> Waiting {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(name).or_insert_with(|| Waiting::new(self.depth.with_label_values(&[name]))).clone()
    }

    /// Of a queue that nothing stands in: what it lacks is counted by whoever fills it.
    pub(crate) fn depth(&self, name: &'static str) -> IntGauge {
        self.depth.with_label_values(&[name])
    }
}

impl Collector for Queues {
    fn desc(&self) -> Vec<&Desc> {
        [self.depth.desc(), self.oldest.desc()].concat()
    }

    /// How long the oldest has waited is looked up now.
    fn collect(&self) -> Vec<MetricFamily> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, queue) in known.iter() {
            self.oldest.with_label_values(&[name]).set(queue.oldest_seconds());
        }
        drop(known);
        [self.depth.collect(), self.oldest.collect()].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_short_waits_are_not_a_long_one() {
        let opts = |name| Opts::new(name, "of a queue");
        let queues = Queues::new(opts("depth"), opts("oldest")).unwrap();
        let queue = queues.of("claims");
        let said = || {
            let said = queues.collect();
            let of = |family: usize| said[family].get_metric()[0].get_gauge().get_value();
            (of(0), of(1))
        };
        let mut last = queue.begin();
        for _ in 0..10 {
            advance(Duration::from_secs(1)).await;
            // The next one is there before the last one goes: the queue is never empty.
            last = queue.begin();
            assert_eq!(said(), (1.0, 0.0));
        }
        let younger = queue.begin();
        advance(Duration::from_secs(5)).await;
        drop(younger);
        assert_eq!(said(), (1.0, 5.0));
        drop(last);
        assert_eq!(said(), (0.0, 0.0));
    }
}
