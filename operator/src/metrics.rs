//! What is counted of an operator besides its streams.

use std::collections::HashSet;
use std::time::Duration;

use caudal_controller::{Metrics as StreamMetrics, Queue};
use caudal_kubernetes::calls;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

/// The metrics of one operator, whether it leads or not. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Of the streams.
    pub(crate) streams: StreamMetrics,
    pub(crate) leads: IntGauge,
    pub(crate) claim_conflicts: IntCounter,
    renewals: HistogramVec,
    workers: IntGaugeVec,
}

/// What became of a renewal of the lease, or of one of its tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    Renewed,
    Failed,
}

/// How many of a pool's workers are how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PoolCounts {
    pub(crate) idle: u32,
    pub(crate) starting: u32,
    pub(crate) claimed: u32,
    /// Warm ones that are to be there and are not.
    pub(crate) missing: u32,
}

/// The pools of whoever leads. Once it is dropped nobody speaks of them: another operator may.
pub(crate) struct PoolGauges {
    workers: IntGaugeVec,
    missing: IntGauge,
    known: HashSet<String>,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When one is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let renewals = HistogramOpts::new(
            "caudal_operator_lease_renewal_duration_seconds",
            "A renewal of its lease by whoever leads, and each of its tries that failed",
        );
        let metrics = Self {
            streams: StreamMetrics::register(registry)?,
            leads: IntGauge::new("caudal_operator_leads", "1 while this operator leads")?,
            claim_conflicts: IntCounter::new(
                "caudal_operator_claim_conflicts_total",
                "Warm workers that somebody else had changed or taken when a stream was to get them",
            )?,
            renewals: HistogramVec::new(renewals.buckets(RENEWAL.to_vec()), &["outcome"])?,
            workers: IntGaugeVec::new(
                Opts::new("caudal_operator_workers", "Workers of each pool, by what they do"),
                &["pool", "state"],
            )?,
        };
        registry.register(Box::new(metrics.leads.clone()))?;
        registry.register(Box::new(metrics.claim_conflicts.clone()))?;
        registry.register(Box::new(metrics.renewals.clone()))?;
        registry.register(Box::new(metrics.workers.clone()))?;
        calls::register_failures(registry)?;
        let _ = (metrics.streams.waiting(Queue::Events), metrics.streams.refill());
        Ok(metrics)
    }

    pub(crate) fn renewal(&self, renewal: Renewal, took: Duration) {
        let outcome = match renewal {
            Renewal::Renewed => "renewed",
            Renewal::Failed => "failed",
        };
        self.renewals.with_label_values(&[outcome]).observe(took.as_secs_f64());
    }

    pub(crate) fn pools(&self) -> PoolGauges {
        PoolGauges { workers: self.workers.clone(), missing: self.streams.refill(), known: HashSet::new() }
    }
}

impl PoolGauges {
    /// These are all the pools that there are.
    pub(crate) fn show(&mut self, pools: &[(String, PoolCounts)]) {
        let gone: Vec<_> =
            self.known.iter().filter(|known| pools.iter().all(|(name, _)| name != *known)).cloned().collect();
        for name in gone {
            self.forget(&name);
            self.known.remove(&name);
        }
        let mut missing = 0_i64;
        for (name, counts) in pools {
            self.known.insert(name.clone());
            for (state, count) in STATES.into_iter().zip([counts.idle, counts.starting, counts.claimed]) {
                self.workers.with_label_values(&[name.as_str(), state]).set(i64::from(count));
            }
            missing = missing.saturating_add(i64::from(counts.missing));
        }
        self.missing.set(missing);
    }

    fn forget(&self, pool: &str) {
        for state in STATES {
            let _ = self.workers.remove_label_values(&[pool, state]);
        }
    }
}

impl Drop for PoolGauges {
    fn drop(&mut self) {
        for name in &self.known {
            self.forget(name);
        }
        self.missing.set(0);
    }
}

const STATES: [&str; 3] = ["idle", "starting", "claimed"];
/// A renewal that takes 2 s is the end of a term.
const RENEWAL: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.4];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_is_gone_says_nothing_any_more_and_neither_does_an_operator_that_leads_no_longer() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let said = || {
            let families = registry.gather();
            let workers = families.iter().find(|family| family.name() == "caudal_operator_workers");
            workers.map_or(0, |family| family.get_metric().len())
        };
        let counts = PoolCounts { idle: 2, missing: 3, ..PoolCounts::default() };
        let mut gauges = metrics.pools();
        gauges.show(&[("a".to_owned(), counts), ("b".to_owned(), counts)]);
        assert_eq!((said(), metrics.streams.refill().get()), (6, 6));
        gauges.show(&[("b".to_owned(), counts)]);
        assert_eq!((said(), metrics.streams.refill().get()), (3, 3));
        drop(gauges);
        assert_eq!((said(), metrics.streams.refill().get()), (0, 0));
    }
}
