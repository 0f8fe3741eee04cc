//! Somebody subscribes.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::kept::{self, Notification};
use super::told::Told;
use crate::app::Notifications;
use crate::chat::Author;
use crate::error::Error;

/// Tells a streamer of a subscriber, once for each event. Whether that was news; what else follows from it, `and`, is in the same transaction.
pub(crate) async fn keep_new_subscriber(
    parts: &Notifications,
    event: Uuid,
    subscriber: Uuid,
    streamer: Uuid,
    created_at: DateTime<Utc>,
    and: impl AsyncFnOnce(&mut PgConnection) -> Result<(), Error>,
) -> Result<bool, Error> {
    let mut tx = parts.database.begin().await?;
    let told = sqlx::query!(
        r#"insert into notifications (user_id, id, type, actor_id, created_at) values ($1, $2, 'new_subscriber', $3, $4)
           on conflict do nothing"#,
        streamer,
        event,
        subscriber,
        created_at
    );
    if told.execute(&mut *tx).await?.rows_affected() == 0 {
        return Ok(false);
    }
    kept::keep_newest(&mut tx, &[streamer]).await?;
    and(&mut tx).await?;
    tx.commit().await?;
    if let Some(Author { person: user, .. }) = Author::find(&parts.database, subscriber).await? {
        let kind = "new_subscriber".into();
        let notification =
            Notification { id: event, kind, user, stream_id: None, title: None, created_at, read: false };
        for told in Told::notifications(&notification, &[streamer]) {
            parts.hub.tell(&told).await;
        }
    }
    Ok(true)
}
