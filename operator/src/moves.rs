//! Moves that an administrator orders by an annotation: `kubectl annotate lst s-… caudal.dev/move=now`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use caudal_controller::{Controller, MoveError, Moved};
use caudal_livestream::StreamId;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::pauses::Pauses;
use crate::records::LiveStreams;

/// Whoever leads runs it.
pub(crate) struct Moves {
    streams: LiveStreams,
    pauses: Pauses,
    controller: Arc<Controller>,
    /// Orders that were carried out, or are being, and still stand in their resources.
    known: HashMap<StreamId, String>,
    moving: JoinSet<(StreamId, Result<Moved, MoveError>)>,
}

impl Moves {
    pub(crate) fn new(streams: LiveStreams, pauses: Pauses, controller: Arc<Controller>) -> Self {
        Self { streams, pauses, controller, known: HashMap::new(), moving: JoinSet::new() }
    }

    /// Carries orders out, each once; never ends.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                Some(moved) = self.moving.join_next() => {
                    // The controller's log says what came of it. A move that panicked is begun anew with the next leader.
                    if let Ok((stream, Err(error))) = moved {
                        tracing::warn!(%stream, %error, "a move that was asked for was not made, or failed");
                    }
                }
                () = sleep(EACH) => self.look().await,
            }
        }
    }

    async fn look(&mut self) {
        // An order to move what is paused stands until it is not.
        let asked = self.streams.moves_asked().into_iter();
        let asked: HashMap<_, _> = asked.filter(|(stream, _)| !self.pauses.holds(*stream)).collect();
        self.known.retain(|stream, order| asked.get(stream) == Some(order));
        for (stream, order) in asked {
            if let Entry::Vacant(new) = self.known.entry(stream) {
                new.insert(order.clone());
                let controller = Arc::clone(&self.controller);
                self.moving.spawn(async move { (stream, controller.move_stream(stream).await) });
            }
            // Also while it is being carried out: a leader after this one must not begin it again.
            if let Err(error) = self.streams.move_answered(stream, &order).await {
                tracing::debug!(%error, %stream, "an order to move a stream stays in its resource a little longer");
            }
        }
    }
}

/// A person has typed it.
const EACH: Duration = Duration::from_secs(1);
