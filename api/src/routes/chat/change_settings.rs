//! `PATCH /api/chat/:streamId/settings`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::app::Chat;
use crate::chat::moderation::{self, Moderator, Settings, SettingsChange};
use crate::error::Error;
use crate::json::Checked;
use crate::stream::StreamPath;

/// Changes what the channel's chat allows.
#[utoipa::path(
    patch, path = "/api/chat/{id}/settings", security(("moderator" = [])),
    params(StreamPath), request_body = SettingsChange,
    responses(
        (status = 200, body = Settings),
        (status = 404, description = "not_found"),
        (status = 503, description = "overloaded"),
    ),
)]
pub(crate) async fn change_settings(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
    Checked(wanted): Checked<SettingsChange>,
) -> Result<Json<Settings>, Error> {
    let settings =
        moderation::change_settings(&chat, moderator.stream, moderator.caller.user, &wanted).await?;
    Ok(Json(settings))
}
