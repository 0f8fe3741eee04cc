//! What was said, for readers: from PostgreSQL, and what is on its way there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use caudal_livestream::StreamId;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use sqlx::PgPool;
use uuid::Uuid;

use super::draft::{Event, Kind};
use super::log::RoomLog;
use super::position::Position;
use super::removal::{Removal, Said};
use super::{ChatError, store};
use crate::database::within;
use crate::error::is_outage;
use crate::stream;

/// A message, as readers get it.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) said: Said,
    /// In JSON.
    data: Arc<str>,
}

impl Line {
    /// `fields` as a draft has them.
    pub(super) fn new(said: Said, fields: &str) -> Self {
        let event = Event::new(Kind::NewMessage, said.position, fields);
        Self { said, data: event.message().unwrap_or("{}").into() }
    }

    /// Of an event, if it is a message.
    pub(super) fn of(event: &Event) -> Option<Self> {
        Some(Self { said: Said::of(event)?, data: event.message()?.into() })
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.data).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// The last messages before a position, the latest first; of a room that is closed, those that PostgreSQL has.
pub(crate) async fn before(
    log: &dyn RoomLog,
    database: &PgPool,
    stream: StreamId,
    position: Option<Position>,
    most: usize,
) -> Result<Vec<Line>, ChatError> {
    match stream::is_over(database, stream.0).await {
        Ok(None) => Err(ChatError::UnknownStream),
        Ok(Some(true)) => of_closed(database, stream, position, most).await,
        Ok(Some(false)) => of_open(log, database, stream, position, most).await,
        // Nothing of a room that nobody talks in is in the log, whether it exists or not.
        Err(error) if is_outage(&error) => of_log(&log.recent(stream).await?, position, most),
        Err(error) => Err(unreadable(error)),
    }
}

/// The same of a room that is open. What PostgreSQL does not have yet is taken from the log, and what was removed a moment ago is left out.
/// While Redis is away PostgreSQL answers alone, which lacks what came in the last moment before.
async fn of_open(
    log: &dyn RoomLog,
    database: &PgPool,
    stream: StreamId,
    position: Option<Position>,
    most: usize,
) -> Result<Vec<Line>, ChatError> {
    // The log first: what has left it by the time PostgreSQL is asked has arrived there.
    let recent = match log.recent(stream).await {
        Ok(recent) => recent,
        Err(ChatError::Unavailable) => Vec::new(),
        Err(error) => return Err(error),
    };
    match beside(&recent, database, stream, position, most).await {
        Err(ChatError::Unavailable) => of_log(&recent, position, most),
        read => Ok(read?.0),
    }
}

/// The same while PostgreSQL is away: the log has no gaps up to its end, so what it fills a page with is the page.
fn of_log(recent: &[Event], position: Option<Position>, most: usize) -> Result<Vec<Line>, ChatError> {
    let lines = merged(Vec::new(), lines_of(recent, &[], position), recent, &HashSet::new(), most);
    if lines.len() == most { Ok(lines) } else { Err(ChatError::Unavailable) }
}

/// The same, of somebody who has looked at the log; and which of its messages PostgreSQL has marked as removed.
pub(super) async fn beside(
    recent: &[Event],
    database: &PgPool,
    stream: StreamId,
    position: Option<Position>,
    most: usize,
) -> Result<(Vec<Line>, HashSet<Uuid>), ChatError> {
    let read = async {
        let kept = store::before(database, stream, position, rows(most)).await?;
        let events = lines_of(recent, &kept, position);
        // What PostgreSQL does not show may not be there yet, or be marked as removed, though the log was not told so.
        let ids: Vec<Uuid> = events.iter().map(|line| line.said.id).collect();
        let removed = if ids.is_empty() { HashSet::new() } else { store::removed(database, &ids).await? };
        Ok::<_, sqlx::Error>((merged(kept, events, recent, &removed, most), removed))
    };
    within(LONGEST, read).await.map_err(unreadable)
}

/// The same of one that is closed: nothing is on its way any more.
pub(super) async fn of_closed(
    database: &PgPool,
    stream: StreamId,
    position: Option<Position>,
    most: usize,
) -> Result<Vec<Line>, ChatError> {
    let read = store::before(database, stream, position, rows(most));
    within(LONGEST, read).await.map_err(unreadable)
}

fn rows(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of map_err")]
fn unreadable(error: sqlx::Error) -> ChatError {
    tracing::warn!(%error, "chat history cannot be read");
    ChatError::Unavailable
}

/// The messages among a room's last events that PostgreSQL did not show.
fn lines_of(events: &[Event], kept: &[Line], position: Option<Position>) -> Vec<Line> {
    let known: HashSet<Uuid> = kept.iter().map(|line| line.said.id).collect();
    let before = events.iter().filter(|event| position.is_none_or(|position| event.position < position));
    before.filter_map(Line::of).filter(|line| !known.contains(&line.said.id)).collect()
}

fn merged(
    kept: Vec<Line>,
    mut all: Vec<Line>,
    events: &[Event],
    removed: &HashSet<Uuid>,
    most: usize,
) -> Vec<Line> {
    all.retain(|line| !removed.contains(&line.said.id));
    all.extend(kept);
    let removals: Vec<Removal> = events.iter().filter_map(Removal::of).collect();
    all.retain(|line| !removals.iter().any(|removal| removal.takes(&line.said)));
    all.sort_by_key(|line| std::cmp::Reverse((line.said.position, line.said.id)));
    all.truncate(most);
    all
}

/// For PostgreSQL. Whoever enters a room waits so long, and not until TCP gives a dead machine up.
const LONGEST: Duration = Duration::from_secs(10);

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
        let stream = Uuid::nil();
        let fields = format!(r#""id":"{message}","streamId":"{stream}","user":{{"id":"{user}"}}}}"#);
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
        let ids = |lines: Vec<Line>| lines.iter().map(|line| line.said.id.as_u128()).collect::<Vec<_>>();
        let shown = |events: &[Event], removed: &[u128], position, most| {
            let removed = removed.iter().copied().map(id).collect();
            ids(merged(kept(), lines_of(events, &kept(), position), events, &removed, most))
        };
        assert_eq!(shown(&events, &[], None, 10), [7, 5, 4, 2, 1]);
        assert_eq!(shown(&events, &[], None, 2), [7, 5]);
        assert_eq!(shown(&events, &[], Some(at(5)), 10), [4, 2, 1]);
        assert_eq!(shown(&[], &[], None, 10), [4, 3, 2, 1]);
        assert_eq!(shown(&events, &[7], None, 2), [5, 4], "marked, and nobody was told");
        let ban = fields_of_ban(stream, id(101), "bob", None);
        let events = [said(5, 5), Event::new(Kind::UserBanned, at(6), &ban), said(7, 7)];
        let lines = shown(&events, &[], None, 10);
        assert_eq!(lines, [7, 4, 2], "what was said after a ban is not before it");
    }
}
