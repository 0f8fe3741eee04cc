//! `GET /api/chat/:streamId`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use caudal_livestream::StreamId;
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::app::Chat;
use crate::chat::{ChatError, ChatMessage, Line, before};
use crate::error::{Error, is_outage};
use crate::json::Query;
use crate::page::{Limit, MAX_CURSOR, Page, decode_cursor};
use crate::stream::{self, StreamPath};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Rows of a page.
    #[serde(default = "Limit::fifty")]
    #[garde(dive)]
    #[param(value_type = u32, minimum = 1, maximum = 100, default = 50)]
    limit: Limit,
    /// Where the page begins: as the last one's `Link` has it.
    #[garde(length(bytes, max = MAX_CURSOR))]
    #[param(max_length = 256)]
    cursor: Option<String>,
}

/// What was said beside a stream, the latest first.
#[utoipa::path(
    get, path = "/api/chat/{id}", security(()),
    params(StreamPath, Wanted),
    responses(
        (status = 200, body = Vec<ChatMessage>),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn history(
    State(chat): State<Arc<Chat>>,
    StreamPath(id): StreamPath,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<Line>, Error> {
    let place = decode_cursor(wanted.cursor.as_deref())?;
    match stream::exists(&chat.database, id).await {
        Ok(true) => {}
        Ok(false) => return Err(ChatError::UnknownStream.into()),
        // Somebody is in it, so it exists; the log may have enough of it.
        Err(error) if is_outage(&error) && chat.hub.has(StreamId(id)) => {}
        Err(error) => return Err(error.into()),
    }
    let most = wanted.limit.items().saturating_add(1);
    let lines = before(chat.hub.log(), &chat.database, StreamId(id), place, most).await?;
    Ok(Page::new(lines, wanted.limit.items(), &uri, |line| line.position, |line| line))
}
