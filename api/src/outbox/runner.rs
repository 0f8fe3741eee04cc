//! The task of a replica that claims jobs and sees to them, side by side with those of other replicas.

use std::time::Duration;

use futures::FutureExt as _;
use prometheus::Registry;
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::backoff::pause;
use super::job::Lane;
use super::metrics::JobMetrics;
use super::perform::{Outcome, perform};
use super::queue::{self, Claimed};
use super::turns::{Busy, Turn, Turns};
use crate::app::App;
use crate::database::within;
use crate::error::Error;
use crate::notifications;
use crate::start_error::StartError;

/// To be run, one in each replica.
pub(crate) struct Runner {
    metrics: JobMetrics,
}

impl Runner {
    pub(crate) fn open(registry: &Registry) -> Result<Self, StartError> {
        Ok(Self { metrics: JobMetrics::register(registry)? })
    }

    /// Runs until `shutdown`.
    pub(crate) fn spawn(
        self,
        tasks: &mut JoinSet<Result<(), StartError>>,
        app: &App,
        shutdown: &CancellationToken,
    ) {
        let database = app.notifications.database.clone();
        // A counter of wake-ups, of which only the latest matters.
        let (wakes, wake) = watch::channel(());
        for lane in Lane::ALL {
            let (app, metrics) = (app.clone(), self.metrics.clone());
            let (wake, shutdown) = (wake.clone(), shutdown.clone());
            tasks.spawn(async move {
                run_lane(&app, lane, &metrics, wake, &shutdown).await;
                Ok(())
            });
        }
        // A pool of its own: the connection would be missing from the other one for ever.
        let options = database.connect_options().as_ref().clone();
        let own = PgPoolOptions::new().max_connections(1).connect_lazy_with(options);
        let ending = shutdown.clone();
        tasks.spawn(async move {
            ending.run_until_cancelled(listen(&own, &wakes)).await;
            // Whoever takes the database next must find nobody in it.
            own.close().await;
            Ok(())
        });
        let (metrics, ending) = (self.metrics, shutdown.clone());
        tasks.spawn(async move {
            ending.run_until_cancelled(keep(&database, &metrics)).await;
            Ok(())
        });
    }
}

/// Claims what is due as long as there is room, and waits otherwise: for a job to end, for a wake-up, or for the next look.
async fn run_lane(
    app: &App,
    lane: Lane,
    metrics: &JobMetrics,
    mut wake: watch::Receiver<()>,
    shutdown: &CancellationToken,
) {
    let database = &app.notifications.database;
    let (mut running, turns) = (JoinSet::new(), Turns::default());
    while !shutdown.is_cancelled() {
        let room = lane.width().saturating_sub(running.len());
        wake.mark_unchanged();
        let claimed = match claim(database, lane, room, &turns.busy()).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::debug!(%error, "jobs cannot be claimed just now");
                Vec::new()
            }
        };
        let full = claimed.len() >= room;
        let (begun, surplus) = by_turns(claimed, &turns);
        for (job, turn) in begun {
            let (app, metrics) = (app.clone(), metrics.clone());
            running.spawn(async move {
                see_to(&app, &metrics, &job).await;
                drop(turn);
            });
        }
        if !surplus.is_empty() {
            match within(LONGEST, queue::give_back(database, &surplus)).await {
                // Their hosts or owners are busy now, so the next look finds others.
                Ok(()) => continue,
                Err(error) => {
                    tracing::debug!(%error, "jobs cannot be given back; others have them when their leases are over");
                }
            }
        }
        tokio::select! {
            Some(_) = running.join_next() => {}
            // Nobody could be woken while there is no room.
            _ = wake.changed(), if !full => {}
            () = sleep(LOOK), if !full => {}
            () = shutdown.cancelled() => {}
        }
    }
    // What does not end in time is done again when its lease is over.
    let _ = timeout(GOODBYE, async { while running.join_next().await.is_some() {} }).await;
}

async fn claim(database: &PgPool, lane: Lane, room: usize, busy: &Busy) -> Result<Vec<Claimed>, sqlx::Error> {
    if room == 0 {
        return Ok(Vec::new());
    }
    within(LONGEST, queue::claim(database, lane, room, busy)).await
}

/// Which jobs have a place at the host that they ask and one of their owner's, and which have none.
fn by_turns(claimed: Vec<Claimed>, turns: &Turns) -> (Vec<(Claimed, Option<Turn>)>, Vec<Uuid>) {
    let (mut begun, mut surplus) = (Vec::new(), Vec::new());
    for job in claimed {
        match job.target.as_deref().map(|host| turns.take(host, job.owner_id)) {
            Some(None) => surplus.push(job.id),
            turn => begun.push((job, turn.flatten())),
        }
    }
    (begun, surplus)
}

async fn see_to(app: &App, metrics: &JobMetrics, job: &Claimed) {
    let database = &app.notifications.database;
    let attempt = std::panic::AssertUnwindSafe(timeout(DEADLINE, perform(app, job))).catch_unwind();
    let outcome: Result<Outcome, String> = match attempt.await {
        Ok(Ok(Ok(outcome))) => Ok(outcome),
        // An admin reads this, who needs the words that are kept from everybody else.
        Ok(Ok(Err(Error::Database(error)))) => Err(error.to_string()),
        Ok(Ok(Err(Error::Internal(reason)))) => Err(reason),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(_)) => Err(format!("it was not done within {} s", DEADLINE.as_secs())),
        Err(_) => Err("it panicked; the log says where".to_owned()),
    };
    let done = matches!(outcome, Ok(Outcome::Done | Outcome::Next(_)));
    metrics.ended(&job.topic, if done { "done" } else { "failed" });
    if let Err(reason) = &outcome {
        tracing::warn!(%reason, job = %job.id, topic = job.topic, attempts = job.attempts, "a job failed");
    }
    let settled = settle(database, job, outcome).await;
    if let Err(error) = settled {
        tracing::warn!(%error, job = %job.id, "what came of a job cannot be written; it is done again");
    }
}

async fn settle(database: &PgPool, job: &Claimed, outcome: Result<Outcome, String>) -> Result<(), Error> {
    let written = async {
        match outcome {
            Ok(outcome) => queue::settle(database, job, &outcome).await,
            Err(reason) => {
                let pause = pause(u32::try_from(job.attempts).unwrap_or(1), rand::random());
                Ok(queue::fail(database, job, &reason, pause).await?)
            }
        }
    };
    within(LONGEST, written).await
}

/// Wakes the lanes when somebody commits a job, anywhere. Without it they look by themselves, a second later at most.
async fn listen(own: &PgPool, wakes: &watch::Sender<()>) {
    loop {
        match PgListener::connect_with(own).await {
            Ok(mut listener) => {
                if listener.listen(queue::CHANNEL).await.is_ok() {
                    // `None` is a connection that was lost: something may have been missed.
                    while listener.try_recv().await.is_ok() {
                        wakes.send_replace(());
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "nobody can be woken just now"),
        }
        sleep(LOOK).await;
    }
}

/// Counts, and forgets what is old.
async fn keep(database: &PgPool, metrics: &JobMetrics) {
    let mut ticks = interval(COUNT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut swept: Option<Instant> = None;
    loop {
        ticks.tick().await;
        let sweep = swept.is_none_or(|last| last.elapsed() >= SWEEP_EVERY);
        match tidy(database, metrics, sweep).await {
            Ok(()) if sweep => swept = Some(Instant::now()),
            Ok(()) => {}
            Err(error) => tracing::debug!(%error, "jobs cannot be counted just now"),
        }
    }
}

async fn tidy(database: &PgPool, metrics: &JobMetrics, sweep: bool) -> Result<(), sqlx::Error> {
    let tidied = async {
        queue::bury(database).await?;
        if sweep {
            queue::sweep(database).await?;
            notifications::sweep(database).await?;
        }
        metrics.look(database).await
    };
    within(LONGEST_SWEEP, tidied).await
}

/// For one job. What is longer is made of several.
const DEADLINE: Duration = Duration::from_secs(30);
/// For PostgreSQL to give jobs, and to take what came of one: twice that and a job's own time is less than a lease.
const LONGEST: Duration = Duration::from_secs(10);
/// For it to count, and to forget what is old.
const LONGEST_SWEEP: Duration = Duration::from_secs(60);
/// Between two looks when nobody wakes.
const LOOK: Duration = Duration::from_secs(1);
/// For jobs that are under way when the process is to end.
const GOODBYE: Duration = Duration::from_secs(5);
const COUNT_EVERY: Duration = Duration::from_secs(15);
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_database_that_says_nothing_holds_nobody_up() {
        // Takes connections, and never says a word.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("postgres://ana@{}/caudal", silent.local_addr().unwrap());
        let options = PgPoolOptions::new().acquire_timeout(Duration::from_secs(1_000));
        let database = options.connect_lazy(&url).unwrap();
        let metrics = JobMetrics::register(&Registry::new()).unwrap();
        let job = Claimed {
            id: Uuid::nil(),
            topic: String::new(),
            payload: Value::Null,
            attempts: 1,
            target: None,
            owner_id: None,
        };
        let began = Instant::now();
        assert!(claim(&database, Lane::ALL[0], 1, &Busy::default()).await.is_err());
        assert!(settle(&database, &job, Ok(Outcome::Done)).await.is_err());
        assert!(settle(&database, &job, Err("it failed".to_owned())).await.is_err());
        assert!(tidy(&database, &metrics, true).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
    }
}
