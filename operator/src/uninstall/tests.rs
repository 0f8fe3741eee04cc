//! The uninstall over an API server of this process.

use std::sync::{Arc, Mutex};

use caudal_kubernetes::fake_server::{FakeServer, Trouble};
use caudal_kubernetes::{LiveStream, LiveStreamSpec};
use caudal_livestream::StreamId;
use serde_json::{Value, json};

use super::*;

const KIND: &str = "livestreams";

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
    let labels = json!({ names::STATE_LABEL: names::CLAIMED, names::STREAM_LABEL: stream.to_string() });
    let pod = json!({ "metadata": { "name": format!("w-{stream}"), "labels": labels } });
    server.create("pods", pod);
    name
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
            resource["metadata"]["finalizers"] = json!([]);
        });
    })
}

async fn told(server: &FakeServer) -> (Result<(), Failure>, String) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&said);
    let tell = move |line| lines.lock().unwrap().push(line);
    let outcome = uninstall(&server.client(), "caudal", Duration::from_secs(60), tell).await;
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
async fn what_no_operator_ends_is_let_go_of_with_its_worker_and_nothing_else_is() {
    let server = server();
    let name = live(&server);
    server.create(
        "pods",
        json!({ "metadata": { "name": "other", "labels": { names::STATE_LABEL: names::IDLE } } }),
    );
    let begun = Instant::now();
    let (outcome, said) = told(&server).await;
    assert_eq!(outcome, Ok(()));
    assert!((60..65).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    let resource = server.get(KIND, &name).unwrap();
    assert_eq!(resource["metadata"]["finalizers"], json!(["example.org/other"]), "{said}");
    assert_eq!(resource["status"]["phase"], "Live", "the next operator ends it");
    assert!(said.contains(&format!("{name}: let go of")), "{said}");
    assert!(server.get("pods", &name.replacen("s-", "w-", 1)).is_none());
    assert!(server.get("pods", "other").is_some());

    // Again, as a Job that was interrupted: what is let go of holds nothing up.
    let (outcome, _) = told(&server).await;
    assert_eq!(outcome, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn one_that_somebody_writes_to_and_one_of_a_later_release_are_let_go_of() {
    let server = server();
    let name = live(&server);
    server.change(KIND, &name, |resource| resource["spec"]["stream"] = json!({ "of": "a later release" }));
    let rename: fn(&mut Value) = |resource| resource["spec"]["title"] = json!("Another day");
    server.trouble(&format!("PATCH {KIND}"), Trouble::Answer(409, "Conflict"));
    let (outcome, _) = told(&server).await;
    assert_eq!(outcome, Err(Failure::Conflict), "the Job tries again");
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
    let (outcome, _) = told(&server).await;
    assert!(matches!(outcome, Err(Failure::Unavailable(_))));
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
