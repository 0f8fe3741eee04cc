//! `PATCH /api/chat/:streamId/settings`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::app::Chat;
use crate::chat::moderation::{self, Moderator, Settings, SettingsChange};
use crate::error::Error;
use crate::json::Checked;

/// Changes what the channel's chat allows.
pub(crate) async fn change_settings(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
    Checked(wanted): Checked<SettingsChange>,
) -> Result<Json<Settings>, Error> {
    let settings =
        moderation::change_settings(&chat, moderator.stream, moderator.caller.user, &wanted).await?;
    Ok(Json(settings))
}
