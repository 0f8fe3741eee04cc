//! What is logged, for tests of what is not.

use std::fmt::{Debug, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Dispatch, span};

/// Everything that is logged in this thread.
#[derive(Clone, Default)]
pub(crate) struct LogListener {
    said: Arc<Mutex<String>>,
    spans: Arc<AtomicU64>,
}

/// Dropped, the thread is listened to no more.
pub(crate) struct Listening {
    _default: DefaultGuard,
    _other: Dispatch,
}

impl LogListener {
    /// What this thread logs from here on.
    pub(crate) fn begin() -> (Self, Listening) {
        // With a single one, tracing takes what another thread, without one, comes by first for what nobody wants to hear.
        let other = Dispatch::new(Self::default());
        let listener = Self::default();
        (listener.clone(), Listening { _default: set_default(listener), _other: other })
    }

    /// The fields of all events and spans, whatever their level.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }
}

impl tracing::Subscriber for LogListener {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut Words(&mut self.said.lock().unwrap()));
        span::Id::from_u64(self.spans.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Words(&mut self.said.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Words(&mut self.said.lock().unwrap()));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        writeln!(self.0, "{field}={value:?}").unwrap();
    }
}
