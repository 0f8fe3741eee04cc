//! What happens without a request: orders repeated, viewers counted, leftovers removed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;

use crate::administration::forget_old_records;
use crate::app::App;
use crate::audience::count_viewers;
use crate::auth::{email_verification, forget_old_sessions, password_reset};
use crate::bans;
use crate::billing;
use crate::chat::moderation;
use crate::config::Deadlines;
use crate::deletion;
use crate::error::{Error, is_outage};
use crate::event_subscriptions;
use crate::forgotten_streams;
use crate::lost_streams::LostStreams;
use crate::pictures::{hide_of_the_past, remove_unused};
use crate::registration;
use crate::rtmp_door;
use crate::start_error::StartError;
use crate::stream::repeat_orders;

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
    let (billing, ending) = (Arc::clone(&app.billing), shutdown.clone());
    tasks.spawn(async move {
        Box::pin(billing::keep(&billing, deadlines.sweep, deadlines.tidy, &ending)).await;
        Ok(())
    });
    let (App { entrance, streams, chat, answer_cache, .. }, shutdown) = (app.clone(), shutdown.clone());
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
            let mut round = Round::default();
            let work = async {
                round.run("bans", bans::enforce(&streams)).await;
                round.run("orders", repeat_orders(&streams)).await;
                round.run("lost streams", lost.reconcile(&streams)).await;
                round.run("forgotten streams", forgotten_streams::recall(&streams)).await;
                round.run("viewers", count_viewers(&streams, &entrance.metrics)).await;
                round.run("rooms", chat.hub.close_over()).await;
                round.run("deletions", deletion::go_on(&chat)).await;
            };
            if shutdown.run_until_cancelled(Box::pin(work)).await.is_none() {
                return Ok(());
            }
            answer_cache.drop_all().await;
            round.report();
            if tidied.is_some_and(|last| last.elapsed() < deadlines.tidy) {
                continue;
            }
            let mut round = Round::default();
            let database = &streams.database;
            let work = async {
                round.run("sessions", forget_old_sessions(database, deadlines.access_token)).await;
                round.run("resets", password_reset::forget_old(database)).await;
                round.run("verifications", email_verification::forget_old(database)).await;
                round.run("names", deletion::free_names(database)).await;
                round.run("invitations", registration::forget_expired(database)).await;
                round.run("pictures of the past", hide_of_the_past(database)).await;
                round.run("audit", forget_old_records(database)).await;
                round.run("rtmp door", rtmp_door::forget_old(database, Utc::now())).await;
                round.run("channel bans", moderation::sweep_bans(database)).await;
                round.run("moderation log", moderation::sweep_acts(database)).await;
                round.run("event subscriptions", event_subscriptions::sweep(database)).await;
                round.run("payment events", billing::forget_old_events(database)).await;
                round.run("offers", billing::forget_old_offers(database)).await;
            };
            if shutdown.run_until_cancelled(Box::pin(work)).await.is_none() {
                return Ok(());
            }
            // One that fails each time has its next turn with the others; while all do, the database is away.
            if round.done > 0 {
                tidied = Some(Instant::now());
            }
            round.report();
        }
    });
}

/// Pieces of work of which none keeps another from its turn, whether it fails or hangs.
#[derive(Default)]
struct Round {
    done: usize,
    away: Failed,
    other: Failed,
}

/// Which pieces failed, and why the first of them did.
#[derive(Default)]
struct Failed {
    names: Vec<&'static str>,
    reason: String,
}

impl Round {
    async fn run<E: Into<Error>>(&mut self, what: &'static str, work: impl Future<Output = Result<(), E>>) {
        let (failed, reason) = match timeout(LONGEST, work).await.map(|done| done.map_err(Into::into)) {
            Ok(Ok(())) => return self.done = self.done.saturating_add(1),
            Ok(Err(Error::Database(error))) if is_outage(&error) => (&mut self.away, error.to_string()),
            Ok(Err(Error::Database(error))) => (&mut self.other, error.to_string()),
            Ok(Err(error)) => (&mut self.other, error.to_string()),
            Err(_) => (&mut self.other, format!("not done within {} s", LONGEST.as_secs())),
        };
        if failed.names.is_empty() {
            failed.reason = reason;
        }
        failed.names.push(what);
    }

    /// In one line: a database that is away fails them all.
    fn report(&self) {
        // `caudal doctor` looks for this line.
        if let Some(Failed { names, reason }) = self.away.any() {
            let failed = names.join(", ");
            tracing::warn!(failed, reason, "PostgreSQL is away from the background; its work is tried again");
        }
        if let Some(Failed { names, reason }) = self.other.any() {
            let failed = names.join(", ");
            tracing::warn!(failed, reason, "work in the background fails; it is tried again");
        }
    }
}

impl Failed {
    fn any(&self) -> Option<&Self> {
        (!self.names.is_empty()).then_some(self)
    }
}

/// For one piece of work. A query whose server lost its power is answered by nobody.
const LONGEST: Duration = Duration::from_secs(60);
