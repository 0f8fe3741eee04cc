//! What one replica tells all, itself included: a frame, and whom it is for.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::kept::Notification;
use crate::account::Streamer;

/// On the bus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) to: To,
    /// As sockets get it: `{"event":…,"data":…}`.
    pub(super) frame: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum To {
    /// Whoever wants to hear of a streamer.
    AudienceOf(Uuid),
    People(Vec<Uuid>),
}

impl Told {
    pub(super) fn started(stream: Uuid, streamer: &Streamer, title: &str) -> Self {
        let data = json!({ "streamId": stream, "streamer": streamer, "title": title });
        Self::of(To::AudienceOf(streamer.id), "stream_started", &data)
    }

    pub(super) fn ended(stream: Uuid, streamer: Uuid, ended_at: DateTime<Utc>, reason: Option<&str>) -> Self {
        let data = json!({ "streamId": stream, "endedAt": ended_at, "reason": reason });
        Self::of(To::AudienceOf(streamer), "stream_ended", &data)
    }

    /// As many as it takes for all of them.
    pub(super) fn notifications<'a>(
        notification: &Notification,
        people: &'a [Uuid],
    ) -> impl Iterator<Item = Self> + use<'a> {
        let frame = json!({ "event": "notification", "data": notification }).to_string();
        people
            .chunks(PEOPLE)
            .map(move |people| Self { to: To::People(people.to_vec()), frame: frame.clone() })
    }

    fn of(to: To, event: &str, data: &serde_json::Value) -> Self {
        Self { to, frame: json!({ "event": event, "data": data }).to_string() }
    }
}

/// An id has 39 bytes on the bus, which takes 8 KiB. A frame with the longest names, address of a picture and title, all of
/// which JSON escapes twice, has four of them at most.
const PEOPLE: usize = 90;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::MAX_PAYLOAD;

    #[test]
    fn a_full_message_fits_the_bus_and_nobody_is_left_out() {
        let notification = Notification {
            id: Uuid::max(),
            kind: "stream_started".into(),
            user: Streamer {
                id: Uuid::max(),
                username: "n".repeat(30),
                display_name: Some("\u{10348}".repeat(50)),
                avatar: Some("a".repeat(2_048)),
            },
            stream_id: Some(Uuid::max()),
            title: Some("\u{10348}".repeat(140)),
            created_at: DateTime::UNIX_EPOCH,
            read: false,
        };
        let people: Vec<Uuid> = (0..200).map(Uuid::from_u128).collect();
        let all: Vec<Told> = Told::notifications(&notification, &people).collect();
        let mut told = Vec::new();
        for message in &all {
            let payload = serde_json::to_vec(message).unwrap();
            assert!(payload.len() <= MAX_PAYLOAD, "{}", payload.len());
            assert_eq!(serde_json::from_slice::<Told>(&payload).unwrap(), *message);
            let To::People(people) = &message.to else { panic!("{message:?}") };
            told.extend(people.iter().copied());
        }
        assert_eq!(told, people);
    }
}
