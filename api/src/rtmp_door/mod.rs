//! Whether publishers can come in, and for how much of the last 30 days they could. One replica at a time does each quarter of a
//! minute what every encoder does first. Where nobody probes, as while no api runs, nothing is known: that counts as neither.
//!
//! * `probe` – one look at the door
//! * `record` – what the looks found, in the database, and whose turn it is to look
//! * `metrics` – the same for Prometheus

mod metrics;
mod probe;
mod record;

use std::time::Duration;

use chrono::Utc;
use prometheus::Registry;
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::database::within;
use crate::start_error::StartError;
use metrics::DoorMetrics;
pub use probe::RtmpDoor;
use probe::{Closed, Probe};
use record::Turn;
pub(crate) use record::{forget_old, uptime};

/// Looks at the door, or leaves that to another replica.
pub(crate) struct Prober {
    probe: Probe,
    /// Between two looks.
    every: Duration,
    turn: Turn,
    metrics: DoorMetrics,
}

impl Prober {
    pub(crate) fn open(door: RtmpDoor, every: Duration, registry: &Registry) -> Result<Self, StartError> {
        let turn = Turn { replica: Uuid::now_v7(), lasts: every.saturating_mul(LOOKS_A_LEASE) };
        let metrics = DoorMetrics::register(registry)?;
        Ok(Self { probe: Probe::new(door)?, every, turn, metrics })
    }

    /// Runs until `shutdown`.
    pub(crate) async fn run(self, database: PgPool, shutdown: CancellationToken) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let looking = async {
            let mut told = Told::default();
            loop {
                ticks.tick().await;
                if let Err(error) = within(LONGEST, self.look(&database, &mut told)).await {
                    tracing::debug!(%error, "whether publishers can come in is not written down just now");
                    self.metrics.unknown();
                }
            }
        };
        shutdown.run_until_cancelled(looking).await;
    }

    async fn look(&self, database: &PgPool, told: &mut Told) -> Result<(), sqlx::Error> {
        if record::take(database, &self.turn).await? {
            let found = self.probe.look(DEADLINE).await;
            told.say(&self.probe, found.as_ref().err());
            record::found(database, &self.turn, found.is_ok(), Utc::now()).await?;
        } else {
            *told = Told::default();
        }
        let up = record::up(database, self.turn.lasts).await?;
        self.metrics.show(up, uptime(database, Utc::now()).await?);
        Ok(())
    }
}

/// What the log says already.
#[derive(Default)]
struct Told {
    closed: bool,
}

impl Told {
    fn say(&mut self, probe: &Probe, closed: Option<&Closed>) {
        let was_closed = std::mem::replace(&mut self.closed, closed.is_some());
        match closed {
            Some(reason) if !was_closed => {
                tracing::warn!(%reason, door = %probe.door(), "publishers cannot come in");
            }
            None if was_closed => tracing::info!(door = %probe.door(), "publishers can come in again"),
            _ => {}
        }
    }
}

/// As long as an encoder waits for an answer, by and large.
const DEADLINE: Duration = Duration::from_secs(5);
/// For a look with all that is written down of it.
const LONGEST: Duration = Duration::from_secs(15);
/// A replica that misses so many looks has lost its turn.
const LOOKS_A_LEASE: u32 = 3;
