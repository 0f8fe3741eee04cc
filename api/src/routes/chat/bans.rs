//! `GET /api/chat/:streamId/bans`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::Chat;
use crate::chat::moderation::{BanView, Moderator, list_bans};
use crate::error::Error;
use crate::json::Query;
use crate::page::{Page, Paging};

/// Who may not talk in the channel, the latest first.
pub(crate) async fn bans(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<Page<BanView>, Error> {
    list_bans(&chat.database, moderator.channel, &uri, &paging).await
}
