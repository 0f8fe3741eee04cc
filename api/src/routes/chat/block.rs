//! `POST /api/chat/:streamId/terms` and `DELETE /api/chat/:streamId/terms/:termId`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::app::Chat;
use crate::chat::moderation::{self, Moderator, NewTerm, TermPath, TermView};
use crate::error::Error;
use crate::json::Checked;

/// Blocks a term in the channel.
pub(crate) async fn block(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
    Checked(new): Checked<NewTerm>,
) -> Result<(StatusCode, Json<TermView>), Error> {
    let term = moderation::block(&chat, moderator.stream, moderator.caller.user, &new).await?;
    Ok((StatusCode::CREATED, Json(term)))
}

/// Lets it be said again.
pub(crate) async fn unblock(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
    TermPath(term): TermPath,
) -> Result<StatusCode, Error> {
    moderation::unblock(&chat, moderator.stream, moderator.caller.user, term).await?;
    Ok(StatusCode::NO_CONTENT)
}
