//! Streams: the row, how it looks as JSON, and how it ends.

mod ending;
mod owned;
mod row;
mod view;

pub(crate) use ending::{End, close_unused, order_end};
pub(crate) use owned::{OwnedStream, StreamPath};
pub(crate) use row::{Category, StreamRow, select_streams};
pub(crate) use view::{StreamView, wanted_revision};

use crate::error::{Error, FieldError};

/// `streams.title`.
pub(crate) const MAX_TITLE: usize = 140;
/// As long as anybody reads.
pub(crate) const MAX_DESCRIPTION: usize = 5_000;
/// As many as a page shows.
pub(crate) const MAX_CATEGORIES: usize = 10;

/// One line that says something.
pub(crate) fn is_title(title: &str, _: &()) -> garde::Result {
    let title = title.trim();
    if title.is_empty() {
        return Err(garde::Error::new("length is lower than 1"));
    }
    if title.chars().count() > MAX_TITLE {
        return Err(garde::Error::new(format!("length is greater than {MAX_TITLE}")));
    }
    // A title is shown in lists, logs and players' headings: it is one line, and reads in one direction.
    if title.chars().any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    {
        return Err(garde::Error::new("control characters are not allowed"));
    }
    Ok(())
}

/// Some lines; NUL is all that PostgreSQL cannot keep.
pub(crate) fn is_description(text: &str, _: &()) -> garde::Result {
    if text.chars().count() > MAX_DESCRIPTION {
        return Err(garde::Error::new(format!("length is greater than {MAX_DESCRIPTION}")));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(garde::Error::new("control characters are not allowed"));
    }
    Ok(())
}

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
