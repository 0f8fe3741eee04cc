//! No more lines than somebody can read: a limit for each place in the code that logs, and below it one for each stream or
//! peer that the lines are about.
//!
//! What strangers do ends up in logs, so that without a limit they decide how full the disk gets and which lines can
//! still be found. What is left out is counted, and [`FloodGate::left_out`] tells of it.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::log_text::bounded;
use crate::origin::Origin;

/// Decides, line by line. `Place` is a place in the code; there are as many as there are log calls in the program.
#[derive(Debug)]
pub(crate) struct FloodGate<Place> {
    places: HashMap<Place, PlaceState>,
    sources: Sources<Place>,
}

/// Lines of one place that were left out since the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// How many.
    pub(crate) lines: u64,
    /// The first of them.
    pub(crate) like: Line,
}

/// What a line is, without its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) level: Level,
    pub(crate) target: &'static str,
    pub(crate) message: String,
}

#[derive(Debug)]
struct PlaceState {
    allowance: Allowance,
    left_out: Option<LeftOut>,
}

/// The sources that were heard of last, in two generations: a new one takes the place of all that have not been heard of
/// since the generation before, so that keeping them costs the same whatever comes.
#[derive(Debug)]
struct Sources<Place> {
    young: HashMap<(Place, u64), Allowance>,
    old: HashMap<(Place, u64), Allowance>,
}

/// So many at once, then one each interval; kept as the moment at which it is whole again.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    whole_at: Instant,
}

impl Allowance {
    fn takes(&mut self, now: Instant, burst: u32, interval: Duration) -> bool {
        let owed = self.whole_at.saturating_duration_since(now);
        let fits = owed + interval <= interval.saturating_mul(burst);
        if fits {
            self.whole_at = self.whole_at.max(now) + interval;
        }
        fits
    }

    fn has_room(self, now: Instant, burst: u32, interval: Duration) -> bool {
        self.whole_at.saturating_duration_since(now) + interval <= interval.saturating_mul(burst)
    }
}

impl<Place: Clone + Eq + Hash> FloodGate<Place> {
    pub(crate) fn new() -> Self {
        Self { places: HashMap::new(), sources: Sources { young: HashMap::new(), old: HashMap::new() } }
    }

    /// Whether a line from `place` is written at `now`. `source` says whom it is about.
    pub(crate) fn admits(&mut self, place: &Place, now: Instant, source: Option<u64>, line: Line) -> bool {
        let state = self
            .places
            .entry(place.clone())
            .or_insert_with(|| PlaceState { allowance: Allowance { whole_at: now }, left_out: None });
        let admitted = state.allowance.has_room(now, PLACE_BURST, PLACE_INTERVAL)
            && source.is_none_or(|source| self.sources.admit((place.clone(), source), now))
            && state.allowance.takes(now, PLACE_BURST, PLACE_INTERVAL);
        if !admitted {
            let left_out = state.left_out.get_or_insert(LeftOut { lines: 0, like: line });
            left_out.lines = left_out.lines.saturating_add(1);
        }
        admitted
    }

    /// What was left out since the last call.
    pub(crate) fn left_out(&mut self) -> Vec<LeftOut> {
        self.places.values_mut().filter_map(|place| place.left_out.take()).collect()
    }
}

impl<Place: Eq + Hash> Sources<Place> {
    fn admit(&mut self, source: (Place, u64), now: Instant) -> bool {
        let known = self.young.get(&source).or_else(|| self.old.get(&source)).copied();
        let mut allowance = known.unwrap_or(Allowance { whole_at: now });
        let admitted = allowance.takes(now, SOURCE_BURST, SOURCE_INTERVAL);
        if self.young.len() >= MOST_SOURCES {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(source, allowance);
        admitted
    }
}

/// The gate in front of a process's log. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct FloodLayer {
    // Held for one decision at a time.
    gate: Arc<Mutex<FloodGate<Identifier>>>,
    hash: RandomState,
}

impl FloodLayer {
    pub(crate) fn new() -> Self {
        Self { gate: Arc::new(Mutex::new(FloodGate::new())), hash: RandomState::new() }
    }

    /// Logs what was left out since the last call.
    pub(crate) fn summarise(&self) {
        let left_out = self.gate().left_out();
        for LeftOut { lines, like: Line { level, target, message } } in left_out {
            let like = message;
            match level {
                Level::ERROR => tracing::error!(target: SUMMARY, lines, of = target, like, "{MORE}"),
                Level::WARN => tracing::warn!(target: SUMMARY, lines, of = target, like, "{MORE}"),
                Level::INFO => tracing::info!(target: SUMMARY, lines, of = target, like, "{MORE}"),
                Level::DEBUG => tracing::debug!(target: SUMMARY, lines, of = target, like, "{MORE}"),
                Level::TRACE => tracing::trace!(target: SUMMARY, lines, of = target, like, "{MORE}"),
            }
        }
    }

    fn gate(&self) -> MutexGuard<'_, FloodGate<Identifier>> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for FloodLayer {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if metadata.target() == SUMMARY {
            return true;
        }
        // Before the gate is locked: a field's `Debug` or `Display` may itself log, or panic, which logs too.
        let mut about = About(None);
        event.record(&mut about);
        let source = about.0.map(|about| self.hash.hash_one(about));
        let mut message = Message(String::new());
        event.record(&mut message);
        let line = Line { level: *metadata.level(), target: metadata.target(), message: message.0 };
        self.gate().admits(&metadata.callsite(), Instant::now(), source, line)
    }
}

/// Whom a line is about: its first field with one of [`SOURCES`] for a name.
struct About(Option<String>);

impl Visit for About {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.0.is_none() && SOURCES.contains(&field.name()) {
            let text = bounded(&format_args!("{value:?}"));
            // A peer has as many ports, and as many addresses in its own network, as it likes.
            let peer = text.parse::<SocketAddr>().map(|peer| Origin::from(peer.ip()).to_string());
            self.0 = Some(peer.unwrap_or(text));
        }
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = bounded(&format_args!("{value:?}"));
        }
    }
}

const MORE: &str = "more lines like this were left out in the last minute";
/// The target of summaries, which are not counted themselves: there are at most as many a minute as places that log.
const SUMMARY: &str = "caudal_service::log_flood";
const SOURCES: [&str; 5] = ["stream", "peer", "remote", "session", "worker"];
/// After a restart a few dozen publishers come back within a second.
const PLACE_BURST: u32 = 50;
const PLACE_INTERVAL: Duration = Duration::from_millis(100);
/// What one stream or one peer has to say more often than this says nothing new.
const SOURCE_BURST: u32 = 10;
const SOURCE_INTERVAL: Duration = Duration::from_secs(5);
/// A generation of sources: 100 KB.
const MOST_SOURCES: usize = 2048;

#[cfg(test)]
mod tests;
