//! Files that nobody is shown any more: replaced, taken away, never completed, or of an account that is gone.

use std::sync::Arc;
use std::time::Duration;

use caudal_storage::{Key, PictureKind};
use futures::{StreamExt as _, stream};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::kept::word;
use super::{PictureError, Pictures};
use crate::database::within;
use crate::error::Error;

/// Looks for them until `shutdown`. Apart from the other work in the background, which must not wait for storage.
pub(crate) async fn remove_unused(pictures: Arc<Pictures>, every: Duration, shutdown: CancellationToken) {
    if pictures.shelf().is_err() {
        // A task that ends would end the api.
        return shutdown.cancelled().await;
    }
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            removed = remove_some(&pictures) => if let Err(error) = removed {
                tracing::warn!(%error, "pictures that nobody is shown could not be removed yet");
            },
        }
    }
}

async fn remove_some(pictures: &Pictures) -> Result<(), Error> {
    let unused = sqlx::query!(
        r#"select id, kind from pictures
           where unused_since < now() - make_interval(mins => $1) and kind = any($2) order by unused_since limit 200"#,
        KEPT_MINUTES,
        &PictureKind::ALL.map(|kind| word(kind).to_owned())
    );
    let unused = within(LONGEST, unused.fetch_all(&pictures.database)).await?;
    let unused = unused.into_iter().filter_map(|row| {
        let kind = PictureKind::ALL.into_iter().find(|kind| word(*kind) == row.kind)?;
        Some((row.id, Key::Picture(kind, row.id)))
    });
    let shelf = pictures.shelf()?;
    let gone: Vec<Result<Uuid, PictureError>> = stream::iter(unused)
        .map(|(id, key)| async move { shelf.remove(&key).await.map(|()| id) })
        .buffer_unordered(REMOVED_AT_ONCE)
        .collect()
        .await;
    let gone: Vec<Uuid> = gone.into_iter().flatten().collect();
    if gone.is_empty() {
        return Ok(());
    }
    // The row goes last: until then another replica, or the next time, does it again. Locked by id: two of them do it at once.
    let forgotten = sqlx::query!(
        r#"with gone as (select id from pictures where id = any($1) order by id for update)
           delete from pictures p using gone where p.id = gone.id"#,
        &gone
    );
    within(LONGEST, forgotten.execute(&pictures.database)).await?;
    Ok(())
}

/// Pages that were opened a while ago still show it, and an upload may be on its way.
const KEPT_MINUTES: i32 = 10;
const REMOVED_AT_ONCE: usize = 8;
/// For PostgreSQL.
const LONGEST: Duration = Duration::from_secs(30);
