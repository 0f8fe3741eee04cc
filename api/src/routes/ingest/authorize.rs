//! `POST /internal/ingest/authorize`: may this publisher publish, and what?

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use caudal_livestream::StreamId;
use caudal_livestream::admission::{AuthorizeRequest, Authorized, BroadcastHints, DenialCode, Denied};
use sqlx::PgConnection;
use sqlx::types::Json as Column;
use uuid::Uuid;

use crate::app::{Ingest, Streams};
use crate::error::Error;
use crate::json::Internal;
use crate::lost_streams::is_certainly_missing;
use crate::stream::{BANNED, Owner, StoredAccess, close_lost, default_title};

/// The same answer as long as the stream's row is open and nobody wished it to end.
pub(crate) async fn authorize(
    State(ingest): State<Arc<Ingest>>,
    State(streams): State<Arc<Streams>>,
    Internal(request): Internal<AuthorizeRequest>,
) -> Result<Response, Error> {
    let outcome = admit(&ingest, &streams, &request).await?;
    Ok(match outcome {
        Ok(authorized) => {
            ingest.metrics.admitted("authorized");
            // The router says what became of the publisher: it may still refuse one, for want of room or for another.
            tracing::debug!(stream = %authorized.stream, channel = authorized.channel, session = %request.session, "a stream key was accepted");
            Json(authorized).into_response()
        }
        Err(code) => {
            let (word, message) = words(code);
            ingest.metrics.admitted(word);
            tracing::debug!(session = %request.session, remote = ?request.remote, word, "a stream key was not accepted");
            (StatusCode::FORBIDDEN, Json(Denied { code, message: message.to_owned() })).into_response()
        }
    })
}

fn words(code: DenialCode) -> (&'static str, &'static str) {
    match code {
        DenialCode::UnknownKey => {
            ("unknown_key", "This stream key is not valid. Copy the current one from the page Go live.")
        }
        DenialCode::Banned => ("banned", BANNED),
        DenialCode::Held => {
            ("held", "You ended this stream a moment ago. Wait half a minute before you start the next one.")
        }
    }
}

async fn admit(
    ingest: &Ingest,
    streams: &Streams,
    request: &AuthorizeRequest,
) -> Result<Result<Authorized, DenialCode>, Error> {
    // Nonsense costs no connection.
    let Some(hash) = ingest.stream_keys.hash(&request.key) else { return Ok(Err(DenialCode::UnknownKey)) };
    let mut tx = ingest.database.begin().await?;
    // The lock makes simultaneous admissions, rotations and preparations of one person one after the other.
    let Some(publisher) = Owner::lock_by_key(&mut tx, &hash).await? else {
        return Ok(Err(DenialCode::UnknownKey));
    };
    let owner = publisher.owner;
    if let Some(StreamId(ended)) = request.ended {
        push_out(&mut tx, owner, Some(ended)).await?;
    }
    let denial = match (publisher.banned, publisher.held) {
        (true, _) => Some(DenialCode::Banned),
        (false, true) => Some(DenialCode::Held),
        (false, false) => None,
    };
    if let Some(denial) = denial {
        tx.commit().await?;
        return Ok(Err(denial));
    }
    // What was told to end and has not yet is not what a publisher who comes now wants to continue.
    push_out(&mut tx, owner, None).await?;

    push_out_lost(streams, &mut tx, owner).await?;

    let open = sqlx::query!(
        r#"update streams set authorized_at = now()
           where user_id = $1 and ended_at is null returning id, title, access"#,
        owner.user
    )
    .fetch_optional(&mut *tx)
    .await?;
    let (id, title, access) = match open {
        Some(open) => (open.id, open.title, open.access.into()),
        None => begin(&mut tx, owner.user, &publisher.username).await?,
    };
    let hints = sqlx::query_scalar!(
        r#"select hints as "hints!: Column<BroadcastHints>" from streams
           where user_id = $1 and hints is not null and done_at is not null order by done_at desc limit 1"#,
        owner.user
    )
    .fetch_optional(&mut *tx)
    .await?;
    tx.commit().await?;

    let broadcasts = &ingest.broadcasts;
    Ok(Ok(Authorized {
        stream: StreamId(id),
        channel: publisher.username,
        title,
        access: access.0,
        record: broadcasts.record,
        latency_mode: broadcasts.latency_mode,
        pool: broadcasts.pool.clone(),
        ladder: broadcasts.ladder.clone(),
        policy: broadcasts.policy,
        hints: hints.map(|hints| hints.0),
    }))
}

/// Closes the row of a broadcast that is over or is to be, so that the person can have another; its `done` still comes.
/// With `ended` that stream, else whichever was told to end.
async fn push_out(db: &mut PgConnection, owner: Owner, ended: Option<Uuid>) -> Result<(), Error> {
    sqlx::query!(
        r#"update streams
           set ended_at = greatest(now(), started_at), is_live = false, viewer_count = 0, revision = revision + 1
           where user_id = $1 and ended_at is null
             and case when $2::uuid is null then end_requested_at is not null else id = $2 end"#,
        owner.user,
        ended
    )
    .execute(&mut *db)
    .await?;
    owner.set_streaming(db).await
}

/// Closes a live row that the directory does not know, as a restored backup has them: its id must not be broadcast under
/// again, because the storage still has what the first broadcast left there.
async fn push_out_lost(streams: &Streams, db: &mut PgConnection, owner: Owner) -> Result<(), Error> {
    let live = sqlx::query_scalar!(
        r#"select id from streams
           where user_id = $1 and is_live and coalesce(authorized_at, created_at) < now() - make_interval(secs => $2)"#,
        owner.user,
        streams.unknown_stream.as_secs_f64()
    )
    .fetch_optional(&mut *db)
    .await?;
    match live {
        Some(stream) if is_certainly_missing(streams, stream).await => close_lost(db, owner, stream).await,
        _ => Ok(()),
    }
}

/// A stream for somebody who just pressed "Start Streaming": what the last one said, because most shows go on, and who
/// might watch above all.
async fn begin(
    db: &mut PgConnection,
    user: Uuid,
    username: &str,
) -> Result<(Uuid, String, StoredAccess), Error> {
    let id = Uuid::now_v7();
    let last = sqlx::query!(
        "select id, title, description, language, access from streams where user_id = $1 order by id desc limit 1",
        user
    )
    .fetch_optional(&mut *db)
    .await?;
    let (last, title, description, language, access) = match last {
        Some(last) => (Some(last.id), last.title, last.description, last.language, last.access.into()),
        // True before and after the broadcast too, when the title is still shown.
        None => (None, default_title(username), String::new(), None, StoredAccess::DEFAULT),
    };
    sqlx::query!(
        r#"insert into streams (id, user_id, title, description, language, access, authorized_at)
           values ($1, $2, $3, $4, $5, $6, now())"#,
        id,
        user,
        title,
        description,
        language,
        access.as_str()
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        r#"insert into stream_categories (stream_id, category_id)
           select $1, category_id from stream_categories where stream_id = $2"#,
        id,
        last
    )
    .execute(db)
    .await?;
    Ok((id, title, access))
}
