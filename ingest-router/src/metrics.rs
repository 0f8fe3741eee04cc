//! What is counted.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// This router's metrics. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) connections: IntGauge,
    pub(crate) publishers: IntGauge,
    pub(crate) received_bytes: IntCounter,
    pub(crate) relayed_bytes: IntCounter,
    pub(crate) dropped_frames: IntCounter,
    pub(crate) replays: IntCounter,
    pub(crate) relay_failures: IntCounter,
    pub(crate) relay_lag: Histogram,
    pub(crate) relay_awaited: IntCounter,
    pub(crate) relay_hold: Histogram,
    pub(crate) takeovers: IntCounter,
    refusals: IntCounterVec,
    losses: IntCounterVec,
}

/// Why a publisher was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    UnknownKey,
    Banned,
    Held,
    Guessing,
    AlreadyLive,
    NoCapacity,
    NoPool,
    TooManyPublishers,
    NoMemory,
    TooManyConnections,
    Unavailable,
}

/// How a publisher's session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    Unpublished,
    Lost,
    TakenOver,
    Dropped,
    StreamOver,
    Shutdown,
}

impl RefusalReason {
    const ALL: [Self; 11] = [
        Self::UnknownKey,
        Self::Banned,
        Self::Held,
        Self::Guessing,
        Self::AlreadyLive,
        Self::NoCapacity,
        Self::NoPool,
        Self::TooManyPublishers,
        Self::NoMemory,
        Self::TooManyConnections,
        Self::Unavailable,
    ];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::UnknownKey => "unknown_key",
            Self::Banned => "banned",
            Self::Held => "held",
            Self::Guessing => "guessing",
            Self::AlreadyLive => "already_live",
            Self::NoCapacity => "no_capacity",
            Self::NoPool => "no_pool",
            Self::TooManyPublishers => "too_many_publishers",
            Self::NoMemory => "no_memory",
            Self::TooManyConnections => "too_many_connections",
            Self::Unavailable => "unavailable",
        }
    }
}

impl SessionEnd {
    const ALL: [Self; 6] =
        [Self::Unpublished, Self::Lost, Self::TakenOver, Self::Dropped, Self::StreamOver, Self::Shutdown];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Unpublished => "unpublished",
            Self::Lost => "lost",
            Self::TakenOver => "taken_over",
            Self::Dropped => "dropped",
            Self::StreamOver => "stream_over",
            Self::Shutdown => "shutdown",
        }
    }
}

impl Metrics {
    /// Registers all of them.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| -> Result<IntGauge, prometheus::Error> {
            let metric = IntGauge::new(format!("{PREFIX}_{name}"), help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let counter = |name: &str, help: &str| -> Result<IntCounter, prometheus::Error> {
            let metric = IntCounter::new(format!("{PREFIX}_{name}"), help)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        let by_reason =
            |name: &str, help: &str, reasons: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
                let metric = IntCounterVec::new(Opts::new(format!("{PREFIX}_{name}"), help), &["reason"])?;
                // There from the start: of a counter that comes with its first count, Prometheus sees no increase.
                for reason in reasons {
                    let _ = metric.with_label_values(&[*reason]);
                }
                registry.register(Box::new(metric.clone()))?;
                Ok(metric)
            };
        let histogram = |name: &str, help: &str, buckets: &[f64]| -> Result<Histogram, prometheus::Error> {
            let opts = HistogramOpts::new(format!("{PREFIX}_{name}"), help).buckets(buckets.to_vec());
            let metric = Histogram::with_opts(opts)?;
            registry.register(Box::new(metric.clone()))?;
            Ok(metric)
        };
        Ok(Self {
            connections: gauge("connections", "Open connections, publishing or not yet")?,
            publishers: gauge("publishers", "Publishers that were let in and are connected")?,
            received_bytes: counter("received_bytes_total", "Media and metadata received from publishers")?,
            relayed_bytes: counter(
                "relayed_bytes_total",
                "Media and metadata sent to workers, replays included",
            )?,
            dropped_frames: counter(
                "dropped_frames_total",
                "Frames not relayed because a worker was too slow",
            )?,
            replays: counter(
                "replays_total",
                "Relays that began with a replay of what had been sent before",
            )?,
            relay_failures: counter("relay_failures_total", "Relays that failed, or could not be made")?,
            relay_lag: histogram(
                "relay_lag_seconds",
                "Media that waited for a relay, looked at each second for each publisher",
                &[0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0],
            )?,
            relay_awaited: counter(
                "relay_awaited_total",
                "Times that a worker said which timestamp can complete its next part",
            )?,
            relay_hold: histogram(
                "relay_hold_seconds",
                "For how long the oldest of tags that completed no part was kept before they went on together",
                &[0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5],
            )?,
            takeovers: counter(
                "takeovers_total",
                "Publishers that took an open stream from another connection",
            )?,
            refusals: by_reason(
                "refusals_total",
                "Publishers that were not let in",
                &RefusalReason::ALL.map(RefusalReason::label),
            )?,
            losses: by_reason(
                "sessions_ended_total",
                "Publisher sessions that ended",
                &SessionEnd::ALL.map(SessionEnd::label),
            )?,
        })
    }

    /// A publisher was not let in.
    pub(crate) fn refused(&self, reason: RefusalReason) {
        self.refusals.with_label_values(&[reason.label()]).inc();
    }

    /// A publisher's session ended.
    pub(crate) fn ended(&self, end: SessionEnd) {
        self.losses.with_label_values(&[end.label()]).inc();
    }
}

/// Adds to a counter what was counted in `usize`.
pub(crate) fn add(counter: &IntCounter, amount: usize) {
    counter.inc_by(u64::try_from(amount).unwrap_or(u64::MAX));
}

/// Counts one up for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted(IntGauge);

impl Counted {
    pub(crate) fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

const PREFIX: &str = "caudal_ingest_router";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// `label` has every variant, by the compiler's word, and `ALL` those that somebody thought of. So this reads what `label` says.
    #[test]
    fn every_reason_is_there_before_it_is_counted() {
        let says = |line: &'static str| {
            line.trim().strip_prefix("Self::")?.split_once(" => \"")?.1.strip_suffix("\",")
        };
        let said: BTreeSet<_> =
            include_str!("metrics.rs").lines().filter_map(says).map(str::to_owned).collect();
        assert!(said.contains("no_memory") && said.contains("stream_over"), "{said:?}");
        let registry = Registry::new();
        Metrics::register(&registry).unwrap();
        let families = registry.gather();
        let counters = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        let there: BTreeSet<_> = counters
            .flat_map(prometheus::proto::Metric::get_label)
            .map(|label| label.value().to_owned())
            .collect();
        assert_eq!(there, said);
    }
}
