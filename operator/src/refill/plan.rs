//! What is to be done for a pool, from its spec and its pods alone.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use caudal_kubernetes::WorkerPool;
use caudal_kubernetes::WorkerPoolStatus;
use caudal_kubernetes::names::{POOL_LABEL, warm_pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use crate::nodes::Emptied;
use crate::pods::{SetUp, WorkerPod};
use caudal_kubernetes::names::is_paused;

/// What the plan is made from besides the pool and its pods.
pub(super) struct Seen<'a> {
    /// Of a pod that would be made now.
    pub(super) hash: &'a str,
    /// In seconds since 1970, by the API server's clock.
    pub(super) now: i64,
    /// After how many seconds a pod that does not come up on its node is given up.
    pub(super) stuck_seconds: i64,
    /// The names of pods that are in the pool's way and none of the operator's.
    pub(super) foreign: BTreeSet<String>,
    /// Why a pod is to leave its node, if it is; none where nobody watches the nodes.
    pub(super) must_leave: Option<MustLeave<'a>>,
}

type MustLeave<'a> = &'a dyn Fn(&WorkerPod) -> Option<Emptied>;

impl Seen<'_> {
    fn must_leave(&self, pod: &WorkerPod) -> Option<Emptied> {
        self.must_leave.and_then(|must_leave| must_leave(pod))
    }

    fn is_silent(&self, pod: &WorkerPod) -> bool {
        pod.silent_since.is_some_and(|since| self.now.saturating_sub(since) >= SILENT_SECONDS)
    }

    /// Whether its node, or what it needs there, keeps it from coming up. A large image that is being pulled is not that.
    fn is_stuck(&self, pod: &WorkerPod) -> bool {
        let waits_for_node = pod.node.is_some() && !pod.runs && !pod.ready && pod.set_up != SetUp::Done;
        waits_for_node && self.now.saturating_sub(pod.created) >= self.stuck_seconds
    }
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) struct Plan {
    /// The places of warm pods that are to be created.
    pub(super) create: Vec<u32>,
    /// Pods that nobody needs.
    pub(super) delete: Vec<Arc<WorkerPod>>,
    /// Those of them that ended by themselves, or did not come up. One that its node has ended says nothing of the next.
    pub(super) failed: Vec<Arc<WorkerPod>>,
    /// Warm workers that are to be there and are not, whether there is room for them or not.
    pub(super) missing: u32,
    /// How the pool stands, before any of that.
    pub(super) status: WorkerPoolStatus,
}

/// An outdated pod goes once enough new ones are ready, or where there is no room for a new one beside it ([`for_room`]). A surplus is given a
/// minute, in which broadcasts that end and begin may want it. One that is to leave its node, has fallen silent, or does not come up on
/// its node, is no good to anybody, nor is one whose labels say neither that it waits nor that it has a broadcast.
pub(super) fn plan(pool: &WorkerPool, pods: &[Arc<WorkerPod>], seen: &Seen<'_>) -> Plan {
    let of = |wanted: &dyn Fn(&WorkerPod) -> bool| {
        pods.iter().filter(|pod| !pod.ended && !pod.leaving && wanted(pod)).cloned().collect::<Vec<_>>()
    };
    let claimed = of(&|pod| pod.claim.is_some());
    let is_of_use =
        |pod: &WorkerPod| seen.must_leave(pod).is_none() && !seen.is_silent(pod) && !seen.is_stuck(pod);
    let idle = of(&|pod| pod.idle && is_of_use(pod));
    let is_new = |pod: &Arc<WorkerPod>| pod.hash == seen.hash;
    let (mut fresh, mut outdated): (Vec<_>, Vec<_>) = idle.iter().cloned().partition(is_new);
    let ready = fresh.iter().filter(|pod| pod.is_claimable()).count();

    let spec = &pool.spec;
    let most = size(spec.max_workers);
    let wanted = size(spec.warm.wanted(count(claimed.len()))).min(most.saturating_sub(claimed.len()));
    // Those that are ending have their places until they are gone, or should be.
    let is_there = |pod: &&Arc<WorkerPod>| !pod.ended && !pod.is_overdue(seen.now);
    let there = pods.iter().filter(is_there).count();
    let leaving = pods.iter().filter(is_there).filter(|pod| pod.leaving && pod.claim.is_none()).count();
    let missing = wanted.saturating_sub(fresh.len());
    let room = most.saturating_add(size(spec.move_surge)).saturating_sub(there);

    let mut delete: Vec<_> =
        pods.iter().filter(|pod| pod.ended && pod.idle && !pod.leaving).cloned().collect();
    delete.extend(of(&|pod| pod.idle && !is_of_use(pod)));
    let failed = |pod: &&Arc<WorkerPod>| (pod.ended && !pod.ended_by_node) || seen.is_stuck(pod);
    let failed = delete.iter().filter(failed).cloned().collect();
    outdated.sort_by_key(|pod| (pod.is_claimable(), pod.created));
    if ready >= wanted {
        delete.append(&mut outdated);
    } else {
        let turn = Turn {
            lacking: missing.saturating_sub(room).saturating_sub(leaving),
            new_ones: if room > 0 || leaving > 0 || ready < fresh.len() {
                NewOnes::OnTheirWay
            } else if ready > 0 {
                NewOnes::Wait
            } else {
                NewOnes::None
            },
            surge: size(spec.move_surge),
        };
        delete.extend(outdated.drain(..for_room(&outdated, turn)));
    }
    // The newest go: the others' images and caches are warm.
    fresh.sort_by_key(|pod| (pod.is_claimable(), std::cmp::Reverse(pod.created)));
    let surplus = fresh.len().saturating_sub(wanted);
    let old_enough = |pod: &&Arc<WorkerPod>| seen.now.saturating_sub(pod.created) >= SURPLUS_SECONDS;
    delete.extend(fresh.iter().take(surplus).filter(old_enough).cloned());
    let stray = pods.iter().filter(|pod| pod.stray && !pod.leaving);
    delete.extend(stray.filter(old_enough).cloned());

    let ours = pods.iter().map(|pod| pod.name.as_str());
    let names: HashSet<&str> = ours.chain(seen.foreign.iter().map(String::as_str)).collect();
    let name = pool.metadata.name.clone().unwrap_or_default();
    let free = (0..u32::MAX).filter(|place| !names.contains(warm_pod(&name, *place).as_str()));
    let create = free.take(missing.min(room).min(AT_ONCE)).collect();

    let claimable = idle.iter().filter(|pod| pod.is_claimable()).count();
    let mut status = WorkerPoolStatus {
        observed_generation: pool.metadata.generation,
        workers: count(claimed.len().saturating_add(idle.len())),
        idle: count(claimable),
        claimed: count(claimed.len()),
        starting: count(idle.len().saturating_sub(claimable)),
        outdated: count(pods.iter().filter(|pod| !pod.ended && !is_new(pod)).count()),
        selector: Some(format!("{POOL_LABEL}={name}")),
        conditions: Vec::new(),
    };
    // By the server's clock, which keeps whole seconds.
    let now = Timestamp::from_second(seen.now).unwrap_or(Timestamp::UNIX_EPOCH);
    let condition = |kind: &str, status: &str, reason: &str, message: String| Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: pool.metadata.generation,
        last_transition_time: Time(now),
    };
    let unschedulable = idle.iter().find_map(|pod| pod.unschedulable.clone());
    let (is_ready, reason, message) = if claimable >= wanted {
        ("True", "WarmWorkersReady", format!("{claimable} of {wanted} workers wait"))
    } else if let Some(words) = unschedulable {
        ("False", "Unschedulable", words)
    } else if claimed.len() >= most {
        ("False", "Full", format!("all of {most} workers have a broadcast"))
    } else {
        ("False", "Starting", format!("{claimable} of {wanted} workers wait"))
    };
    status.conditions.push(condition("Ready", is_ready, reason, message));
    let (is_draining, reason, message) = draining(&claimed, seen);
    status.conditions.push(condition("Draining", is_draining, reason, message));
    let paused = is_paused(pool);
    let (answer, reason, words) = if paused {
        (
            "True",
            "Annotated",
            "no worker is made or replaced until somebody needs one, and no broadcast is moved",
        )
    } else {
        ("False", "NotPaused", "the operator keeps this pool as it is to be")
    };
    status.conditions.push(condition("Paused", answer, reason, words.to_owned()));
    let (answer, reason, words) = foreign(&seen.foreign);
    status.conditions.push(condition("ForeignPods", answer, reason, words));
    if paused {
        return Plan { create: Vec::new(), delete: Vec::new(), failed: Vec::new(), missing: 0, status };
    }
    Plan { create, delete, failed, missing: count(missing), status }
}

/// How far a pool without enough room is with replacing its outdated pods.
struct Turn {
    /// How many new ones have no place, with those places that become free by themselves.
    lacking: usize,
    new_ones: NewOnes,
    surge: usize,
}

/// What there is of new ones.
enum NewOnes {
    /// Some start, or have a place to start in.
    OnTheirWay,
    /// All that have a place can be claimed.
    Wait,
    None,
}

/// How many outdated pods, from the first, make room for new ones. Those that cannot be claimed do at once. Those that can serve whoever comes
/// next, so they go by turns of the pool's surge, each once the new ones of the turn before can be claimed: an image that does not start costs
/// no more than a turn, and where there is a surge not the last of them, because what takes the surge now will be gone soon.
fn for_room(outdated: &[Arc<WorkerPod>], Turn { lacking, new_ones, surge }: Turn) -> usize {
    let useless = outdated.iter().filter(|pod| !pod.is_claimable()).count();
    let spared = match new_ones {
        NewOnes::OnTheirWay => usize::MAX,
        NewOnes::None if surge > 0 => 1,
        NewOnes::None | NewOnes::Wait => 0,
    };
    let claimable = outdated.len().saturating_sub(useless).saturating_sub(spared).min(surge.max(1));
    lacking.min(useless.saturating_add(claimable))
}

/// Whether broadcasts are on nodes that are being emptied, and how many on which.
fn draining(claimed: &[Arc<WorkerPod>], seen: &Seen<'_>) -> (&'static str, &'static str, String) {
    let Some(must_leave) = seen.must_leave else {
        return ("Unknown", "NodesNotSeen", "the operator does not see the nodes".to_owned());
    };
    let mut nodes = BTreeMap::<&str, (Emptied, usize)>::new();
    for pod in claimed {
        if let Some((node, why)) = pod.node.as_deref().zip(must_leave(pod)) {
            nodes.entry(node).or_insert((why, 0)).1 += 1;
        }
    }
    if nodes.is_empty() {
        return ("False", "NothingToMove", "no broadcast is on a node that is being emptied".to_owned());
    }
    let all = nodes.len();
    let mut words: Vec<_> = nodes
        .into_iter()
        .take(NODES_NAMED)
        .map(|(node, (why, workers))| format!("{node} ({why}): {workers} to move"))
        .collect();
    if all > NODES_NAMED {
        words.push(format!("and so on, {all} nodes"));
    }
    ("True", "NodesAreEmptied", words.join("; "))
}

/// Whether pods are there that are taken for workers by their labels or names, and are none.
fn foreign(names: &BTreeSet<String>) -> (&'static str, &'static str, String) {
    if names.is_empty() {
        return ("False", "AllMadeByOperator", "the operator has made every pod of this pool".to_owned());
    }
    let mut words: Vec<_> = names.iter().take(PODS_NAMED).cloned().collect();
    if names.len() > PODS_NAMED {
        words.push(format!("and so on, {} pods", names.len()));
    }
    let words = format!("no workers, left alone, and counted as nothing: {}", words.join(", "));
    ("True", "NotMadeByOperator", words)
}

/// Says why no workers wait, where that is known better than from their pods.
pub(super) fn say(status: &mut WorkerPoolStatus, reason: &str, message: &str) {
    if let Some(ready) = status.conditions.first_mut().filter(|ready| ready.status != "True") {
        reason.clone_into(&mut ready.reason);
        message.clone_into(&mut ready.message);
    }
}

/// A condition's time is that of its last change.
pub(super) fn keep_times(status: &mut WorkerPoolStatus, before: Option<&WorkerPoolStatus>) {
    for condition in &mut status.conditions {
        let before = before.iter().flat_map(|before| &before.conditions);
        if let Some(before) = before.into_iter().find(|before| before.type_ == condition.type_)
            && before.status == condition.status
        {
            condition.last_transition_time = before.last_transition_time.clone();
        }
    }
}

fn count(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

fn size(of: u32) -> usize {
    usize::try_from(of).unwrap_or(usize::MAX)
}

/// Longer than a machine with too much to do makes its probes wait.
const SILENT_SECONDS: i64 = 10;
/// Between two broadcasts of an evening.
const SURPLUS_SECONDS: i64 = 60;
/// What is read at a glance.
const NODES_NAMED: usize = 5;
const PODS_NAMED: usize = 5;
/// So that a pool that was made large does not keep the claims waiting.
const AT_ONCE: usize = 10;

#[cfg(test)]
pub(super) mod tests {
    use caudal_kubernetes::names::PAUSED_ANNOTATION;
    use caudal_livestream::{Epoch, StreamId, WorkerId};
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;
    const SEEN: Seen<'_> = Seen {
        hash: "new",
        now: NOW,
        stuck_seconds: 180,
        foreign: BTreeSet::new(),
        must_leave: Some(&|pod| on_the_cordoned(pod)),
    };

    fn on_the_cordoned(pod: &WorkerPod) -> Option<Emptied> {
        pod.node.as_ref().filter(|node| node.starts_with("cordoned")).map(|_| Emptied::Cordoned)
    }

    fn pool(max: u32, surge: u32, warm: u32) -> WorkerPool {
        let pool = json!({
            "apiVersion": "caudal.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": "hd", "generation": 3 },
            "spec": { "maxWorkers": max, "moveSurge": surge, "warm": { "min": warm, "percentOfLive": 0, "max": warm } },
        });
        serde_json::from_value(pool).unwrap()
    }

    pub(in crate::refill) fn pod(name: &str, change: impl FnOnce(&mut WorkerPod)) -> Arc<WorkerPod> {
        let mut pod = WorkerPod {
            name: name.to_owned(),
            worker: WorkerId::generate(),
            version: 1,
            pool: "hd".to_owned(),
            hash: "new".to_owned(),
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
            unschedulable: None,
            trouble: None,
            set_up: SetUp::Done,
            runs: true,
            end: None,
            created: NOW - 600,
        };
        change(&mut pod);
        Arc::new(pod)
    }

    fn claim(pod: &mut WorkerPod) {
        (pod.claim, pod.idle) = (Some((StreamId::generate(), Epoch(1))), false);
    }

    fn planned(pool: &WorkerPool, pods: &[Arc<WorkerPod>]) -> (Vec<u32>, Vec<String>) {
        let plan = plan(pool, pods, &SEEN);
        (plan.create, plan.delete.iter().map(|pod| pod.name.clone()).collect())
    }

    #[test]
    fn a_pod_that_should_have_ended_by_now_takes_no_room() {
        let leaving = |by: i64| {
            pod("w-hd-9", move |pod| {
                claim(pod);
                (pod.leaving, pod.ends_by) = (true, Some(by));
            })
        };
        assert_eq!(planned(&pool(1, 0, 1), &[leaving(NOW - 4)]), (vec![], vec![]));
        assert_eq!(planned(&pool(1, 0, 1), &[leaving(NOW - 5)]), (vec![0], vec![]));
    }

    #[test]
    fn one_that_has_lost_its_label_and_never_had_a_broadcast_makes_room_after_a_minute() {
        let stray = |created: i64| {
            pod("w-hd-0", move |pod| (pod.idle, pod.stray, pod.created) = (false, true, created))
        };
        assert_eq!(planned(&pool(1, 0, 1), &[stray(NOW - 59)]), (vec![], vec![]));
        assert_eq!(planned(&pool(1, 0, 1), &[stray(NOW - 60)]), (vec![], vec!["w-hd-0".to_owned()]));
    }

    #[test]
    fn as_many_wait_as_are_to_in_the_first_free_places_and_within_the_pools_room() {
        assert_eq!(planned(&pool(20, 0, 3), &[]), (vec![0, 1, 2], vec![]));
        let taken = [pod("w-hd-1", |_| {}), pod("w-hd-0", claim)];
        assert_eq!(planned(&pool(20, 0, 3), &taken), (vec![2, 3], vec![]));
        // Another broadcast is all that there is room for.
        let busy = [pod("a", claim), pod("b", claim)];
        assert_eq!(planned(&pool(3, 5, 3), &busy), (vec![0], vec![]));
        assert_eq!(planned(&pool(2, 5, 3), &busy), (vec![], vec![]));
        // One that is ending has its place, and its name.
        let ending = [pod("w-hd-0", |pod| pod.leaving = true)];
        assert_eq!(planned(&pool(1, 0, 1), &ending), (vec![], vec![]));
        assert_eq!(planned(&pool(1, 1, 1), &ending), (vec![1], vec![]));
    }

    #[test]
    fn an_outdated_one_goes_once_enough_new_ones_wait_or_where_there_is_no_room_for_one_beside_it() {
        let old = |name: &str| pod(name, |pod| pod.hash = "old".to_owned());
        let starting = |name: &str| pod(name, |pod| pod.ready = false);
        assert_eq!(planned(&pool(9, 0, 1), &[old("w-hd-0")]), (vec![1], vec![]));
        assert_eq!(planned(&pool(9, 0, 1), &[old("w-hd-0"), starting("w-hd-1")]), (vec![], vec![]));
        let replaced = [old("w-hd-0"), pod("w-hd-1", |_| {})];
        assert_eq!(planned(&pool(9, 0, 1), &replaced), (vec![], vec!["w-hd-0".to_owned()]));
        assert_eq!(planned(&pool(1, 0, 1), &[old("w-hd-0")]), (vec![], vec!["w-hd-0".to_owned()]));
        // A live one is nobody's to replace here.
        let live = pod("w-hd-0", |pod| {
            claim(pod);
            pod.hash = "old".to_owned();
        });
        assert_eq!(planned(&pool(9, 0, 0), &[live]), (vec![], vec![]));
    }

    #[test]
    fn outdated_ones_that_wait_make_room_by_turns_of_the_surge_and_each_turn_waits_for_the_new_ones_of_the_last()
     {
        let live: Vec<_> = (0..40).map(|place| pod(&format!("live-{place}"), claim)).collect();
        let old = |leaving| {
            pod("old", move |pod| {
                pod.hash = "old".to_owned();
                pod.leaving = leaving;
            })
        };
        let new = |ready| pod("new", move |pod| pod.ready = ready);
        // How many are made and deleted in a pool of 50 places, of which 10 are for those that wait: `old` ones, of which some are
        // `leaving`, and new ones that are `starting` or `ready`.
        for (surge, [waiting, leaving, starting, ready], expected) in [
            // The surge is room enough to begin in.
            (5, [10, 0, 0, 0], (5, 0)),
            (5, [10, 0, 5, 0], (0, 0)),
            (5, [10, 0, 0, 5], (0, 5)),
            (5, [5, 5, 0, 5], (0, 0)),
            (5, [5, 0, 0, 5], (5, 0)),
            (5, [5, 0, 0, 10], (0, 5)),
            // Without one, each new one costs an old one first.
            (0, [10, 0, 0, 0], (0, 1)),
            (0, [9, 1, 0, 0], (0, 0)),
            (0, [9, 0, 0, 0], (1, 0)),
            (0, [9, 0, 1, 0], (0, 0)),
            (0, [9, 0, 0, 1], (0, 1)),
        ] {
            let of = |many: usize, pod: Arc<WorkerPod>| std::iter::repeat_n(pod, many);
            let mut pods = live.clone();
            pods.extend(of(waiting, old(false)).chain(of(leaving, old(true))));
            pods.extend(of(starting, new(false)).chain(of(ready, new(true))));
            let (create, delete) = planned(&pool(50, surge, 10), &pods);
            let counts = (surge, waiting, leaving, starting, ready);
            assert_eq!((create.len(), delete.len()), expected, "{counts:?}");
        }
    }

    #[test]
    fn the_last_one_that_can_be_claimed_stays_while_moves_have_the_surge_and_one_that_cannot_goes() {
        let old = |name: &str, ready| {
            pod(name, move |pod| {
                pod.hash = "old".to_owned();
                pod.ready = ready;
            })
        };
        let moving = [pod("a", claim), pod("b", claim)];
        let with = |old: &[Arc<WorkerPod>]| planned(&pool(3, 1, 2), &[&moving[..], old].concat());
        assert_eq!(with(&[old("c", true), old("d", true)]), (vec![], vec!["c".to_owned()]));
        let moved_away = pod("c", |pod| {
            claim(pod);
            pod.leaving = true;
        });
        let moving = [pod("a", claim), pod("b", claim), moved_away];
        let with = |old: &[Arc<WorkerPod>]| planned(&pool(3, 1, 2), &[&moving[..], old].concat());
        assert_eq!(with(&[old("d", true)]), (vec![], vec![]));
        assert_eq!(with(&[old("d", false)]), (vec![], vec!["d".to_owned()]));
    }

    #[test]
    fn one_that_has_fallen_silent_makes_way_for_another() {
        let silent = |since| pod("w-hd-0", |pod| (pod.ready, pod.silent_since) = (false, Some(since)));
        assert_eq!(planned(&pool(9, 0, 1), &[silent(NOW - 9)]), (vec![], vec![]), "it may be slow");
        assert_eq!(planned(&pool(9, 0, 1), &[silent(NOW - 10)]), (vec![1], vec!["w-hd-0".to_owned()]));
        let busy = pod("w-hd-0", |pod| {
            claim(pod);
            (pod.ready, pod.silent_since) = (false, Some(NOW - 10));
        });
        assert_eq!(planned(&pool(9, 0, 0), &[busy]), (vec![], vec![]), "its broadcast's business");
    }

    #[test]
    fn a_worker_that_its_node_ended_did_not_fail() {
        let ended = pod("w-hd-0", |pod| pod.ended = true);
        let taken = pod("w-hd-1", |pod| (pod.ended, pod.ended_by_node) = (true, true));
        let stuck = pod("w-hd-2", |pod| {
            pod.node = Some("node-1".to_owned());
            (pod.ready, pod.runs, pod.set_up) = (false, false, SetUp::Begun);
        });
        let failed = plan(&pool(9, 0, 3), &[ended, taken, stuck], &SEEN).failed;
        let names: Vec<_> = failed.iter().map(|pod| pod.name.as_str()).collect();
        assert_eq!(names, ["w-hd-0", "w-hd-2"]);
    }

    #[test]
    fn one_that_does_not_come_up_on_its_node_makes_way_for_another() {
        let waits = |set_up, age| {
            pod("w-hd-0", move |pod| {
                pod.node = Some("node-1".to_owned());
                (pod.ready, pod.runs, pod.set_up, pod.created) = (false, false, set_up, NOW - age);
            })
        };
        let replaced = (vec![1], vec!["w-hd-0".to_owned()]);
        for (set_up, age, stays) in [
            (SetUp::NotBegun, 179, true),
            (SetUp::NotBegun, 180, false),
            (SetUp::Begun, 180, false),
            (SetUp::Done, 900, true),
        ] {
            let expected = if stays { (vec![], vec![]) } else { replaced.clone() };
            assert_eq!(planned(&pool(9, 0, 1), &[waits(set_up, age)]), expected, "{set_up:?} {age}");
        }
    }

    #[test]
    fn what_has_ended_goes_at_once_and_a_surplus_after_a_minute() {
        let ended = pod("w-hd-0", |pod| pod.ended = true);
        assert_eq!(planned(&pool(9, 0, 1), &[ended]), (vec![1], vec!["w-hd-0".to_owned()]));
        let young = pod("w-hd-1", |pod| pod.created = NOW - 59);
        let pods = [pod("w-hd-0", |_| {}), young];
        assert_eq!(planned(&pool(9, 0, 1), &pods), (vec![], vec![]));
        let pods = [pod("w-hd-0", |_| {}), pod("w-hd-1", |pod| pod.created = NOW - 60)];
        assert_eq!(planned(&pool(9, 0, 1), &pods), (vec![], vec!["w-hd-1".to_owned()]));
        // One that a stream claimed and that has ended is that stream's business.
        let lost = pod("w-hd-0", |pod| {
            claim(pod);
            pod.ended = true;
        });
        assert_eq!(planned(&pool(9, 0, 0), &[lost]), (vec![], vec![]));
    }

    #[test]
    fn the_status_says_why_nobody_waits() {
        let of = |pool: &WorkerPool, pods: &[Arc<WorkerPod>]| {
            let status = plan(pool, pods, &SEEN).status;
            let ready = status.conditions[0].clone();
            ((status.workers, status.idle, status.claimed, status.starting), ready.status, ready.reason)
        };
        let said = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
        let check = |pool: WorkerPool, pods: &[Arc<WorkerPod>], counts, words: (String, String)| {
            let (seen, status, reason) = of(&pool, pods);
            assert_eq!((seen, (status, reason)), (counts, words));
        };
        let nowhere =
            |pod: &mut WorkerPod| (pod.ready, pod.unschedulable) = (false, Some("no node".to_owned()));
        check(pool(9, 0, 1), &[], (0, 0, 0, 0), said("False", "Starting"));
        check(
            pool(9, 0, 1),
            &[pod("a", |_| {}), pod("b", claim)],
            (2, 1, 1, 0),
            said("True", "WarmWorkersReady"),
        );
        check(pool(9, 0, 1), &[pod("a", nowhere)], (1, 0, 0, 1), said("False", "Unschedulable"));
        check(pool(1, 0, 1), &[pod("b", claim)], (1, 0, 1, 0), said("True", "WarmWorkersReady"));
    }

    #[test]
    fn an_idle_one_on_a_node_that_is_being_emptied_makes_way_for_one_elsewhere_and_a_busy_one_is_not_touched()
    {
        let there = |pod: &mut WorkerPod| pod.node = Some("cordoned".to_owned());
        let idle = || pod("w-hd-0", there);
        let busy = || {
            pod("w-hd-1", |pod| {
                claim(pod);
                there(pod);
            })
        };
        assert_eq!(planned(&pool(9, 0, 1), &[idle(), busy()]), (vec![2], vec!["w-hd-0".to_owned()]));
        // Nor does it count as one that waits.
        let Plan { status, .. } = plan(&pool(9, 0, 1), &[idle()], &SEEN);
        assert_eq!((status.idle, status.conditions[0].status.as_str()), (0, "False"));
        // It has its place until it is gone.
        assert_eq!(planned(&pool(1, 0, 1), &[idle()]), (vec![], vec!["w-hd-0".to_owned()]));
    }

    #[test]
    fn a_full_pool_leaves_the_places_of_its_surge_to_moves() {
        let live = |name: &str| pod(name, claim);
        let full = [live("a"), live("b")];
        assert_eq!(planned(&pool(2, 1, 2), &full), (vec![], vec![]));
        // In the middle of a move, one of them has two.
        assert_eq!(planned(&pool(2, 1, 2), &[live("a"), live("b"), live("c")]), (vec![], vec![]));
    }

    #[test]
    fn the_status_says_which_nodes_are_being_emptied_and_how_many_broadcasts_are_still_there() {
        let of = |seen: &Seen<'_>, nodes: &[&str]| {
            let on = |node: &&str| {
                pod(node, |pod| {
                    claim(pod);
                    pod.node = Some((*node).to_owned());
                })
            };
            let pods: Vec<_> = nodes.iter().map(on).collect();
            let condition = plan(&pool(20, 0, 0), &pods, seen).status.conditions[1].clone();
            assert_eq!(condition.type_, "Draining");
            format!("{} {}: {}", condition.status, condition.reason, condition.message)
        };
        assert_eq!(of(&SEEN, &["a"]), "False NothingToMove: no broadcast is on a node that is being emptied");
        assert_eq!(
            of(&SEEN, &["a", "cordoned-2", "cordoned-1", "cordoned-2"]),
            "True NodesAreEmptied: cordoned-1 (cordoned): 1 to move; cordoned-2 (cordoned): 2 to move"
        );
        let many = ["cordoned-1", "cordoned-2", "cordoned-3", "cordoned-4", "cordoned-5", "cordoned-6"];
        assert!(of(&SEEN, &many).ends_with("cordoned-5 (cordoned): 1 to move; and so on, 6 nodes"));
        let unseen = Seen { must_leave: None, ..SEEN };
        assert_eq!(of(&unseen, &["a"]), "Unknown NodesNotSeen: the operator does not see the nodes");
    }

    #[test]
    fn a_pod_that_is_not_the_operators_keeps_its_name_and_takes_no_place() {
        let seen =
            |names: &[&str]| Seen { foreign: names.iter().map(|name| (*name).to_owned()).collect(), ..SEEN };
        let plan_with = |names: &[&str]| plan(&pool(2, 0, 2), &[], &seen(names));
        assert_eq!(plan_with(&["w-hd-0", "w-hd-2"]).create, [1, 3]);
        let said = |names: &[&str]| {
            let condition = plan_with(names).status.conditions[3].clone();
            assert_eq!(condition.type_, "ForeignPods");
            format!("{} {}: {}", condition.status, condition.reason, condition.message)
        };
        assert_eq!(said(&[]), "False AllMadeByOperator: the operator has made every pod of this pool");
        assert_eq!(
            said(&["w-hd-0", "copy"]),
            "True NotMadeByOperator: no workers, left alone, and counted as nothing: copy, w-hd-0"
        );
        assert!(said(&["a", "b", "c", "d", "e", "f"]).ends_with("e, and so on, 6 pods"));
    }

    #[test]
    fn a_paused_pool_is_left_as_it_is_and_says_so() {
        let pods = [pod("old", |pod| pod.hash = "old".to_owned()), pod("over", |pod| pod.ended = true)];
        let mut pool = pool(20, 5, 3);
        let answer = |pool: &WorkerPool| plan(pool, &pods, &SEEN).status.conditions[2].clone();
        let busy = planned(&pool, &pods);
        assert!(!busy.0.is_empty() && !busy.1.is_empty(), "{busy:?}");
        assert_eq!((answer(&pool).type_.as_str(), answer(&pool).status.as_str()), ("Paused", "False"));
        for (value, paused) in [("false", false), ("true", true)] {
            pool.metadata.annotations = Some([(PAUSED_ANNOTATION.to_owned(), value.to_owned())].into());
            assert_eq!(planned(&pool, &pods) == (vec![], vec![]), paused, "{value}");
            assert_eq!(answer(&pool).status == "True", paused, "{value}");
        }
    }

    #[test]
    fn a_conditions_time_changes_with_its_status_alone() {
        let mut before = plan(&pool(9, 0, 1), &[], &SEEN).status;
        before.conditions[0].last_transition_time = Time(Timestamp::UNIX_EPOCH);
        let mut same = plan(&pool(9, 0, 1), &[], &SEEN).status;
        keep_times(&mut same, Some(&before));
        assert_eq!(same, before, "so that nothing is written");
        let mut ready = plan(&pool(9, 0, 1), &[pod("a", |_| {})], &SEEN).status;
        keep_times(&mut ready, Some(&before));
        assert_ne!(ready.conditions[0].last_transition_time, Time(Timestamp::UNIX_EPOCH));
    }
}
