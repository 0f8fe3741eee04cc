//! The order of events in rooms: who gives out positions, and who remembers the last events for those who come back.

mod drain;
mod in_process;
mod redis;
mod trouble;
mod writer;

use std::time::Duration;

use caudal_livestream::StreamId;
use futures::future::BoxFuture;
use sqlx::PgPool;
use tokio::time::timeout;

use super::draft::{Draft, Event, Kind};
use super::position::Position;
use super::removal::take_back;
use super::{ChatError, store};

pub(crate) use drain::drain;
pub(crate) use in_process::InProcessLog;
pub(crate) use redis::{RedisLog, event};

/// Events of all rooms, in one order for each room. What it accepts it also publishes, in that order, on [`topic`].
pub(crate) trait RoomLog: Send + Sync {
    /// Accepts a message, if it does not come too soon; once this has returned it is not lost. Of a second try under the same
    /// `client_id`, the event that the first became.
    fn say<'a>(&'a self, message: &'a Draft) -> BoxFuture<'a, Result<Event, ChatError>>;

    /// Tells everybody in a room of something else.
    fn tell(&self, stream: StreamId, kind: Kind, fields: String) -> BoxFuture<'_, Result<Event, ChatError>>;

    /// The end of a room's order, for those who are in it: the order begins with this, if not before. Where it was `known` to have come
    /// further, what keeps it has lost its end, and another epoch begins: the same for all who ask.
    fn open(
        &self,
        stream: StreamId,
        known: Option<Position>,
    ) -> BoxFuture<'_, Result<RecentEvents, ChatError>>;

    /// The last events of a room, [`KEPT`] at most and of the last ten minutes. Only a look: anybody may ask, of any stream, and
    /// nothing is left of it.
    fn recent(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<Event>, ChatError>>;

    /// Forgets what no longer counts; to be called every few seconds.
    fn sweep(&self);
}

/// The end of a room's order.
#[derive(Clone, Debug)]
pub(crate) struct RecentEvents {
    /// Of the last event, or the beginning of an epoch that has none.
    pub(crate) last: Position,
    /// In their order and without gaps, up to `last`. What later ones among them removed was taken back.
    pub(crate) events: Vec<Event>,
}

impl RecentEvents {
    fn new(last: Position, mut events: Vec<Event>) -> Self {
        take_back(&mut events);
        Self { last, events }
    }
}

/// The highest epoch that history has of a room, whose order is to begin above it.
async fn highest_epoch(database: &PgPool, stream: StreamId) -> Result<i64, ChatError> {
    let asked = timeout(PATIENCE, store::highest_epoch(database, stream)).await;
    let error = match asked {
        Ok(Ok(epoch)) => return Ok(epoch),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    tracing::warn!(error, %stream, "a room cannot begin: PostgreSQL does not say how far its history goes");
    Err(ChatError::Unavailable)
}

/// What rooms' events are published on.
pub(crate) fn topic(stream: StreamId) -> crate::bus::Topic {
    crate::bus::Topic::new("chat", stream.0)
}

/// For those who come back, of one room.
pub(crate) const KEPT: usize = 300;
/// As long as these are kept.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(600);
/// For history to say how far it goes; whoever enters or talks waits for it.
const PATIENCE: Duration = Duration::from_secs(3);
