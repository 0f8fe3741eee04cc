//! Job: followers of somebody who is live are told, the latest first, as many at a time as one transaction should write.
//! Each batch is a job, so that a process that ends in between goes on where it was.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::kept::{self, Notification};
use super::told::Told;
use crate::account::Streamer;
use crate::app::Notifications;
use crate::error::Error;
use crate::outbox::{Job, Outcome};

/// The followers of a stream's owner that were not told yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FollowersOfStream {
    pub(crate) stream: Uuid,
    /// The last one who was: since when they follow, and who they are.
    pub(crate) after: Option<(DateTime<Utc>, Uuid)>,
}

impl FollowersOfStream {
    pub(super) fn all(stream: Uuid) -> Self {
        Self { stream, after: None }
    }
}

/// Tells the next batch. A row for whoever was told before under the same `event` changes nothing.
pub(crate) async fn tell_followers(
    parts: &Notifications,
    event: Uuid,
    batch: FollowersOfStream,
) -> Result<Outcome, Error> {
    let database = &parts.database;
    let found = sqlx::query!(
        r#"select s.user_id, u.username, u.display_name, u.avatar_url, s.title,
                  coalesce(s.start_told_at, s.created_at) as "at!"
           from streams s join users u on u.id = s.user_id
           where s.id = $1 and u.banned_at is null and u.deleted_at is null"#,
        batch.stream
    )
    .fetch_optional(database)
    .await?;
    let Some(found) = found else { return Ok(Outcome::Done) };
    let (since, follower) = batch.after.unzip();
    let followers = sqlx::query!(
        r#"select follower_id, created_at from followers
           where following_id = $1 and created_at <= $2
             and ($3::timestamptz is null or (created_at, follower_id) < ($3, $4::uuid))
           order by created_at desc, follower_id desc limit $5"#,
        found.user_id,
        found.at,
        since,
        follower,
        BATCH
    )
    .fetch_all(database)
    .await?;
    let Some(last) = followers.last() else { return Ok(Outcome::Done) };
    let after = Some((last.created_at, last.follower_id));
    let people: Vec<Uuid> = followers.iter().map(|follower| follower.follower_id).collect();
    let mut tx = database.begin().await?;
    let told = sqlx::query_scalar!(
        r#"insert into notifications (user_id, id, type, actor_id, stream_id, title, created_at)
           select u.id, $2, 'stream_started', $3, $4, $5, $6
           from users u left join notification_preferences p on p.user_id = u.id
           where u.id = any($1) and u.banned_at is null and u.deleted_at is null and coalesce(p.stream_started, true)
             and not exists (
                 select from user_blocks b where (b.blocker_id, b.blocked_id) in ((u.id, $3), ($3, u.id))
             )
           order by u.id
           on conflict do nothing returning user_id"#,
        &people,
        event,
        found.user_id,
        batch.stream,
        found.title,
        found.at
    )
    .fetch_all(&mut *tx)
    .await?;
    kept::keep_newest(&mut tx, &told).await?;
    tx.commit().await?;
    let notification = Notification {
        id: event,
        kind: "stream_started".into(),
        user: Streamer {
            id: found.user_id,
            username: found.username,
            display_name: found.display_name,
            avatar: found.avatar_url,
        },
        stream_id: Some(batch.stream),
        title: Some(found.title),
        created_at: found.at,
        read: false,
    };
    for told in Told::notifications(&notification, &told) {
        parts.hub.tell(&told).await;
    }
    Ok(Outcome::Next(Job::NotifyFollowers(FollowersOfStream { stream: batch.stream, after })))
}

/// A tenth of a second's work.
const BATCH: i64 = 1_000;
