//! `PUT /api/chat/:streamId/moderators/:userId` and `DELETE /api/chat/:streamId/moderators/:userId`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::app::Chat;
use crate::chat::moderation::{self, PersonPath, RoomOwner};
use crate::error::Error;

/// Makes somebody a moderator of the channel.
pub(crate) async fn appoint(
    State(chat): State<Arc<Chat>>,
    owner: RoomOwner,
    PersonPath(person): PersonPath,
) -> Result<StatusCode, Error> {
    moderation::appoint(&chat, owner.stream, owner.caller.user, person).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes them a viewer again.
pub(crate) async fn dismiss(
    State(chat): State<Arc<Chat>>,
    owner: RoomOwner,
    PersonPath(person): PersonPath,
) -> Result<StatusCode, Error> {
    moderation::dismiss(&chat, owner.stream, owner.caller.user, person).await?;
    Ok(StatusCode::NO_CONTENT)
}
