//! When the next broadcast leaves an outdated worker, and whether its pool has a place for that.

use std::sync::Arc;
use std::time::Duration;

use caudal_kubernetes::WorkerPool;
use caudal_kubernetes::live_stream::Rung;
use tokio::time::Instant;

use crate::build::{self, PodSettings};
use crate::pods::WorkerPod;

/// Moves begin one at a time and as far apart as they can be, so that no minute begins with a burst.
pub(super) struct Pace {
    /// None when nothing is moved.
    apart: Option<Duration>,
    not_before: Instant,
}

impl Pace {
    /// The first move is as far from `now` as from a move: an earlier leader may just have begun one.
    pub(super) fn new(moves_per_minute: u32, now: Instant) -> Self {
        let apart = Duration::from_mins(1).checked_div(moves_per_minute);
        Self { apart, not_before: now + apart.unwrap_or_default() }
    }

    /// The one of `due`, which is in the order of turns, that begins now.
    pub(super) fn next<T>(&mut self, due: Vec<T>, now: Instant) -> Option<T> {
        let apart = self.apart.filter(|_| self.not_before <= now)?;
        let next = due.into_iter().next()?;
        self.not_before = now + apart;
        Some(next)
    }
}

/// Whether a worker is made otherwise than one in its place would be now, for a broadcast with these renditions.
pub(super) fn is_outdated(
    pod: &WorkerPod,
    pool: &WorkerPool,
    renditions: &[Rung],
    settings: &PodSettings,
) -> bool {
    pod.hash != build::hash(&build::large_enough(pool, renditions), settings)
}

/// Whether one more broadcast of a pool may be moved while `under_way` of it are being moved. Not while an outdated worker still waits: it might
/// get the broadcast. That is also what keeps broadcasts off an image that does not start.
pub(super) fn has_place(pool: &WorkerPool, hash: &str, pods: &[Arc<WorkerPod>], under_way: usize) -> bool {
    let outdated_waits = pods
        .iter()
        .any(|pod| pod.ours && pod.idle && !pod.ended && !pod.leaving && pod.hash.as_str() != hash);
    !outdated_waits && u32::try_from(under_way).is_ok_and(|under_way| under_way < pool.spec.move_surge)
}

#[cfg(test)]
mod tests {
    use caudal_kubernetes::worker_pool::Template;
    use caudal_livestream::{Epoch, StreamId, WorkerId};
    use serde_json::json;

    use super::*;
    use crate::build::tests::{ladder, pool, settings};
    use crate::pods::SetUp;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The seconds at which moves begin of what is always due, with a look each second.
    fn begun(moves_per_minute: u32, due: impl Fn(u64) -> usize) -> Vec<u64> {
        let start = Instant::now();
        let mut pace = Pace::new(moves_per_minute, start);
        (0..=60).filter(|at| pace.next(vec![(); due(*at)], start + seconds(*at)).is_some()).collect()
    }

    #[test]
    fn moves_begin_evenly_spread_and_the_first_as_long_after_the_leader_as_after_a_move() {
        assert_eq!(begun(0, |_| 5), Vec::<u64>::new());
        assert_eq!(begun(1, |_| 5), [60]);
        assert_eq!(begun(4, |_| 5), [15, 30, 45, 60]);
        // A look each second: never faster than was set, and a little slower where a minute does not divide well.
        assert_eq!(begun(40, |_| 5).len(), 30);
        assert_eq!(begun(60, |_| 5), (1..=60).collect::<Vec<_>>());
    }

    #[test]
    fn a_time_without_anything_due_is_not_made_up_for() {
        assert_eq!(begun(4, |at| if at < 40 { 0 } else { 5 }), [40, 55]);
    }

    #[test]
    fn the_first_in_turn_begins() {
        let start = Instant::now();
        let mut pace = Pace::new(60, start);
        assert_eq!(pace.next(vec!["first", "second"], start + seconds(1)), Some("first"));
    }

    fn pod(hash: &str, change: impl FnOnce(&mut WorkerPod)) -> Arc<WorkerPod> {
        let mut pod = WorkerPod {
            name: "w-hd-0".to_owned(),
            worker: WorkerId::generate(),
            version: 1,
            pool: "hd".to_owned(),
            hash: hash.to_owned(),
            millicores: None,
            ours: true,
            claim: None,
            mislabelled: false,
            stray: false,
            idle: true,
            owner: None,
            address: Some([10, 0, 0, 1].into()),
            node: None,
            tolerates: Vec::new(),
            ready: true,
            silent_since: None,
            leaving: false,
            ends_by: None,
            ended: false,
            ended_by_node: false,
            end: None,
            set_up: SetUp::Done,
            runs: true,
            trouble: None,
            unschedulable: None,
            created: 0,
        };
        change(&mut pod);
        Arc::new(pod)
    }

    #[test]
    fn a_worker_that_is_as_large_as_its_broadcast_needs_is_not_outdated_because_the_pools_ladder_is_smaller_now()
     {
        let large = pool(Template::default());
        let mut small = large.clone();
        small.spec.ladder.clear();
        let other_image = PodSettings { image: "example.org/caudal:0.2.0".to_owned(), ..settings() };
        let worker = pod(&build::hash(&large, &settings()), |_| {});
        let outdated = |pool: &WorkerPool, renditions: &[Rung], settings: &PodSettings| {
            is_outdated(&worker, pool, renditions, settings)
        };
        assert!(!outdated(&small, &ladder(), &settings()));
        assert!(outdated(&small, &[], &settings()), "its broadcast needs less");
        assert!(outdated(&small, &ladder(), &other_image));
        assert!(!outdated(&large, &[], &settings()), "a broadcast without rungs may have it");
    }

    #[test]
    fn a_pool_has_as_many_places_as_its_surge_and_none_while_an_outdated_worker_waits() {
        let claimed = |pod: &mut WorkerPod| {
            (pod.claim, pod.idle) = (Some((StreamId::generate(), Epoch(1))), false);
        };
        for (surge, under_way, pods, has) in [
            (2, 0, vec![], true),
            (2, 1, vec![pod("new", |_| {}), pod("old", claimed)], true),
            (2, 2, vec![], false),
            (0, 0, vec![], false),
            (2, 0, vec![pod("new", |_| {}), pod("old", |_| {})], false),
            (2, 0, vec![pod("old", |pod| pod.ready = false)], false),
            (2, 0, vec![pod("old", |pod| pod.ours = false)], true),
            (2, 0, vec![pod("old", |pod| pod.leaving = true), pod("old", |pod| pod.ended = true)], true),
        ] {
            let pool = json!({
                "apiVersion": "caudal.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": "hd" },
                "spec": { "maxWorkers": 5, "moveSurge": surge, "warm": { "min": 1, "percentOfLive": 0, "max": 1 } },
            });
            let pool: WorkerPool = serde_json::from_value(pool).unwrap();
            assert_eq!(has_place(&pool, "new", &pods, under_way), has, "{surge} {under_way} {pods:?}");
        }
    }
}
