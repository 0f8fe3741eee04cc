//! Jobs: a stream began, changed, or is over.

use caudal_livestream::StreamId;
use uuid::Uuid;

use super::followers::FollowersOfStream;
use super::told::Told;
use crate::account::Streamer;
use crate::app::{Chat, Notifications};
use crate::chat;
use crate::error::Error;
use crate::outbox::{Job, Outcome};
use crate::stream::select_streams;

/// Tells who listens, and then, in batches, who follows: unless the streamer was live a moment ago, because encoders that
/// restart are no news.
pub(crate) async fn stream_started(parts: &Notifications, stream: Uuid) -> Result<Outcome, Error> {
    let found = sqlx::query!(
        r#"select s.user_id, u.username, u.display_name, u.avatar_url, s.title,
                  s.ended_at is not null as "over!",
                  u.banned_at is not null or u.deleted_at is not null
                      or coalesce(s.end_requested_at <= s.start_told_at, false) as "unwanted!",
                  exists (
                      select from streams b
                      where b.user_id = s.user_id and b.id < s.id and b.start_told_at is not null
                        and b.ended_at > s.started_at - interval '10 minutes'
                  ) as "again!"
           from streams s join users u on u.id = s.user_id where s.id = $1"#,
        stream
    )
    .fetch_optional(&parts.database)
    .await?;
    let Some(found) = found.filter(|found| !found.unwanted) else { return Ok(Outcome::Done) };
    if !found.over {
        let streamer = Streamer {
            id: found.user_id,
            username: found.username,
            display_name: found.display_name,
            avatar: found.avatar_url,
        };
        parts.hub.tell(&Told::started(stream, &streamer, &found.title)).await;
    }
    Ok(if found.again {
        Outcome::Done
    } else {
        Outcome::Next(Job::NotifyFollowers(FollowersOfStream::all(stream)))
    })
}

/// Tells the room and who listens elsewhere.
pub(crate) async fn stream_ended(parts: &Notifications, chat: &Chat, stream: Uuid) -> Result<Outcome, Error> {
    let found = sqlx::query!(
        r#"select user_id, ended_at as "ended_at!", ended_reason from streams
           where id = $1 and ended_at is not null"#,
        stream
    )
    .fetch_optional(&parts.database)
    .await?;
    if let Some(found) = found {
        let reason = found.ended_reason.as_deref();
        chat::tell_ended(&chat.hub, StreamId(stream), found.ended_at, reason).await?;
        parts.hub.tell(&Told::ended(stream, found.user_id, found.ended_at, reason)).await;
    }
    Ok(Outcome::Done)
}

/// Tells the room what the stream is called and about now.
pub(crate) async fn stream_updated(
    parts: &Notifications,
    chat: &Chat,
    stream: Uuid,
) -> Result<Outcome, Error> {
    let found = select_streams!("where s.id = $1", stream).fetch_optional(&parts.database).await?;
    if let Some(row) = found {
        chat::tell_updated(&chat.hub, StreamId(stream), &row.title, &row.categories.0).await?;
    }
    Ok(Outcome::Done)
}
