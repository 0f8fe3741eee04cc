//! How a stream ends from this side: the wish is committed first, then the lifecycle is told, as often as it takes.

use caudal_livestream::StreamId;
use caudal_livestream::report::EndReason;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::error::Error;

/// Why the api ends a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// `DELETE`.
    ByOwner,
    /// The stream key was rotated.
    KeyRotated,
}

impl End {
    /// As the database keeps it: the same word as in `ended_reason`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ByOwner => "ended_by_owner",
            Self::KeyRotated => "key_rotated",
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        if text == Self::KeyRotated.as_str() { Self::KeyRotated } else { Self::ByOwner }
    }

    fn reason(self) -> EndReason {
        match self {
            Self::ByOwner => EndReason::EndedByOwner,
            Self::KeyRotated => EndReason::KeyRotated,
        }
    }
}

/// Tells the lifecycle to end a stream whose wish to end is committed. When it does not take that up now, the
/// background does this again.
pub(crate) async fn order_end(app: &App, stream: Uuid, end: End) -> Result<(), Error> {
    let id = StreamId(stream);
    if end == End::KeyRotated {
        // The router first: until it knows, an encoder that returns with the old key would be let in from its cache.
        let revoked = app.ordered("revoke a key", app.control.revoke_key(id)).await;
        let reason = "the stream key was changed".to_owned();
        if !revoked || !app.ordered("drop a publisher", app.control.drop_publisher(id, reason)).await {
            return Ok(());
        }
    }
    if !app.ordered("end a stream", app.control.end(id, end.reason())).await {
        return Ok(());
    }
    if app.control.inspect(id).is_none() {
        // Admitted, and never created: nobody else will ever say that it is over. Should the router be just about to
        // create it, `published` finds the wish and ends it then.
        let mut db = app.database.acquire().await?;
        close_unused(&mut db, stream, end).await?;
    }
    Ok(())
}

/// Closes a row that no broadcast stands behind.
pub(crate) async fn close_unused(db: &mut PgConnection, stream: Uuid, end: End) -> Result<(), Error> {
    sqlx::query!(
        r#"with closed as (
               update streams
               set ended_at = greatest(now(), started_at), is_live = false, ended_reason = $2, viewer_count = 0,
                   revision = revision + 1
               where id = $1 and ended_at is null
               returning user_id
           )
           update users set is_streaming = exists (
               select from streams s where s.user_id = users.id and s.is_live and s.id <> $1
           )
           from closed where users.id = closed.user_id"#,
        stream,
        end.as_str()
    )
    .execute(db)
    .await?;
    Ok(())
}
