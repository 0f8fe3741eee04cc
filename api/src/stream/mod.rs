//! Streams: the row, how it looks as JSON, and how it ends.

mod ending;
mod owned;
mod owner;
mod row;
mod view;

pub(crate) use ending::{BANNED, End, close_lost, close_unused, order_end, request_end};
pub(crate) use owned::{OwnedStream, StreamPath};
pub(crate) use owner::Owner;
pub(crate) use row::{Category, StreamRow, select_streams};
pub(crate) use view::{StreamView, wanted_revision};

use crate::error::{Error, FieldError};

/// As many as a page shows.
pub(crate) const MAX_CATEGORIES: usize = 10;

/// Replaces the categories of a stream.
pub(crate) async fn set_categories(
    db: &mut sqlx::PgConnection,
    stream: uuid::Uuid,
    categories: &[uuid::Uuid],
) -> Result<(), Error> {
    use crate::error::OnConstraint as _;

    sqlx::query!("delete from stream_categories where stream_id = $1", stream).execute(&mut *db).await?;
    sqlx::query!(
        r#"insert into stream_categories (stream_id, category_id)
           select $1, category from unnest($2::uuid[]) as category on conflict do nothing"#,
        stream,
        categories
    )
    .execute(db)
    .await
    .on_constraint("stream_categories_category_known", || {
        Error::Invalid(vec![FieldError::new("/categoryIds", "unknown", "there is no such category")])
    })?;
    Ok(())
}
