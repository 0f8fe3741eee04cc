//! Saying something, and taking it back, whichever way it came: a socket or REST.

use std::time::Duration;

use caudal_livestream::StreamId;
use sqlx::PgPool;
use tokio::time::timeout;
use uuid::Uuid;

use super::draft::{Draft, Event, Kind, fields_of_removal};
use super::history::Line;
use super::hub::Hub;
use super::text::ChatText;
use super::{ChatError, store};
use crate::account::Streamer;
use crate::app::Chat;

/// Something to be said.
#[derive(Clone, Debug)]
pub(crate) struct Saying<'a> {
    pub(crate) stream: StreamId,
    pub(crate) text: &'a str,
    pub(crate) reply_to: Option<Uuid>,
    /// The sender's own name for it, at most [`LONGEST_NAME`] bytes.
    pub(crate) client_id: Option<&'a str>,
}

/// Says it, in the author's name, and answers with the event that it became.
pub(crate) async fn say(chat: &Chat, author: &Streamer, saying: Saying<'_>) -> Result<Event, ChatError> {
    let said = accept(chat, author, saying).await;
    chat.metrics.said(said.as_ref().map_or_else(|error| error.code(), |_| "accepted"));
    said
}

async fn accept(chat: &Chat, author: &Streamer, saying: Saying<'_>) -> Result<Event, ChatError> {
    let text = ChatText::new(saying.text)?;
    let client_id = saying.client_id.filter(|name| !name.is_empty());
    if client_id.is_some_and(|name| name.len() > LONGEST_NAME) {
        return Err(ChatError::TooLong);
    }
    check_open(&chat.database, saying.stream).await?;
    let draft = Draft {
        id: Uuid::now_v7(),
        stream: saying.stream,
        author: author.clone(),
        text,
        reply_to: saying.reply_to,
        client_id: client_id.map(str::to_owned),
    };
    chat.hub.log().say(&draft).await
}

/// Takes a message away from everybody: its author may, and whoever streams.
pub(crate) async fn remove(
    Chat { hub, database, .. }: &Chat,
    by: Uuid,
    stream: StreamId,
    message: Uuid,
) -> Result<(), ChatError> {
    let author = author_of(hub, database, stream, message).await?;
    let streamer = sqlx::query_scalar!("select user_id from streams where id = $1", stream.0);
    let streamer = streamer.fetch_optional(database).await.map_err(unavailable)?;
    if by != author && Some(by) != streamer {
        return Err(ChatError::NotYours);
    }
    if store::remove(database, stream, message, by).await.map_err(unavailable)? {
        hub.log().tell(stream, Kind::MessageDeleted, fields_of_removal(stream, message)).await?;
    }
    Ok(())
}

/// Tells a room that a message is gone from the database.
pub(crate) async fn tell_removed(chat: &Chat, stream: StreamId, message: Uuid) -> Result<(), ChatError> {
    chat.hub.log().tell(stream, Kind::MessageDeleted, fields_of_removal(stream, message)).await.map(drop)
}

/// Who wrote a message. One that Redis has and PostgreSQL not yet is waited for: it could not be marked.
async fn author_of(hub: &Hub, database: &PgPool, stream: StreamId, message: Uuid) -> Result<Uuid, ChatError> {
    for _ in 0..TRIES {
        if let Some(author) = store::author_of(database, stream, message).await.map_err(unavailable)? {
            return Ok(author);
        }
        let recent = hub.log().recent(stream).await?;
        if !recent.events.iter().filter_map(Line::of).any(|line| line.id == message) {
            return Err(ChatError::UnknownMessage);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(ChatError::Unavailable)
}

/// While PostgreSQL is away this is not known, and nobody is silenced for that: where a message needs it, it fails anyway.
async fn check_open(database: &PgPool, stream: StreamId) -> Result<(), ChatError> {
    let over = sqlx::query_scalar!(
        r#"select coalesce(ended_at < now() - interval '10 minutes', false) as "over!" from streams where id = $1"#,
        stream.0
    );
    match timeout(PATIENCE, over.fetch_optional(database)).await {
        Ok(Ok(Some(false))) | Err(_) => Ok(()),
        Ok(Ok(Some(true))) => Err(ChatError::Ended),
        Ok(Ok(None)) => Err(ChatError::UnknownStream),
        Ok(Err(error)) if crate::error::is_outage(&error) => Ok(()),
        Ok(Err(error)) => Err(unavailable(error)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of map_err")]
fn unavailable(error: sqlx::Error) -> ChatError {
    tracing::warn!(%error, "chat needs PostgreSQL, which does not answer");
    ChatError::Unavailable
}

/// As long as a UUID in any spelling, and then some.
const LONGEST_NAME: usize = 64;
/// For PostgreSQL, where an answer is not needed.
const PATIENCE: Duration = Duration::from_millis(500);
/// Messages stay in Redis alone for a fifth of a second.
const PAUSE: Duration = Duration::from_millis(100);
const TRIES: usize = 20;
