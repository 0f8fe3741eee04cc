//! Rows that say a broadcast is going on, while the directory knows of none: left by a restored backup, or by a record
//! that was lost. Nobody will ever report that such a broadcast is over, so they are closed here.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use caudal_livestream::StreamId;
use uuid::Uuid;

use crate::app::Streams;
use crate::error::Error;
use crate::stream::{Owner, close_lost};

/// Streams that the directory did not know when it was last asked, and since when. As many as the database has rows of
/// running broadcasts at most.
#[derive(Debug, Default)]
pub(crate) struct LostStreams {
    unknown: HashMap<Uuid, Instant>,
}

impl LostStreams {
    /// Closes what has been unknown for so long that it cannot be a directory still loading or a broadcast just being
    /// opened, and puts right who is called streaming.
    ///
    /// While the directory cannot be seen, nothing in it is missing.
    pub(crate) async fn reconcile(&mut self, streams: &Streams) -> Result<(), Error> {
        if !streams.control.is_current() {
            self.unknown.clear();
            return correct_streaming(streams).await;
        }
        let grace = streams.unknown_stream;
        let open = sqlx::query_scalar!(
            r#"select id from streams
               where ended_at is null and end_requested_at is null
                 and case when is_live then coalesce(authorized_at, created_at) < now() - make_interval(secs => $1)
                          else authorized_at < now() - make_interval(secs => $2) end
               order by id"#,
            grace.as_secs_f64(),
            UNOPENED.max(grace).as_secs_f64()
        )
        .fetch_all(&streams.database)
        .await?;
        let unknown = open.into_iter().filter(|id| is_missing(streams, *id));
        for stream in self.overdue(unknown, Instant::now(), grace) {
            close(streams, stream).await?;
        }
        correct_streaming(streams).await
    }

    /// Which of the streams that are unknown now have been so for `grace`.
    fn overdue(
        &mut self,
        unknown_now: impl Iterator<Item = Uuid>,
        now: Instant,
        grace: Duration,
    ) -> Vec<Uuid> {
        self.unknown =
            unknown_now.map(|stream| (stream, self.unknown.get(&stream).copied().unwrap_or(now))).collect();
        let since_long = self.unknown.iter().filter(|(_, since)| now.duration_since(**since) >= grace);
        since_long.map(|(stream, _)| *stream).collect()
    }
}

/// Whether the directory is known to have no such stream.
pub(crate) fn is_missing(streams: &Streams, stream: Uuid) -> bool {
    streams.control.is_missing(StreamId(stream))
}

/// The same for who is about to act on it.
pub(crate) async fn is_certainly_missing(streams: &Streams, stream: Uuid) -> bool {
    streams.control.is_certainly_missing(StreamId(stream)).await
}

/// Closes one row, unless somebody was let into its stream meanwhile.
async fn close(streams: &Streams, stream: Uuid) -> Result<(), Error> {
    let mut tx = streams.database.begin().await?;
    let Some(owner) = Owner::lock_of_stream(&mut tx, stream).await? else { return Ok(()) };
    // Admissions take the same lock. One that came first shows in `authorized_at`, even where the router has not opened
    // the stream yet.
    let idle = sqlx::query_scalar!(
        r#"select coalesce(authorized_at, created_at) < now() - make_interval(secs => $2) as "idle!"
           from streams where id = $1 and ended_at is null and end_requested_at is null"#,
        stream,
        streams.unknown_stream.as_secs_f64()
    )
    .fetch_optional(&mut *tx)
    .await?;
    if idle != Some(true) || !is_certainly_missing(streams, stream).await {
        return Ok(());
    }
    close_lost(&mut tx, owner, stream).await?;
    tx.commit().await?;
    tracing::warn!(%stream, "a stream was open in the database, and no broadcast stands behind it; it is closed");
    Ok(())
}

/// `users.is_streaming` follows the streams; a restored or hand-edited row may not.
async fn correct_streaming(streams: &Streams) -> Result<(), Error> {
    let wrong = sqlx::query_scalar!(
        r#"select id as "id!" from (
               select id from users u
               where is_streaming and not exists (select from streams s where s.user_id = u.id and s.is_live)
               union
               select u.id from streams s join users u on u.id = s.user_id where s.is_live and not u.is_streaming
           ) as wrong order by id limit 100"#
    )
    .fetch_all(&streams.database)
    .await?;
    for user in wrong {
        let mut tx = streams.database.begin().await?;
        if let Some(owner) = Owner::lock_even_deleted(&mut tx, user).await? {
            owner.set_streaming(&mut tx).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// For a row whose publisher was let in and never seen: its owner may have prepared it and shown its address around,
/// and the next try, at the latest after an hour, should find it. Far above the seconds that opening takes.
const UNOPENED: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_overdue_once_it_was_unknown_at_every_look_for_the_whole_grace() {
        let (first, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (start, grace) = (Instant::now(), Duration::from_secs(30));
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut lost = LostStreams::default();
        for (seconds, unknown, overdue) in [
            (0, vec![first], vec![]),
            (29, vec![first, other], vec![]),
            (30, vec![first, other], vec![first]),
            // Known again for one look: counted anew.
            (31, vec![other], vec![]),
            (58, vec![first], vec![]),
            (87, vec![first], vec![]),
            (88, vec![first], vec![first]),
        ] {
            let found = lost.overdue(unknown.into_iter(), at(seconds), grace);
            assert_eq!(found, overdue, "after {seconds} s");
        }
        assert!(lost.overdue(std::iter::empty(), at(89), grace).is_empty());
        assert!(lost.unknown.is_empty(), "what is known is not remembered");
    }
}
