//! Writes messages to PostgreSQL, in batches, and publishes them once they are there.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use caudal_livestream::StreamId;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::in_process::Rooms;
use super::topic;
use crate::bus::Bus;
use crate::chat::ChatError;
use crate::chat::draft::{Draft, Event, Kind};
use crate::chat::position::Position;
use crate::chat::store::{self, Kept};

/// Something that waits for its position, and who waits for it.
pub(super) struct Pending {
    stream: StreamId,
    what: What,
    answer: oneshot::Sender<Result<Event, ChatError>>,
}

enum What {
    Message(Box<Draft>),
    Other(Kind, String),
}

type Answer = oneshot::Receiver<Result<Event, ChatError>>;

impl Pending {
    pub(super) fn message(message: Draft) -> (Self, Answer) {
        Self::new(message.stream, What::Message(Box::new(message)))
    }

    pub(super) fn other(stream: StreamId, kind: Kind, fields: String) -> (Self, Answer) {
        Self::new(stream, What::Other(kind, fields))
    }

    fn new(stream: StreamId, what: What) -> (Self, Answer) {
        let (answer, outcome) = oneshot::channel();
        (Self { stream, what, answer }, outcome)
    }
}

/// Writes until `stop`, and then what is left. The only one who gives out positions, so they have no gaps.
pub(super) async fn write(
    mut queue: mpsc::Receiver<Pending>,
    rooms: Rooms,
    database: PgPool,
    bus: Arc<dyn Bus>,
    stop: CancellationToken,
) {
    let mut batch = Vec::new();
    loop {
        // The first is written at once; whatever arrives while PostgreSQL is at it goes together.
        tokio::select! {
            () = stop.cancelled(), if !queue.is_closed() => {
                queue.close();
                continue;
            }
            taken = queue.recv_many(&mut batch, BATCH) => if taken == 0 { return },
        }
        settle(std::mem::take(&mut batch), &rooms, &database, bus.as_ref()).await;
    }
}

async fn settle(batch: Vec<Pending>, rooms: &Rooms, database: &PgPool, bus: &dyn Bus) {
    let mut placed: Vec<(Pending, Event)> = Vec::with_capacity(batch.len());
    for pending in batch {
        match place(&pending, &placed, rooms) {
            Ok(event) => placed.push((pending, event)),
            Err(error) => drop(pending.answer.send(Err(error))),
        }
    }
    let kept: Vec<Kept<'_>> = placed
        .iter()
        .filter_map(|(pending, event)| match &pending.what {
            What::Message(message) => Some(Kept { message, position: event.position }),
            What::Other(..) => None,
        })
        .collect();
    if !keep(database, &kept).await {
        for (pending, _) in placed {
            // Whether PostgreSQL took them is not known, so their positions are not given out again.
            let _ = rooms.with(pending.stream, |room| {
                room.begin_anew();
                if let What::Message(message) = &pending.what {
                    room.failed(message);
                }
                Ok(())
            });
            let _ = pending.answer.send(Err(ChatError::Unavailable));
        }
        return;
    }
    for (pending, event) in placed {
        let message = if let What::Message(message) = &pending.what { Some(message.as_ref()) } else { None };
        let _ = rooms.with(pending.stream, |room| {
            room.happened(&event, message);
            Ok(())
        });
        let payload = Bytes::from(event.frame.clone());
        if let Err(error) = bus.publish(&topic(pending.stream), payload).await {
            // Rooms see the gap, and look.
            tracing::debug!(%error, stream = %pending.stream, "an event of a room was not published");
        }
        let _ = pending.answer.send(Ok(event));
    }
}

/// The next position of a room, behind those of this batch.
fn place(pending: &Pending, placed: &[(Pending, Event)], rooms: &Rooms) -> Result<Event, ChatError> {
    let ahead = placed.iter().rev().find(|(earlier, _)| earlier.stream == pending.stream);
    let last: Position = match ahead {
        Some((_, event)) => event.position,
        None => rooms.with(pending.stream, |room| Ok(room.last))?,
    };
    Ok(match &pending.what {
        What::Message(message) => Event::new(Kind::NewMessage, last.next(), &message.fields()),
        What::Other(kind, fields) => Event::new(*kind, last.next(), fields),
    })
}

/// Whether PostgreSQL has them all. A connection that broke is no answer, so the same is tried again for a moment: a message
/// that is there already is not written twice.
async fn keep(database: &PgPool, kept: &[Kept<'_>]) -> bool {
    if kept.is_empty() {
        return true;
    }
    let tried = async {
        loop {
            match store::insert(database, kept).await {
                Ok(()) => return true,
                Err(error) if store::is_refused_for_good(&error) => {
                    tracing::error!(%error, "messages cannot be written");
                    return false;
                }
                Err(error) => {
                    tracing::warn!(%error, "messages cannot be written just now");
                    sleep(PAUSE).await;
                }
            }
        }
    };
    timeout(PATIENCE, tried).await.unwrap_or(false)
}

/// Messages in one statement.
const BATCH: usize = 100;
/// A sender waits no longer.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);
