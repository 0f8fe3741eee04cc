//! One thing at a time for each stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use caudal_livestream::StreamId;
use tokio::sync::OwnedMutexGuard;

/// Who does something for a stream, and who waits for that.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<StreamId, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    /// Resolves once nobody else has a turn for this stream; dropping what it resolves to ends the turn.
    pub(super) async fn of(&self, stream: StreamId) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Of those that nobody has or waits for.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(stream).or_default())
        };
        turn.lock_owned().await
    }
}
