//! What was said, for readers: from PostgreSQL, and what is on its way there.

use std::sync::Arc;

use caudal_livestream::StreamId;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use sqlx::PgPool;
use uuid::Uuid;

use super::draft::{Event, Kind};
use super::log::RoomLog;
use super::position::Position;
use super::{ChatError, store};

/// A message, as readers get it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) id: Uuid,
    pub(super) author: Uuid,
    pub(crate) position: Position,
    /// In JSON.
    data: Arc<str>,
}

impl Line {
    /// `fields` as a draft has them.
    pub(super) fn new(id: Uuid, author: Uuid, position: Position, fields: &str) -> Self {
        let event = Event::new(Kind::NewMessage, position, fields);
        Self { id, author, position, data: event.message().unwrap_or("{}").into() }
    }

    /// Of an event, if it is a message.
    pub(super) fn of(event: &Event) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Message {
            id: Uuid,
            user: User,
        }
        #[derive(serde::Deserialize)]
        struct User {
            id: Uuid,
        }
        let data = event.message()?;
        let Message { id, user } = serde_json::from_str(data).ok()?;
        Some(Self { id, author: user.id, position: event.position, data: data.into() })
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.data).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// An event that takes away what was said before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Removal {
    at: Position,
    what: Removed,
}

#[derive(Clone, Copy, Debug)]
enum Removed {
    Message(Uuid),
    /// All that somebody said.
    AllOf(Uuid),
}

impl Removal {
    pub(super) fn of(event: &Event) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Frame {
            event: String,
            data: Data,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Data {
            id: Option<Uuid>,
            user_id: Option<Uuid>,
        }
        // Most events are messages, and need not be read for this.
        if event.message().is_some() {
            return None;
        }
        let Frame { event: name, data } = serde_json::from_str(&event.frame).ok()?;
        let what = if name == Kind::MessageDeleted.name() {
            Removed::Message(data.id?)
        } else if name == Kind::UserBanned.name() {
            Removed::AllOf(data.user_id?)
        } else {
            return None;
        };
        Some(Self { at: event.position, what })
    }

    pub(super) fn takes(&self, line: &Line) -> bool {
        line.position < self.at
            && match self.what {
                Removed::Message(id) => line.id == id,
                Removed::AllOf(person) => line.author == person,
            }
    }
}

/// The last messages, the latest first.
pub(crate) async fn latest(
    log: &dyn RoomLog,
    database: &PgPool,
    stream: StreamId,
    most: usize,
) -> Result<Vec<Line>, ChatError> {
    before(log, database, stream, None, most).await
}

/// The last messages before a position, the latest first. What PostgreSQL does not have yet is taken from the log, and what was
/// removed a moment ago is left out. While Redis is away PostgreSQL answers alone, which lacks what came in the last moment before; while
/// PostgreSQL is away the log does, as far back as it goes.
pub(crate) async fn before(
    log: &dyn RoomLog,
    database: &PgPool,
    stream: StreamId,
    position: Option<Position>,
    most: usize,
) -> Result<Vec<Line>, ChatError> {
    // The log first: what has left it by the time PostgreSQL is asked has arrived there.
    let events = match log.recent(stream).await {
        Ok(recent) => recent.events,
        Err(ChatError::Unavailable) => Vec::new(),
        Err(error) => return Err(error),
    };
    let rows = i64::try_from(most).unwrap_or(i64::MAX);
    match store::before(database, stream, position, rows).await {
        Ok(kept) => Ok(merged(kept, &events, position, most)),
        Err(error) => {
            // The log has no gaps up to its end: what it fills a page with is the page.
            let lines = merged(Vec::new(), &events, position, most);
            if lines.len() == most {
                return Ok(lines);
            }
            tracing::warn!(%error, "chat history cannot be read");
            Err(ChatError::Unavailable)
        }
    }
}

fn merged(kept: Vec<Line>, events: &[Event], position: Option<Position>, most: usize) -> Vec<Line> {
    let mut all: Vec<Line> = events
        .iter()
        .filter(|event| position.is_none_or(|position| event.position < position))
        .filter_map(Line::of)
        .chain(kept)
        .collect();
    let removals: Vec<Removal> = events.iter().filter_map(Removal::of).collect();
    all.retain(|line| !removals.iter().any(|removal| removal.takes(line)));
    all.sort_by_key(|line| std::cmp::Reverse((line.position, line.id)));
    all.dedup_by_key(|line| line.id);
    all.truncate(most);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::draft::{fields_of_ban, fields_of_removal};

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn at(offset: i64) -> Position {
        Position { epoch: 1, offset }
    }

    fn said(n: u128, offset: i64) -> Event {
        // Of two people in turn.
        let (message, user) = (id(n), id(100 + n % 2));
        let fields = format!(r#""id":"{message}","user":{{"id":"{user}"}}}}"#);
        Event::new(Kind::NewMessage, at(offset), &fields)
    }

    fn line(n: u128, offset: i64) -> Line {
        Line::of(&said(n, offset)).unwrap()
    }

    #[test]
    fn what_is_in_both_is_listed_once_and_what_was_removed_not_at_all() {
        let stream = StreamId(Uuid::nil());
        let removal = Event::new(Kind::MessageDeleted, at(6), &fields_of_removal(stream, id(3)));
        let events = [said(3, 3), said(4, 4), said(5, 5), removal, said(7, 7)];
        let kept = || vec![line(4, 4), line(3, 3), line(2, 2), line(1, 1)];
        let ids = |lines: Vec<Line>| lines.iter().map(|line| line.id.as_u128()).collect::<Vec<_>>();
        assert_eq!(ids(merged(kept(), &events, None, 10)), [7, 5, 4, 2, 1]);
        assert_eq!(ids(merged(kept(), &events, None, 2)), [7, 5]);
        assert_eq!(ids(merged(kept(), &events, Some(at(5)), 10)), [4, 2, 1]);
        assert_eq!(ids(merged(kept(), &[], None, 10)), [4, 3, 2, 1]);
        let ban = fields_of_ban(stream, id(101), "bob", None);
        let events = [said(5, 5), Event::new(Kind::UserBanned, at(6), &ban), said(7, 7)];
        assert_eq!(
            ids(merged(kept(), &events, None, 10)),
            [7, 4, 2],
            "what was said after a ban is not before it"
        );
    }
}
