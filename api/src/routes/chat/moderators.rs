//! `GET /api/chat/:streamId/moderators`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::Chat;
use crate::chat::moderation::list_moderators;
use crate::error::Error;
use crate::people::People;
use crate::stream::{StreamPath, owner_of};

/// Who keeps order in the channel beside its owner, the latest first.
pub(crate) async fn moderators(
    State(chat): State<Arc<Chat>>,
    StreamPath(stream): StreamPath,
    OriginalUri(uri): OriginalUri,
) -> Result<People, Error> {
    let channel = owner_of(&chat.database, stream).await?;
    list_moderators(&chat.database, channel, &uri).await
}
