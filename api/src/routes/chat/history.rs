//! `GET /api/chat/:streamId`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use caudal_livestream::StreamId;
use garde::Validate;
use serde::Deserialize;

use crate::app::Chat;
use crate::chat::{ChatError, Line, before};
use crate::error::Error;
use crate::json::Query;
use crate::page::{Limit, MAX_CURSOR, Page, decode_cursor};
use crate::stream::{self, StreamPath};

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    #[serde(default = "Limit::fifty")]
    #[garde(dive)]
    limit: Limit,
    #[garde(length(bytes, max = MAX_CURSOR))]
    cursor: Option<String>,
}

/// What was said beside a stream, the latest first.
pub(crate) async fn history(
    State(chat): State<Arc<Chat>>,
    StreamPath(id): StreamPath,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<Line>, Error> {
    let place = decode_cursor(wanted.cursor.as_deref())?;
    if !stream::exists(&chat.database, id).await? {
        return Err(ChatError::UnknownStream.into());
    }
    let most = wanted.limit.items().saturating_add(1);
    let lines = before(chat.hub.log(), &chat.database, StreamId(id), place, most).await?;
    Ok(Page::new(lines, wanted.limit.items(), &uri, |line| line.position, |line| line))
}
