//! What happens that somebody may be told by webhook.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account::Streamer;
use crate::error::Error;
use crate::stream::select_streams;

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventType {
    /// A stream can be watched.
    StreamStarted,
    /// It is over.
    StreamEnded,
    /// Its title or categories are others.
    StreamUpdated,
    /// Somebody follows the channel. For its owner alone.
    NewFollower,
    /// Somebody has begun to subscribe to the channel. For its owner alone.
    NewSubscriber,
}

/// Something that happened, as a job has it. What is told of it is looked up when it is told, so that nothing of people who are gone
/// waits in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Event {
    StreamStarted { stream: Uuid },
    StreamEnded { stream: Uuid },
    StreamUpdated { stream: Uuid },
    NewFollower { follower: Uuid, followed: Uuid },
    NewSubscriber { subscription: Uuid },
}

impl EventType {
    /// In the database, and in messages.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::StreamStarted => "stream_started",
            Self::StreamEnded => "stream_ended",
            Self::StreamUpdated => "stream_updated",
            Self::NewFollower => "new_follower",
            Self::NewSubscriber => "new_subscriber",
        }
    }

    /// None of what only a later version knows.
    pub(super) fn of_column(word: &str) -> Option<Self> {
        [Self::StreamStarted, Self::StreamEnded, Self::StreamUpdated, Self::NewFollower, Self::NewSubscriber]
            .into_iter()
            .find(|known| known.as_str() == word)
    }

    /// Whether it is for the streamer's own eyes.
    pub(super) fn is_private(self) -> bool {
        matches!(self, Self::NewFollower | Self::NewSubscriber)
    }
}

impl Event {
    pub(crate) fn kind(&self) -> EventType {
        match self {
            Self::StreamStarted { .. } => EventType::StreamStarted,
            Self::StreamEnded { .. } => EventType::StreamEnded,
            Self::StreamUpdated { .. } => EventType::StreamUpdated,
            Self::NewFollower { .. } => EventType::NewFollower,
            Self::NewSubscriber { .. } => EventType::NewSubscriber,
        }
    }

    /// What is told of it, in the words of docs/realtime.md; nothing where it is about somebody who is gone.
    pub(super) async fn data(&self, database: &PgPool) -> Result<Option<Value>, Error> {
        match *self {
            Self::StreamStarted { stream } => {
                let found = sqlx::query_as!(
                    Started,
                    r#"select u.id, u.username, u.display_name, u.avatar_url as avatar, s.title
                       from streams s join users u on u.id = s.user_id
                       where s.id = $1 and s.start_told_at is not null and u.banned_at is null and u.deleted_at is null"#,
                    stream
                );
                Ok(found.fetch_optional(database).await?.map(|found| found.data(stream)))
            }
            Self::StreamEnded { stream } => {
                let found = sqlx::query!(
                    r#"select ended_at as "ended_at!", ended_reason from streams where id = $1 and ended_at is not null"#,
                    stream
                );
                let found = found.fetch_optional(database).await?;
                Ok(found.map(|found| {
                    json!({ "streamId": stream, "endedAt": found.ended_at, "reason": found.ended_reason })
                }))
            }
            Self::StreamUpdated { stream } => {
                let found =
                    select_streams!("where s.id = $1 and s.is_live", stream).fetch_optional(database).await?;
                Ok(found.map(|found| {
                    json!({ "streamId": stream, "title": found.title, "categories": found.categories.0 })
                }))
            }
            Self::NewSubscriber { subscription } => {
                let found = sqlx::query!(
                    r#"select u.id, u.username, u.display_name, u.avatar_url, s.tier, s.started_at
                       from subscriptions s join users u on u.id = s.user_id
                       where s.id = $1 and u.banned_at is null and u.deleted_at is null"#,
                    subscription
                );
                let found = found.fetch_optional(database).await?;
                Ok(found.map(|found| {
                    let user = Streamer {
                        id: found.id,
                        username: found.username,
                        display_name: found.display_name,
                        avatar: found.avatar_url,
                    };
                    json!({ "user": user, "tier": found.tier, "startedAt": found.started_at })
                }))
            }
            Self::NewFollower { follower, followed } => {
                let found = sqlx::query!(
                    r#"select u.id, u.username, u.display_name, u.avatar_url, f.created_at
                       from followers f join users u on u.id = f.follower_id
                       where f.follower_id = $1 and f.following_id = $2
                         and u.banned_at is null and u.deleted_at is null"#,
                    follower,
                    followed
                );
                let found = found.fetch_optional(database).await?;
                Ok(found.map(|found| {
                    let user = Streamer {
                        id: found.id,
                        username: found.username,
                        display_name: found.display_name,
                        avatar: found.avatar_url,
                    };
                    json!({ "user": user, "createdAt": found.created_at })
                }))
            }
        }
    }
}

struct Started {
    id: Uuid,
    username: String,
    display_name: Option<String>,
    avatar: Option<String>,
    title: String,
}

impl Started {
    fn data(self, stream: Uuid) -> Value {
        let Self { id, username, display_name, avatar, title } = self;
        let streamer = Streamer { id, username, display_name, avatar };
        json!({ "streamId": stream, "streamer": streamer, "title": title })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_one_name_in_the_database_in_json_and_in_jobs() {
        let id = Uuid::nil();
        for event in [
            Event::StreamStarted { stream: id },
            Event::StreamEnded { stream: id },
            Event::StreamUpdated { stream: id },
            Event::NewFollower { follower: id, followed: id },
            Event::NewSubscriber { subscription: id },
        ] {
            let kind = event.kind();
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(serde_json::to_value(&event).unwrap()["type"], kind.as_str());
            assert_eq!(EventType::of_column(kind.as_str()), Some(kind));
            assert_eq!(kind.is_private(), ["new_follower", "new_subscriber"].contains(&kind.as_str()));
        }
        assert_eq!(EventType::of_column("new_moon"), None);
    }
}
