//! The rooms that somebody in this replica listens to.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use caudal_livestream::StreamId;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::ChatError;
use super::history::{self, Line};
use super::log::RoomLog;
use super::moderation::{Rulebook, Settings};
use super::position::Position;
use super::recent::LINES;
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
    rooms: Mutex<HashMap<StreamId, Open>>,
    tasks: TaskTracker,
}

/// A room, by the way into it. It ends when this is dropped and nobody knocks.
struct Open {
    commands: mpsc::Sender<Command>,
    /// Since when its broadcast is known to be over.
    over: Option<Instant>,
}

impl Open {
    /// The way in, unless the room has ended by itself.
    fn door(&self) -> Option<mpsc::Sender<Command>> {
        (!self.commands.is_closed()).then(|| self.commands.clone())
    }
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

/// Somebody's being in a room, until it is dropped.
pub(crate) struct Seat {
    /// None in a room that is closed, whose viewers nobody counts.
    present: Option<Present>,
    /// Of a room that is closed: nobody else has it, and without it the listener's end would close.
    _member: Option<Member>,
}

impl Seat {
    /// Where viewers are counted.
    pub(crate) fn present(&self) -> Option<&Present> {
        self.present.as_ref()
    }

    /// They have said who they are.
    pub(crate) fn is(&mut self, person: Uuid) {
        if let Some(present) = &mut self.present {
            present.is(person);
        }
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

    /// Lets somebody in, who may have been there before, up to `since`. They count as a viewer until the [`Seat`] is dropped.
    pub(crate) async fn join(
        &self,
        stream: StreamId,
        since: Option<Position>,
        member: Member,
        viewer: Viewer,
    ) -> Result<(Joined, Seat), ChatError> {
        let (answer, joined) = oneshot::channel();
        let mut command = Command { since, member, answer };
        // A room that nobody is in any more may end just now; then the next one begins.
        for _ in 0..3 {
            let Some(room) = self.room(stream).await? else {
                return self.closed(stream, command.member).await;
            };
            // Before the room tells how many there are, and only where it exists.
            let present = self.0.audience.presence().enter(stream, viewer);
            match room.send(command).await {
                Ok(()) => {
                    let mut joined = joined.await.map_err(|_| ChatError::Unavailable)??;
                    // Afterwards: whatever changes them from here on comes as an event.
                    joined.settings = self.0.rules.of(stream).await.ok().map(|rules| rules.settings);
                    return Ok((joined, Seat { present: Some(present), _member: None }));
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

    /// Ends the rooms of broadcasts that have been over for ten minutes; to be called every few seconds.
    pub(crate) async fn close_over(&self) -> Result<(), sqlx::Error> {
        let open: Vec<Uuid> = self.rooms().keys().map(|stream| stream.0).collect();
        if open.is_empty() {
            return Ok(());
        }
        let over = sqlx::query_scalar!(
            "select id from streams where id = any($1) and ended_at < now() - interval '10 minutes'",
            &open
        );
        let over = over.fetch_all(&self.0.database).await?;
        let mut rooms = self.rooms();
        for stream in over.into_iter().map(StreamId) {
            let Entry::Occupied(mut room) = rooms.entry(stream) else { continue };
            if room.get_mut().over.get_or_insert_with(Instant::now).elapsed() >= TO_BE_TOLD {
                room.remove();
            }
        }
        Ok(())
    }

    /// Whether somebody is in this room, or was lately.
    pub(crate) fn is_open(&self, stream: StreamId) -> bool {
        self.rooms().contains_key(&stream)
    }

    /// What somebody is told of a room that is closed. Nothing will happen in it, so nothing is kept for it.
    async fn closed(&self, stream: StreamId, member: Member) -> Result<(Joined, Seat), ChatError> {
        let mut lines = history::of_closed(&self.0.database, stream, None, LINES).await?;
        lines.reverse();
        let joined = Joined {
            last: lines.last().map_or(Position::beginning(0), |line| line.said.position),
            recovered: false,
            lines,
            viewers: self.0.audience.viewers(stream),
            settings: self.0.rules.of(stream).await.ok().map(|rules| rules.settings),
        };
        Ok((joined, Seat { present: None, _member: Some(member) }))
    }

    /// The way into a room; none where it is closed.
    async fn room(&self, id: StreamId) -> Result<Option<mpsc::Sender<Command>>, ChatError> {
        if let Some(door) = self.rooms().get(&id).and_then(Open::door) {
            return Ok(Some(door));
        }
        // Only what exists and is not over gets a room: neither made-up names nor old ones leave anything behind.
        let over = stream::is_over(&self.0.database, id.0).await.map_err(|error| {
            tracing::warn!(%error, "whether a stream exists cannot be asked");
            ChatError::Unavailable
        })?;
        if over.ok_or(ChatError::UnknownStream)? {
            return Ok(None);
        }
        let mut rooms = self.rooms();
        if let Some(door) = rooms.get(&id).and_then(Open::door) {
            return Ok(Some(door));
        }
        if self.0.tasks.is_closed() {
            return Err(ChatError::Unavailable);
        }
        rooms.retain(|_, room| !room.commands.is_closed());
        if rooms.len() >= MOST_ROOMS {
            return Err(ChatError::Full);
        }
        let (commands, queue) = mpsc::channel(KNOCKING);
        rooms.insert(id, Open { commands: commands.clone(), over: None });
        // The room holds no sender of its own: it ends when the map lets go of it and nobody knocks.
        self.0.tasks.spawn(room::run(Arc::downgrade(&self.0), id, queue));
        Ok(Some(commands))
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<StreamId, Open>> {
        self.0.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As many as the bus has topics.
const MOST_ROOMS: usize = crate::bus::MAX_TOPICS;
/// People who enter a room at the same moment; more wait.
const KNOCKING: usize = 256;
/// For the room to be told of its end: the report of one may come long after it.
const TO_BE_TOLD: Duration = Duration::from_secs(5);
