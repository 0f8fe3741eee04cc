//! What happens without a request: orders repeated, viewers counted, leftovers removed.

use std::sync::Arc;
use std::time::Instant;

use caudal_livestream::StreamId;
use futures::future::join_all;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::administration::forget_old_records;
use crate::app::{App, Streams};
use crate::auth::{email_verification, forget_old_sessions, password_reset};
use crate::bans;
use crate::chat::moderation;
use crate::config::Deadlines;
use crate::deletion;
use crate::error::Error;
use crate::forgotten_streams;
use crate::lost_streams::LostStreams;
use crate::metrics::Metrics;
use crate::pictures::{hide_of_the_past, remove_unused};
use crate::registration;
use crate::start_error::StartError;
use crate::stream::{End, order_end};

/// Runs until `shutdown`.
pub(crate) fn spawn(
    tasks: &mut JoinSet<Result<(), StartError>>,
    app: &App,
    deadlines: Deadlines,
    shutdown: &CancellationToken,
) {
    let (departures, database) = (app.accounts.departures.clone(), app.accounts.database.clone());
    let ending = shutdown.clone();
    // Beside the other work, which waits for the lifecycle where that is away.
    tasks.spawn(async move {
        departures.attend(database, deadlines.sweep, ending).await;
        Ok(())
    });
    let (pictures, ending) = (Arc::clone(&app.pictures), shutdown.clone());
    tasks.spawn(async move {
        remove_unused(pictures, deadlines.sweep, ending).await;
        Ok(())
    });
    let (App { entrance, streams, chat, .. }, shutdown) = (app.clone(), shutdown.clone());
    tasks.spawn(async move {
        let mut ticks = tokio::time::interval(deadlines.sweep);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tidied: Option<Instant> = None;
        let mut lost = LostStreams::default();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            entrance.limits.sweep();
            streams.figures.sweep();
            streams.audience.sweep(Instant::now());
            chat.hub.log().sweep();
            chat.hub.rules().sweep();
            let tidy = tidied.is_none_or(|last| last.elapsed() >= deadlines.tidy);
            let work = async {
                bans::enforce(&streams).await?;
                repeat_orders(&streams).await?;
                lost.reconcile(&streams).await?;
                forgotten_streams::recall(&streams).await?;
                count_viewers(&streams, &entrance.metrics).await?;
                deletion::go_on(&chat).await?;
                if tidy {
                    forget_old_sessions(&streams.database, deadlines.access_token).await?;
                    password_reset::forget_old(&streams.database).await?;
                    email_verification::forget_old(&streams.database).await?;
                    deletion::free_names(&streams.database).await?;
                    registration::forget_expired(&streams.database).await?;
                    hide_of_the_past(&streams.database).await?;
                    forget_old_records(&streams.database).await?;
                    moderation::sweep_bans(&chat.database).await?;
                    moderation::sweep_acts(&chat.database).await?;
                }
                Ok::<_, Error>(())
            };
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                done = work => match done {
                    Ok(()) if tidy => tidied = Some(Instant::now()),
                    Ok(()) => {}
                    Err(Error::Database(error)) => tracing::warn!(%error, "the background's queries fail; it goes on trying"),
                    Err(error) => tracing::warn!(%error, "the background's work fails; it goes on trying"),
                },
            }
        }
    });
}

/// Streams that were to end and have not: the lifecycle was away when it was told, or has not got round to it.
async fn repeat_orders(streams: &Streams) -> Result<(), Error> {
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

/// The snapshot that lists are sorted by, and the gauges.
async fn count_viewers(streams: &Streams, metrics: &Metrics) -> Result<(), Error> {
    let live = sqlx::query!("select id, viewer_count from streams where is_live")
        .fetch_all(&streams.database)
        .await?;
    streams.audience.presence().look_at(live.iter().map(|stream| StreamId(stream.id)).collect());
    let mut counts = Vec::with_capacity(live.len());
    let changed = live.into_iter().filter_map(|stream| {
        let viewers = streams.audience.viewers(StreamId(stream.id));
        counts.push(viewers);
        let viewers = i32::try_from(viewers).unwrap_or(i32::MAX);
        (viewers != stream.viewer_count).then_some((stream.id, viewers))
    });
    let (ids, new): (Vec<_>, Vec<_>) = changed.unzip();
    metrics.watched(&counts);
    if ids.is_empty() {
        return Ok(());
    }
    // Locked in the order of their ids: two replicas that count at once must not wait for each other.
    sqlx::query!(
        r#"with counted as (
               select s.id, new.viewers from streams s
               join unnest($1::uuid[], $2::int[]) as new (id, viewers) on new.id = s.id
               where s.is_live order by s.id for no key update of s
           )
           update streams s
           set viewer_count = counted.viewers, peak_viewers = greatest(s.peak_viewers, counted.viewers)
           from counted where s.id = counted.id and s.is_live"#,
        &ids,
        &new
    )
    .execute(&streams.database)
    .await?;
    Ok(())
}
