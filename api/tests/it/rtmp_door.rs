//! Whether publishers can come in, as the api finds out and shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use caudal_api::RtmpDoor;
use caudal_rtmp::{Limits, PublisherConnection};
use prometheus::{Registry, TextEncoder};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::database::TestDatabase;
use crate::running::Running;

/// Lets publishers in, as far as the api goes.
struct Door {
    at: RtmpDoor,
    visits: Arc<AtomicU32>,
    serving: AbortOnDropHandle<()>,
}

impl Door {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let visits = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&visits);
        let serving = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                // Nobody asks to publish.
                PublisherConnection::accept_tcp(socket, Limits::default()).await.unwrap_err();
            }
        }));
        Self { at: RtmpDoor { host: "127.0.0.1".into(), port, tls: false }, visits, serving }
    }
}

/// A replica that looks at the door, and its metrics.
async fn replica(database: &Arc<TestDatabase>, door: &Door) -> (Running, Registry) {
    let registry = Registry::new();
    let running = Running::replica(Arc::clone(database), |config| {
        config.rtmp_door = Some(door.at.clone());
        config.deadlines.rtmp_probe = EVERY;
        config.registry = registry.clone();
    });
    (running.await, registry)
}

async fn until_metric(registry: &Registry, line: &str) {
    let mut last = String::new();
    let shown = async {
        while !last.lines().any(|one| one == line) {
            tokio::task::yield_now().await;
            last = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        }
    };
    let shown = tokio::time::timeout(Duration::from_secs(20), shown).await;
    assert!(shown.is_ok(), "no {line} in {last}");
}

#[tokio::test]
async fn one_replica_looks_another_goes_on_and_all_say_what_was_found() {
    let database = Arc::new(TestDatabase::create().await);
    let door = Door::open().await;
    let began = Instant::now();
    let (one, metrics_of_one) = replica(&database, &door).await;
    database.says("select sum(probes) > 0 from rtmp_uptime").await;
    let (other, metrics_of_other) = replica(&database, &door).await;
    database.says("select sum(probes) >= 8 from rtmp_uptime").await;
    let (visits, took) = (door.visits.load(Ordering::Relaxed), began.elapsed());
    let at_most = took.as_millis() / EVERY.as_millis() + 1;
    assert!(u128::from(visits) <= at_most, "{visits} looks in {took:?}: more than one replica takes");
    for metrics in [&metrics_of_one, &metrics_of_other] {
        until_metric(metrics, "caudal_api_rtmp_door_up 1").await;
        until_metric(metrics, "caudal_api_rtmp_uptime_ratio 1").await;
    }
    one.shutdown.cancel();
    one.task.await.unwrap().unwrap();
    sqlx::query("delete from rtmp_uptime").execute(&database.pool).await.unwrap();
    database.says("select sum(probes) > 1 from rtmp_uptime").await;
    drop(door.serving);
    database.says("select not up from rtmp_prober").await;
    until_metric(&metrics_of_other, "caudal_api_rtmp_door_up 0").await;
    let boss = other.register_admin("boss").await;
    let uptime = boss.get("/api/admin/figures").await.json["rtmpUptime"].as_f64().unwrap();
    assert!(uptime > 0.0 && uptime < 1.0, "{uptime}");
}

#[tokio::test]
async fn the_figures_are_of_30_days_and_nothing_is_kept_for_longer() {
    let registry = Registry::new();
    let api = Running::start_with(|config| {
        config.registry = registry.clone();
        config.deadlines.tidy = Duration::from_millis(100);
    })
    .await;
    let boss = api.register_admin("boss").await;
    assert_eq!(boss.get("/api/admin/figures").await.json["rtmpUptime"], Value::Null, "nobody has looked");
    api.database
        .execute(
            "insert into rtmp_uptime (hour, probes, up) values
             (date_trunc('hour', now(), 'UTC') - interval '31 days', 240, 0),
             (date_trunc('hour', now(), 'UTC') - interval '29 days', 240, 240),
             (date_trunc('hour', now(), 'UTC'), 60, 30)",
        )
        .await;
    assert_eq!(boss.get("/api/admin/figures").await.json["rtmpUptime"], 0.9);
    api.database.says("select count(*) = 2 from rtmp_uptime").await;
    let metrics = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    assert!(!metrics.contains("caudal_api_rtmp"), "there is no door to look at");
}

const EVERY: Duration = Duration::from_millis(500);
