//! What is counted of the streams, of whoever drives them.

use std::time::Duration;

use caudal_livestream::lifecycle::Evidence;
use caudal_livestream::record::Phase;
use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::waiting::{Queues, Waiting, Waits};
use crate::workers::Start;

/// The metrics of one process, over all controllers that run in it one after the other. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    streams: IntGaugeVec,
    queues: Queues,
    reconciles: HistogramVec,
    claims: HistogramVec,
    epochs: IntCounterVec,
    credentials: IntCounterVec,
    first_part: Histogram,
    first_segment: Histogram,
}

/// Something that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// What was heard of streams, or is asked of them, and waits for their tasks.
    Streams,
    /// Workers that are wanted and not there yet.
    Claims,
    /// Workers that are being ended.
    Releases,
    /// Reports that the api has not acknowledged.
    Reports,
    /// Kubernetes Events that are not written yet.
    Events,
}

/// What is made as it ought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A stream: one thing that was heard of it, until it is stored and acted on.
    Stream,
    /// A pool of workers: one look at it.
    Pool,
}

/// What came of one try. Where several things were done, the highest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reconciled {
    /// Nothing was to be done.
    Unchanged,
    /// It was done.
    Changed,
    /// Somebody else was quicker, and what they did goes.
    Overtaken,
    /// It could not be done.
    Failed,
}

/// What is done for a worker's storage credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialStep {
    /// They are asked for, before it is assigned.
    Grant,
    /// It is sent others.
    Renewal,
}

/// What came of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Failed,
}

impl Outcome {
    pub(crate) fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Done } else { Self::Failed }
    }
}

/// Why an epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EpochReason {
    First,
    Move,
    /// None where nobody has said why.
    Lost(Option<Evidence>),
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When one is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            streams: IntGaugeVec::new(
                opts("streams", "Streams that this process drives, by phase"),
                &["phase"],
            )?,
            queues: Queues::new(
                opts("queue_depth", "What waits to be done, by queue"),
                opts("oldest_wait_seconds", "How long the oldest of it has waited"),
            )?,
            reconciles: HistogramVec::new(
                histogram(
                    "reconcile_duration_seconds",
                    "From the beginning of a change to its being stored and acted on",
                    FAST,
                ),
                &["kind", "outcome"],
            )?,
            claims: HistogramVec::new(
                histogram(
                    "claim_duration_seconds",
                    "From wanting a worker to its having taken its assignment",
                    SLOW,
                ),
                &["start"],
            )?,
            epochs: IntCounterVec::new(
                opts("epochs_begun_total", "Workers wanted for streams, by the reason"),
                &["reason"],
            )?,
            credentials: IntCounterVec::new(
                opts(
                    "storage_credentials_total",
                    "Storage credentials got for workers that are to be assigned, or renewed, where workers have none of their own",
                ),
                &["step", "outcome"],
            )?,
            first_part: Histogram::with_opts(histogram(
                "first_part_seconds",
                "From the admission of a new stream to its first part",
                SLOW,
            ))?,
            first_segment: Histogram::with_opts(histogram(
                "first_segment_seconds",
                "From the admission of a new stream to its first whole segment",
                SLOW,
            ))?,
        };
        let collectors: [Box<dyn Collector>; 8] = [
            Box::new(metrics.streams.clone()),
            Box::new(metrics.queues.clone()),
            Box::new(metrics.reconciles.clone()),
            Box::new(metrics.claims.clone()),
            Box::new(metrics.epochs.clone()),
            Box::new(metrics.credentials.clone()),
            Box::new(metrics.first_part.clone()),
            Box::new(metrics.first_segment.clone()),
        ];
        for collector in collectors {
            registry.register(collector)?;
        }
        // A phase without a stream says 0: one that is not there cannot be told from a process that is not.
        for phase in PHASES {
            let _ = metrics.phase(phase);
        }
        for queue in [Queue::Streams, Queue::Claims, Queue::Releases, Queue::Reports] {
            let _ = metrics.waiting(queue);
        }
        for step in [CredentialStep::Grant, CredentialStep::Renewal] {
            for outcome in [Outcome::Done, Outcome::Failed] {
                let _ = metrics.credential_counter(step, outcome);
            }
        }
        for start in [Start::Warm, Start::Cold] {
            let _ = metrics.claims.with_label_values(&[start.label()]);
        }
        Ok(metrics)
    }

    /// What waits in a queue.
    pub fn waiting(&self, queue: Queue) -> Waiting {
        self.queues.of(queue.label())
    }

    /// What pools lack.
    pub fn refill(&self) -> IntGauge {
        self.queues.depth("refill")
    }

    /// Something was made as it ought to be, or was tried to.
    pub fn reconciled(&self, kind: Kind, outcome: Reconciled, took: Duration) {
        let kind = match kind {
            Kind::Stream => "stream",
            Kind::Pool => "pool",
        };
        let outcome = match outcome {
            Reconciled::Unchanged => "unchanged",
            Reconciled::Changed => "changed",
            Reconciled::Overtaken => "overtaken",
            Reconciled::Failed => "failed",
        };
        self.reconciles.with_label_values(&[kind, outcome]).observe(took.as_secs_f64());
    }

    /// One more in this queue until what it returns is dropped.
    pub(crate) fn waits(&self, queue: Queue) -> Waits {
        self.waiting(queue).begin()
    }

    /// One more stream in this phase until what it returns is dropped.
    pub(crate) fn in_phase(&self, phase: Phase) -> InPhase {
        InPhase::new(self.phase(phase))
    }

    pub(crate) fn claimed(&self, start: Start, took: Duration) {
        self.claims.with_label_values(&[start.label()]).observe(took.as_secs_f64());
    }

    pub(crate) fn epoch_begins(&self, reason: EpochReason) {
        self.epochs.with_label_values(&[reason.label()]).inc();
    }

    pub(crate) fn first_part(&self, after: Duration) {
        self.first_part.observe(after.as_secs_f64());
    }

    pub(crate) fn first_segment(&self, after: Duration) {
        self.first_segment.observe(after.as_secs_f64());
    }

    pub(crate) fn credentials(&self, step: CredentialStep, outcome: Outcome) {
        self.credential_counter(step, outcome).inc();
    }

    fn credential_counter(&self, step: CredentialStep, outcome: Outcome) -> IntCounter {
        let step = match step {
            CredentialStep::Grant => "grant",
            CredentialStep::Renewal => "renewal",
        };
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
        };
        self.credentials.with_label_values(&[step, outcome])
    }

    fn phase(&self, phase: Phase) -> IntGauge {
        self.streams.with_label_values(&[label(phase)])
    }
}

/// What a phase is called in metrics and traces.
pub(crate) fn label(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "pending",
        Phase::Starting => "starting",
        Phase::Live => "live",
        Phase::Reconnecting => "reconnecting",
        Phase::Ending => "ending",
        Phase::Ended => "ended",
        Phase::Failed => "failed",
        Phase::Unknown => "unknown",
    }
}

impl Queue {
    fn label(self) -> &'static str {
        match self {
            Self::Streams => "streams",
            Self::Claims => "claims",
            Self::Releases => "releases",
            Self::Reports => "reports",
            Self::Events => "events",
        }
    }
}

/// A stream that is counted in its phase until this is dropped.
pub(crate) struct InPhase(IntGauge);

impl InPhase {
    fn new(streams: IntGauge) -> Self {
        streams.inc();
        Self(streams)
    }
}

impl Drop for InPhase {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl EpochReason {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Move => "move",
            Self::Lost(Some(Evidence::ProcessEnded)) => "process_ended",
            Self::Lost(Some(Evidence::Closed)) => "closed",
            Self::Lost(Some(Evidence::FeedSilent)) => "feed_silent",
            Self::Lost(Some(Evidence::NotAssigned)) => "not_assigned",
            Self::Lost(Some(Evidence::RelayFailed)) => "relay_failed",
            Self::Lost(Some(Evidence::ControllerRestarted)) => "controller_restarted",
            Self::Lost(Some(Evidence::HandedOver)) => "handed_over",
            Self::Lost(None) => "unknown",
        }
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("{PREFIX}_{name}"), help)
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(format!("{PREFIX}_{name}"), help).buckets(buckets.to_vec())
}

/// The machine never says `Unknown`.
const PHASES: [Phase; 7] = [
    Phase::Pending,
    Phase::Starting,
    Phase::Live,
    Phase::Reconnecting,
    Phase::Ending,
    Phase::Ended,
    Phase::Failed,
];
/// The same in an operator and on one machine.
const PREFIX: &str = "caudal_controller";
/// A write to a file takes a millisecond, one to an API server ten; one that waits for an outage takes as long as that.
const FAST: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
/// A warm claim is to take less than 0.25 s, a cold one less than 6 s with its image there, and much more without.
const SLOW: &[f64] =
    &[0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0, 30.0, 60.0, 120.0];
