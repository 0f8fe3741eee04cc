//! Positions and events in Redis, where replicas share them. A message counts once Redis has it; from there it goes on to
//! PostgreSQL (`drain.rs`), which may be away for as long as Redis has room.
//!
//! Keys: `chat:ID:room` (epoch and counter, a day), `chat:ID:events` (the last, ten minutes), `chat:ID:by:USER` (pace, two
//! minutes), `chat:ID:try:USER:NAME` (ten minutes), `chat:ID:said` (what is not said twice, ten minutes), and `chat:persist`, one stream for all. Redis Cluster is not supported: one
//! script changes several of them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use caudal_livestream::StreamId;
use futures::future::{BoxFuture, FutureExt as _};
use redis::{RedisError, Script};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use super::trouble::{Answered, Troubles};
use super::{KEPT, RecentEvents, RoomLog, highest_epoch};
use crate::chat::ChatError;
use crate::chat::draft::{Draft, Event, Kind};
use crate::chat::policy::{REMEMBERED, SaidLately, Unique};
use crate::chat::position::Position;
use crate::redis_store::RedisStore;

/// All rooms of all replicas.
pub(crate) struct RedisLog {
    store: RedisStore,
    /// Where rooms' epochs are known that Redis has forgotten.
    database: PgPool,
    /// As the replicas' bus has it.
    prefix: String,
    say: Script,
    tell: Script,
    recent: Script,
    troubles: Troubles,
}

/// What a look at a room does that has no order yet.
#[derive(Clone, Copy)]
enum Absent {
    /// It begins above what history has; nothing happens as long as that is not said.
    Begins {
        above: Option<i64>,
        known: Option<Position>,
    },
    StaysSo,
}

/// A message on its way from Redis to PostgreSQL.
#[derive(Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) stream: Uuid,
    pub(super) user: Uuid,
    pub(super) message: String,
    pub(super) reply_to: Option<Uuid>,
    /// A replica of the version before has none.
    #[serde(default)]
    pub(super) badges: Vec<String>,
}

impl RedisLog {
    /// `prefix` stands before a topic in the name of its channel.
    pub(crate) fn new(store: RedisStore, prefix: String, database: PgPool) -> Self {
        Self {
            store,
            database,
            prefix,
            say: Script::new(concat!(
                include_str!("begin.lua"),
                include_str!("keep.lua"),
                include_str!("say.lua")
            )),
            tell: Script::new(concat!(
                include_str!("begin.lua"),
                include_str!("keep.lua"),
                include_str!("tell.lua")
            )),
            recent: Script::new(concat!(include_str!("begin.lua"), include_str!("recent.lua"))),
            troubles: Troubles::default(),
        }
    }

    async fn accept(&self, message: &Draft) -> Result<Event, ChatError> {
        if let Some(event) = self.try_to_say(message, None).await? {
            return Ok(event);
        }
        let above = highest_epoch(&self.database, message.stream).await?;
        self.try_to_say(message, Some(above)).await?.ok_or(ChatError::Unavailable)
    }

    /// None where the room's order has not begun, and is to begin above what history has.
    async fn try_to_say(&self, message: &Draft, above: Option<i64>) -> Result<Option<Event>, ChatError> {
        let Draft { stream, author, client_id, .. } = message;
        let mut hasher = DefaultHasher::new();
        message.text.as_str().hash(&mut hasher);
        let row = Row {
            id: message.id,
            stream: stream.0,
            user: author.id,
            message: message.text.as_str().to_owned(),
            reply_to: message.reply_to,
            badges: message.admitted.badges.clone(),
        };
        let row = serde_json::to_string(&row).map_err(|_| ChatError::Unavailable)?;
        let pace = message.admitted.pace;
        let (unique, compared) = match pace.unique {
            Unique::Off => ("off", 0),
            Unique::Remember(compared) => ("remember", compared),
            Unique::Demand(compared) => ("demand", compared),
        };
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let mut call = self.say.prepare_invoke();
        call.key(room(*stream))
            .key(events(*stream))
            .key(format!("chat:{stream}:by:{}", author.id))
            .key(format!("chat:{stream}:try:{}:{}", author.id, client_id.as_deref().unwrap_or_default()))
            .key(PERSIST)
            .key(format!("chat:{stream}:said"))
            .arg(self.channel(*stream))
            .arg(message.fields())
            .arg(row)
            .arg(format!("{:x}", hasher.finish()))
            .arg(u8::from(client_id.is_some()))
            .arg(pace.burst)
            .arg(micros(pace.window))
            .arg(micros(pace.gap))
            .arg(micros(pace.same))
            .arg(pace.room)
            .arg(KEPT)
            .arg(MOST_WAITING)
            .arg(micros(pace.slow))
            .arg(unique)
            .arg(format!("{compared:x}"))
            .arg(micros(SaidLately::LATELY))
            .arg(SaidLately::MOST)
            .arg(u64::try_from(REMEMBERED.as_millis()).unwrap_or(u64::MAX))
            .arg(EVENTS_MS)
            .arg(or_empty(above));
        let answer = call.invoke_async(&mut self.store.connection()).await;
        let answer: Vec<String> = answer.map_err(|error| self.unavailable(&error))?;
        let mut answer = answer.iter().map(String::as_str);
        let (outcome, detail) = (answer.next().unwrap_or_default(), answer.next().unwrap_or_default());
        let wait = || Duration::from_micros(detail.parse().unwrap_or(1_000_000));
        match outcome {
            "ok" => {
                self.troubles.answered(Answered::Event);
                event(detail).map(Some)
            }
            "not_begun" => Ok(None),
            "repeated" => Err(ChatError::Repeated),
            "too_fast" => Err(ChatError::TooFast(wait())),
            "slow" => Err(ChatError::Slow(wait())),
            "not_unique" => Err(ChatError::NotUnique),
            "room_busy" => Err(ChatError::RoomBusy(wait())),
            _ => {
                self.troubles.behind(MOST_WAITING);
                Err(ChatError::Unavailable)
            }
        }
    }

    async fn try_to_tell(
        &self,
        stream: StreamId,
        kind: Kind,
        fields: &str,
        above: Option<i64>,
    ) -> Result<Option<Event>, ChatError> {
        let mut call = self.tell.prepare_invoke();
        call.key(room(stream)).key(events(stream));
        call.arg(self.channel(stream)).arg(kind.name()).arg(fields).arg(KEPT).arg(EVENTS_MS);
        call.arg(or_empty(above));
        let frame = call.invoke_async(&mut self.store.connection()).await;
        let frame: String = frame.map_err(|error| self.unavailable(&error))?;
        if frame.is_empty() {
            return Ok(None);
        }
        // Messages may have to wait for PostgreSQL all the same.
        self.troubles.answered(Answered::Look);
        event(&frame).map(Some)
    }

    async fn look(&self, stream: StreamId, absent: Absent) -> Result<RecentEvents, ChatError> {
        let begins = u8::from(matches!(absent, Absent::Begins { .. }));
        let (above, known) = match absent {
            Absent::Begins { above, known } => (above, known),
            Absent::StaysSo => (None, None),
        };
        let mut call = self.recent.prepare_invoke();
        call.key(room(stream)).key(events(stream));
        call.arg(KEPT).arg(EVENTS_MS).arg(begins).arg(or_empty(above));
        call.arg(or_empty(known.map(|known| known.epoch))).arg(or_empty(known.map(|known| known.offset)));
        let answer = call.invoke_async(&mut self.store.connection()).await;
        let (epoch, offset, frames): (i64, i64, Vec<String>) =
            answer.map_err(|error| self.unavailable(&error))?;
        self.troubles.answered(Answered::Look);
        let last = Position { epoch, offset };
        let mut events = frames.iter().map(|frame| event(frame)).collect::<Result<Vec<_>, _>>()?;
        // Of this epoch, and without gaps: what lies before one is of no use.
        events.retain(|event| event.position.epoch == epoch);
        let mut expected = offset;
        let whole = events.iter().rev().take_while(|event| {
            let follows = event.position.offset == expected;
            expected = expected.saturating_sub(1);
            follows
        });
        let whole = whole.count();
        let events = events.split_off(events.len().saturating_sub(whole));
        Ok(RecentEvents::new(last, events))
    }

    fn unavailable(&self, error: &RedisError) -> ChatError {
        // A connection to a server that went over to being a replica answers everything but this.
        if error.code() == Some("READONLY") {
            self.store.failed(error);
        }
        self.troubles.failed(error);
        ChatError::Unavailable
    }

    fn channel(&self, stream: StreamId) -> String {
        format!("{}{}", self.prefix, super::topic(stream))
    }
}

impl RoomLog for RedisLog {
    fn say<'a>(&'a self, message: &'a Draft) -> BoxFuture<'a, Result<Event, ChatError>> {
        self.accept(message).boxed()
    }

    fn tell(&self, stream: StreamId, kind: Kind, fields: String) -> BoxFuture<'_, Result<Event, ChatError>> {
        async move {
            if let Some(event) = self.try_to_tell(stream, kind, &fields, None).await? {
                return Ok(event);
            }
            let above = highest_epoch(&self.database, stream).await?;
            self.try_to_tell(stream, kind, &fields, Some(above)).await?.ok_or(ChatError::Unavailable)
        }
        .boxed()
    }

    fn open(
        &self,
        stream: StreamId,
        known: Option<Position>,
    ) -> BoxFuture<'_, Result<RecentEvents, ChatError>> {
        async move {
            let opened = self.look(stream, Absent::Begins { above: None, known }).await?;
            if opened.last.epoch > 0 {
                return Ok(opened);
            }
            let history = highest_epoch(&self.database, stream).await?;
            let above = Some(known.map_or(history, |known| history.max(known.epoch)));
            self.look(stream, Absent::Begins { above, known }).await
        }
        .boxed()
    }

    fn recent(&self, stream: StreamId) -> BoxFuture<'_, Result<Vec<Event>, ChatError>> {
        async move { Ok(self.look(stream, Absent::StaysSo).await?.events) }.boxed()
    }

    // What Redis keeps has its own end.
    fn sweep(&self) {}
}

/// A frame, and where it belongs by its own word.
pub(crate) fn event(frame: &str) -> Result<Event, ChatError> {
    #[derive(Deserialize)]
    struct Frame {
        data: Position,
    }
    let Frame { data: position } = serde_json::from_str(frame).map_err(|error| {
        tracing::warn!(%error, "what Redis has of a room is no event");
        ChatError::Unavailable
    })?;
    Ok(Event { position, frame: frame.into() })
}

/// As scripts have what is not there.
fn or_empty(number: Option<i64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn room(stream: StreamId) -> String {
    format!("chat:{stream}:room")
}

fn events(stream: StreamId) -> String {
    format!("chat:{stream}:events")
}

/// How long an event is kept.
const EVENTS_MS: u64 = super::REMEMBERED.as_secs().saturating_mul(1_000);
/// Messages on their way to PostgreSQL.
pub(super) const PERSIST: &str = "chat:persist";
/// Of them: some 250 MB, and more than half an hour of the busiest platform.
const MOST_WAITING: usize = 500_000;
