//! A worker that is ready for a stream, and waits for its turn (ARCHITECTURE §3.9).

use std::pin::pin;
use std::time::Duration;

use caudal_livestream::assignment::Floor;
use caudal_livestream::feed::Event;
use caudal_livestream::{Epoch, StreamId};
use caudal_storage::{SegmentStore, StorageError};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::feed::FeedBroadcaster;
use crate::input::{InputBoard, InputEvent};
use crate::session::Order;

/// What waits, and what it reads meanwhile.
pub(crate) struct Prepared<'a> {
    pub(crate) stream: StreamId,
    pub(crate) epoch: Epoch,
    pub(crate) store: &'a SegmentStore,
    pub(crate) board: &'a InputBoard,
    pub(crate) input: &'a mut mpsc::Receiver<InputEvent>,
    pub(crate) orders: &'a mut mpsc::Receiver<Order>,
    pub(crate) feed: &'a mut FeedBroadcaster,
}

/// What a worker that was ready is to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Claim the epoch, and go on behind what storage knows and `floor`, which is none where the predecessor itself has
    /// said where it ended.
    Live { floor: Option<Floor>, relayed: Vec<InputEvent> },
    /// Claim the epoch, and write the broadcast's end.
    Finish,
    /// Go: nobody needs this worker.
    Leave,
}

/// Why the predecessor writes no more, by what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    /// Its state is final.
    Closed,
    /// A later worker's epoch than this one's is claimed.
    Replaced,
}

impl Prepared<'_> {
    /// Until the predecessor has closed behind the router's switch, or the controller says that it is gone.
    pub(crate) async fn wait(mut self, shutdown: &CancellationToken, leave: &CancellationToken) -> Turn {
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Beside everything else: a storage that hangs must silence neither the feed nor the controller.
        let mut predecessor = pin!(predecessor_gone(self.store, self.stream, self.epoch));
        // Only what precedes the first media: the connection is not read beyond that until it is packaged.
        let mut relayed = Vec::new();
        let mut media_by: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Turn::Leave,
                order = self.orders.recv() => match order {
                    Some(Order::Join(reader)) => self.feed.join(reader, None, self.board.state()),
                    Some(Order::Live(floor)) => return Turn::Live { floor, relayed },
                    Some(Order::Finish) => return Turn::Finish,
                    None => return Turn::Leave,
                },
                // With the publisher's media it is the stream's, and has the stream moved on once it serves.
                () = leave.cancelled(), if media_by.is_none() => {
                    self.board.leave();
                    self.feed.announce(&Event::Input(self.board.state()), None);
                    return Turn::Leave;
                }
                _ = heartbeat.tick() => self.feed.announce(&Event::Heartbeat, None),
                Some(event) = self.input.recv(), if media_by.is_none() => {
                    if self.take(event, &mut relayed) {
                        media_by = Some(Instant::now() + LAST_WORD);
                    }
                }
                gone = &mut predecessor, if media_by.is_some() => return match gone {
                    Gone::Closed => Turn::Live { floor: None, relayed },
                    Gone::Replaced => Turn::Leave,
                },
                () = at(media_by) => return Turn::Live { floor: None, relayed },
            }
        }
    }

    /// Keeps what the session needs of a relay connection. True at its first media.
    fn take(&mut self, event: InputEvent, relayed: &mut Vec<InputEvent>) -> bool {
        let media = matches!(event, InputEvent::Video { .. } | InputEvent::Audio { .. });
        let changed = matches!(event, InputEvent::Up { .. } | InputEvent::Down | InputEvent::HandedOver);
        if changed {
            // Another connection, which sends its own headers.
            relayed.clear();
        }
        if relayed.len() < MAX_RELAYED && !matches!(event, InputEvent::Down | InputEvent::HandedOver) {
            relayed.push(event);
        }
        if changed || media {
            self.feed.announce(&Event::Input(self.board.state()), None);
        }
        media
    }
}

/// Looks at storage until the predecessor writes no more.
async fn predecessor_gone(store: &SegmentStore, stream: StreamId, epoch: Epoch) -> Gone {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        match timeout(LOOK_DEADLINE, predecessor(store, stream, epoch)).await {
            Ok(Ok(Some(gone))) => return gone,
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the predecessor's state cannot be read now"),
            Err(error) => tracing::debug!(%error, "the predecessor's state cannot be read now"),
        }
    }
}

async fn predecessor(
    store: &SegmentStore,
    stream: StreamId,
    epoch: Epoch,
) -> Result<Option<Gone>, StorageError> {
    let claims = store.claims(stream).await?;
    if claims.fence.is_some_and(|fence| fence >= epoch) {
        return Ok(Some(Gone::Replaced));
    }
    let last = claims.filled.filter(|state| Some(state.epoch) == claims.fence);
    let closed = last.and_then(|state| state.filled).is_some_and(|filled| filled.closed);
    Ok(closed.then_some(Gone::Closed))
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often storage is asked whether the predecessor has closed: viewers wait for the answer, for a second at most.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_DEADLINE: Duration = Duration::from_secs(1);
/// From the first media until the controller has said where the predecessor ended, if that does not say it itself: the
/// floor that came with the assignment may be as old as the wait for a keyframe.
const LAST_WORD: Duration = Duration::from_secs(4);
/// A connection's beginning, metadata that changes, and the first media.
const MAX_RELAYED: usize = 16;
