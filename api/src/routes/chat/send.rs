//! `POST /api/chat/:streamId/messages`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use caudal_livestream::StreamId;
use garde::Validate;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::{Accounts, Chat};
use crate::auth::{AuthError, Caller};
use crate::chat::{Author, ChatMessage, Saying, say};
use crate::error::Error;
use crate::json::Checked;
use crate::stream::StreamPath;

#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewMessage {
    /// One line of 500 characters at most once it is cleaned, which is done where sockets' messages are too.
    #[garde(skip)]
    #[schema(min_length = 1, example = "hola")]
    message: String,
    /// The sender's own name for it: a second try under the same name is the same message.
    #[garde(skip)]
    #[schema(max_length = 64)]
    client_msg_id: Option<String>,
    /// The message that this one answers.
    #[garde(skip)]
    reply_to: Option<Uuid>,
}

/// Says something, for programs and where sockets do not get through.
#[utoipa::path(
    post, path = "/api/chat/{id}/messages", security(("user" = [])),
    params(StreamPath), request_body = NewMessage,
    responses(
        (status = 201, body = ChatMessage),
        (
            status = 403, headers(("Retry-After")),
            description = "banned_here, timed_out, followers_only, subs_only, emotes_only, blocked_term, links_blocked",
        ),
        (status = 404, description = "not_found"),
        (status = 409, description = "ended, repeated, not_unique"),
        (status = 429, description = "too_fast, slow, room_busy"),
        (status = 503, description = "overloaded"),
    ),
)]
pub(crate) async fn send(
    State(chat): State<Arc<Chat>>,
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    StreamPath(stream): StreamPath,
    Checked(new): Checked<NewMessage>,
) -> Result<(StatusCode, Json<Box<RawValue>>), Error> {
    let author = Author::find(&accounts.database, caller.user).await?;
    let author = author.ok_or(AuthError::SessionRevoked)?;
    let saying = Saying {
        stream: StreamId(stream),
        text: &new.message,
        reply_to: new.reply_to,
        client_id: new.client_msg_id.as_deref(),
    };
    let event = say(&chat, &author, saying).await?;
    let message = RawValue::from_string(event.message().unwrap_or("{}").to_owned());
    let message = message.map_err(|error| Error::Internal(format!("a message that is no JSON: {error}")))?;
    Ok((StatusCode::CREATED, Json(message)))
}
