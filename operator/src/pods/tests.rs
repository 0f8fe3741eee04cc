//! The table of pods against news that come late, twice, or never.

use caudal_controller::WallClock;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::*;

const POOL: &str = "default";

/// A pod that waits for a stream, as the watch tells of it.
fn idle(name: &str, worker: WorkerId, version: u64) -> Value {
    json!({
        "metadata": {
            "name": name,
            "uid": worker,
            "resourceVersion": version.to_string(),
            "creationTimestamp": "2027-01-15T08:00:00Z",
            "labels": {
                "caudal.dev/pool": POOL, "caudal.dev/worker": "idle", "caudal.dev/spec-hash": "new",
                "app.kubernetes.io/managed-by": "caudal-operator", "app.kubernetes.io/name": "caudal",
                "app.kubernetes.io/instance": "caudal", "app.kubernetes.io/component": "transcoder-worker",
            },
            "ownerReferences": [{
                "apiVersion": "caudal.dev/v1alpha1", "kind": "WorkerPool", "name": POOL, "uid": "1", "controller": true,
            }],
        },
        "spec": { "nodeName": "node-1", "containers": [] },
        "status": { "phase": "Running", "podIP": "10.1.2.4", "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

fn with(mut pod: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    pod.pointer_mut(parent).unwrap()[field] = value;
    pod
}

fn pod(pod: Value) -> Pod {
    serde_json::from_value(pod).unwrap()
}

const NEW: Fit<'_> = Fit { hash: "new", millicores: None };

fn nodes<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// The pod that a stream that has none yet would get.
fn picked(pods: &Pods) -> Option<WorkerId> {
    Some(pods.pick(POOL, NEW, &nodes([]), &nodes([]))?.worker)
}

fn is(told: Value) -> News<Pod> {
    News::Is(Box::new(pod(told)))
}

#[test]
fn a_pod_is_read_as_what_matters_of_it() {
    let worker = WorkerId::generate();
    let stream = StreamId::generate();
    let free = WorkerPod::of(&pod(idle("w-1", worker, 5))).unwrap();
    assert!(free.is_claimable());
    assert_eq!(free.listens_at().unwrap().rtmp, "10.1.2.4:1935".parse().unwrap());
    let base = || idle("w-1", worker, 5);
    let mut claimed = base();
    claimed["metadata"]["labels"]["caudal.dev/worker"] = json!("claimed");
    for (why, not_claimable) in [
        ("claimed", claimed.clone()),
        ("not ready", with(base(), "/status/conditions", json!([]))),
        ("no address", with(base(), "/status/podIP", Value::Null)),
        ("being deleted", with(base(), "/metadata/deletionTimestamp", json!("2027-01-15T08:00:00Z"))),
        ("ended", with(base(), "/status/phase", json!("Failed"))),
    ] {
        assert!(!WorkerPod::of(&pod(not_claimable)).unwrap().is_claimable(), "{why}");
    }
    claimed["metadata"]["labels"]["caudal.dev/stream"] = json!(stream);
    claimed["metadata"]["labels"]["caudal.dev/epoch"] = json!("3");
    assert_eq!(WorkerPod::of(&pod(claimed)).unwrap().claim, Some((stream, Epoch(3))));
    let mut exited = base();
    exited["status"]["containerStatuses"] = json!([{
        "name": "transcoder-worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "terminated": { "exitCode": 137 } },
    }]);
    assert!(WorkerPod::of(&pod(exited)).unwrap().ended, "the process has ended before its pod says so");
    let stranger = with(base(), "/metadata/labels", json!({}));
    assert_eq!(WorkerPod::of(&pod(stranger)), None);
}

#[test]
fn news_from_before_our_own_write_change_nothing() {
    let pods = Pods::default();
    let (worker, stream) = (WorkerId::generate(), StreamId::generate());
    pods.take(is(idle("w-1", worker, 5)));
    let mut claimed = idle("w-1", worker, 9);
    claimed["metadata"]["labels"]["caudal.dev/worker"] = json!("claimed");
    claimed["metadata"]["labels"]["caudal.dev/stream"] = json!(stream);
    claimed["metadata"]["labels"]["caudal.dev/epoch"] = json!("1");
    pods.wrote(&pod(claimed));
    pods.take(is(idle("w-1", worker, 7)));
    assert_eq!(picked(&pods), None, "it is the stream's");
    assert_eq!(pods.claimed_for(stream, Epoch(1), None).unwrap().worker, worker);
}

#[test]
fn a_pod_whose_labels_somebody_changes_is_not_gone_and_waits_for_nobody_once_it_has_had_a_broadcast() {
    let (worker, stream) = (WorkerId::generate(), StreamId::generate());
    let claimed = |version| {
        let mut pod = idle("w-1", worker, version);
        pod["metadata"]["labels"]["caudal.dev/worker"] = json!("claimed");
        pod["metadata"]["labels"]["caudal.dev/stream"] = json!(stream);
        pod["metadata"]["labels"]["caudal.dev/epoch"] = json!("1");
        pod["metadata"]["ownerReferences"][0]["kind"] = json!("LiveStream");
        pod
    };
    let without_pool = |mut pod: Value| {
        pod["metadata"]["labels"].as_object_mut().unwrap().remove("caudal.dev/pool");
        pod
    };
    let pods = Pods::default();
    pods.take(is(claimed(5)));
    pods.take(is(without_pool(claimed(6))));
    assert!(matches!(pods.known(worker), Known::There(_)));
    assert_eq!(pods.claimed_by(stream).len(), 1);
    assert!(pods.of_pool(POOL).is_empty());
    // Also to an operator that hears of it for the first time.
    let next = Pods::default();
    next.take(is(without_pool(claimed(6))));
    assert!(matches!(next.known(worker), Known::There(_)));
    let mut relabelled = claimed(7);
    relabelled["metadata"]["labels"]["caudal.dev/worker"] = json!("idle");
    pods.take(is(relabelled));
    assert_eq!(picked(&pods), None);
    assert!(pods.of_pool(POOL).iter().all(|pod| !pod.idle && !pod.stray), "nobody takes it for a surplus");
    assert_eq!(pods.claimed_by(stream).len(), 1, "it has its broadcast");
    let mut unlabelled = claimed(8);
    unlabelled["metadata"]["labels"].as_object_mut().unwrap().remove("caudal.dev/worker");
    pods.take(is(unlabelled));
    let claimed = pods.claimed_for(stream, Epoch(1), None).unwrap();
    assert!(claimed.mislabelled && !claimed.stray);

    // One that never had a broadcast.
    let mut stray = idle("w-1", worker, 5);
    stray["metadata"]["labels"].as_object_mut().unwrap().remove("caudal.dev/worker");
    let stray = WorkerPod::of(&pod(stray)).unwrap();
    assert!(stray.ours && stray.stray && !stray.idle && !stray.mislabelled);

    // One that waited waits no longer, and nobody says that it has ended.
    let pods = Pods::default();
    pods.take(is(idle("w-1", worker, 5)));
    pods.take(is(without_pool(idle("w-1", worker, 6))));
    assert_eq!((pods.known(worker), picked(&pods)), (Known::Unknown, None));
    pods.take(is(idle("w-1", worker, 7)));
    assert_eq!(picked(&pods), Some(worker));
    // Another pod has its name.
    pods.take(is(with(idle("w-1", WorkerId::generate(), 8), "/metadata/labels", json!({}))));
    assert_eq!(pods.known(worker), Known::Gone);
}

#[test]
fn a_pod_that_is_gone_does_not_come_back_with_a_late_answer() {
    let pods = Pods::default();
    let worker = WorkerId::generate();
    pods.take(is(idle("w-1", worker, 5)));
    assert!(matches!(pods.known(worker), Known::There(_)));
    pods.take(News::Gone { name: "w-1".to_owned(), uid: None });
    pods.wrote(&pod(idle("w-1", worker, 6)));
    assert_eq!(pods.known(worker), Known::Gone);
    assert_eq!(pods.known(WorkerId::generate()), Known::Unknown);
    // Another pod took its name.
    let next = WorkerId::generate();
    pods.take(is(idle("w-1", next, 8)));
    let after = WorkerId::generate();
    pods.take(is(idle("w-1", after, 9)));
    assert_eq!(pods.known(next), Known::Gone);
    assert!(matches!(pods.known(after), Known::There(_)));
}

#[test]
fn no_pod_is_picked_twice_until_something_new_is_known_of_it() {
    let pods = Pods::default();
    let (old, new) = (WorkerId::generate(), WorkerId::generate());
    let mut outdated = idle("w-0", old, 5);
    outdated["metadata"]["labels"]["caudal.dev/spec-hash"] = json!("old");
    pods.take(is(outdated));
    pods.take(is(idle("w-1", new, 6)));
    assert_eq!(picked(&pods), Some(new), "of the newest template first");
    assert_eq!(picked(&pods), Some(old));
    assert_eq!(picked(&pods), None);
    let tried = |worker| match pods.known(worker) {
        Known::There(pod) => pod,
        other => panic!("{other:?}"),
    };
    pods.untried(&tried(old));
    assert_eq!(pods.pick("another", NEW, &nodes([]), &nodes([])), None);
    assert_eq!(picked(&pods), Some(old));
    let before = tried(new);
    pods.take(is(idle("w-1", new, 7)));
    assert_eq!(picked(&pods), Some(new));
    pods.untried(&before);
    assert_eq!(picked(&pods), None, "somebody else tries the newer one");
}

#[tokio::test(start_paused = true)]
async fn a_try_that_is_never_answered_keeps_a_pod_for_a_minute_and_not_into_the_next_term() {
    let pods = Pods::default();
    let worker = WorkerId::generate();
    pods.take(is(idle("w-1", worker, 5)));
    assert_eq!(picked(&pods), Some(worker));
    tokio::time::sleep(Duration::from_secs(59)).await;
    assert_eq!(picked(&pods), None);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(picked(&pods), Some(worker));
    assert_eq!(picked(&pods), None, "it is tried anew");
    assert!(pods.expect("w-2", POOL, 2) && !pods.expect("w-3", POOL, 2));
    pods.begin_term(clock(0));
    assert_eq!(picked(&pods), Some(worker));
    assert!(pods.expect("w-3", POOL, 2), "nobody answers for the creation of the term before");
}

#[test]
fn the_next_worker_comes_from_another_node_while_nobody_knows_that_the_one_before_has_ended() {
    let pods = Pods::default();
    let [claimed, near, far] = [0; 3].map(|_| WorkerId::generate());
    let stream = StreamId::generate();
    let held = || {
        let labels = json!({
            "caudal.dev/pool": POOL, "caudal.dev/worker": "claimed", "caudal.dev/spec-hash": "new",
            "caudal.dev/stream": stream, "caudal.dev/epoch": "1",
        });
        with(idle("w-0", claimed, 5), "/metadata/labels", labels)
    };
    pods.take(is(held()));
    pods.take(is(idle("w-1", near, 6)));
    pods.take(is(with(idle("w-2", far, 7), "/spec/nodeName", json!("node-2"))));
    let doubted = pods.nodes_of(stream);
    assert_eq!((&doubted, pods.nodes_of(StreamId::generate())), (&nodes(["node-1"]), nodes([])));
    let pick = |silent| pods.pick(POOL, NEW, &doubted, &silent);
    let of = |pod: &Option<Arc<WorkerPod>>| pod.as_ref().map(|pod| pod.worker);
    let first = pick(nodes([]));
    assert_eq!(of(&first), Some(far));
    assert_eq!(pick(nodes(["node-1"])), None);
    let second = pick(nodes([]));
    assert_eq!(of(&second), Some(near), "better than none");
    for pod in [first, second].iter().flatten() {
        pods.untried(pod);
    }
    assert_eq!(picked(&pods), Some(near), "another stream's");
    let mut ended = with(held(), "/status/phase", json!("Failed"));
    ended["metadata"]["resourceVersion"] = json!("9");
    pods.take(is(ended));
    assert_eq!(pods.nodes_of(stream), nodes([]), "the machine is there");
}

#[test]
fn pods_that_are_on_their_way_take_their_places_already() {
    let pods = Pods::default();
    assert!(pods.expect("a", POOL, 2));
    assert!(pods.expect("a", POOL, 2), "it has its place");
    assert!(pods.expect("b", POOL, 2));
    assert!(!pods.expect("c", POOL, 2));
    assert!(pods.expect("c", "another", 1), "of each pool");
    // Once the watch tells of one, it is not counted twice.
    pods.take(is(idle("a", WorkerId::generate(), 5)));
    assert!(pods.expect("d", POOL, 3));
    pods.answered("b");
    assert!(pods.expect("e", POOL, 3));
    let mut ended = idle("a", WorkerId::generate(), 6);
    ended["status"]["phase"] = json!("Failed");
    pods.take(is(ended));
    assert!(pods.expect("f", POOL, 3), "one that has ended takes none");
}

/// A clock that says so many seconds more than the pods' creation.
fn clock(seconds: u64) -> TermClock {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000 + seconds);
    let wall: WallClock = Arc::new(move || at);
    TermClock::start(&wall)
}

#[test]
fn a_pod_takes_its_place_until_its_process_should_have_ended_whether_anybody_says_so_or_not() {
    let deleted = |version| {
        let pod = idle("w-1", WorkerId::generate(), version);
        // With the grace that its process has.
        with(pod, "/metadata/deletionTimestamp", json!("2027-01-15T08:01:00Z"))
    };
    let pods = Pods::default();
    pods.take(is(deleted(5)));
    assert!(!pods.expect("w-2", POOL, 1), "nobody has said what time it is");
    for (seconds, room) in [(0, false), (60, false), (64, false), (65, true)] {
        pods.begin_term(clock(seconds));
        assert_eq!(pods.expect("w-2", POOL, 1), room, "{seconds}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_decided_before_all_pods_have_been_told_of() {
    let pods = Pods::default();
    assert!(tokio::time::timeout(std::time::Duration::from_secs(1), pods.whole()).await.is_err());
    pods.take(News::Whole);
    pods.whole().await;
}

#[test]
fn a_pod_on_a_node_that_is_being_emptied_is_not_claimed_and_a_busy_one_must_leave_it() {
    let pods = Pods::default();
    let (worker, stream) = (WorkerId::generate(), StreamId::generate());
    let node = |spec: &Value| {
        News::Is(Box::new(
            serde_json::from_value(json!({ "metadata": { "name": "node-1" }, "spec": spec })).unwrap(),
        ))
    };
    pods.take(is(idle("w-1", worker, 5)));
    let mut busy = idle("w-2", WorkerId::generate(), 6);
    busy["metadata"]["labels"]["caudal.dev/worker"] = json!("claimed");
    busy["metadata"]["labels"]["caudal.dev/stream"] = json!(stream);
    busy["metadata"]["labels"]["caudal.dev/epoch"] = json!("1");
    pods.take(is(busy.clone()));
    let leaving = || {
        let claimed = pods.claimed().into_iter().filter(|pod| pods.must_leave(pod).is_some());
        claimed.map(|pod| pod.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(leaving(), [""; 0]);

    let mut changes = pods.subscribe();
    pods.take_node(node(&json!({ "unschedulable": true })));
    assert!(changes.has_changed().unwrap(), "who keeps the pools looks again");
    changes.borrow_and_update();
    assert_eq!(picked(&pods), None);
    assert_eq!(leaving(), ["w-2"]);
    // Deleted already, or of a pool whose pods are put there all the same.
    let deleted = with(busy.clone(), "/metadata/deletionTimestamp", json!("2027-01-15T08:00:00Z"));
    pods.take(is(with(deleted, "/metadata/resourceVersion", json!("7"))));
    assert_eq!(leaving(), [""; 0]);
    let tolerating = with(busy, "/spec/tolerations", json!([{ "operator": "Exists" }]));
    pods.take(is(with(tolerating, "/metadata/resourceVersion", json!("8"))));
    assert_eq!(leaving(), [""; 0]);

    pods.take_node(node(&json!({})));
    assert_eq!(picked(&pods), Some(worker));
}

#[test]
fn a_worker_that_was_ready_and_is_not_has_fallen_silent_and_one_that_starts_has_not() {
    let at = |second: &str| format!("2026-11-29T00:30:{second}Z");
    let since = |ready: &str, unready_since: &str, begun: Option<&str>| {
        let state = begun.map_or_else(
            || json!({ "waiting": { "reason": "ContainerCreating" } }),
            |begun| json!({ "running": { "startedAt": at(begun) } }),
        );
        let status = json!({
            "phase": "Running", "podIP": "10.1.2.3",
            "conditions": [{ "type": "Ready", "status": ready, "lastTransitionTime": at(unready_since) }],
            "containerStatuses": [{
                "name": "transcoder-worker", "image": "", "imageID": "", "ready": ready == "True", "restartCount": 0,
                "started": begun.is_some(), "state": state,
            }],
        });
        let pod = pod(with(idle("w-1", WorkerId::generate(), 5), "/status", status));
        WorkerPod::of(&pod).unwrap().silent_since.is_some()
    };
    assert!(!since("False", "26", None), "its image is pulled");
    assert!(!since("False", "26", Some("40")), "it starts");
    assert!(!since("False", "40", Some("40")), "the server keeps whole seconds");
    assert!(!since("True", "41", Some("40")));
    assert!(since("False", "55", Some("40")));
}

#[test]
fn a_pod_is_ours_by_its_maker_its_hash_and_its_owner_and_no_other_one_is_claimed_or_takes_a_place() {
    let worker = WorkerId::generate();
    let base = || idle("w-1", worker, 5);
    assert!(WorkerPod::of(&pod(base())).unwrap().ours);
    let labels = "/metadata/labels";
    let stream = with(base(), "/metadata/ownerReferences/0/kind", json!("LiveStream"));
    assert!(WorkerPod::of(&pod(stream)).unwrap().ours);
    for (why, foreign) in [
        ("no maker", with(base(), labels, json!({ "caudal.dev/pool": POOL, "caudal.dev/spec-hash": "new" }))),
        ("another maker", {
            let mut pod = base();
            pod["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
            pod
        }),
        ("no component", {
            let mut pod = base();
            pod["metadata"]["labels"].as_object_mut().unwrap().remove("app.kubernetes.io/component");
            pod
        }),
        ("no release", {
            let mut pod = base();
            pod["metadata"]["labels"]["app.kubernetes.io/instance"] = json!("");
            pod
        }),
        ("no hash", {
            let mut pod = base();
            pod["metadata"]["labels"].as_object_mut().unwrap().remove("caudal.dev/spec-hash");
            pod
        }),
        ("no owner", with(base(), "/metadata/ownerReferences", json!([]))),
        ("another owner", with(base(), "/metadata/ownerReferences/0/kind", json!("ReplicaSet"))),
        ("another group", with(base(), "/metadata/ownerReferences/0/apiVersion", json!("example.org/v1"))),
        ("no controller", with(base(), "/metadata/ownerReferences/0/controller", json!(false))),
    ] {
        assert!(!WorkerPod::of(&pod(foreign.clone())).unwrap().ours, "{why}");
        let pods = Pods::default();
        pods.take(is(foreign));
        assert_eq!(picked(&pods), None, "{why}");
        assert!(pods.expect("w-2", POOL, 1), "{why}");
    }
}

#[test]
fn the_end_of_an_old_pod_is_not_that_of_the_new_one_of_its_name() {
    let pods = Pods::default();
    let (old, new) = (WorkerId::generate(), WorkerId::generate());
    pods.take(News::Is(Box::new(pod(idle("w-1", old, 1)))));
    pods.vanished("w-1");
    pods.wrote(&pod(idle("w-1", new, 5)));
    // The watch is that far behind.
    pods.take(News::Gone { name: "w-1".to_owned(), uid: Some(old.to_string()) });
    assert!(matches!(pods.known(new), Known::There(_)));
    assert_eq!(pods.known(old), Known::Gone);
    pods.take(News::Gone { name: "w-1".to_owned(), uid: Some(new.to_string()) });
    assert_eq!(pods.known(new), Known::Gone);
}

#[test]
fn a_pod_whose_version_has_gone_back_is_as_the_server_says_it_is_now() {
    let pods = Pods::default();
    let worker = WorkerId::generate();
    pods.take(News::Is(Box::new(pod(idle("w-1", worker, 10_000)))));
    let version = || match pods.known(worker) {
        Known::There(pod) => pod.version,
        other => panic!("{other:?}"),
    };
    // An answer that was overtaken by news.
    pods.is_now(&pod(idle("w-1", worker, 5_000)), 9_000);
    assert_eq!(version(), 10_000);
    // The database was restored from a backup.
    pods.is_now(&pod(idle("w-1", worker, 5_000)), 10_000);
    assert_eq!(version(), 5_000);
}
