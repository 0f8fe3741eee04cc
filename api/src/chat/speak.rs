//! Saying something, and taking it back, whichever way it came: a socket or REST.

use std::time::Duration;

use caudal_livestream::StreamId;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::author::Author;
use super::draft::{Draft, Event, Kind, fields_of_removal};
use super::hub::Hub;
use super::moderation::{Act, Place, admit, log};
use super::removal::{Removal, Said};
use super::text::ChatText;
use super::{ChatError, store};
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
pub(crate) async fn say(chat: &Chat, author: &Author, saying: Saying<'_>) -> Result<Event, ChatError> {
    let said = accept(chat, author, saying).await;
    chat.metrics.said(said.as_ref().map_or_else(|error| error.code(), |_| "accepted"));
    said
}

async fn accept(chat: &Chat, author: &Author, saying: Saying<'_>) -> Result<Event, ChatError> {
    let text = ChatText::new(saying.text)?;
    let client_id = saying.client_id.filter(|name| !name.is_empty());
    if client_id.is_some_and(|name| name.len() > LONGEST_NAME) {
        return Err(ChatError::NameTooLong);
    }
    let rules = chat.hub.rules().of(saying.stream).await?;
    let admitted = admit(chat, &rules, author, text.as_str()).await?;
    let draft = Draft {
        id: Uuid::now_v7(),
        stream: saying.stream,
        author: author.person.clone(),
        admitted,
        text,
        reply_to: saying.reply_to,
        client_id: client_id.map(str::to_owned),
    };
    chat.hub.log().say(&draft).await
}

/// Takes a message away from everybody: its author may, and who keeps order in the room and is above the author.
pub(crate) async fn remove(
    Chat { hub, database, .. }: &Chat,
    by: Uuid,
    stream: StreamId,
    message: Uuid,
) -> Result<(), ChatError> {
    let room = sqlx::query!(
        r#"select user_id as channel, coalesce(ended_at < now() - interval '10 minutes', false) as "over!"
           from streams where id = $1"#,
        stream.0
    );
    let room = room.fetch_optional(database).await.map_err(unavailable)?.ok_or(ChatError::UnknownMessage)?;
    let (channel, over) = (room.channel, room.over);
    let author = author_of(hub, database, stream, message, over).await?;
    if by != author && !may_act_on(database, channel, by, author).await? {
        return Err(ChatError::NotYours);
    }
    let marked = mark_removed(database, channel, by, author, stream, message).await.map_err(unavailable)?;
    // Also where it was removed before: whoever did that may not have come to telling the room.
    if !over && (marked || !was_told(hub, stream, message).await?) {
        hub.log().tell(stream, Kind::MessageDeleted, fields_of_removal(stream, message)).await?;
    }
    Ok(())
}

/// Marks a message, with a line in the moderators' log where somebody else does it. Whether it was not marked before.
async fn mark_removed(
    database: &PgPool,
    channel: Uuid,
    by: Uuid,
    author: Uuid,
    stream: StreamId,
    message: Uuid,
) -> Result<bool, sqlx::Error> {
    let mut tx = database.begin().await?;
    let marked = store::remove(&mut *tx, stream, message, by).await?;
    if marked && by != author {
        let detail = json!({ "messageId": message });
        log(&mut *tx, channel, by, Act::DeleteMessage, Some(author), &detail).await?;
    }
    tx.commit().await?;
    Ok(marked)
}

/// Whether a room heard lately that a message is gone. One that did so longer ago hears it once more, which harms nobody.
async fn was_told(hub: &Hub, stream: StreamId, message: Uuid) -> Result<bool, ChatError> {
    let recent = hub.log().recent(stream).await?;
    Ok(recent.iter().filter_map(Removal::of).any(|removal| removal.is_of(message)))
}

async fn may_act_on(database: &PgPool, channel: Uuid, who: Uuid, whom: Uuid) -> Result<bool, ChatError> {
    let who = Place::find(database, channel, who).await.map_err(unavailable)?;
    let whom = Place::find(database, channel, whom).await.map_err(unavailable)?;
    // Whoever has deleted their account is nobody in particular.
    let place = |found: Option<(Place, String)>| found.map_or_else(Place::default, |(place, _)| place);
    Ok(place(who).may_act_on(place(whom)))
}

/// Tells a room that a message is gone from the database.
pub(crate) async fn tell_removed(chat: &Chat, stream: StreamId, message: Uuid) -> Result<(), ChatError> {
    chat.hub.log().tell(stream, Kind::MessageDeleted, fields_of_removal(stream, message)).await.map(drop)
}

/// Who wrote a message. One that Redis has and PostgreSQL not yet is waited for: it could not be marked.
async fn author_of(
    hub: &Hub,
    database: &PgPool,
    stream: StreamId,
    message: Uuid,
    over: bool,
) -> Result<Uuid, ChatError> {
    for _ in 0..TRIES {
        if let Some(author) = store::author_of(database, stream, message).await.map_err(unavailable)? {
            return Ok(author);
        }
        let recent = if over { Vec::new() } else { hub.log().recent(stream).await? };
        if !recent.iter().filter_map(Said::of).any(|said| said.id == message) {
            return Err(ChatError::UnknownMessage);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(ChatError::Unavailable)
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of map_err")]
fn unavailable(error: sqlx::Error) -> ChatError {
    tracing::warn!(%error, "chat needs PostgreSQL, which does not answer");
    ChatError::Unavailable
}

/// As long as a UUID in any spelling, and then some.
pub(super) const LONGEST_NAME: usize = 64;
/// Messages stay in Redis alone for a fifth of a second.
const PAUSE: Duration = Duration::from_millis(100);
const TRIES: usize = 20;
