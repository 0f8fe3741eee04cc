//! `POST /api/streams`

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::Streams;
use crate::auth::{AuthError, Caller};
use crate::error::Error;
use crate::json::Checked;
use crate::language::LanguageTag;
use crate::stream::{self, MAX_CATEGORIES, Owner, StreamError, StreamView, select_streams};
use crate::text::{Description, Title};

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewStream {
    #[garde(dive)]
    title: Title,
    #[serde(default)]
    #[garde(dive)]
    description: Description,
    #[serde(default)]
    #[garde(length(max = MAX_CATEGORIES))]
    #[schema(max_items = 10)]
    category_ids: Vec<Uuid>,
    #[garde(skip)]
    language: Option<LanguageTag>,
}

/// Prepares a stream; the next publisher with the caller's key makes it live.
#[utoipa::path(
    post, path = "/api/streams", security(("user" = [])),
    request_body = NewStream,
    responses(
        (status = 201, body = StreamView, headers(("ETag"), ("Location"))),
        (status = 409, description = "stream_open"),
    ),
)]
pub(crate) async fn create(
    State(streams): State<Arc<Streams>>,
    caller: Caller,
    Checked(new): Checked<NewStream>,
) -> Result<Response, Error> {
    let id = Uuid::now_v7();
    let mut tx = streams.database.begin().await?;
    // The lock that `authorize` takes: a publisher who arrives at this moment either finds this stream or makes it fail.
    Owner::lock(&mut tx, caller.user).await?.ok_or(AuthError::SessionRevoked)?;
    let opened = sqlx::query!(
        r#"insert into streams (id, user_id, title, description, language) values ($1, $2, $3, $4, $5)
           on conflict do nothing"#,
        id,
        caller.user,
        new.title.as_str(),
        new.description.as_str(),
        new.language.as_ref().map(LanguageTag::as_str)
    )
    .execute(&mut *tx)
    .await?;
    if opened.rows_affected() == 0 {
        return Err(StreamError::OneOpen.into());
    }
    stream::set_categories(&mut tx, id, &new.category_ids).await?;
    let row = select_streams!("where s.id = $1", id).fetch_one(&mut *tx).await?;
    tx.commit().await?;
    let location = format!("/api/streams/{id}");
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], StreamView::new(&streams, row)).into_response())
}
