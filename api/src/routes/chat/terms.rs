//! `GET /api/chat/:streamId/terms`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::app::Chat;
use crate::chat::moderation::{Moderator, TermView, list_terms};
use crate::error::Error;

/// What the channel does not want to read: all of it, because it is bounded.
pub(crate) async fn terms(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
) -> Result<Json<Vec<TermView>>, Error> {
    Ok(Json(list_terms(&chat.database, moderator.channel).await?))
}
