//! The rooms that somebody in this replica listens to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use caudal_livestream::StreamId;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::ChatError;
use super::history::Line;
use super::log::RoomLog;
use super::moderation::{Rulebook, Settings};
use super::position::Position;
use super::room::{self, Command};
use crate::audience::GatheredAudience;
use crate::bus::Bus;
use crate::presence::{Present, Viewer};
use crate::stream;

/// All of them. All clones are one; whoever owns it awaits [`Hub::close`].
#[derive(Clone)]
pub(crate) struct Hub(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) database: PgPool,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) log: Arc<dyn RoomLog>,
    pub(super) rules: Arc<Rulebook>,
    pub(super) audience: Arc<GatheredAudience>,
    // Held for single operations only, never across an await.
    rooms: Mutex<HashMap<StreamId, mpsc::Sender<Command>>>,
    tasks: TaskTracker,
}

/// One who listens: what they are sent goes through here. When it is full they are too slow, and are let go.
#[derive(Debug)]
pub(crate) struct Member {
    pub(super) outbox: mpsc::Sender<Utf8Bytes>,
}

/// What listeners have waiting, at most.
const OUTBOX: usize = 512;

impl Member {
    /// With the other end. That is closed when the member is too slow, or the room is gone.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Utf8Bytes>) {
        let (outbox, inbox) = mpsc::channel(OUTBOX);
        (Self { outbox }, inbox)
    }
}

/// What a room says to somebody who enters. What happens afterwards comes through their [`Member`].
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) last: Position,
    /// What was missed comes through the member too; otherwise `lines` has the last messages.
    pub(crate) recovered: bool,
    pub(crate) lines: Vec<Line>,
    pub(crate) viewers: u32,
    /// None while they cannot be asked for.
    pub(crate) settings: Option<Settings>,
}

impl Hub {
    /// No rooms yet.
    pub(crate) fn new(
        database: PgPool,
        bus: Arc<dyn Bus>,
        log: Arc<dyn RoomLog>,
        rules: Arc<Rulebook>,
        audience: Arc<GatheredAudience>,
    ) -> Self {
        let rooms = Mutex::default();
        Self(Arc::new(Inner { database, bus, log, rules, audience, rooms, tasks: TaskTracker::new() }))
    }

    pub(crate) fn log(&self) -> &dyn RoomLog {
        self.0.log.as_ref()
    }

    /// What rooms are told through.
    pub(crate) fn bus(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.0.bus)
    }

    pub(crate) fn rules(&self) -> &Rulebook {
        &self.0.rules
    }

    /// Lets somebody in, who may have been there before, up to `since`. They count as a viewer until [`Present`] is dropped.
    pub(crate) async fn join(
        &self,
        stream: StreamId,
        since: Option<Position>,
        member: Member,
        viewer: Viewer,
    ) -> Result<(Joined, Present), ChatError> {
        let (answer, joined) = oneshot::channel();
        let mut command = Command { since, member, answer };
        // A room that nobody is in any more may end just now; then the next one begins.
        for _ in 0..3 {
            let room = self.room(stream).await?;
            // Before the room tells how many there are, and only where it exists.
            let present = self.0.audience.presence().enter(stream, viewer);
            match room.send(command).await {
                Ok(()) => {
                    let mut joined = joined.await.map_err(|_| ChatError::Unavailable)??;
                    // Afterwards: whatever changes them from here on comes as an event.
                    joined.settings = self.0.rules.of(stream).await.ok().map(|rules| rules.settings);
                    return Ok((joined, present));
                }
                Err(mpsc::error::SendError(refused)) => command = refused,
            }
        }
        Err(ChatError::Unavailable)
    }

    /// Ends all rooms, and waits until they have.
    pub(crate) async fn close(&self) {
        self.0.tasks.close();
        self.rooms().clear();
        self.0.tasks.wait().await;
    }

    /// Whether there is a room here already.
    pub(crate) fn has(&self, stream: StreamId) -> bool {
        self.rooms().get(&stream).is_some_and(|room| !room.is_closed())
    }

    async fn room(&self, id: StreamId) -> Result<mpsc::Sender<Command>, ChatError> {
        if let Some(room) = self.rooms().get(&id).filter(|room| !room.is_closed()) {
            return Ok(room.clone());
        }
        // Only what exists gets a room: made-up names leave nothing behind.
        let exists = stream::exists(&self.0.database, id.0).await.map_err(|error| {
            tracing::warn!(%error, "whether a stream exists cannot be asked");
            ChatError::Unavailable
        })?;
        if !exists {
            return Err(ChatError::UnknownStream);
        }
        let mut rooms = self.rooms();
        if let Some(room) = rooms.get(&id).filter(|room| !room.is_closed()) {
            return Ok(room.clone());
        }
        if self.0.tasks.is_closed() {
            return Err(ChatError::Unavailable);
        }
        rooms.retain(|_, room| !room.is_closed());
        if rooms.len() >= MOST_ROOMS {
            return Err(ChatError::Full);
        }
        let (commands, queue) = mpsc::channel(KNOCKING);
        rooms.insert(id, commands.clone());
        // The room holds no sender of its own: it ends when the map lets go of it and nobody knocks.
        self.0.tasks.spawn(room::run(Arc::downgrade(&self.0), id, queue));
        Ok(commands)
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<StreamId, mpsc::Sender<Command>>> {
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many as the bus has topics.
const MOST_ROOMS: usize = crate::bus::MAX_TOPICS;
/// People who enter a room at the same moment; more wait.
const KNOCKING: usize = 256;
