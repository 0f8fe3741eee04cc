//! `PUT /api/chat/:streamId/bans/:userId` and `DELETE /api/chat/:streamId/bans/:userId`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::app::Chat;
use crate::chat::moderation::{self, Banning, Moderator, PersonPath};
use crate::error::Error;
use crate::json::Checked;
use crate::stream::StreamPath;

/// Keeps somebody from talking in the channel, for a while or for good. It takes the place of an earlier ban, and what they said is gone.
#[utoipa::path(
    put, path = "/api/chat/{id}/bans/{user}", security(("moderator" = [])),
    params(StreamPath, PersonPath), request_body = Banning,
    responses(
        (status = 204),
        (status = 404, description = "not_found"),
        (status = 409, description = "too_many"),
        (status = 422, description = "oneself"),
        (status = 503, description = "overloaded"),
    ),
)]
pub(crate) async fn ban(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
    PersonPath(person): PersonPath,
    Checked(banning): Checked<Banning>,
) -> Result<StatusCode, Error> {
    moderation::ban(&chat, moderator.stream, moderator.caller.user, person, &banning).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets somebody who was banned talk again.
#[utoipa::path(
    delete, path = "/api/chat/{id}/bans/{user}", security(("moderator" = [])),
    params(StreamPath, PersonPath),
    responses(
        (status = 204),
        (status = 404, description = "not_found"),
        (status = 422, description = "oneself"),
        (status = 503, description = "overloaded"),
    ),
)]
pub(crate) async fn unban(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
    PersonPath(person): PersonPath,
) -> Result<StatusCode, Error> {
    moderation::unban(&chat, moderator.stream, moderator.caller.user, person).await?;
    Ok(StatusCode::NO_CONTENT)
}
