//! `PUT /api/chat/:streamId/bans/:userId` and `DELETE /api/chat/:streamId/bans/:userId`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use crate::app::Chat;
use crate::chat::moderation::{self, Banning, Moderator, PersonPath};
use crate::error::Error;
use crate::json::Checked;

/// Keeps somebody from talking in the channel, for a while or for good.
pub(crate) async fn ban(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
    PersonPath(person): PersonPath,
    Checked(banning): Checked<Banning>,
) -> Result<StatusCode, Error> {
    moderation::ban(&chat, moderator.stream, moderator.caller.user, person, &banning).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets them talk again.
pub(crate) async fn unban(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
    PersonPath(person): PersonPath,
) -> Result<StatusCode, Error> {
    moderation::unban(&chat, moderator.stream, moderator.caller.user, person).await?;
    Ok(StatusCode::NO_CONTENT)
}
