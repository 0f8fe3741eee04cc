//! Events that take back what was said before them, and what is left of it then: its place in the order, without a word.
//!
//! Whoever comes back is told again what they missed. What was removed meanwhile must not be among it, and no offset may be
//! missing either: so a `message_deleted` stands in the place of the message.

use std::collections::HashSet;

use caudal_livestream::StreamId;
use uuid::Uuid;

use super::draft::{Event, Kind, fields_of_removal};
use super::position::Position;

/// What there is to know of a message but its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) id: Uuid,
    pub(super) author: Uuid,
    stream: StreamId,
    pub(crate) position: Position,
}

impl Said {
    pub(super) fn new(id: Uuid, author: Uuid, stream: StreamId, position: Position) -> Self {
        Self { id, author, stream, position }
    }

    /// Of an event, if it is a message.
    pub(super) fn of(event: &Event) -> Option<Self> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Message {
            id: Uuid,
            stream_id: StreamId,
            user: User,
        }
        #[derive(serde::Deserialize)]
        struct User {
            id: Uuid,
        }
        let Message { id, stream_id, user } = serde_json::from_str(event.message()?).ok()?;
        Some(Self::new(id, user.id, stream_id, event.position))
    }

    /// What stands in its place once it was taken back.
    pub(super) fn taken_back(self) -> Event {
        Event::new(Kind::MessageDeleted, self.position, &fields_of_removal(self.stream, self.id))
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

    /// Whether it is of this message alone.
    pub(super) fn is_of(&self, message: Uuid) -> bool {
        matches!(self.what, Removed::Message(id) if id == message)
    }

    pub(super) fn takes(&self, said: &Said) -> bool {
        match self.what {
            // Also from the place of the message itself, where it was taken back already.
            Removed::Message(id) => said.id == id,
            Removed::AllOf(person) => said.author == person && said.position < self.at,
        }
    }
}

/// Takes back, of a room's events in their order, what later ones among them remove.
pub(super) fn take_back(events: &mut [Event]) {
    let removals: Vec<Removal> = events.iter().filter_map(Removal::of).collect();
    if removals.is_empty() {
        return;
    }
    for event in events {
        if let Some(said) = Said::of(event)
            && removals.iter().any(|removal| removal.takes(&said))
        {
            *event = said.taken_back();
        }
    }
}

/// Takes back what PostgreSQL has marked as removed, though the room was not told.
pub(super) fn take_back_marked(events: &mut [Event], marked: &HashSet<Uuid>) {
    if marked.is_empty() {
        return;
    }
    for event in events {
        if let Some(said) = Said::of(event).filter(|said| marked.contains(&said.id)) {
            *event = said.taken_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::draft::fields_of_ban;

    fn at(offset: i64) -> Position {
        Position { epoch: 1, offset }
    }

    fn said(id: u128, author: u128, offset: i64) -> Event {
        let (id, author) = (Uuid::from_u128(id), Uuid::from_u128(author));
        let fields = format!(
            r#""id":"{id}","message":"secret","streamId":"{}","user":{{"id":"{author}"}}}}"#,
            Uuid::nil()
        );
        Event::new(Kind::NewMessage, at(offset), &fields)
    }

    #[test]
    fn of_what_was_taken_back_only_its_place_is_left() {
        let stream = StreamId(Uuid::nil());
        let removal = Event::new(Kind::MessageDeleted, at(4), &fields_of_removal(stream, Uuid::from_u128(1)));
        let ban = fields_of_ban(stream, Uuid::from_u128(101), "bob", None);
        let ban = Event::new(Kind::UserBanned, at(5), &ban);
        let mut events = [
            said(1, 100, 1),
            said(2, 101, 2),
            said(3, 100, 3),
            removal.clone(),
            ban.clone(),
            said(6, 101, 6),
        ];
        take_back(&mut events);
        let placed = |offset, id| {
            Event::new(Kind::MessageDeleted, at(offset), &fields_of_removal(stream, Uuid::from_u128(id)))
        };
        // What was said after a ban is not before it.
        let expected = [placed(1, 1), placed(2, 2), said(3, 100, 3), removal, ban, said(6, 101, 6)];
        assert_eq!(events, expected);
        let again = events.clone();
        take_back(&mut events);
        assert_eq!(events, again);
        take_back_marked(&mut events, &HashSet::from([Uuid::from_u128(3)]));
        assert_eq!(events[2], placed(3, 3));
        assert_eq!(events[5], again[5]);
    }
}
