//! How many watch each stream: those who are there by [`Presence`], and whom the edges count besides.

mod snapshot;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use caudal_directory::Audience;
use caudal_livestream::audience::{AudienceReport, SILENCE};
use caudal_livestream::{EdgeId, StreamId};
use caudal_service::internal::MAX_SKEW;
use thiserror::Error;

use crate::presence::Presence;

pub(crate) use snapshot::count_viewers;

/// Who is there, and the viewers besides of an edge in this process and of all that report theirs.
pub(crate) struct GatheredAudience {
    presence: Arc<Presence>,
    here: Arc<dyn Audience>,
    // Held for single operations only, never across an await.
    edges: Mutex<Edges>,
}

impl GatheredAudience {
    pub(crate) fn new(presence: Arc<Presence>, here: Arc<dyn Audience>) -> Self {
        Self { presence, here, edges: Mutex::default() }
    }

    pub(crate) fn presence(&self) -> &Arc<Presence> {
        &self.presence
    }

    /// How many watch the stream now.
    pub(crate) fn viewers(&self, stream: StreamId) -> u32 {
        let now = Instant::now();
        let players = self.here.viewers(stream).saturating_add(self.edges().viewers(stream, now));
        players.saturating_add(self.presence.viewers(stream, now))
    }

    /// Takes an edge's report.
    pub(crate) fn take(&self, report: AudienceReport, now: Instant) -> Result<(), Full> {
        self.edges().take(report, now)
    }

    /// Forgets what no longer counts; to be called every few seconds.
    pub(crate) fn sweep(&self, now: Instant) {
        self.edges().sweep(now);
    }

    fn edges(&self) -> MutexGuard<'_, Edges> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than there can be in a platform of any size; something invents edges or streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Full {
    #[error("more than {MAX_EDGES} edges have reported in the last minutes")]
    Edges,
    #[error("the edge has reported viewers of more than {MAX_STREAMS} streams")]
    Streams,
}

/// What the edges have reported.
#[derive(Debug, Default)]
struct Edges {
    known: HashMap<EdgeId, Edge>,
}

#[derive(Debug)]
struct Edge {
    /// The highest of its reports'.
    sequence: u64,
    heard: Instant,
    stopped: bool,
    counts: HashMap<StreamId, Count>,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    viewers: u32,
    told: Instant,
}

impl Edges {
    fn take(&mut self, report: AudienceReport, now: Instant) -> Result<(), Full> {
        if !self.known.contains_key(&report.edge) && self.known.len() >= MAX_EDGES {
            self.sweep(now);
            if self.known.len() >= MAX_EDGES {
                return Err(Full::Edges);
            }
        }
        let edge = self.known.entry(report.edge).or_insert_with(|| Edge {
            sequence: 0,
            heard: now,
            stopped: false,
            counts: HashMap::new(),
        });
        if edge.stopped || report.sequence <= edge.sequence {
            return Ok(());
        }
        edge.sequence = report.sequence;
        edge.heard = now;
        if report.last {
            edge.stopped = true;
            edge.counts = HashMap::new();
            return Ok(());
        }
        let mut outcome = Ok(());
        for count in report.counts {
            if count.viewers == 0 {
                edge.counts.remove(&count.stream);
            } else if edge.counts.len() < MAX_STREAMS || edge.counts.contains_key(&count.stream) {
                edge.counts.insert(count.stream, Count { viewers: count.viewers, told: now });
            } else {
                outcome = Err(Full::Streams);
            }
        }
        outcome
    }

    fn viewers(&self, stream: StreamId, now: Instant) -> u32 {
        let counts = self.known.values().filter_map(|edge| edge.counts.get(&stream));
        counts.filter(|count| count.counts_at(now)).fold(0, |sum, count| sum.saturating_add(count.viewers))
    }

    fn sweep(&mut self, now: Instant) {
        self.known.retain(|_, edge| {
            edge.counts.retain(|_, count| count.counts_at(now));
            !edge.counts.is_empty() || now.saturating_duration_since(edge.heard) < REMEMBERED
        });
    }
}

impl Count {
    fn counts_at(self, now: Instant) -> bool {
        now.saturating_duration_since(self.told) < SILENCE
    }
}

/// Edges are known so long after their last report, lest an earlier one that was held up, or was recorded by somebody,
/// counts after all. A signature is good from [`MAX_SKEW`] before its time to as long after it.
const REMEMBERED: Duration = MAX_SKEW.saturating_mul(3);
/// An edge that is started again is another one: one that dies each second makes 900 in that time.
const MAX_EDGES: usize = 1_000;
/// Of one edge; a platform has 5,000 streams at most, and some have just ended.
const MAX_STREAMS: usize = 20_000;

#[cfg(test)]
mod tests;
