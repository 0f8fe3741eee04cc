//! A channel's blocked terms.

use caudal_livestream::StreamId;
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::changes::Change;
use super::modlog::Act;
use super::terms::{MOST_TERMS, Term};
use crate::app::Chat;
use crate::chat::ChatError;
use crate::error::Error;
use crate::input::{FieldError, InputError};
use crate::text::TermText;

/// One that is to be blocked.
#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTerm {
    #[garde(dive)]
    term: TermText,
}

/// One that is blocked, for moderators.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TermView {
    id: Uuid,
    term: String,
    created_at: DateTime<Utc>,
}

/// Blocks a term.
pub(crate) async fn block(
    chat: &Chat,
    stream: StreamId,
    actor: Uuid,
    new: &NewTerm,
) -> Result<TermView, Error> {
    let typed = new.term.as_str();
    let term = Term::parse(typed).ok_or_else(|| {
        let words = "a term has a letter or a digit, and four * at most";
        InputError::Invalid(vec![FieldError::new("/term", "invalid", words)])
    })?;
    let mut change = Change::begin(&chat.database, stream, actor).await?;
    let channel = change.channel;
    let there = sqlx::query_scalar!("select term from blocked_terms where channel_id = $1", channel);
    let there = there.fetch_all(change.db()).await?;
    if there.iter().any(|there| Term::parse(there).as_ref() == Some(&term)) {
        let taken = FieldError::new("/term", "taken", "this term is blocked already");
        return Err(InputError::Taken(taken).into());
    }
    if there.len() >= MOST_TERMS {
        return Err(ChatError::TooMany("terms", i64::try_from(MOST_TERMS).unwrap_or(i64::MAX)).into());
    }
    let view = sqlx::query_as!(
        TermView,
        r#"insert into blocked_terms (id, channel_id, term, added_by) values ($1, $2, $3, $4)
           returning id, term, created_at"#,
        Uuid::now_v7(),
        channel,
        typed,
        actor
    );
    let view = view.fetch_one(change.db()).await?;
    change.log(Act::AddTerm, None, &json!({ "term": typed })).await?;
    change.commit(chat).await?;
    Ok(view)
}

/// Lets it be said again.
pub(crate) async fn unblock(chat: &Chat, stream: StreamId, actor: Uuid, term: Uuid) -> Result<(), Error> {
    let mut change = Change::begin(&chat.database, stream, actor).await?;
    let channel = change.channel;
    let removed = sqlx::query_scalar!(
        "delete from blocked_terms where channel_id = $1 and id = $2 returning term",
        channel,
        term
    );
    let removed = removed.fetch_optional(change.db()).await?.ok_or(ChatError::UnknownTerm)?;
    change.log(Act::RemoveTerm, None, &json!({ "term": removed })).await?;
    change.commit(chat).await
}

/// All of a channel, the latest first.
pub(crate) async fn list(database: &PgPool, channel: Uuid) -> Result<Vec<TermView>, Error> {
    let terms = sqlx::query_as!(
        TermView,
        r#"select id, term, created_at from blocked_terms
           where channel_id = $1 order by created_at desc, id desc"#,
        channel
    );
    Ok(terms.fetch_all(database).await?)
}
