//! Over an API server of this process.

use caudal_controller::WallClock;
use std::time::{SystemTime, UNIX_EPOCH};

use caudal_kubernetes::fake_server::FakeServer;
use caudal_kubernetes::watching::News;
use caudal_kubernetes::worker_pool::Template;
use serde_json::Value;

use super::*;
use crate::build::tests::{pool, settings};
use crate::server_clock::{ServerClock, tests::server};

/// 2026-11-27 12:00:00 UTC.
const NOON: u64 = 1_795_780_800;

/// A cluster with one idle worker more than is needed, both of them made at noon.
fn at_noon() -> (FakeServer, Pods, WorkerPool) {
    let (cluster, pods, mut pool) = (FakeServer::new(), Pods::default(), pool(Template::default()));
    (pool.spec.warm.min, pool.spec.warm.percent_of_live, pool.spec.warm.max) = (1, 0, 1);
    let made = cluster.create("workerpools", serde_json::to_value(&pool).unwrap());
    pool.metadata.resource_version = made["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    for place in 0..2 {
        let mut pod = serde_json::to_value(build::warm(&pool, place, &settings())).unwrap();
        pod["status"] = json!({ "phase": "Running", "podIP": "10.1.2.4", "conditions": [{ "type": "Ready", "status": "True" }] });
        let name = cluster.create("pods", pod)["metadata"]["name"].as_str().unwrap().to_owned();
        let pod = cluster.change("pods", &name, |pod| {
            pod["metadata"]["creationTimestamp"] = json!("2026-11-27T12:00:00Z");
        });
        pods.take(News::Is(Box::new(serde_json::from_value(pod).unwrap())));
    }
    pods.take(News::Whole);
    (cluster, pods, pool)
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_clock_is_half_a_minute_off_takes_no_worker_for_older_or_younger_than_it_is() {
    for (date, age, surplus_stays) in
        [("Fri, 27 Nov 2026 12:00:50 GMT", 50, true), ("Fri, 27 Nov 2026 12:01:05 GMT", 65, false)]
    {
        for off in [-30, 0, 30] {
            let machine = UNIX_EPOCH + Duration::from_secs((NOON + age).checked_add_signed(off).unwrap());
            let machine: WallClock = Arc::new(move || -> SystemTime { machine });
            let wall = ServerClock::measured(&server(date), &machine).await.unwrap().wall();
            let clock = TermClock::start(&wall);
            let (cluster, pods, pool) = at_noon();
            let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
            let client = cluster.client();
            let mut refill = Refill::new(&client, pods, Pools::default(), settings(), metrics, clock);
            refill.look("default", &pool).await;
            let there = |place| {
                let pod = cluster.get("pods", &caudal_kubernetes::names::warm_pod("default", place)).unwrap();
                pod["metadata"]["deletionTimestamp"].is_null()
            };
            assert_eq!(there(0) && there(1), surplus_stays, "{date} {off}");
            let pool: Value = cluster.get("workerpools", "default").unwrap();
            let changed = &pool["status"]["conditions"][0]["lastTransitionTime"];
            let at = if age == 50 { "2026-11-27T12:00:50Z" } else { "2026-11-27T12:01:05Z" };
            assert_eq!(changed, at, "{off}");
        }
    }
}
