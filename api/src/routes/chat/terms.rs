//! `GET /api/chat/:streamId/terms`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::app::Chat;
use crate::chat::moderation::{Moderator, TermView, list_terms};
use crate::error::Error;
use crate::stream::StreamPath;

/// What the channel does not want to read: all of it, the latest first.
#[utoipa::path(
    get, path = "/api/chat/{id}/terms", security(("moderator" = [])),
    params(StreamPath),
    responses(
        (status = 200, body = Vec<TermView>),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn terms(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
) -> Result<Json<Vec<TermView>>, Error> {
    Ok(Json(list_terms(&chat.database, moderator.channel).await?))
}
