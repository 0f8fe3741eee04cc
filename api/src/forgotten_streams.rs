//! Broadcasts that go on while the database does not say so: it was restored from a backup that is older than they are.
//! They get their rows back, or nobody would find them, and their owners could not end them.

use std::collections::HashSet;

use caudal_livestream::record::{DesiredState, LiveStream, Phase};
use uuid::Uuid;

use crate::app::Streams;
use crate::database::instant;
use crate::error::Error;
use crate::stream::{Owner, StoredAccess};

/// Makes the rows of all running broadcasts say that they run.
pub(crate) async fn recall(streams: &Streams) -> Result<(), Error> {
    // What the directory said before it went out of sight may be over by now.
    if !streams.control.is_current() {
        return Ok(());
    }
    let running: Vec<_> =
        streams.control.running().into_iter().filter(|stream| can_be_watched(stream)).collect();
    if running.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = running.iter().map(|stream| stream.spec.stream.0).collect();
    let unsaid: HashSet<Uuid> = sqlx::query_scalar!(
        r#"select id as "id!" from unnest($1::uuid[]) as running (id)
           where not exists (
               select from streams s
               where s.id = running.id and (s.is_live or s.ended_at is not null or s.end_requested_at is not null)
           )"#,
        &ids
    )
    .fetch_all(&streams.database)
    .await?
    .into_iter()
    .collect();
    for stream in running {
        if unsaid.contains(&stream.spec.stream.0) {
            recall_one(streams, &stream).await?;
        }
    }
    Ok(())
}

fn can_be_watched(stream: &LiveStream) -> bool {
    matches!(stream.status.phase, Phase::Live | Phase::Reconnecting)
        && stream.status.started_at.is_some()
        && stream.spec.desired_state == DesiredState::Live
}

/// Leaves alone whose channel is unknown too, or has another open stream: that one may still prove lost.
async fn recall_one(streams: &Streams, stream: &LiveStream) -> Result<(), Error> {
    let id = stream.spec.stream.0;
    let started_at = stream.status.started_at.map(instant).transpose()?;
    let mut tx = streams.database.begin().await?;
    let (owner, recalled) = if let Some(owner) = Owner::lock_of_stream(&mut tx, id).await? {
        let recalled = sqlx::query!(
            r#"update streams set is_live = true, started_at = coalesce(started_at, $2), revision = revision + 1
               where id = $1 and ended_at is null and end_requested_at is null and not is_live"#,
            id,
            started_at
        );
        (owner, recalled.execute(&mut *tx).await?)
    } else {
        let Some(owner) = Owner::lock_by_name(&mut tx, &stream.spec.channel).await? else { return Ok(()) };
        let recalled = sqlx::query!(
            r#"insert into streams (id, user_id, title, access, authorized_at, is_live, started_at)
               values ($1, $2, left($3, 140), $4, now(), true, $5) on conflict do nothing"#,
            id,
            owner.user,
            stream.spec.title,
            StoredAccess(stream.spec.access).as_str(),
            started_at
        );
        (owner, recalled.execute(&mut *tx).await?)
    };
    if recalled.rows_affected() > 0 {
        owner.set_streaming(&mut tx).await?;
        tracing::warn!(stream = %stream.spec.stream, channel = stream.spec.channel,
            "a broadcast goes on that the database did not say was live; now it does");
    }
    tx.commit().await?;
    Ok(())
}
