//! `POST /api/chat/:streamId/messages`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use caudal_livestream::StreamId;
use garde::Validate;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::app::{Accounts, Chat};
use crate::auth::{AuthError, Caller};
use crate::chat::{Author, Saying, say};
use crate::error::Error;
use crate::json::Checked;
use crate::stream::StreamPath;

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewMessage {
    /// Cleaned and checked where sockets' messages are too.
    #[garde(skip)]
    message: String,
    #[garde(skip)]
    client_msg_id: Option<String>,
    #[garde(skip)]
    reply_to: Option<Uuid>,
}

/// Says something, for programs and where sockets do not get through.
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
