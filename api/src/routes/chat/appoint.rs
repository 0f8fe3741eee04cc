//! `PUT /api/chat/:streamId/moderators/:userId` and `DELETE /api/chat/:streamId/moderators/:userId`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::app::Chat;
use crate::chat::moderation::{self, PersonPath, RoomOwner};
use crate::error::Error;
use crate::stream::StreamPath;

/// Makes somebody a moderator of the channel. Its rooms are told.
#[utoipa::path(
    put, path = "/api/chat/{id}/moderators/{user}", security(("owner" = [])),
    params(StreamPath, PersonPath),
    responses(
        (status = 204),
        (status = 404, description = "not_found"),
        (status = 409, description = "too_many"),
        (status = 422, description = "oneself"),
        (status = 503, description = "overloaded"),
    ),
)]
pub(crate) async fn appoint(
    State(chat): State<Arc<Chat>>,
    owner: RoomOwner,
    PersonPath(person): PersonPath,
) -> Result<StatusCode, Error> {
    moderation::appoint(&chat, owner.stream, owner.caller.user, person).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a moderator a viewer again. The channel's rooms are told.
#[utoipa::path(
    delete, path = "/api/chat/{id}/moderators/{user}", security(("owner" = [])),
    params(StreamPath, PersonPath),
    responses(
        (status = 204),
        (status = 404, description = "not_found"),
        (status = 503, description = "overloaded"),
    ),
)]
pub(crate) async fn dismiss(
    State(chat): State<Arc<Chat>>,
    owner: RoomOwner,
    PersonPath(person): PersonPath,
) -> Result<StatusCode, Error> {
    moderation::dismiss(&chat, owner.stream, owner.caller.user, person).await?;
    Ok(StatusCode::NO_CONTENT)
}
