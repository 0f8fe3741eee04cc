//! How many watch each stream.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use caudal_livestream::StreamId;

/// Viewer counts: written by the edge, read by the api. [`LocalAudience`] where both are one process,
/// [`RemoteAudience`](crate::RemoteAudience) at an edge that has a process of its own.
pub trait Audience: Send + Sync + 'static {
    /// This edge now serves `viewers` of `stream`; zero forgets it.
    fn record(&self, stream: StreamId, viewers: u32);

    /// How many watch it, as last recorded.
    fn viewers(&self, stream: StreamId) -> u32;
}

/// The counts of the one edge of this process.
#[derive(Debug, Default)]
pub struct LocalAudience {
    // Held for single map operations only, never across an await.
    counts: Mutex<HashMap<StreamId, u32>>,
}

impl Audience for LocalAudience {
    fn record(&self, stream: StreamId, viewers: u32) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if viewers == 0 {
            counts.remove(&stream);
        } else {
            counts.insert(stream, viewers);
        }
    }

    fn viewers(&self, stream: StreamId) -> u32 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).get(&stream).copied().unwrap_or(0)
    }
}
