//! Workers over an API server of this process, with its awkward answers.

mod unwell;
mod world;

use std::net::IpAddr;

use caudal_kubernetes::fake_server::Trouble;
use caudal_kubernetes::watching::News;
use caudal_livestream::WorkerId;
use serde_json::Value;
use tokio::time::Instant;

use super::*;
use crate::build::tests::{pool, settings};
use world::{KIND, OWNER, Owned, World, metrics, take_pool, worker_of};

#[tokio::test(start_paused = true)]
async fn a_warm_pod_becomes_the_streams_by_one_patch() {
    let world = World::new();
    let worker = world.warm(0);
    assert_eq!(world.claim(1).await.unwrap().worker, worker);
    assert_eq!(world.server.writes(), ["PATCH pods/w-default-0"]);
    let pod = world.pod("w-default-0").unwrap();
    let labels = &pod["metadata"]["labels"];
    assert_eq!(labels["caudal.dev/stream"], json!(world.stream));
    assert_eq!((&labels["caudal.dev/epoch"], &labels["caudal.dev/worker"]), (&json!("1"), &json!("claimed")));
    assert_eq!(labels["caudal.dev/pool"], "default");
    let owners = pod["metadata"]["ownerReferences"].as_array().unwrap();
    assert_eq!(owners.len(), 1, "the pool's removal takes no live worker");
    assert_eq!((&owners[0]["uid"], &owners[0]["blockOwnerDeletion"]), (&json!(OWNER), &json!(false)));
}

#[tokio::test(start_paused = true)]
async fn the_same_epoch_gets_the_same_worker_also_from_the_next_operator() {
    let mut world = World::new();
    let worker = world.warm(0);
    world.warm(1);
    for _ in 0..3 {
        assert_eq!(world.claim(1).await.unwrap().worker, worker);
    }
    world.restart();
    assert_eq!(world.claim(1).await.unwrap().worker, worker);
    assert_eq!(world.server.writes().len(), 1);
    assert_ne!(world.claim(2).await.unwrap().worker, worker);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_answer_is_lost_takes_no_second_pod() {
    let world = World::new();
    let worker = world.warm(0);
    world.warm(1);
    world.server.trouble("PATCH", Trouble::AnswerLost);
    // The watch tells of it before the claim is tried again, or is late: both have to come to the same pod.
    assert!(matches!(world.claim(1).await, Err(ClaimError::Unavailable(_))));
    assert_eq!(world.claim(1).await.unwrap().worker, worker);
    assert_eq!(world.pod("w-default-1").unwrap()["metadata"]["labels"]["caudal.dev/worker"], "idle");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_not_made_is_tried_on_the_same_pod_again() {
    let world = World::new();
    let worker = world.warm(0);
    world.warm(1);
    world.server.trouble("PATCH", Trouble::Silence);
    assert!(matches!(world.claim(1).await, Err(ClaimError::Unavailable(_))));
    assert_eq!(world.claim(1).await.unwrap().worker, worker);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_with_more_renditions_than_its_pool_has_now_takes_no_worker_that_is_too_small_for_them() {
    let world = World::with_room_for(4);
    let mut small = pool(caudal_kubernetes::worker_pool::Template::default());
    let large = small.clone();
    small.spec.ladder.clear();
    (small.spec.max_workers, small.spec.move_surge) = (3, 1);
    world.pools.take(News::Is(Box::new(small.clone())));
    world.owned.began_with(world.stream, large.spec.ladder.clone());
    let too_small = world.warm_of(&small, 0);
    let left_over = world.warm_of(&large, 1);
    assert_eq!(world.claim(1).await.unwrap().worker, left_over);
    let name = world.cold_name(2);
    let (claimed, ()) = tokio::join!(world.claim(2), world.run(&name));
    let made = world.pod(&name).unwrap();
    assert_eq!(claimed.unwrap().worker, worker_of(&made));
    let large_enough = serde_json::to_value(build::warm(&large, 0, &settings())).unwrap();
    assert_eq!(made["spec"]["containers"], large_enough["spec"]["containers"]);
    // A broadcast that began since takes what there is.
    let other = world.workers.claim(StreamId::generate(), Epoch(1), &Pool::default());
    assert_eq!(other.await.unwrap().worker.worker, too_small);
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_takes_no_worker_that_waited_since_before_its_pool_had_such_a_ladder() {
    let world = World::with_room_for(4);
    let now = pool(caudal_kubernetes::worker_pool::Template::default());
    let mut before = now.clone();
    before.spec.ladder.clear();
    world.owned.began_with(world.stream, now.spec.ladder.clone());
    let too_small = world.warm_of(&before, 0);
    let name = world.cold_name(1);
    let (claimed, ()) = tokio::join!(world.claim(1), world.run(&name));
    assert_eq!(claimed.unwrap().worker, worker_of(&world.pod(&name).unwrap()));
    // One without renditions, as every broadcast is whose source is small, takes what there is.
    let other = world.workers.claim(StreamId::generate(), Epoch(1), &Pool::default());
    assert_eq!(other.await.unwrap().worker.worker, too_small);
    // Whoever says what workers need, in the pool, has said it of all.
    let world = World::with_room_for(4);
    world.owned.began_with(world.stream, now.spec.ladder.clone());
    let mut said = now.clone();
    said.spec.template.resources =
        Some(serde_json::from_value(json!({ "requests": { "cpu": "1" } })).unwrap());
    world.pools.take(News::Is(Box::new(said)));
    let small = world.warm_of(&before, 0);
    assert_eq!(world.claim(1).await.unwrap().worker, small);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_late_for_a_pod_takes_the_next_one() {
    let world = World::new();
    world.warm(0);
    let second = world.warm(1);
    let theirs: fn(&mut Value) = |pod| {
        pod["metadata"]["labels"]["caudal.dev/worker"] = json!("claimed");
        pod["metadata"]["labels"]["caudal.dev/stream"] = json!(StreamId::generate());
        pod["metadata"]["labels"]["caudal.dev/epoch"] = json!("1");
    };
    world.server.trouble("PATCH", Trouble::Overtaken(theirs));
    assert_eq!(world.claim(1).await.unwrap().worker, second);
    assert_eq!(world.metrics.claim_conflicts.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn two_streams_at_once_get_two_pods() {
    let world = World::with_room_for(3);
    let pair = [world.warm(0), world.warm(1)];
    let other = StreamId::generate();
    let theirs = world.workers.claim(other, Epoch(1), &Pool::default());
    let (ours, theirs) = tokio::join!(world.claim(1), theirs);
    let mut got = [ours.unwrap().worker, theirs.unwrap().worker.worker];
    got.sort();
    let mut expected = pair;
    expected.sort();
    assert_eq!(got, expected);
}

#[tokio::test(start_paused = true)]
async fn without_a_warm_pod_one_is_created_under_a_name_that_cannot_be_given_twice() {
    let mut world = World::new();
    let name = world.cold_name(1);
    let (claimed, ()) = tokio::join!(world.claim(1), world.run(&name));
    let worker = worker_of(&world.pod(&name).unwrap());
    assert_eq!(claimed.unwrap().worker, worker);
    world.restart();
    assert_eq!(world.claim(1).await.unwrap().worker, worker);
    assert_eq!(world.server.writes(), ["POST pods"]);
}

#[tokio::test(start_paused = true)]
async fn a_creation_whose_answer_is_lost_is_found_again() {
    let world = World::new();
    let name = world.cold_name(1);
    world.server.trouble("POST", Trouble::AnswerLost);
    let (lost, ()) = tokio::join!(world.claim(1), world.run(&name));
    assert!(matches!(lost, Err(ClaimError::Unavailable(_))));
    assert_eq!(world.claim(1).await.unwrap().worker, worker_of(&world.pod(&name).unwrap()));
}

#[tokio::test(start_paused = true)]
async fn an_operator_whose_view_is_old_finds_the_pod_that_it_would_have_made_twice() {
    let world = World::new();
    let name = world.cold_name(1);
    let (claimed, ()) = tokio::join!(world.claim(1), world.run(&name));
    // It has listed the pods just before that one was made, and hears nothing more.
    let (pods, pools) = (Pods::default(), Pools::default());
    pods.take(News::Whole);
    pools.take(News::Is(Box::new(pool(caudal_kubernetes::worker_pool::Template::default()))));
    let late =
        PodWorkers::new(world.server.client(), pods, pools, Arc::<Owned>::default(), settings(), metrics());
    assert_eq!(
        late.claim(world.stream, Epoch(1), &Pool::default()).await.map(|claimed| claimed.worker),
        claimed
    );
    assert_eq!(world.server.writes(), ["POST pods", "POST pods"], "the second one was refused");
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_that_name_that_is_somebody_elses_is_left_alone_and_the_worker_gets_another_name() {
    let mut world = World::new();
    let name = world.cold_name(1);
    // The one bears no label that the operator looks for, so only its name is in the way; the other looks like a worker.
    let labels = json!({
        "caudal.dev/pool": "default", "caudal.dev/worker": "claimed", "caudal.dev/stream": world.stream, "caudal.dev/epoch": "1",
    });
    let next = format!("{name}-2");
    world.server.create(KIND, json!({ "metadata": { "name": name } }));
    world.server.create(KIND, json!({ "metadata": { "name": next, "labels": labels } }));
    let last = format!("{name}-3");
    let (claimed, ()) =
        tokio::join!(world.workers.claim(world.stream, Epoch(1), &Pool::default()), world.run(&last));
    let claimed = claimed.unwrap();
    assert_eq!((claimed.worker.worker, claimed.start), (worker_of(&world.pod(&last).unwrap()), Start::Cold));
    assert_eq!(world.pods.names_in_the_way("default"), [name.clone(), next.clone()]);
    // The next operator finds it.
    world.restart();
    assert_eq!(world.claim(1).await.unwrap().worker, claimed.worker.worker);
    for theirs in [&name, &next] {
        assert!(world.pod(theirs).unwrap()["metadata"]["deletionTimestamp"].is_null(), "{theirs}");
    }

    let world = World::new();
    let names = caudal_kubernetes::names::cold_pods(world.stream, Epoch(1));
    for name in &names {
        world.server.create(KIND, json!({ "metadata": { "name": name } }));
    }
    let Err(ClaimError::Unavailable(reason)) = world.claim(1).await else { panic!("claimed") };
    assert!(reason.contains("other pods have all the names"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn there_is_no_room_beyond_the_pool_its_surge_a_quota_or_the_nodes() {
    let world = World::new();
    for epoch in [1, 2] {
        let _ = world.claim(epoch).await;
    }
    assert_eq!(world.server.writes().len(), 2, "the pool has one, and one for a move");
    assert_eq!(
        no_room(world.claim(3).await),
        "the pool default is full: it has all the 2 workers that it may have"
    );

    let world = World::new();
    world.server.trouble("POST", Trouble::Answer(403, "exceeded quota: pods"));
    let words = no_room(world.claim(1).await);
    assert!(
        words.starts_with("a quota allows no pod w-") && words.contains("exceeded quota: pods"),
        "{words}"
    );

    let world = World::new();
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
    assert_eq!(no_room(claimed), format!("pod {name} is Unschedulable: 0/2 nodes"));
}

fn no_room(claimed: Result<WorkerAddress, ClaimError>) -> String {
    match claimed {
        Err(ClaimError::NoCapacity(words)) => words,
        other => panic!("{other:?}"),
    }
}

fn waits(claimed: Result<WorkerAddress, ClaimError>) -> String {
    match claimed {
        Err(ClaimError::Unavailable(words) | ClaimError::Coming(words)) => words,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_says_what_it_waits_for_as_soon_as_that_is_known() {
    let status = |status: Value| move |pod: &mut Value| pod["status"] = status.clone();
    let image = json!({ "phase": "Pending", "containerStatuses": [{
        "name": "transcoder-worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": "ErrImagePull", "message": "no such host" } },
    }] });
    let killed = json!({ "phase": "Failed", "containerStatuses": [{
        "name": "transcoder-worker", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
    }] });
    for (says, expected) in [
        (image, "the image of pod POD cannot be pulled: ErrImagePull: no such host"),
        (killed, "pod POD ended before its worker had the broadcast (OOMKilled, exit code 137)"),
    ] {
        let world = World::new();
        let name = world.cold_name(1);
        let saying = async {
            while world.pod(&name).is_none() {
                sleep(Duration::from_millis(10)).await;
            }
            world.server.change(KIND, &name, status(says));
            Instant::now()
        };
        let (claimed, said) = tokio::join!(world.claim(1), saying);
        assert_eq!(waits(claimed), expected.replace("POD", &name));
        assert!(said.elapsed() < Duration::from_millis(500), "{:?}", said.elapsed());
    }
    // Nobody says anything.
    let (world, begun) = (World::new(), Instant::now());
    let words = waits(world.claim(1).await);
    assert_eq!(words, format!("no scheduler has said anything of pod {}", world.cold_name(1)));
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    // The API server refuses the pod.
    let world = World::new();
    world.server.trouble("POST", Trouble::Answer(403, "violates PodSecurity"));
    let words = waits(world.claim(1).await);
    assert!(words.starts_with("pod w-") && words.contains("violates PodSecurity"), "{words}");
    // There is no such pool.
    let world = World::of_no_pool();
    assert_eq!(waits(world.claim(1).await), "there is no WorkerPool default");
}

#[tokio::test(start_paused = true)]
async fn broadcasts_that_were_let_in_at_once_leave_the_surge_to_moves_whether_workers_wait_or_are_made() {
    for waiting in [2, 0] {
        let mut world = World::new();
        (0..waiting).for_each(|place| {
            world.warm(place);
        });
        world.pods.whole().await;
        let begin = async |stream, epoch| {
            let claimed = world.workers.claim(stream, Epoch(epoch), &Pool::default()).await;
            // A pod that is made does not listen here.
            match claimed {
                Err(ClaimError::NoCapacity(because)) => Err(because),
                Ok(_) | Err(ClaimError::Unavailable(_) | ClaimError::Coming(_)) => Ok(()),
            }
        };
        let other = StreamId::generate();
        let outcomes = tokio::join!(begin(world.stream, 1), begin(other, 1));
        let refused = Err("as many broadcasts are open as pool default may have".to_owned());
        let (placed, late) = match &outcomes {
            (Ok(()), late) if *late == refused => (world.stream, other),
            (late, Ok(())) if *late == refused => (other, world.stream),
            both => panic!("{both:?}"),
        };
        assert_eq!(begin(placed, 2).await, Ok(()), "it is moved, or has lost its worker");
        assert_eq!(begin(late, 1).await, refused);
        // By what became of them, the next operator knows which of them has the place.
        world.restart();
        world.pods.whole().await;
        let claimed = world.workers.claim(late, Epoch(1), &Pool::default()).await;
        assert!(matches!(claimed, Err(ClaimError::NoCapacity(_))), "{claimed:?}");
        // Its pods have the pool's places for as long as they are ending, and no longer.
        world.owned.over(placed);
        let names: Vec<_> = world.pods.claimed().iter().map(|pod| pod.name.clone()).collect();
        assert_eq!(names.len(), 2);
        for name in &names {
            world.server.vanish(KIND, name);
        }
        sleep(Duration::from_millis(100)).await;
        let claimed = world.workers.claim(late, Epoch(1), &Pool::default()).await;
        assert!(!matches!(claimed, Err(ClaimError::NoCapacity(_))), "{claimed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_worker_is_replaced_also_in_a_pool_that_was_closed_meanwhile() {
    let world = World::new();
    world.warm(0);
    world.claim(1).await.unwrap();
    take_pool(&world.pools, 0, 1);
    let name = world.cold_name(2);
    let (claimed, ()) = tokio::join!(world.claim(2), world.run(&name));
    assert_eq!(claimed.unwrap().worker, worker_of(&world.pod(&name).unwrap()));
    let other = world.workers.claim(StreamId::generate(), Epoch(1), &Pool::default()).await;
    assert!(matches!(other, Err(ClaimError::NoCapacity(_))), "{other:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_ended_before_it_was_told_of_its_epoch_makes_room_for_another() {
    let world = World::new();
    let name = world.cold_name(1);
    let (first, ()) = tokio::join!(world.claim(1), world.run(&name));
    world.server.change(KIND, &name, |pod| pod["status"]["phase"] = json!("Failed"));
    sleep(Duration::from_millis(100)).await;
    assert!(matches!(world.claim(1).await, Err(ClaimError::Unavailable(_))));
    assert_eq!(world.pod(&name), None);
    let (second, ()) = tokio::join!(world.claim(1), world.run(&name));
    assert_ne!(second.unwrap().worker, first.unwrap().worker);
}

#[tokio::test(start_paused = true)]
async fn a_release_ends_the_pod_and_waits_for_its_process() {
    let world = World::new();
    let worker = world.warm(0);
    world.claim(1).await.unwrap();
    // Somebody touches the pod just then.
    let touch: fn(&mut Value) = |pod| pod["metadata"]["annotations"]["touched"] = json!("yes");
    world.server.trouble("DELETE", Trouble::Overtaken(touch));
    let released = tokio::spawn(world.workers.release(worker));
    let exited = tokio::spawn(world.workers.exited(worker));
    sleep(Duration::from_secs(20)).await;
    assert!(world.pod("w-default-0").unwrap()["metadata"]["deletionTimestamp"].is_string());
    assert!(!released.is_finished() && !exited.is_finished(), "its process runs");
    world.server.vanish(KIND, "w-default-0");
    assert_eq!((released.await.unwrap(), exited.await.unwrap()), (Presence::Gone, Presence::Gone));
    assert_eq!(world.workers.release(worker).await, Presence::Gone);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_go_because_its_node_is_lost_is_waited_for_no_longer_than_ten_minutes() {
    let world = World::new();
    let worker = world.warm(0);
    world.claim(1).await.unwrap();
    world.begin_term();
    let released = tokio::spawn(world.workers.release(worker));
    sleep(Duration::from_mins(9)).await;
    assert!(!released.is_finished());
    sleep(Duration::from_mins(3)).await;
    assert!(world.pod("w-default-0").is_some());
    assert!(released.is_finished());
    assert_eq!(released.await.unwrap(), Presence::Gone);
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_pod_may_not_be_deleted_is_gone_once_its_process_has_ended() {
    let world = World::new();
    let worker = world.warm(0);
    world.claim(1).await.unwrap();
    let refuse = || world.server.trouble("DELETE", Trouble::Answer(422, "Invalid"));
    refuse();
    assert_eq!(world.workers.release(worker).await, Presence::Unknown);
    world.server.change(KIND, "w-default-0", |pod| pod["status"]["phase"] = json!("Succeeded"));
    sleep(Duration::from_millis(100)).await;
    refuse();
    assert_eq!(world.workers.release(worker).await, Presence::Gone);
    assert!(world.pod("w-default-0").is_some());
}

#[tokio::test(start_paused = true)]
async fn what_no_watch_has_told_of_is_gone_only_when_the_server_says_so() {
    let world = World::new();
    let known = world.warm(0);
    // An operator that has read no pods yet.
    let blind = PodWorkers::new(
        world.server.client(),
        Pods::default(),
        Pools::default(),
        Arc::<Owned>::default(),
        settings(),
        metrics(),
    );
    assert_eq!(blind.exited(known).await, Presence::Unknown);
    assert_eq!(blind.exited(WorkerId::generate()).await, Presence::Gone);
    // A look that began when somebody asked is good enough for them, and the clock stands still.
    sleep(Duration::from_millis(1)).await;
    world.server.trouble("GET pods", Trouble::Answer(500, "InternalError"));
    assert_eq!(blind.exited(WorkerId::generate()).await, Presence::Unknown);
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_for_unknown_workers_are_answered_by_few_lists() {
    let world = World::new();
    let blind = PodWorkers::new(
        world.server.client(),
        Pods::default(),
        Pools::default(),
        Arc::<Owned>::default(),
        settings(),
        metrics(),
    );
    let asked = (0..500).map(|_| blind.exited(WorkerId::generate()));
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| *answer == Presence::Gone));
    assert!(world.server.reads("GET pods") <= 3, "{}", world.server.reads("GET pods"));
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_ends_also_what_a_claim_that_was_given_up_has_got() {
    let world = World::new();
    world.warm(0);
    world.pods.whole().await;
    // Given up while its patch is under way.
    let claim = world.workers.claim(world.stream, Epoch(1), &Pool::default());
    assert!(timeout(Duration::ZERO, claim).await.is_err());
    let withdrawn = tokio::spawn(world.workers.withdraw(world.stream));
    sleep(Duration::from_secs(1)).await;
    let pod = world.pod("w-default-0").unwrap();
    let claimed = pod["metadata"]["labels"]["caudal.dev/worker"] == "claimed";
    assert_eq!(claimed, pod["metadata"]["deletionTimestamp"].is_string(), "{pod}");
    if claimed {
        world.server.vanish(KIND, "w-default-0");
    }
    withdrawn.await.unwrap();
    assert!(world.workers.shared.pods.claimed_by(world.stream).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_withdrawal_ends_what_an_earlier_operator_claimed_and_outlives_an_outage() {
    let mut world = World::new();
    world.warm(0);
    world.claim(1).await.unwrap();
    world.restart();
    for _ in 0..3 {
        world.server.trouble("GET pods", Trouble::Answer(500, "InternalError"));
    }
    world.server.trouble("DELETE", Trouble::Answer(500, "InternalError"));
    let withdrawn = tokio::spawn(world.workers.withdraw(world.stream));
    sleep(Duration::from_secs(10)).await;
    assert!(world.pod("w-default-0").unwrap()["metadata"]["deletionTimestamp"].is_string());
    world.server.vanish(KIND, "w-default-0");
    withdrawn.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_was_not_waited_for_is_withdrawn_and_the_streams_other_worker_stays() {
    let mut world = World::new();
    let (serving, _) = (world.warm(0), world.warm(1));
    assert_eq!(world.claim(1).await.unwrap().worker, serving);
    // Made, and never answered; the operator that made it dies.
    world.server.trouble("PATCH", Trouble::AnswerLost);
    let claim = world.workers.claim(world.stream, Epoch(2), &Pool::default());
    assert!(timeout(Duration::from_secs(1), claim).await.is_err());
    world.restart();
    let withdrawn = tokio::spawn(world.workers.withdraw_claim(world.stream, Epoch(2)));
    sleep(Duration::from_secs(20)).await;
    let leaving = |name| world.pod(name).unwrap()["metadata"]["deletionTimestamp"].is_string();
    assert_eq!([leaving("w-default-0"), leaving("w-default-1")], [false, true]);
    assert!(!withdrawn.is_finished(), "its process runs");
    world.server.vanish(KIND, "w-default-1");
    withdrawn.await.unwrap();
    assert_eq!(world.claim(1).await.unwrap().worker, serving);
    // Where nothing was claimed, nothing is waited for.
    world.workers.withdraw_claim(world.stream, Epoch(3)).await;
}

#[tokio::test(start_paused = true)]
async fn the_workers_of_a_stream_are_ended_at_once_and_not_one_after_the_other() {
    let world = World::new();
    let _ = (world.warm(0), world.warm(1));
    for epoch in [1, 2] {
        world.claim(epoch).await.unwrap();
    }
    let withdrawn = tokio::spawn(world.workers.withdraw(world.stream));
    sleep(Duration::from_secs(1)).await;
    for name in ["w-default-0", "w-default-1"] {
        assert!(world.pod(name).unwrap()["metadata"]["deletionTimestamp"].is_string(), "{name}");
        world.server.vanish(KIND, name);
    }
    withdrawn.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_that_takes_no_connection_is_left_for_one_on_another_node() {
    let world = World::with_room_for(4);
    world.warm_on("node-1", 0, "10.1.2.5");
    world.warm_on("node-1", 1, "10.1.2.4");
    let next = world.warm_on("node-2", 2, "10.1.2.4");
    assert_eq!(world.claim(1).await.unwrap().worker, next);
    assert_eq!(world.server.writes(), ["PATCH pods/w-default-2"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_asked_once_and_a_worker_is_made_elsewhere() {
    let world = World::with_room_for(20);
    // More than are tried.
    for place in 0..8 {
        world.warm_on("node-1", place, &format!("10.1.3.{place}"));
    }
    let (name, begun) = (world.cold_name(1), Instant::now());
    let (claimed, ()) = tokio::join!(world.claim(1), world.run(&name));
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert_eq!(world.hosts.asked(), [IpAddr::from([10, 1, 3, 0])]);
    let made = world.pod(&name).unwrap();
    assert_eq!(claimed.unwrap().worker, worker_of(&made));
    let preferred =
        &made["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(preferred[0]["preference"]["matchFields"][0]["values"], json!(["node-1"]));
    assert_eq!(world.server.writes(), ["POST pods"]);
    // Nobody doubts them for longer than they are silent.
    world.hosts.begin("10.1.3.0");
    let other = world.workers.claim(StreamId::generate(), Epoch(1), &Pool::default());
    assert_eq!(other.await.unwrap().start, Start::Warm);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_may_have_been_made_is_not_given_up_because_its_worker_is_silent() {
    let world = World::new();
    let worker = world.warm_on("node-1", 0, "10.1.2.4");
    world.warm_on("node-2", 1, "10.1.2.5");
    world.server.trouble("PATCH", Trouble::Silence);
    assert!(matches!(world.claim(1).await, Err(ClaimError::Unavailable(_))));
    world.hosts.0.lock().unwrap().0.clear();
    world.hosts.begin("10.1.2.5");
    assert_eq!(world.claim(1).await.unwrap().worker, worker);
}

#[tokio::test(start_paused = true)]
async fn a_new_worker_is_the_streams_as_soon_as_it_answers_whatever_its_kubelet_says() {
    let world = World::new();
    let name = world.cold_name(1);
    let answering = async {
        while world.pod(&name).is_none() {
            sleep(Duration::from_millis(10)).await;
        }
        world.server.change(KIND, &name, |pod| pod["status"] = json!({ "podIP": "10.1.2.4" }));
        sleep(Duration::from_secs(1)).await;
        world.hosts.begin("10.1.2.4");
        Instant::now()
    };
    let (claimed, answered) = tokio::join!(world.claim(1), answering);
    assert_eq!(claimed.unwrap().worker, worker_of(&world.pod(&name).unwrap()));
    assert!(answered.elapsed() < Duration::from_millis(500), "{:?}", answered.elapsed());
}
