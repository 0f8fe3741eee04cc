//! `POST /api/chat/:streamId/terms` and `DELETE /api/chat/:streamId/terms/:termId`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::app::Chat;
use crate::chat::moderation::{self, Moderator, NewTerm, TermPath, TermView};
use crate::error::Error;
use crate::json::Checked;
use crate::stream::StreamPath;

/// Blocks a term in the channel.
#[utoipa::path(
    post, path = "/api/chat/{id}/terms", security(("moderator" = [])),
    params(StreamPath), request_body = NewTerm,
    responses(
        (status = 201, body = TermView),
        (status = 404, description = "not_found"),
        (status = 409, description = "taken, too_many"),
    ),
)]
pub(crate) async fn block(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
    Checked(new): Checked<NewTerm>,
) -> Result<(StatusCode, Json<TermView>), Error> {
    let term = moderation::block(&chat, moderator.stream, moderator.caller.user, &new).await?;
    Ok((StatusCode::CREATED, Json(term)))
}

/// Lets a term be said again.
#[utoipa::path(
    delete, path = "/api/chat/{id}/terms/{term}", security(("moderator" = [])),
    params(StreamPath, TermPath),
    responses(
        (status = 204),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn unblock(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
    TermPath(term): TermPath,
) -> Result<StatusCode, Error> {
    moderation::unblock(&chat, moderator.stream, moderator.caller.user, term).await?;
    Ok(StatusCode::NO_CONTENT)
}
