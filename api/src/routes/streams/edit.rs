//! `PATCH /api/streams/:id`

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::Streams;
use crate::error::Error;
use crate::event_subscriptions::{Event, announce};
use crate::json::{Checked, Patch};
use crate::language::LanguageTag;
use crate::openapi::IfMatch;
use crate::outbox::{self, Job};
use crate::stream::{self, MAX_CATEGORIES, OwnedStream, StreamError, StreamPath, StreamView, select_streams};
use crate::text::{Description, Title};

/// What is absent stays as it is.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = StreamChanges)]
pub(crate) struct Changes {
    #[garde(dive)]
    title: Option<Title>,
    #[garde(dive)]
    description: Option<Description>,
    #[garde(length(max = MAX_CATEGORIES))]
    #[schema(max_items = 10)]
    category_ids: Option<Vec<Uuid>>,
    /// Null takes it away.
    #[serde(default)]
    #[garde(skip)]
    #[schema(value_type = Option<LanguageTag>)]
    language: Patch<LanguageTag>,
}

/// Changes what a stream says of itself.
#[utoipa::path(
    patch, path = "/api/streams/{id}", security(("owner" = [])),
    params(StreamPath, IfMatch), request_body = Changes,
    responses(
        (status = 200, body = StreamView, headers(("ETag"))),
        (status = 404, description = "not_found"),
        (status = 412, description = "precondition_failed"),
    ),
)]
pub(crate) async fn edit(
    State(streams): State<Arc<Streams>>,
    OwnedStream(stream): OwnedStream,
    headers: HeaderMap,
    Checked(changes): Checked<Changes>,
) -> Result<StreamView, Error> {
    let revision = stream::wanted_revision(&headers)?;
    let language = &changes.language;
    let mut tx = streams.database.begin().await?;
    let changed = sqlx::query!(
        r#"update streams
           set title = coalesce($2, title), description = coalesce($3, description),
               language = case when $5 then $6 else language end, revision = revision + 1
           where id = $1 and ($4::int is null or revision = $4)"#,
        stream.id,
        changes.title.as_ref().map(Title::as_str),
        changes.description.as_ref().map(Description::as_str),
        revision,
        language.is_change(),
        language.value().map(LanguageTag::as_str)
    )
    .execute(&mut *tx)
    .await?;
    if changed.rows_affected() == 0 {
        return Err(StreamError::Changed.into());
    }
    if let Some(categories) = &changes.category_ids {
        stream::set_categories(&mut tx, stream.id, categories).await?;
    }
    if (changes.title.is_some() || changes.category_ids.is_some()) && stream.ended_at.is_none() {
        outbox::put(&mut tx, &Job::StreamUpdated { stream: stream.id }).await?;
        // What is only prepared is its owner's.
        if stream.is_live {
            announce(&mut tx, stream.user_id, Event::StreamUpdated { stream: stream.id }).await?;
        }
    }
    let row = select_streams!("where s.id = $1", stream.id).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    Ok(StreamView::new(&streams, row))
}
