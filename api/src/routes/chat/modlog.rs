//! `GET /api/chat/:streamId/modlog`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};

use crate::app::Chat;
use crate::chat::moderation::{ActView, Moderator, list_acts};
use crate::error::Error;
use crate::json::Query;
use crate::page::{Page, Paging};

/// Who did what to whom in the channel, the latest first.
pub(crate) async fn modlog(
    State(chat): State<Arc<Chat>>,
    moderator: Moderator,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<Page<ActView>, Error> {
    list_acts(&chat.database, moderator.channel, &uri, &paging).await
}
