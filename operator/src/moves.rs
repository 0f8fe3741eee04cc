//! Moves that an administrator orders by an annotation: `kubectl annotate lst s-… caudal.dev/move=now`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use caudal_controller::{Controller, MoveError, Moved};
use caudal_kubernetes::calls::Failure;
use caudal_livestream::StreamId;
use kube::runtime::events::EventType;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::events::Notices;
use crate::pauses::Pauses;
use crate::records::{LiveStreams, MoveOrder};

/// Whoever leads runs it.
pub(crate) struct Moves {
    streams: LiveStreams,
    pauses: Pauses,
    controller: Arc<Controller>,
    notices: Notices,
    /// Orders that were perhaps taken away: the answer was lost.
    unsure: HashMap<StreamId, String>,
    moving: JoinSet<(StreamId, Result<Moved, MoveError>)>,
}

impl Moves {
    pub(crate) fn new(
        streams: LiveStreams,
        pauses: Pauses,
        controller: Arc<Controller>,
        notices: Notices,
    ) -> Self {
        Self { streams, pauses, controller, notices, unsure: HashMap::new(), moving: JoinSet::new() }
    }

    /// Carries orders out, each once; never ends.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                Some(moved) = self.moving.join_next() => {
                    // What went well is told by whoever sees the worker change. Of one that panicked, nothing comes but the log.
                    if let Ok((stream, Err(error))) = moved {
                        self.failed(stream, &error);
                    }
                }
                () = sleep(EACH) => self.look().await,
            }
        }
    }

    async fn look(&mut self) {
        let asked: HashMap<_, _> = self.streams.moves_asked().into_iter().collect();
        let taken: Vec<_> =
            self.unsure.extract_if(|stream, order| asked.get(stream) != Some(order)).collect();
        for (stream, _) in taken {
            self.begin(stream);
        }
        // An order to move what is paused stands until it is not.
        let due: Vec<_> = asked.into_iter().filter(|(stream, _)| !self.pauses.holds(*stream)).collect();
        for (stream, order) in due {
            // Before it is carried out: the move's own writes would be in the way, and a leader that comes meanwhile would find the order
            // and move the stream again. One that ends between the two takes the order with it, and somebody has to give it again.
            match self.streams.take_move_order(stream, &order).await {
                Ok(MoveOrder::Taken) => {
                    self.unsure.remove(&stream);
                    self.begin(stream);
                }
                Ok(MoveOrder::StoodNoLonger) => {}
                Err(error) => {
                    tracing::debug!(%error, %stream, "an order to move a stream is carried out a little later");
                    if matches!(error, Failure::Unavailable(_)) {
                        self.unsure.insert(stream, order);
                    }
                }
            }
        }
    }

    fn failed(&self, stream: StreamId, error: &MoveError) {
        tracing::warn!(%stream, %error, "a move that was asked for was not made, or failed");
        let words = format!("could not be moved as it was asked: {error}");
        self.notices.tell_of_move(&self.streams, stream, EventType::Warning, "MoveFailed", &words);
    }

    fn begin(&mut self, stream: StreamId) {
        let controller = Arc::clone(&self.controller);
        self.moving.spawn(async move { (stream, controller.move_stream(stream).await) });
    }
}

/// A person has typed it.
const EACH: Duration = Duration::from_secs(1);
