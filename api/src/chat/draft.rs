//! A message on its way, and what of a room goes over the wire.

use std::fmt::Write as _;

use axum::extract::ws::Utf8Bytes;
use caudal_livestream::StreamId;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Position;
use super::moderation::{Admitted, Role, Settings};
use super::text::ChatText;
use crate::account::Streamer;

/// A message that has no position yet.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// UUIDv7; its time is the message's.
    pub(crate) id: Uuid,
    pub(crate) stream: StreamId,
    pub(crate) author: Streamer,
    /// What the log must count still, and what is stamped beside the author's name.
    pub(crate) admitted: Admitted,
    pub(crate) text: ChatText,
    pub(crate) reply_to: Option<Uuid>,
    /// The sender's own name for it: a second try under the same name is the same message.
    pub(crate) client_id: Option<String>,
}

impl Draft {
    /// Whose try it is, by the sender's own name for it.
    pub(crate) fn try_name(&self) -> Option<(Uuid, String)> {
        self.client_id.as_ref().map(|name| (self.author.id, name.clone()))
    }

    /// What it says, in JSON, all but its position: an object without its opening brace.
    pub(crate) fn fields(&self) -> String {
        let Self { author, admitted, .. } = self;
        fields_of(self.id, self.stream, author, &admitted.badges, self.text.as_str(), self.reply_to)
    }
}

/// The same of a message that is kept.
pub(crate) fn fields_of(
    id: Uuid,
    stream: StreamId,
    author: &Streamer,
    badges: &[String],
    text: &str,
    reply_to: Option<Uuid>,
) -> String {
    without_brace(&json!({
        "id": id,
        "streamId": stream,
        "user": Speaker { person: author, badges },
        "message": text,
        "timestamp": time_of(id).to_rfc3339_opts(SecondsFormat::Millis, true),
        "replyTo": reply_to,
    }))
}

/// Whoever said something.
#[derive(Serialize, ToSchema)]
pub(crate) struct Speaker<'a> {
    #[serde(flatten)]
    #[schema(value_type = Streamer, inline)]
    person: &'a Streamer,
    /// What they were when they said it: `owner`, `moderator`, `admin`, `subscriber_pro`, `subscriber_premium`.
    #[schema(value_type = Vec<String>)]
    badges: &'a [String],
}

/// A message as everybody gets it, with its place in the room's order.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "messages are kept as text; this says what the text is")]
pub(crate) struct ChatMessage {
    epoch: i64,
    /// Without gaps in an epoch.
    offset: i64,
    id: Uuid,
    #[schema(value_type = Uuid)]
    stream_id: StreamId,
    user: Speaker<'static>,
    message: String,
    timestamp: DateTime<Utc>,
    /// The message that this one answers.
    reply_to: Option<Uuid>,
}

/// That a message is removed.
pub(crate) fn fields_of_removal(stream: StreamId, message: Uuid) -> String {
    without_brace(&json!({ "id": message, "streamId": stream }))
}

/// What else happens: `data` is an object.
pub(super) fn fields_of_event(data: &serde_json::Value) -> String {
    without_brace(data)
}

/// That somebody may not talk, for so long or for good.
pub(crate) fn fields_of_ban(
    stream: StreamId,
    user: Uuid,
    username: &str,
    duration_seconds: Option<i32>,
) -> String {
    without_brace(
        &json!({ "streamId": stream, "userId": user, "username": username, "durationSeconds": duration_seconds }),
    )
}

/// That somebody may talk again.
pub(crate) fn fields_of_unban(stream: StreamId, user: Uuid, username: &str) -> String {
    without_brace(&json!({ "streamId": stream, "userId": user, "username": username }))
}

/// What somebody is from now on.
pub(crate) fn fields_of_role(stream: StreamId, user: Uuid, username: &str, role: Role) -> String {
    without_brace(&json!({ "streamId": stream, "userId": user, "username": username, "role": role }))
}

/// What is allowed from now on.
pub(crate) fn fields_of_settings(stream: StreamId, settings: Settings) -> String {
    without_brace(&json!({ "streamId": stream, "settings": settings }))
}

fn without_brace(object: &serde_json::Value) -> String {
    object.to_string().split_off(1)
}

/// The time in a UUIDv7; 1970 for any other id.
pub(crate) fn time_of(id: Uuid) -> DateTime<Utc> {
    let (seconds, nanos) = id.get_timestamp().map_or((0, 0), |time| time.to_unix());
    DateTime::from_timestamp(i64::try_from(seconds).unwrap_or(0), nanos).unwrap_or_default()
}

/// What happens in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    NewMessage,
    MessageDeleted,
    /// The broadcast is over.
    StreamEnded,
    /// The stream's title or categories are others.
    StreamUpdated,
    UserBanned,
    UserUnbanned,
    /// Somebody is a moderator now, or is none any more.
    RoleChanged,
    ChatSettings,
    /// Somebody has begun to subscribe to the channel.
    NewSubscriber,
}

impl Kind {
    /// The event's name on the wire.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NewMessage => "new_message",
            Self::MessageDeleted => "message_deleted",
            Self::StreamEnded => "stream_ended",
            Self::StreamUpdated => "stream_updated",
            Self::UserBanned => "user_banned",
            Self::UserUnbanned => "user_unbanned",
            Self::RoleChanged => "role_changed",
            Self::ChatSettings => "chat_settings",
            Self::NewSubscriber => "new_subscriber",
        }
    }
}

/// One event with its position, as every client gets it: `{"event":…,"data":{"epoch":…,"offset":…,…}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) position: Position,
    pub(crate) frame: Utf8Bytes,
}

impl Event {
    /// `fields` as [`Draft::fields`] has them. `log/redis.rs` does the same in Lua.
    pub(crate) fn new(kind: Kind, position: Position, fields: &str) -> Self {
        let mut frame = String::with_capacity(fields.len() + 80);
        // Writing to a text cannot fail.
        let _ = write!(
            frame,
            r#"{{"event":"{}","data":{{"epoch":{},"offset":{},{fields}}}"#,
            kind.name(),
            position.epoch,
            position.offset
        );
        Self { position, frame: frame.into() }
    }

    /// The `data` of a message's frame; nothing of another event's.
    pub(crate) fn message(&self) -> Option<&str> {
        self.frame.strip_prefix(r#"{"event":"new_message","data":"#)?.strip_suffix('}')
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::chat::policy::Pace;

    fn draft() -> Draft {
        Draft {
            id: Uuid::parse_str("01936f00-0000-7000-8000-000000000001").unwrap(),
            stream: StreamId(Uuid::nil()),
            author: Streamer { id: Uuid::nil(), username: "ana".into(), display_name: None, avatar: None },
            admitted: Admitted { pace: Pace::USUAL, badges: vec!["owner".into()] },
            text: ChatText::new(r#"a "quote" \ and }"#).unwrap(),
            reply_to: None,
            client_id: None,
        }
    }

    #[test]
    fn a_frame_is_json_and_its_message_a_part_of_it() {
        let event = Event::new(Kind::NewMessage, Position { epoch: 7, offset: 3 }, &draft().fields());
        let frame: Value = serde_json::from_str(&event.frame).unwrap();
        let message: Value = serde_json::from_str(event.message().unwrap()).unwrap();
        assert_eq!(frame["data"], message);
        assert_eq!((&message["epoch"], &message["offset"]), (&7.into(), &3.into()));
        assert_eq!(message["message"], r#"a "quote" \ and }"#);
        assert_eq!(message["user"]["badges"], serde_json::json!(["owner"]));
        assert_eq!(message["timestamp"], "2024-11-27T19:01:31.264Z");
        let removal = fields_of_removal(StreamId(Uuid::nil()), draft().id);
        let event = Event::new(Kind::MessageDeleted, event.position.next(), &removal);
        assert_eq!(event.message(), None);
        let frame: Value = serde_json::from_str(&event.frame).unwrap();
        assert_eq!(frame["data"]["id"], draft().id.to_string());
    }
}
