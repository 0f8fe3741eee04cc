//! `DELETE /api/chat/:streamId/messages/:id`

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use caudal_livestream::StreamId;
use uuid::Uuid;

use crate::app::Chat;
use crate::auth::Caller;
use crate::chat::{self, ChatError};
use crate::error::Error;
use crate::stream::StreamPath;

/// Takes a message away from everybody. Its author may, and whoever keeps order there: moderators not each other's.
#[utoipa::path(
    delete, path = "/api/chat/{id}/messages/{message}", security(("owner" = [])),
    params(StreamPath, ("message" = Uuid, Path, description = "The message's id")),
    responses(
        (status = 204),
        (status = 404, description = "not_found"),
        (status = 503, description = "overloaded"),
    ),
)]
pub(crate) async fn remove(
    State(chat): State<Arc<Chat>>,
    caller: Caller,
    path: Result<Path<(Uuid, Uuid)>, axum::extract::rejection::PathRejection>,
) -> Result<StatusCode, Error> {
    let Path((stream, message)) = path.map_err(|_| ChatError::UnknownMessage)?;
    chat::remove(&chat, caller.user, StreamId(stream), message).await?;
    Ok(StatusCode::NO_CONTENT)
}
