//! The uninstall over an API server of this process.

use std::sync::{Arc, Mutex};

use caudal_kubernetes::fake_server::{FakeServer, Trouble};
use caudal_kubernetes::{LiveStream, LiveStreamSpec, names};
use caudal_livestream::StreamId;
use serde_json::{Value, json};

use super::*;
use crate::build;

const KIND: &str = "livestreams";
/// As the chart's Job has it.
const WAIT: Duration = Duration::from_secs(60);

fn server() -> FakeServer {
    let server = FakeServer::new();
    let spec = json!({ "maxWorkers": 4, "warm": { "min": 1, "percentOfLive": 0, "max": 1 } });
    server.create("workerpools", json!({ "metadata": { "name": "default" }, "spec": spec }));
    server
}

/// A broadcast that is live, with the worker that has it.
fn live(server: &FakeServer) -> String {
    let stream = StreamId::generate();
    let name = names::live_stream(stream);
    let spec = caudal_livestream::record::Spec { stream, ..caudal_livestream::fixtures::spec() };
    let mut resource = serde_json::to_value(LiveStream::new(&name, LiveStreamSpec::of(&spec))).unwrap();
    resource["metadata"]["finalizers"] = json!([names::END_FINALIZER, "example.org/other"]);
    resource["status"] = json!({ "phase": "Live", "epoch": 1 });
    server.create(KIND, resource);
    let name_of_pod = format!("w-{stream}");
    server.create("pods", worker(&name_of_pod, "LiveStream"));
    server.change("pods", &name_of_pod, |pod| {
        let labels = &mut pod["metadata"]["labels"];
        labels[names::STATE_LABEL] = json!(names::CLAIMED);
        labels[names::STREAM_LABEL] = json!(stream.to_string());
        labels[names::EPOCH_LABEL] = json!("1");
    });
    name
}

/// An idle worker's pod, whose owner is of this kind.
fn worker(name: &str, owner: &str) -> Value {
    json!({ "metadata": {
        "name": name,
        "labels": {
            names::STATE_LABEL: names::IDLE,
            names::POOL_LABEL: "default",
            names::HASH_LABEL: "0",
            build::MANAGED_BY: build::OPERATOR,
            build::NAME_LABEL: build::CAUDAL,
            build::INSTANCE_LABEL: "caudal",
            build::COMPONENT_LABEL: build::COMPONENT,
        },
        "ownerReferences": [{
            "apiVersion": "caudal.dev/v1alpha1", "kind": owner, "name": "any", "uid": "any", "controller": true,
        }],
    }})
}

/// Whether the pool lets in as many as before, and says nothing of an uninstall.
fn is_as_before(server: &FakeServer) -> bool {
    let pool = server.get("workerpools", "default").unwrap();
    let before = json!({ "maxWorkers": 4, "warm": { "min": 1, "percentOfLive": 0, "max": 1 } });
    pool["spec"] == before
        && pool["metadata"]["annotations"].as_object().is_none_or(serde_json::Map::is_empty)
}

/// What the operator does in the end, once it is asked.
fn is_ended_when_asked(server: &FakeServer, name: &str) -> tokio::task::JoinHandle<()> {
    let (server, name) = (server.clone(), name.to_owned());
    tokio::spawn(async move {
        while server.get(KIND, &name).unwrap()["spec"]["desiredState"] != "Ended" {
            sleep(Duration::from_millis(10)).await;
        }
        sleep(Duration::from_secs(5)).await;
        server.change(KIND, &name, |resource| {
            resource["status"]["phase"] = json!("Ended");
            resource["status"]["endedAt"] = json!("2027-01-15T08:00:00.000000Z");
            resource["metadata"]["finalizers"] = json!([]);
        });
    })
}

async fn told(server: &FakeServer) -> (Result<(), UninstallError>, String) {
    told_until(server, &CancellationToken::new()).await
}

async fn told_until(server: &FakeServer, stop: &CancellationToken) -> (Result<(), UninstallError>, String) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&said);
    let tell = move |line| lines.lock().unwrap().push(line);
    let outcome = uninstall(&server.client(), "caudal", WAIT, stop, tell).await;
    let said = said.lock().unwrap().join("\n");
    (outcome, said)
}

#[tokio::test(start_paused = true)]
async fn broadcasts_are_ended_and_nobody_is_let_in_behind_them() {
    let server = server();
    let (one, two) = (live(&server), live(&server));
    let operator = [is_ended_when_asked(&server, &one), is_ended_when_asked(&server, &two)];
    let begun = Instant::now();
    let (outcome, said) = told(&server).await;
    assert_eq!(outcome, Ok(()), "{said}");
    assert!(said.ends_with("broadcasts ended: 2; still open: 0"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(10), "as soon as they have ended");
    assert_eq!(server.get(KIND, &one).unwrap()["spec"]["endReason"], "shutdown");
    let pool = server.get("workerpools", "default").unwrap();
    assert_eq!((&pool["spec"]["maxWorkers"], &pool["spec"]["warm"]["max"]), (&json!(0), &json!(0)));
    assert!(server.get("pods", &one.replacen("s-", "w-", 1)).is_some(), "workers are the operator's");
    for ended in operator {
        ended.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_that_a_router_let_in_at_the_last_moment_is_ended_too() {
    let server = server();
    let one = live(&server);
    let late = server.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(2)).await;
        let two = live(&late);
        is_ended_when_asked(&late, &two).await.unwrap();
    });
    is_ended_when_asked(&server, &one);
    let (outcome, said) = told(&server).await;
    assert_eq!(outcome, Ok(()));
    assert!(said.ends_with("broadcasts ended: 2; still open: 0"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn what_no_operator_ends_is_let_go_of_after_all_workers_were_deleted() {
    let server = server();
    let name = live(&server);
    server.create("pods", worker("other", "WorkerPool"));
    server.create("pods", worker("somebody-elses", "ReplicaSet"));
    server.create("pods", json!({ "metadata": { "name": "no-worker", "labels": {} } }));
    let begun = Instant::now();
    let (outcome, said) = told(&server).await;
    assert_eq!(outcome, Ok(()));
    assert!((60..65).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    let resource = server.get(KIND, &name).unwrap();
    assert_eq!(resource["metadata"]["finalizers"], json!(["example.org/other"]), "{said}");
    assert_eq!(resource["status"]["phase"], "Live", "the next operator ends it");
    assert!(said.contains(&format!("{name}: let go of")), "{said}");
    assert!(server.get("pods", &name.replacen("s-", "w-", 1)).is_none());
    assert!(server.get("pods", "other").is_none(), "nobody would end an idle one either");
    assert!(server.get("pods", "no-worker").is_some());
    assert!(server.get("pods", "somebody-elses").is_some(), "{said}");
    assert!(said.contains("left alone: pod somebody-elses"), "{said}");
    let writes = server.writes();
    let released = writes.iter().rposition(|line| *line == format!("PATCH {KIND}/{name}")).unwrap();
    assert!(
        writes.iter().rposition(|line| line.starts_with("DELETE pods")).unwrap() < released,
        "{writes:?}"
    );

    // Again, as a Job that was interrupted: what is let go of holds nothing up.
    let (outcome, _) = told(&server).await;
    assert_eq!(outcome, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn all_is_gone_through_and_what_cannot_be_let_go_of_is_said_with_what_to_type() {
    let server = server();
    let names = [live(&server), live(&server), live(&server)];
    let stuck = names[0].replacen("s-", "w-", 1);
    let refusing = server.clone();
    let held = names[1].clone();
    let never = stuck.clone();
    tokio::spawn(async move {
        // When all were ordered to end.
        sleep(Duration::from_secs(59)).await;
        refusing.trouble(&format!("PATCH {KIND}/{held}"), Trouble::Answer(422, "Invalid"));
        refusing.trouble(&format!("DELETE pods/{never}"), Trouble::Answer(403, "Forbidden"));
    });
    let (outcome, said) = told(&server).await;
    assert_eq!(outcome, Err(UninstallError::Left { left: 3, all: 6 }), "{said}");
    let finalizers = names.map(|name| {
        let all = server.get(KIND, &name).unwrap()["metadata"]["finalizers"].clone();
        all.as_array().unwrap().contains(&json!(names::END_FINALIZER))
    });
    assert_eq!(finalizers, [true, true, false], "the last one all the same, and none whose worker runs on");
    assert!(said.contains(&format!("type: kubectl -n caudal delete pod {stuck}")), "{said}");
    assert!(said.contains("its worker may run on"), "{said}");
    assert_eq!(said.matches("type: kubectl -n caudal patch lst s-").count(), 2, "{said}");
    assert!(is_as_before(&server), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_has_got_a_workers_name_meanwhile_is_not_deleted_for_it() {
    let server = server();
    let name = live(&server);
    let another: fn(&mut Value) = |pod| pod["metadata"]["uid"] = json!("another");
    let pod = name.replacen("s-", "w-", 1);
    server.trouble(&format!("DELETE pods/{pod}"), Trouble::Overtaken(another));
    let (outcome, said) = told(&server).await;
    assert_eq!(outcome, Ok(()), "{said}");
    assert_eq!(server.get("pods", &pod).unwrap()["metadata"]["uid"], "another");
}

#[tokio::test(start_paused = true)]
async fn letting_go_has_its_whole_time_after_a_wait_that_took_all_of_its_own() {
    let server = server();
    let name = live(&server);
    let slow = server.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(58)).await;
        // The last look of the wait hangs, beyond the end of the wait; and 18 s of the time to let go are lost too.
        slow.trouble(&format!("GET {KIND}"), Trouble::Silence);
        sleep(Duration::from_millis(2_100)).await;
        for _ in 0..36 {
            slow.trouble("GET pods", Trouble::Answer(500, "InternalError"));
        }
    });
    let (outcome, said) = told(&server).await;
    assert_eq!(outcome, Ok(()), "{said}");
    assert!(said.contains(&format!("{name}: let go of")), "{said}");
}

#[tokio::test(start_paused = true)]
async fn one_that_somebody_writes_to_and_one_of_a_later_release_are_let_go_of() {
    let server = server();
    let name = live(&server);
    server.change(KIND, &name, |resource| resource["spec"]["stream"] = json!({ "of": "a later release" }));
    let rename: fn(&mut Value) = |resource| resource["spec"]["title"] = json!("Another day");
    server.trouble(&format!("PATCH {KIND}"), Trouble::Answer(409, "Conflict"));
    let server_busy = server.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(59)).await;
        server_busy.trouble(&format!("PATCH {KIND}"), Trouble::Overtaken(rename));
    });
    let (outcome, said) = told(&server).await;
    assert_eq!(outcome, Ok(()), "{said}");
    let resource = server.get(KIND, &name).unwrap();
    assert_eq!(resource["metadata"]["finalizers"], json!(["example.org/other"]));
    assert_eq!(resource["spec"]["title"], "Another day");
}

#[tokio::test(start_paused = true)]
async fn pools_are_closed_through_conflicts_and_passing_errors_and_a_right_that_is_missing_is_said() {
    let server = server();
    let scale: fn(&mut Value) = |pool| pool["spec"]["moveSurge"] = json!(2);
    server.trouble("GET workerpools", Trouble::Answer(503, "ServiceUnavailable"));
    server.trouble("PATCH workerpools", Trouble::Overtaken(scale));
    server.trouble("PATCH workerpools", Trouble::Answer(429, "TooManyRequests"));
    let (outcome, said) = told(&server).await;
    assert_eq!(outcome, Ok(()), "{said}");
    assert_eq!(server.get("workerpools", "default").unwrap()["spec"]["maxWorkers"], 0);

    let server = self::server();
    server.trouble("PATCH workerpools", Trouble::Answer(403, "Forbidden"));
    let begun = Instant::now();
    let (outcome, _) = told(&server).await;
    let words = outcome.unwrap_err().to_string();
    assert!(
        words.starts_with("the worker pools cannot be closed: the API server forbids it: Forbidden"),
        "{words}"
    );
    assert!(words.contains("docs/kubernetes.md, Uninstall"), "{words}");
    assert!(begun.elapsed() < Duration::from_secs(1), "another try changes nothing");
}

#[tokio::test(start_paused = true)]
async fn an_uninstall_that_is_told_to_end_opens_what_it_closed() {
    let server = server();
    live(&server);
    let stop = CancellationToken::new();
    let told_to_end = stop.clone();
    let world = server.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(5)).await;
        assert!(!is_as_before(&world));
        world.trouble("PATCH workerpools", Trouble::Answer(409, "Conflict"));
        told_to_end.cancel();
    });
    let begun = Instant::now();
    let (outcome, said) = told_until(&server, &stop).await;
    assert_eq!(outcome, Err(UninstallError::Stopped));
    assert!(said.ends_with("worker pool default: open again, as it was before"), "{said}");
    assert!(is_as_before(&server));
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_run_after_one_that_was_killed_remembers_what_was_before_both() {
    let server = server();
    live(&server);
    // As by SIGKILL: it is not asked any more.
    assert!(tokio::time::timeout(Duration::from_secs(5), told(&server)).await.is_err());
    assert!(!is_as_before(&server));
    let stop = CancellationToken::new();
    let told_to_end = stop.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(5)).await;
        told_to_end.cancel();
    });
    told_until(&server, &stop).await.0.unwrap_err();
    assert!(is_as_before(&server));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_somebody_has_opened_meanwhile_stays_as_they_made_it() {
    let server = server();
    live(&server);
    let stop = CancellationToken::new();
    let (told_to_end, world) = (stop.clone(), server.clone());
    tokio::spawn(async move {
        sleep(Duration::from_secs(5)).await;
        world.change("workerpools", "default", |pool| pool["spec"]["maxWorkers"] = json!(9));
        told_to_end.cancel();
    });
    told_until(&server, &stop).await.0.unwrap_err();
    let pool = server.get("workerpools", "default").unwrap();
    assert_eq!(pool["spec"]["maxWorkers"], 9);
    assert_eq!(pool["metadata"]["annotations"], json!({}));
}

#[test]
fn the_charts_job_has_time_for_all_of_it_and_its_pod_for_opening_the_pools() {
    let job = include_str!("../../../charts/caudal/templates/uninstall.yaml");
    let number = |field: &str| -> u64 {
        let line = job.lines().find_map(|line| line.trim().strip_prefix(field)).unwrap();
        line.trim_matches([' ', ':', '"', ']']).parse().unwrap()
    };
    let wait = number("args: [uninstall, --wait, ");
    assert_eq!(wait, WAIT.as_secs());
    let run = (CLOSING + WAIT + LETTING_GO + REOPENING).as_secs();
    let (deadline, grace) = (number("activeDeadlineSeconds"), number("terminationGracePeriodSeconds"));
    // Its image has to be pulled, too.
    assert!(run + 60 <= deadline, "{run} s of {deadline}");
    assert!(REOPENING.as_secs() < grace, "{grace}");
    let helm_waits = 300;
    assert!(deadline + grace < helm_waits, "{deadline} and {grace}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_asked_again_and_its_silence_is_no_end() {
    let server = server();
    let name = live(&server);
    server.trouble(&format!("GET {KIND}"), Trouble::Answer(500, "InternalError"));
    let operator = is_ended_when_asked(&server, &name);
    let (outcome, said) = told(&server).await;
    assert_eq!(outcome, Ok(()));
    assert!(said.contains("trying again") && said.ends_with("broadcasts ended: 1; still open: 0"), "{said}");
    operator.await.unwrap();

    live(&server);
    let away = server.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(2)).await;
        away.go_away();
    });
    let (outcome, said) = told(&server).await;
    assert!(matches!(outcome, Err(UninstallError::Broadcasts { failure: Failure::Unavailable(_) })));
    assert!(said.ends_with("ServiceUnavailable"), "that the pools stay closed is said: {said}");
}

#[tokio::test(start_paused = true)]
async fn one_that_its_owner_has_just_ended_keeps_that_reason() {
    let server = server();
    let name = live(&server);
    server.change(KIND, &name, |resource| {
        resource["spec"]["desiredState"] = json!("Ended");
        resource["spec"]["endReason"] = json!("ended_by_owner");
    });
    let operator = is_ended_when_asked(&server, &name);
    let (outcome, _) = told(&server).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(server.get(KIND, &name).unwrap()["spec"]["endReason"], "ended_by_owner");
    operator.await.unwrap();
}

#[tokio::test]
async fn a_cluster_that_does_not_know_livestreams_has_none_to_end() {
    let server = FakeServer::new();
    server.trouble("GET workerpools", Trouble::Answer(404, "NotFound"));
    assert_eq!(told(&server).await.0, Ok(()));
}
