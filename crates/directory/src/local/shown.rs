//! The streams as everybody else in this process sees them.

use std::sync::Arc;

use caudal_controller::{MoveError, Observer};
use caudal_livestream::StreamId;
use caudal_livestream::record::LiveStream;
use tokio::sync::{broadcast, watch};

use super::Notice;
use crate::Streams;

/// All streams, and what happens to them in lines for people.
pub(super) struct Shown {
    pub(super) streams: watch::Sender<Streams>,
    pub(super) notices: broadcast::Sender<Notice>,
}

impl Shown {
    pub(super) fn new() -> Self {
        Self { streams: watch::Sender::new(Streams::default()), notices: broadcast::Sender::new(NOTICES) }
    }

    pub(super) fn get(&self, stream: StreamId) -> Option<Arc<LiveStream>> {
        self.streams.borrow().get(&stream).cloned()
    }

    /// Shows a stream that is new, unless its task was quicker.
    pub(super) fn show_first(&self, record: Arc<LiveStream>) {
        self.streams.send_if_modified(|streams| {
            let new = !streams.contains_key(&record.spec.stream);
            if new {
                streams.insert(record);
            }
            new
        });
    }
}

impl Observer for Shown {
    fn show(&self, record: Arc<LiveStream>) {
        self.streams.send_modify(|streams| streams.insert(record));
    }

    fn changed(&self, before: Option<&LiveStream>, after: &LiveStream) {
        if let Some(notice) = Notice::of_change(before, after) {
            // Nobody listening is fine; who listens too slowly misses the oldest.
            let _ = self.notices.send(notice);
        }
    }

    /// The log says so.
    fn not_moved(&self, _record: &LiveStream, _error: &MoveError) {}

    /// No other process removes records of this one's folder.
    fn lost(&self, _last: &LiveStream) {}

    fn hide(&self, stream: StreamId) {
        self.streams.send_if_modified(|streams| streams.remove(&stream));
    }
}

/// Lines for the terminal that may wait; beyond that the oldest are lost.
const NOTICES: usize = 256;
