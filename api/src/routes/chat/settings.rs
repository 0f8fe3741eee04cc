//! `GET /api/chat/:streamId/settings`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::app::Chat;
use crate::chat::moderation::{Settings, settings_of};
use crate::error::Error;
use crate::stream::{StreamPath, owner_of};

/// What the channel's chat allows.
pub(crate) async fn settings(
    State(chat): State<Arc<Chat>>,
    StreamPath(stream): StreamPath,
) -> Result<Json<Settings>, Error> {
    let channel = owner_of(&chat.database, stream).await?;
    Ok(Json(settings_of(&chat.database, channel).await?))
}
