//! What waits, for how long, and what came of it.

use prometheus::{GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use sqlx::PgPool;

use super::job::Lane;

#[derive(Clone)]
pub(super) struct JobMetrics {
    waiting: IntGaugeVec,
    oldest: GaugeVec,
    dead: IntGauge,
    ended: IntCounterVec,
}

impl JobMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let waiting = IntGaugeVec::new(
            Opts::new("caudal_api_jobs_waiting", "Jobs of all replicas that are not done yet, by lane."),
            &["lane"],
        )?;
        let oldest = GaugeVec::new(
            Opts::new(
                "caudal_api_jobs_overdue_seconds",
                "For how long the most overdue job is, by lane, but for those that ask somebody's server.",
            ),
            &["lane"],
        )?;
        let dead = IntGauge::new("caudal_api_jobs_dead", "Jobs that were given up and not looked at yet.")?;
        let ended = IntCounterVec::new(
            Opts::new("caudal_api_jobs_total", "Tries of this replica, by topic and by what came of them."),
            &["topic", "outcome"],
        )?;
        registry.register(Box::new(waiting.clone()))?;
        registry.register(Box::new(oldest.clone()))?;
        registry.register(Box::new(dead.clone()))?;
        registry.register(Box::new(ended.clone()))?;
        Ok(Self { waiting, oldest, dead, ended })
    }

    /// `outcome` is `done` or `failed`.
    pub(super) fn ended(&self, topic: &str, outcome: &str) {
        self.ended.with_label_values(&[topic, outcome]).inc();
    }

    /// Looks at the table, which is the same for all replicas. Jobs that wait for their turn at a slow host are nothing that an
    /// operator could do something about.
    pub(super) async fn look(&self, database: &PgPool) -> Result<(), sqlx::Error> {
        let lanes = sqlx::query!(
            r#"select lane, count(*) as "waiting!",
                      greatest(extract(epoch from now() - min(next_at) filter (where target is null)), 0)::float8 as "overdue!"
               from outbox where dead_at is null group by lane"#
        )
        .fetch_all(database)
        .await?;
        for lane in Lane::ALL {
            let found = lanes.iter().find(|row| row.lane == lane.as_str());
            self.waiting.with_label_values(&[lane.as_str()]).set(found.map_or(0, |row| row.waiting));
            self.oldest.with_label_values(&[lane.as_str()]).set(found.map_or(0.0, |row| row.overdue));
        }
        let dead = sqlx::query_scalar!(r#"select count(*) as "dead!" from outbox where dead_at is not null"#);
        self.dead.set(dead.fetch_one(database).await?);
        Ok(())
    }
}
