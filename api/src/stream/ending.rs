//! How a stream ends from this side: the wish is committed first, then the lifecycle is told, as often as it takes.

use caudal_livestream::StreamId;
use caudal_livestream::report::EndReason;
use futures::future::join_all;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Owner;
use crate::app::Streams;
use crate::error::Error;
use crate::lost_streams::is_certainly_missing;

/// Why the api ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// `DELETE`, by whose stream it is.
    ByOwner,
    /// `DELETE`, by an admin.
    ByAdmin,
    /// The stream key was rotated.
    KeyRotated,
    /// The account was banned or deleted.
    Banned,
    /// The directory does not know it, so nobody else would ever say that it is over.
    Lost,
}

impl End {
    /// As the database keeps it, in `end_requested_reason` and in `ended_reason`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ByOwner => "ended_by_owner",
            Self::ByAdmin => "ended_by_admin",
            Self::KeyRotated => "key_rotated",
            Self::Banned => "banned",
            Self::Lost => "lost",
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        let known = [Self::ByAdmin, Self::KeyRotated, Self::Banned, Self::Lost]
            .into_iter()
            .find(|end| end.as_str() == text);
        known.unwrap_or(Self::ByOwner)
    }

    fn reason(self) -> EndReason {
        match self {
            // "Its owner or a moderator ended it."
            Self::ByOwner | Self::ByAdmin | Self::Banned => EndReason::EndedByOwner,
            Self::KeyRotated => EndReason::KeyRotated,
            Self::Lost => EndReason::PublisherLost,
        }
    }

    /// What the publisher is told before the stream ends; without it, the router's own words for the end will do.
    fn words_for_publisher(self) -> Option<&'static str> {
        match self {
            Self::KeyRotated => Some("the stream key was changed"),
            Self::Banned => Some(BANNED),
            Self::ByAdmin => Some("An admin has ended this broadcast."),
            Self::ByOwner | Self::Lost => None,
        }
    }
}

/// What a banned streamer's encoder shows, at the ban and at each try after it.
pub(crate) const BANNED: &str = "This account may not stream.";

/// Records the wish to end a stream that a publisher was let into; the first reason stays, unless `end` is stricter.
pub(crate) async fn request_end(
    db: &mut PgConnection,
    _: Owner,
    stream: Uuid,
    end: End,
) -> Result<(), Error> {
    sqlx::query!(
        r#"update streams
           set end_requested_at = coalesce(end_requested_at, now()),
               end_requested_reason = case when $3 then $2 else coalesce(end_requested_reason, $2) end,
               revision = revision + 1
           where id = $1 and ended_at is null"#,
        stream,
        end.as_str(),
        end != End::ByOwner
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Tells the lifecycle to end a stream whose wish to end is committed. When it does not take that up now, the
/// background does this again.
pub(crate) async fn order_end(streams: &Streams, stream: Uuid, end: End) -> Result<(), Error> {
    let id = StreamId(stream);
    if end == End::KeyRotated {
        // The router first: until it knows, an encoder that returns with the old key would be let in from its cache.
        if !streams.ordered("revoke a key", streams.control.revoke_key(id)).await {
            return Ok(());
        }
    }
    if let Some(words) = end.words_for_publisher()
        && !streams.ordered("drop a publisher", streams.control.drop_publisher(id, words.to_owned())).await
    {
        return Ok(());
    }
    if !streams.ordered("end a stream", streams.control.end(id, end.reason())).await {
        return Ok(());
    }
    if is_certainly_missing(streams, stream).await {
        // Admitted, and never created: nobody else will ever say that it is over. Should the router be just about to
        // create it, `published` finds the wish and ends it then.
        let mut tx = streams.database.begin().await?;
        if let Some(owner) = Owner::lock_of_stream(&mut tx, stream).await? {
            close_unused(&mut tx, owner, stream, end).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Closes a row that no broadcast stands behind.
pub(crate) async fn close_unused(
    db: &mut PgConnection,
    owner: Owner,
    stream: Uuid,
    end: End,
) -> Result<(), Error> {
    sqlx::query!(
        r#"update streams
           set ended_at = greatest(now(), started_at), is_live = false, ended_reason = $2, viewer_count = 0,
               revision = revision + 1
           where id = $1 and ended_at is null"#,
        stream,
        end.as_str()
    )
    .execute(&mut *db)
    .await?;
    owner.set_streaming(db).await
}

/// Closes a row whose broadcast the directory does not know. Should it turn up after all, `published` finds the wish to
/// end and ends it: its publisher gets a new one.
pub(crate) async fn close_lost(db: &mut PgConnection, owner: Owner, stream: Uuid) -> Result<(), Error> {
    request_end(db, owner, stream, End::Lost).await?;
    close_unused(db, owner, stream, End::Lost).await
}

/// Streams that were to end and have not: the lifecycle was away when it was told, or has not got round to it.
pub(crate) async fn repeat_orders(streams: &Streams) -> Result<(), Error> {
    let waiting = sqlx::query!(
        r#"select id, end_requested_reason as "reason!" from streams
           where end_requested_at is not null and ended_at is null and end_requested_reason is not null
           order by end_requested_at limit 50"#
    )
    .fetch_all(&streams.database)
    .await?;
    // Side by side: while the controller is away each of them waits in vain, and what else happens here waits with them.
    let orders = waiting.iter().map(|stream| order_end(streams, stream.id, End::parse(&stream.reason)));
    join_all(orders).await.into_iter().collect()
}
