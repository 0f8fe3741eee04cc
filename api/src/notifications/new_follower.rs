//! Job: somebody has a follower more.

use uuid::Uuid;

use super::kept::{self, Notification};
use super::told::Told;
use crate::app::Notifications;
use crate::chat::Author;
use crate::error::Error;
use crate::event_subscriptions::{Event, announce};
use crate::outbox::Outcome;

/// Tells them, once for each follower: whoever lets go and follows again is no news. Nor is who has let go meanwhile.
pub(crate) async fn new_follower(
    parts: &Notifications,
    event: Uuid,
    follower: Uuid,
    followed: Uuid,
) -> Result<Outcome, Error> {
    let mut tx = parts.database.begin().await?;
    // A block ends following, so whoever still follows is not blocked.
    let told = sqlx::query_scalar!(
        r#"insert into notifications (user_id, id, type, actor_id, created_at)
           select u.id, $1, 'new_follower', a.id, f.created_at
           from followers f
           join users u on u.id = f.following_id and u.banned_at is null and u.deleted_at is null
           join users a on a.id = f.follower_id and a.banned_at is null and a.deleted_at is null
           left join notification_preferences p on p.user_id = u.id
           where f.follower_id = $2 and f.following_id = $3 and coalesce(p.new_follower, true)
           on conflict do nothing returning created_at"#,
        event,
        follower,
        followed
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(created_at) = told else { return Ok(Outcome::Done) };
    kept::keep_newest(&mut tx, &[followed]).await?;
    announce(&mut tx, followed, Event::NewFollower { follower, followed }).await?;
    tx.commit().await?;
    if let Some(Author { person: user, .. }) = Author::find(&parts.database, follower).await? {
        let kind = "new_follower".into();
        let notification =
            Notification { id: event, kind, user, stream_id: None, title: None, created_at, read: false };
        for told in Told::notifications(&notification, &[followed]) {
            parts.hub.tell(&told).await;
        }
    }
    Ok(Outcome::Done)
}
