//! That a stream began, and that it ended, is news once, whoever noticed it and however often.

use sqlx::PgConnection;
use uuid::Uuid;

use super::Owner;
use crate::error::Error;
use crate::event_subscriptions::{Event, announce};
use crate::outbox::{self, Job};

/// Puts into the outbox what of a person's streams nobody was told yet. What was never live ends without a word.
pub(super) async fn tell_news(db: &mut PgConnection, owner: Owner) -> Result<(), Error> {
    let begun = sqlx::query_scalar!(
        "update streams set start_told_at = now() where user_id = $1 and is_live and start_told_at is null returning id",
        owner.user
    );
    let begun: Vec<Uuid> = begun.fetch_all(&mut *db).await?;
    for stream in begun {
        outbox::put(db, &Job::StreamStarted { stream }).await?;
        announce(db, owner.user, Event::StreamStarted { stream }).await?;
    }
    let over = sqlx::query_scalar!(
        r#"update streams set end_told_at = now()
           where user_id = $1 and ended_at is not null and start_told_at is not null and end_told_at is null
           returning id"#,
        owner.user
    );
    let over: Vec<Uuid> = over.fetch_all(&mut *db).await?;
    for stream in over {
        outbox::put(db, &Job::StreamEnded { stream }).await?;
        announce(db, owner.user, Event::StreamEnded { stream }).await?;
    }
    Ok(())
}
