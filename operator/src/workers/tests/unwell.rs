//! Machines that are gone, pods that do not come up, and people who touch pods.

use super::*;
use crate::warnings::Warnings;

/// The stream's, which is the only one and has no pod.
fn first_claim<'a>(world: &World, given_up: &'a CancellationToken) -> Claim<'a> {
    Claim {
        stream: world.stream,
        epoch: Epoch(1),
        owner: OWNER,
        renditions: Vec::new(),
        doubted: BTreeSet::new(),
        broadcasts: 1,
        given_up,
        instead_of: None,
        left: None,
    }
}

/// A pod that was made for the stream and put on a node, of which nothing is heard for eight seconds.
async fn silent(world: &World, epoch: u32, node: &str) -> String {
    let name = world.cold_name(epoch);
    slow(world, epoch, &name, node, &json!({})).await;
    name
}

/// The pod that is made for the stream now has this name, is put on a node, and comes no further than this for eight seconds.
async fn slow(world: &World, epoch: u32, name: &str, node: &str, status: &Value) {
    let scheduled = async {
        let made = async {
            while world.pod(name).is_none() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, made).await.unwrap_or_else(|_| panic!("no pod {name} was made"));
        world.begin_term();
        world.server.change(KIND, name, |pod| {
            pod["spec"]["nodeName"] = json!(node);
            // It stays until the test says that it has ended.
            pod["metadata"]["finalizers"] = json!(["caudal.dev/machine-is-gone"]);
            pod["status"] = status.clone();
        });
    };
    let (claimed, ()) = tokio::join!(world.claim(epoch), scheduled);
    assert_eq!(waits(claimed), format!("node {node} has not started pod {name} yet"));
}

/// What a kubelet says of a pod whose volumes and network it sees to, or whose image it pulls once they are set up.
fn begun(set_up: &str) -> Value {
    let condition = json!({ "type": "PodReadyToStartContainers", "status": set_up });
    json!({ "phase": "Pending", "startTime": "2027-01-15T08:00:01Z", "conditions": [condition] })
}

/// It listens, from a second later on.
async fn run_late(world: &World, name: &str) {
    sleep(Duration::from_secs(1)).await;
    world.run(name).await;
}

fn is_leaving(world: &World, name: &str) -> bool {
    world.pod(name).is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_string())
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_come_up_is_left_for_a_worker_that_waits() {
    let mut world = World::with_room_for(4);
    let late = silent(&world, 1, "node-1").await;
    let warm = world.warm_on("node-2", 0, "10.1.2.4");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.claim(1).await.unwrap().worker, warm);
    assert!(is_leaving(&world, &late));
    for _ in 0..2 {
        assert_eq!(world.claim(1).await.unwrap().worker, warm);
        world.restart();
    }
    assert_eq!(world.server.writes().len(), 3, "{:?}", world.server.writes());
}

#[tokio::test(start_paused = true)]
async fn where_none_waits_another_one_is_made_under_the_next_name_and_elsewhere() {
    for deleted_by_hand in [false, true] {
        let world = World::with_room_for(2);
        let late = silent(&world, 1, "node-1").await;
        if deleted_by_hand {
            world.server.change(KIND, &late, |pod| {
                pod["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:01:00Z");
            });
        }
        sleep(Duration::from_secs(1)).await;
        let next = format!("{late}-2");
        let (claimed, ()) = tokio::join!(world.claim(1), world.run(&next));
        let made = world.pod(&next).unwrap();
        assert_eq!(claimed.unwrap().worker, worker_of(&made));
        assert!(is_leaving(&world, &late));
        let preferred =
            &made["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
        assert_eq!(preferred[0]["preference"]["matchFields"][0]["values"], json!(["node-1"]));
        assert_eq!(world.claim(1).await.unwrap().worker, worker_of(&made));
    }
}

#[tokio::test(start_paused = true)]
async fn where_every_node_takes_half_a_minute_for_a_pods_network_the_second_pod_is_not_left() {
    let world = World::with_room_for(4);
    let [first, next, _] = cold_pods(world.stream, Epoch(1));
    for (name, node) in [(&first, "node-1"), (&next, "node-2")] {
        slow(&world, 1, name, node, &begun("False")).await;
        for _ in 0..2 {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(waits(world.claim(1).await), format!("node {node} has not started pod {name} yet"));
        }
        sleep(Duration::from_secs(1)).await;
    }
    assert!(is_leaving(&world, &first));
    let (claimed, ()) = tokio::join!(world.claim(1), run_late(&world, &next));
    assert_eq!(claimed.unwrap().worker, worker_of(&world.pod(&next).unwrap()));
    let left = format!("DELETE pods/{first}");
    assert_eq!(world.server.writes(), ["POST pods", left.as_str(), "POST pods"]);
}

#[tokio::test(start_paused = true)]
async fn where_kubelets_are_slow_the_third_pod_is_kept_until_it_comes_up_or_another_worker_waits() {
    for (forgotten, waiting) in [(false, false), (true, false), (false, true)] {
        let mut world = World::with_room_for(4);
        let names = cold_pods(world.stream, Epoch(1));
        for (name, node) in names.iter().zip(["node-1", "node-2", "node-3"]) {
            slow(&world, 1, name, node, &json!({})).await;
            // The kubelet of one that was left hears of it at last, and lets go of its name.
            for left in names.iter().filter(|left| forgotten && is_leaving(&world, left)) {
                world.server.vanish(KIND, left);
            }
            sleep(Duration::from_secs(1)).await;
        }
        // The next operator keeps it, too.
        world.restart();
        world.begin_term();
        world.pods.whole().await;
        sleep(Duration::from_secs(9)).await;
        let [_, _, last] = &names;
        if waiting {
            let warm = world.warm_on("node-4", 0, "10.1.2.4");
            sleep(Duration::from_millis(100)).await;
            assert_eq!(world.claim(1).await.unwrap().worker, warm);
            assert!(is_leaving(&world, last));
        } else {
            let (claimed, ()) = tokio::join!(world.claim(1), run_late(&world, last));
            assert_eq!(claimed.unwrap().worker, worker_of(&world.pod(last).unwrap()));
            assert_eq!(world.pods.claimed().len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_came_up_just_then_is_not_left() {
    let world = World::with_room_for(4);
    let late = silent(&world, 1, "node-1").await;
    let runs: fn(&mut Value) = |pod| {
        pod["status"] = json!({
            "phase": "Running", "podIP": "10.1.2.4", "conditions": [{ "type": "Ready", "status": "True" }],
        });
    };
    world.server.trouble("DELETE", Trouble::Overtaken(runs));
    assert_eq!(world.claim(1).await.unwrap().worker, worker_of(&world.pod(&late).unwrap()));
    assert!(!is_leaving(&world, &late));
}

#[tokio::test(start_paused = true)]
async fn a_node_is_doubted_by_other_broadcasts_where_a_pod_is_stuck_and_not_where_its_image_is_pulled() {
    for (status, doubted) in [(begun("True"), json!(null)), (json!({}), json!(["node-1"]))] {
        let world = World::with_room_for(4);
        let late = world.cold_name(1);
        slow(&world, 1, &late, "node-1", &status).await;
        let warm = world.warm_on("node-2", 0, "10.1.2.4");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.claim(1).await.unwrap().worker, warm);
        assert!(is_leaving(&world, &late));
        let other = StreamId::generate();
        let claimed = world.workers.claim(other, Epoch(1), &Pool::default()).await;
        assert!(matches!(claimed, Err(ClaimError::Coming(_))), "nobody runs it here: {claimed:?}");
        let made = world.pod(&caudal_kubernetes::names::cold_pod(other, Epoch(1))).unwrap();
        let preferred =
            &made["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
        assert_eq!(preferred[0]["preference"]["matchFields"][0]["values"], doubted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_deleted_while_its_worker_is_waited_for_is_left_at_once_also_where_that_begins_still() {
    for says_ready in [true, false] {
        let world = World::with_room_for(4);
        let name = world.cold_name(1);
        let deleted = async {
            while world.pod(&name).is_none() {
                sleep(Duration::from_millis(10)).await;
            }
            sleep(Duration::from_secs(1)).await;
            world.server.change(KIND, &name, |pod| {
                pod["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:01:00Z");
                pod["status"]["podIP"] = json!("10.1.2.4");
            });
            world.hosts.begin("10.1.2.4");
            if says_ready {
                world.run(&name).await;
            }
            Instant::now()
        };
        let (claimed, deleted) = tokio::join!(world.claim(1), deleted);
        assert_eq!(waits(claimed), format!("pod {name} is being deleted, and makes room for another one"));
        assert!(deleted.elapsed() < Duration::from_millis(500), "{:?}", deleted.elapsed());
        let next = format!("{name}-2");
        let (claimed, ()) = tokio::join!(world.claim(1), world.run(&next));
        assert_eq!(claimed.unwrap().worker, worker_of(&world.pod(&next).unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_pod_that_is_found_to_be_the_claims_already_is_not_taken_once_it_ends() {
    let leaves: fn(&mut Value) = |pod| pod["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:01:00Z");
    let ended: fn(&mut Value) = |pod| pod["status"]["phase"] = json!("Failed");
    for (becomes, was_left_alone) in [(leaves, true), (ended, false)] {
        let world = World::with_room_for(4);
        world.warm(0);
        world.pods.whole().await;
        let idle = world.pods.named("w-default-0").unwrap();
        world.claim(1).await.unwrap();
        world.server.change(KIND, "w-default-0", becomes);
        let given_up = CancellationToken::new();
        let claim = first_claim(&world, &given_up);
        let claimed = world.workers.shared.claim_warm(&idle, &claim).await;
        let failed = "pod w-default-0 ended before its worker had the broadcast".to_owned();
        let expected = if was_left_alone { Ok(None) } else { Err(ClaimError::Unavailable(failed)) };
        assert_eq!(claimed, expected);
        assert_eq!(world.pod("w-default-0").is_some(), was_left_alone);
        assert_eq!(world.metrics.claim_conflicts.get(), 0, "nobody was quicker");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_fits_on_no_node_is_kept_until_there_is_a_worker_that_waits() {
    let world = World::with_room_for(4);
    let name = world.cold_name(1);
    let unschedulable = async {
        while world.pod(&name).is_none() {
            sleep(Duration::from_millis(10)).await;
        }
        world.server.change(KIND, &name, |pod| {
            let condition = json!({ "type": "PodScheduled", "status": "False", "message": "0/2 nodes" });
            pod["status"] = json!({ "phase": "Pending", "conditions": [condition] });
        });
    };
    let (claimed, ()) = tokio::join!(world.claim(1), unschedulable);
    no_room(claimed);
    no_room(world.claim(1).await);
    let first = worker_of(&world.pod(&name).unwrap());
    // One that takes no connection is none.
    world.warm_on("node-1", 1, "10.1.2.9");
    sleep(Duration::from_millis(100)).await;
    no_room(world.claim(1).await);
    assert_eq!(worker_of(&world.pod(&name).unwrap()), first);
    let warm = world.warm_on("node-2", 0, "10.1.2.4");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(world.claim(1).await.unwrap().worker, warm);
    assert_eq!(world.pod(&name), None);
}

#[tokio::test(start_paused = true)]
async fn as_many_lost_workers_as_a_full_pool_has_are_replaced_at_once() {
    // Three broadcasts, and one worker more for moves.
    let world = World::with_room_for(4);
    let streams = [0; 3].map(|_| StreamId::generate());
    for (place, stream) in (0..).zip(streams) {
        world.warm(place);
        world.pods.whole().await;
        sleep(Duration::from_millis(100)).await;
        world.workers.claim(stream, Epoch(1), &Pool::default()).await.unwrap();
    }
    world.server.forget_requests();
    for stream in streams {
        world.owned.lose_worker(stream);
    }
    for stream in streams {
        let claimed = world.workers.claim(stream, Epoch(2), &Pool::default()).await;
        assert!(matches!(claimed, Err(ClaimError::Coming(_))), "nobody runs it here: {claimed:?}");
    }
    assert_eq!(world.server.writes(), ["POST pods"; 3]);
    // What moves has a worker, and waits for one of the places that are there for that.
    let moves = world.workers.claim(streams[0], Epoch(3), &Pool::default());
    world.owned.has_one(streams[0]);
    assert!(matches!(moves.await, Err(ClaimError::NoCapacity(_))));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_given_up_while_it_waited_for_its_turn_is_not_sent() {
    let world = World::with_room_for(4);
    let warm = world.warm(0);
    world.pods.whole().await;
    let any = Fit { hash: "", millicores: None };
    let pod = world.pods.pick("default", any, &BTreeSet::new(), &BTreeSet::new()).unwrap();
    let given_up = CancellationToken::new();
    given_up.cancel();
    let claim = first_claim(&world, &given_up);
    let shared = &world.workers.shared;
    assert_eq!(shared.claim_warm(&pod, &claim).await, Err(not_wanted()));
    let pool = world.pools.get("default").unwrap();
    assert!(matches!(shared.create(&pool, &claim).await, Err(ClaimError::Unavailable(_))));
    assert_eq!(world.server.writes(), [""; 0]);
    // Neither keeps anything from anybody.
    assert_eq!(world.claim(1).await.unwrap().worker, warm);
}

#[tokio::test(start_paused = true)]
async fn a_pod_whose_claim_was_never_answered_is_everybodys_once_that_is_withdrawn() {
    let world = World::with_room_for(4);
    let warm = world.warm(0);
    world.server.trouble("PATCH", Trouble::Silence);
    assert!(matches!(world.claim(1).await, Err(ClaimError::Unavailable(_))));
    world.workers.withdraw(world.stream).await;
    let other = world.workers.claim(StreamId::generate(), Epoch(1), &Pool::default()).await.unwrap();
    assert_eq!((other.worker.worker, other.start), (warm, Start::Warm));
}

#[tokio::test(start_paused = true)]
async fn while_a_claim_cannot_be_withdrawn_the_streams_next_one_gets_its_worker() {
    let world = World::with_room_for(4);
    let next = [world.warm(0), world.warm(1)][1];
    world.claim(1).await.unwrap();
    // Lists fail, and single calls do not.
    for _ in 0..20 {
        world.server.trouble("GET pods", Trouble::Answer(504, "Timeout"));
    }
    let withdrawn = tokio::spawn(world.workers.withdraw_claim(world.stream, Epoch(1)));
    sleep(Duration::from_secs(5)).await;
    let begun = Instant::now();
    assert_eq!(world.claim(2).await.unwrap().worker, next);
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert!(!is_leaving(&world, "w-default-0"));
    sleep(Duration::from_secs(30)).await;
    assert!(is_leaving(&world, "w-default-0") && !is_leaving(&world, "w-default-1"));
    world.server.vanish(KIND, "w-default-0");
    withdrawn.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_waits_for_an_earlier_one_of_its_broadcast_says_so() {
    let world = World::with_room_for(4);
    world.pods.whole().await;
    let turn = world.workers.shared.turns.of(world.stream).await;
    let begun = Instant::now();
    let words = waits(world.claim(2).await);
    assert_eq!(words, "an earlier claim of its broadcast still waits for the API server");
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    drop(turn);
    let worker = world.warm(0);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(world.claim(2).await.unwrap().worker, worker);
}

#[tokio::test(start_paused = true)]
async fn the_pod_of_a_worker_that_ended_by_itself_is_deleted_by_whoever_ends_the_worker() {
    type End = fn(&World, WorkerId) -> BoxFuture<'static, ()>;
    let release: End = |world, worker| {
        let released = world.workers.release(worker);
        Box::pin(async move { assert_eq!(released.await, Presence::Gone) })
    };
    let withdraw: End = |world, _| world.workers.withdraw(world.stream);
    for end in [release, withdraw] {
        let world = World::new();
        let worker = world.warm(0);
        world.claim(1).await.unwrap();
        world.server.change(KIND, "w-default-0", |pod| pod["status"]["phase"] = json!("Failed"));
        assert_eq!(world.workers.exited(worker).await, Presence::Gone);
        assert!(world.pod("w-default-0").is_some());
        // Its kubelet says more of it just then.
        let touch: fn(&mut Value) = |pod| pod["metadata"]["annotations"]["touched"] = json!("yes");
        world.server.trouble("DELETE", Trouble::Overtaken(touch));
        end(&world, worker).await;
        assert_eq!(world.pod("w-default-0"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_somebody_takes_out_of_its_pool_serves_on_and_is_ended_like_any_other() {
    let world = World::new();
    let worker = world.warm(0);
    world.claim(1).await.unwrap();
    world.server.change(KIND, "w-default-0", |pod| {
        pod["metadata"]["labels"].as_object_mut().unwrap().remove("caudal.dev/pool");
    });
    let exited = tokio::spawn(world.workers.exited(worker));
    sleep(Duration::from_secs(60)).await;
    assert!(!exited.is_finished(), "its process runs");
    assert_eq!(world.pods.claimed().len(), 1, "it is moved off a node that is emptied");
    let released = tokio::spawn(world.workers.release(worker));
    sleep(Duration::from_secs(1)).await;
    assert!(is_leaving(&world, "w-default-0"));
    world.server.vanish(KIND, "w-default-0");
    assert_eq!((released.await.unwrap(), exited.await.unwrap()), (Presence::Gone, Presence::Gone));
    // Without any label of ours, nobody knows of it more than that it is there.
    let world = World::new();
    let worker = world.warm(0);
    world.claim(1).await.unwrap();
    world.server.change(KIND, "w-default-0", |pod| pod["metadata"]["labels"] = json!({}));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.workers.exited(worker).await, Presence::Unknown);
    world.server.vanish(KIND, "w-default-0");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.workers.exited(worker).await, Presence::Gone);
}

#[tokio::test(start_paused = true)]
async fn that_a_pod_may_not_be_deleted_is_said_once_until_the_pod_is_another_version() {
    let world = World::new();
    let worker = world.warm(0);
    world.claim(1).await.unwrap();
    let warnings = Warnings::default();
    let _heard = warnings.hear();
    let try_often = async || {
        for _ in 0..3 {
            world.server.trouble("DELETE pods", Trouble::Answer(403, "Forbidden"));
            assert_eq!(world.workers.release(worker).await, Presence::Unknown);
        }
    };
    try_often().await;
    assert_eq!(warnings.take(), ["may not delete a worker's pod"]);
    world.server.change(KIND, "w-default-0", |pod| pod["metadata"]["annotations"]["touched"] = json!("yes"));
    sleep(Duration::from_secs(1)).await;
    try_often().await;
    assert_eq!(warnings.take(), ["may not delete a worker's pod"]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_may_not_be_claimed_is_left_for_the_next_one_and_where_there_is_none_another_is_made() {
    for (code, reason) in [(422, "Invalid"), (403, "Forbidden")] {
        let refused = || Trouble::Answer(code, reason);
        let world = World::with_room_for(4);
        world.warm(0);
        let second = world.warm(1);
        world.server.trouble("PATCH pods/w-default-0", refused());
        assert_eq!(world.claim(1).await.unwrap().worker, second, "{code}");

        let world = World::with_room_for(4);
        world.warm(0);
        world.server.trouble("PATCH pods/w-default-0", refused());
        let name = world.cold_name(1);
        let (claimed, ()) = tokio::join!(world.claim(1), world.run(&name));
        assert_eq!(claimed.unwrap().worker, worker_of(&world.pod(&name).unwrap()), "{code}");
        assert_eq!(world.server.writes(), ["PATCH pods/w-default-0", "POST pods"], "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_made_unheard_and_may_not_be_made_again_keeps_its_pod() {
    let world = World::with_room_for(4);
    let first = world.warm(0);
    world.warm(1);
    // The watch tells of nothing.
    let (pods, pools) = (Pods::default(), world.pools.clone());
    let warm = |name: &str| News::Is(Box::new(serde_json::from_value(world.pod(name).unwrap()).unwrap()));
    pods.take(warm("w-default-0"));
    pods.take(warm("w-default-1"));
    pods.take(News::Whole);
    let (network, owned) = (world.hosts.network(), Arc::<Owned>::default());
    let workers = PodWorkers::over(network, world.server.client(), pods, pools, owned, settings(), metrics());
    world.server.trouble("PATCH pods/w-default-0", Trouble::AnswerLost);
    let claim = || {
        workers.shared.clone().claim(world.stream, Epoch(1), "default".to_owned(), CancellationToken::new())
    };
    assert!(matches!(claim().await, Err(ClaimError::Unavailable(_))));
    world.server.trouble("PATCH pods/w-default-0", Trouble::Answer(403, "Forbidden"));
    assert_eq!(claim().await.unwrap().worker, first);
    assert_eq!(world.pod("w-default-1").unwrap()["metadata"]["labels"]["caudal.dev/worker"], "idle");
}
