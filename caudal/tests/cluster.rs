//! The program in a cluster, against a real API server that was started for these tests (`scripts/with-kubernetes.sh`).

#![allow(clippy::panic, clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use caudal_kubernetes::names::RELEASE_ANNOTATION;
use caudal_kubernetes::throw_away_server::{namespace, until};
use caudal_kubernetes::{LiveStream, LiveStreamSpec, WorkerPool, definitions, names};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::{Ownership, StoredState};
use caudal_livestream::{Epoch, InstallationId, StreamId, WorkerId};
use caudal_storage::SegmentStore;
use ed25519_dalek::SigningKey;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// `caudal ROLE`, with an environment of its own.
fn caudal(role: &str, namespace: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caudal"));
    command.arg(role).env_clear().env("CAUDAL_NAMESPACE", namespace).kill_on_drop(true);
    command.env("KUBECONFIG", std::env::var_os("KUBECONFIG").unwrap()).stdin(Stdio::null());
    command
}

async fn keys(namespace: &str) -> (bool, String) {
    let ended = caudal("keys", namespace).args(["--secrets", "r"]).output().await.unwrap();
    let told = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8(told).unwrap())
}

async fn secrets(client: &Client, namespace: &str) -> BTreeMap<String, Secret> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let all = secrets.list(&kube::api::ListParams::default()).await.unwrap();
    all.items.into_iter().map(|secret| (secret.metadata.name.clone().unwrap(), secret)).collect()
}

#[tokio::test]
async fn keys_are_made_once_also_by_two_at_once_and_again_where_one_is_missing() {
    let Some((client, namespace)) = namespace().await else { return };
    let (one, other) = tokio::join!(keys(&namespace), keys(&namespace));
    assert!(one.0 && other.0, "{one:?} {other:?}");
    let made = secrets(&client, &namespace).await;
    let names: Vec<_> = made.keys().map(String::as_str).collect();
    assert_eq!(names, ["r-api", "r-hls-edge", "r-ingest-router", "r-operator", "r-transcoder-worker"]);
    let data =
        |name: &str, key: &str| made.get(name).unwrap().data.as_ref().unwrap().get(key).unwrap().clone();
    assert_eq!(data("r-operator", "input"), data("r-ingest-router", "input"));
    assert_eq!(data("r-api", "caller-hls-edge"), data("r-hls-edge", "caller-hls-edge"));
    assert_eq!(data("r-transcoder-worker", "controllerKey").0.len(), 44);

    let (done, told) = keys(&namespace).await;
    assert!(done && told == NOTHING_MISSING, "{told}");
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let without = Patch::Merge(json!({ "data": { "feed": null, "mine": "bWluZQ==" } }));
    api.patch("r-hls-edge", &PatchParams::default(), &without).await.unwrap();
    let (done, told) = keys(&namespace).await;
    assert!(done && told == "r-hls-edge: feed\n", "{told}");
    let again = secrets(&client, &namespace).await;
    let edge = again.get("r-hls-edge").unwrap().data.as_ref().unwrap();
    assert_eq!(edge.get("feed").unwrap(), &data("r-operator", "feed"));
    assert!(edge.contains_key("mine"));
}

#[tokio::test]
async fn a_database_gets_a_password_of_its_own_which_is_never_changed() {
    let Some((client, namespace)) = namespace().await else { return };
    let make = async || {
        let arguments = ["--secrets", "r", "--database", "r-postgresql"];
        let ended = caudal("keys", &namespace).args(arguments).output().await.unwrap();
        let told = [ended.stdout, ended.stderr].concat();
        (ended.status.success(), String::from_utf8(told).unwrap())
    };
    let (one, other) = tokio::join!(make(), make());
    assert!(one.0 && other.0, "{one:?} {other:?}");
    assert_eq!([one.1, other.1].concat().matches("r-database: password, url\n").count(), 1);
    let text = |secret: &Secret, key: &str| {
        String::from_utf8(secret.data.as_ref().unwrap().get(key).unwrap().0.clone()).unwrap()
    };
    let made = secrets(&client, &namespace).await.remove("r-database").unwrap();
    let password = text(&made, "password");
    assert!(password.len() == 48 && password.chars().all(|c| c.is_ascii_alphanumeric()), "{password}");
    assert_eq!(text(&made, "url"), format!("postgresql://caudal:{password}@r-postgresql/caudal"));
    assert_eq!(make().await, (true, NOTHING_MISSING.to_owned()));
    assert_eq!(secrets(&client, &namespace).await.get("r-database"), Some(&made));

    // Half of one is nothing that could be guessed.
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let half = Patch::Merge(json!({ "data": { "url": null } }));
    api.patch("r-database", &PatchParams::default(), &half).await.unwrap();
    let (done, told) = make().await;
    assert!(!done && told.contains("the Secret r-database has no url"), "{told}");
}

#[tokio::test]
async fn the_password_of_an_older_release_is_taken_over() {
    let Some((client, namespace)) = namespace().await else { return };
    let api: Api<Secret> = Api::namespaced(client.clone(), &namespace);
    let older = |data: serde_json::Value| -> Secret {
        serde_json::from_value(json!({ "metadata": { "name": "r-postgresql" }, "stringData": data })).unwrap()
    };
    let make = async || {
        let arguments = ["--secrets", "r", "--database", "r-postgresql"];
        let ended = caudal("keys", &namespace).args(arguments).output().await.unwrap();
        let told = [ended.stdout, ended.stderr].concat();
        (ended.status.success(), String::from_utf8(told).unwrap())
    };
    // One that says no password is none that could be replaced by another.
    api.create(&PostParams::default(), &older(json!({ "user": "caudal" }))).await.unwrap();
    let (done, told) = make().await;
    assert!(
        !done && told.contains("the Secret r-postgresql, of an older release, has no password"),
        "{told}"
    );
    assert!(!secrets(&client, &namespace).await.contains_key("r-database"));
    api.delete("r-postgresql", &DeleteParams::default()).await.unwrap();

    api.create(&PostParams::default(), &older(json!({ "password": "for-trying-out" }))).await.unwrap();
    let (done, told) = make().await;
    assert!(done && told.contains("r-database: password, url (of r-postgresql)\n"), "{told}");
    // Helm removes it with the older release; what was taken over stays.
    api.delete("r-postgresql", &DeleteParams::default()).await.unwrap();
    assert_eq!(make().await, (true, NOTHING_MISSING.to_owned()));
    let made = secrets(&client, &namespace).await.remove("r-database").unwrap().data.unwrap();
    let text = |key: &str| String::from_utf8(made.get(key).unwrap().0.clone()).unwrap();
    assert_eq!(text("password"), "for-trying-out");
    assert_eq!(text("url"), "postgresql://caudal:for-trying-out@r-postgresql/caudal");
}

#[tokio::test]
async fn the_definitions_of_an_earlier_release_are_replaced_by_this_ones_and_a_laters_stay() {
    let Some((client, namespace)) = namespace().await else { return };
    let [mut definition, _] = definitions::all();
    for (known, name) in [(true, "livestreams.caudal.dev"), (false, "somethings.caudal.dev")] {
        definition.metadata.name = Some(name.to_owned());
        assert_eq!(definitions::found(&client, &definition).await.unwrap().is_some(), known, "{name}");
    }
    let definitions: Api<CustomResourceDefinition> = Api::all(client);
    let name = "livestreams.caudal.dev";
    let versions = async || definitions.get(name).await.unwrap().spec.versions;
    let before = versions().await;
    let mut without = before.clone();
    assert!(without[0].additional_printer_columns.take().is_some());
    let without = Patch::Merge(json!({ "spec": { "versions": without } }));
    definitions.patch(name, &PatchParams::default(), &without).await.unwrap();
    assert_ne!(versions().await, before);
    let release = async |release: &str| {
        let annotation = json!({ "metadata": { "annotations": { RELEASE_ANNOTATION: release } } });
        definitions.patch(name, &PatchParams::default(), &Patch::Merge(annotation)).await.unwrap();
    };
    let update = async || {
        let ended = caudal("crds", &namespace).arg("--update").output().await.unwrap();
        let told = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
        assert!(ended.status.success(), "{told}");
        told
    };
    // Another installation in this cluster is further.
    release("999.0.0").await;
    let left = "livestreams.caudal.dev: of release 999.0.0, which is a later one: left as it is\n";
    assert_eq!(update().await, format!("{left}workerpools.caudal.dev: applied\n"));
    assert_ne!(versions().await, before);
    release("0.0.1").await;
    assert_eq!(update().await, "livestreams.caudal.dev: applied\nworkerpools.caudal.dev: applied\n");
    assert_eq!(versions().await, before);
}

/// `caudal uninstall`, as somebody outside of a pod types it.
#[tokio::test]
async fn an_uninstall_outside_of_a_pod_wants_to_be_told_where_and_says_where_it_is() {
    let Some((client, namespace)) = namespace().await else { return };
    let unnamed = caudal("uninstall", "").output().await.unwrap();
    let told = String::from_utf8(unnamed.stderr).unwrap();
    assert_eq!(unnamed.status.code(), Some(64), "{told}");
    assert!(told.contains("--namespace"), "{told}");
    let pool = json!({
        "apiVersion": "caudal.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": "default" },
        "spec": { "maxWorkers": 4, "warm": { "min": 1, "percentOfLive": 0, "max": 1 } },
    });
    let pools: Api<WorkerPool> = Api::namespaced(client, &namespace);
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    let named = caudal("uninstall", &namespace).output().await.unwrap();
    let told = String::from_utf8(named.stdout).unwrap();
    assert!(named.status.success() && told.starts_with(&format!("namespace: {namespace}\n")), "{told}");
    assert_eq!(pools.get("default").await.unwrap().spec.max_workers, 0, "until it is removed");
}

#[tokio::test]
async fn an_uninstall_that_is_told_to_end_opens_the_pools_again() {
    let Some((client, namespace)) = namespace().await else { return };
    let pool = json!({
        "apiVersion": "caudal.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": "default" },
        "spec": { "maxWorkers": 4, "warm": { "min": 1, "percentOfLive": 0, "max": 1 } },
    });
    let pools: Api<WorkerPool> = Api::namespaced(client.clone(), &namespace);
    let before = pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
    // Nothing drives it, so it stays open.
    let spec = caudal_livestream::fixtures::spec();
    let stream = LiveStream::new(&names::live_stream(spec.stream), LiveStreamSpec::of(&spec));
    Api::<LiveStream>::namespaced(client, &namespace).create(&PostParams::default(), &stream).await.unwrap();
    let mut command = caudal("uninstall", &namespace);
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("closed", async || {
        let pool = pools.get("default").await.unwrap();
        (pool.spec.max_workers == 0).then_some(())
    })
    .await;
    let pid = i32::try_from(running.id().unwrap()).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
    let ended = running.wait_with_output().await.unwrap();
    let told = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("worker pool default: open again"), "{told}");
    let pool = pools.get("default").await.unwrap();
    assert_eq!(pool.spec, before.spec);
    assert_eq!(pool.metadata.annotations.unwrap_or_default(), BTreeMap::new());
}

/// `caudal janitor`, as the chart's CronJob runs it: with a service account that may list LiveStreams alone is e2e/tests/chart.test.ts.
#[tokio::test]
async fn a_janitor_removes_what_no_live_stream_is_of_and_says_so() {
    let Some((client, namespace)) = namespace().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let store = SegmentStore::folder(folder.path()).unwrap();
    let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
    let days_ago = SystemTime::now() - Duration::from_hours(72);
    let mut stored = Vec::new();
    for _ in 0..2 {
        let at = days_ago.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let at = uuid::Timestamp::from_unix(uuid::NoContext, at.as_secs(), 0);
        let stream = StreamId(uuid::Uuid::new_v7(at));
        let nowhere = "127.0.0.1:9".parse().unwrap();
        let worker = WorkerAddress { worker: WorkerId::generate(), rtmp: nowhere, http: nowhere };
        let owner = Some(Ownership { installation: InstallationId::of(&key), record: false });
        let state = StoredState { stream, epoch: Epoch(1), worker, owner, filled: None };
        store.claim(&state).await.unwrap();
        let state = folder.path().join(format!("live/{stream}/state-1.json"));
        std::fs::File::options().write(true).open(state).unwrap().set_modified(days_ago).unwrap();
        stored.push(stream);
    }
    let [orphan, live] = stored[..] else { panic!("{stored:?}") };
    let spec = caudal_livestream::record::Spec { stream: live, ..caudal_livestream::fixtures::spec() };
    let resource = LiveStream::new(&names::live_stream(live), LiveStreamSpec::of(&spec));
    Api::<LiveStream>::namespaced(client, &namespace)
        .create(&PostParams::default(), &resource)
        .await
        .unwrap();
    let janitor = async |more: &[&str]| {
        let mut command = caudal("janitor", &namespace);
        command.args(more).env("HLS_PATH", folder.path());
        command.env("CAUDAL_CONTROLLER_KEY", BASE64.encode(key.as_bytes()));
        let ended = command.output().await.unwrap();
        let told = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
        assert!(ended.status.success(), "{told}");
        told
    };
    let told = janitor(&["--dry-run"]).await;
    assert!(
        told.contains(&format!("live/{orphan}: would be removed: there is no LiveStream of it")),
        "{told}"
    );
    assert_eq!(store.streams().await.unwrap().len(), 2, "{told}");
    let told = janitor(&[]).await;
    assert!(told.starts_with(&format!("namespace: {namespace}\nlive/{orphan}: removed: ")), "{told}");
    assert!(told.ends_with("streams in storage: 2; removed: 1; failed: 0; going on: 1\n"), "{told}");
    assert_eq!(store.streams().await.unwrap(), [live]);
}

#[tokio::test]
async fn keys_that_were_made_are_told_when_a_later_secret_cannot_be_written() {
    let Some((client, namespace)) = namespace().await else { return };
    let api: Api<Secret> = Api::namespaced(client, &namespace);
    let mut unwritable = Secret { immutable: Some(true), ..Secret::default() };
    unwritable.metadata.name = Some("r-hls-edge".to_owned());
    api.create(&PostParams::default(), &unwritable).await.unwrap();
    let (done, told) = keys(&namespace).await;
    assert!(!done && told.starts_with("r-operator: assignments\n"), "{told}");
    assert!(told.contains("run this again to make the rest: cannot write the Secret r-hls-edge"), "{told}");
    assert!(!told.contains("\nr-hls-edge: "), "{told}");

    api.delete("r-hls-edge", &DeleteParams::default()).await.unwrap();
    let (done, told) = keys(&namespace).await;
    assert!(done && told.contains("r-hls-edge: feed\n") && !told.contains("r-operator"), "{told}");
}

/// A role until it has said these words, or has ended.
async fn said(role: &mut Child, words: &str) -> String {
    let mut lines = BufReader::new(role.stderr.take().unwrap()).lines();
    let mut text = String::new();
    let reading = timeout(Duration::from_secs(60), async {
        while let Some(line) = lines.next_line().await.unwrap() {
            text.push_str(&line);
            text.push('\n');
            if line.contains(words) {
                return true;
            }
        }
        false
    });
    let found = reading.await.unwrap_or(false);
    assert!(found, "{text}");
    text
}

#[tokio::test]
async fn doors_of_a_cluster_are_ready_once_they_have_read_the_live_streams() {
    let Some((_, namespace)) = namespace().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let made = caudal("keys", &namespace).env_remove("CAUDAL_NAMESPACE").arg(folder.path()).output().await;
    assert!(made.unwrap().status.success());
    for role in ["ingest-router", "hls-edge"] {
        let mut command = caudal(role, &namespace);
        command
            .env("CAUDAL_DIRECTORY", "kubernetes")
            .env("CAUDAL_KEYS", folder.path().join(role))
            .env("CAUDAL_INTERNAL_API_URL", "http://127.0.0.1:1")
            .env("HLS_PATH", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        for port in ["HLS_PORT", "RTMP_PORT", "CAUDAL_INTERNAL_PORT", "CAUDAL_ADMIN_PORT"] {
            command.env(port, "0");
        }
        let mut running = command.spawn().unwrap();
        let text = said(&mut running, "ready").await;
        assert!(text.contains(&namespace), "{text}");
        running.kill().await.unwrap();
        until("its end", async || running.try_wait().unwrap()).await;
    }
}

/// What `caudal keys` says when it has made nothing.
const NOTHING_MISSING: &str = "caudal: nothing was missing: all keys that are there stay as they are\n";
