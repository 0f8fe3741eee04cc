//! Streams: the row, how it looks as JSON, and how it ends.

mod access;
mod ending;
mod error;
mod live_list;
mod news;
mod owned;
mod owner;
mod row;
mod view;

use std::collections::HashSet;

pub(crate) use access::StoredAccess;
pub(crate) use ending::{BANNED, End, close_lost, close_unused, order_end, repeat_orders, request_end};
pub(crate) use error::StreamError;
pub(crate) use live_list::{LiveList, Sort};
pub(crate) use owned::{OwnedStream, StreamPath};
pub(crate) use owner::Owner;
pub(crate) use row::{Category, StreamRow, select_streams};
pub(crate) use view::{PhaseName, StreamView, wanted_revision};

use crate::error::Error;
use crate::input::{FieldError, InputError};

/// As many as a page shows.
pub(crate) const MAX_CATEGORIES: usize = 10;

/// Whether there is such a stream, whatever became of it.
pub(crate) async fn exists(database: &sqlx::PgPool, stream: uuid::Uuid) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(r#"select true as "exists!" from streams where id = $1"#, stream);
    Ok(found.fetch_optional(database).await?.is_some())
}

/// Whether a broadcast ended ten minutes ago or longer, so that its room is closed; none where there is no such stream.
pub(crate) async fn is_over(
    database: &sqlx::PgPool,
    stream: uuid::Uuid,
) -> Result<Option<bool>, sqlx::Error> {
    let over = sqlx::query_scalar!(
        r#"select coalesce(ended_at < now() - interval '10 minutes', false) as "over!" from streams where id = $1"#,
        stream
    );
    over.fetch_optional(database).await
}

/// Whose stream it is, whatever became of it.
pub(crate) async fn owner_of(database: &sqlx::PgPool, stream: uuid::Uuid) -> Result<uuid::Uuid, Error> {
    let owner = sqlx::query_scalar!("select user_id from streams where id = $1", stream);
    Ok(owner.fetch_optional(database).await?.ok_or(StreamError::Unknown)?)
}

/// Of a broadcast whose streamer has never written one.
pub(crate) fn default_title(username: &str) -> String {
    format!("{username}'s stream")
}

/// Replaces the categories of a stream.
pub(crate) async fn set_categories(
    db: &mut sqlx::PgConnection,
    stream: uuid::Uuid,
    categories: &[uuid::Uuid],
) -> Result<(), Error> {
    // First, as whoever removes a category does: locked in another order the two would wait for each other.
    sqlx::query!("select id from categories where id = any($1) order by id for key share", categories)
        .fetch_all(&mut *db)
        .await?;
    sqlx::query!("delete from stream_categories where stream_id = $1", stream).execute(&mut *db).await?;
    let known = sqlx::query!(
        r#"insert into stream_categories (stream_id, category_id)
           select $1, id from categories where id = any($2) for key share"#,
        stream,
        categories
    )
    .execute(db)
    .await?;
    let wanted: HashSet<_> = categories.iter().collect();
    if usize::try_from(known.rows_affected()).is_ok_and(|known| known == wanted.len()) {
        return Ok(());
    }
    let unknown = FieldError::new("/categoryIds", "unknown", "there is no such category");
    Err(InputError::Invalid(vec![unknown]).into())
}
