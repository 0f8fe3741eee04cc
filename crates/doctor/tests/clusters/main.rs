//! Broken clusters on a real API server, which was started for these tests (`scripts/with-kubernetes.sh`). Nothing runs pods there: the
//! tests write what kubelet, scheduler and operator would, and logs come from a kubelet that has nothing else.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers of tests fail as tests do"
)]

mod broken;
mod kubelet;
mod objects;

use std::time::{Duration, Instant};

use broken::Cluster;
use caudal_doctor::{Outcome, Paint, Target, diagnose, look, text};
use caudal_kubernetes::throw_away_server::{config, namespace, until};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use kube::{Client, ResourceExt as _};
use objects::NODE;
use serde_json::{Value, json};

fn api(client: &Client, namespace: &str, object: &Value) -> Api<DynamicObject> {
    let types: TypeMeta = serde_json::from_value(object.clone()).unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::try_from(&types).unwrap());
    match object["kind"].as_str().unwrap() {
        "Node" => Api::all_with(client.clone(), &resource),
        // English has a plural that kube does not know.
        "NetworkPolicy" => Api::namespaced_with(
            client.clone(),
            namespace,
            &ApiResource { plural: "networkpolicies".to_owned(), ..resource },
        ),
        _ => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

async fn create(client: &Client, namespace: &str, object: &Value) {
    let api = api(client, namespace, object);
    let mut new = object.clone();
    let status = new.as_object_mut().unwrap().remove("status");
    let created = api.create(&PostParams::default(), &serde_json::from_value(new).unwrap()).await;
    let name = created.unwrap_or_else(|error| panic!("{}: {error}", object["metadata"]["name"])).name_any();
    // A quota's is the controller's.
    if let Some(status) = status.filter(|_| object["kind"] != "ResourceQuota") {
        let patch = Patch::Merge(json!({ "status": status }));
        api.patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
    }
}

/// The cluster in a namespace of its own.
async fn build(client: &Client, namespace: &str, cluster: &Cluster) {
    let port = kubelet::serve(cluster.logs.iter().cloned().collect()).await;
    let node = format!("{namespace}-{NODE}");
    let status = json!({
        "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }], "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
    });
    create(
        client,
        namespace,
        &json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node }, "status": status }),
    )
    .await;
    for object in &cluster.objects {
        let mut object = object.clone();
        if object["kind"] == "Pod" && object["spec"]["nodeName"] == NODE {
            object["spec"]["nodeName"] = node.clone().into();
        }
        if object["kind"] == "Event" {
            object["involvedObject"]["namespace"] = namespace.into();
        }
        create(client, namespace, &object).await;
        if object["kind"] == "ResourceQuota" {
            let api = api(client, namespace, &object);
            let name = object["metadata"]["name"].as_str().unwrap();
            until("a quota that is counted", async || {
                let found = api.get(name).await.unwrap();
                (found.data["status"]["used"] == object["status"]["used"]).then_some(())
            })
            .await;
        }
    }
}

fn target(cluster: &Cluster) -> Target {
    cluster.channel.map_or(Target::Installation, |channel| Target::Channel(channel.to_owned()))
}

#[tokio::test]
async fn the_first_line_says_what_is_the_matter() {
    let mut wrong = Vec::new();
    let now = Timestamp::now();
    for name in broken::broken(now).into_iter().chain(broken::healthy(now)).map(|cluster| cluster.name) {
        let Some((client, namespace)) = namespace().await else { return };
        // Made anew, because what is a second old is a minute old at the end of the list.
        let now = Timestamp::now();
        let all = broken::broken(now).into_iter().chain(broken::healthy(now));
        let cluster = all.into_iter().find(|cluster| cluster.name == name).unwrap();
        build(&client, &namespace, &cluster).await;
        let report = diagnose(&look(client, &namespace, target(&cluster)).await.unwrap());
        let screen = text(&report, Paint::Plain);
        let expected = if cluster.first_line.starts_with("All") || cluster.first_line.contains("is live") {
            Outcome::Healthy
        } else {
            Outcome::Wrong
        };
        let seconds = |line: &str| line.replace("241 s", "240 s").replace("242 s", "240 s");
        if screen.lines().next().map(seconds) != Some(cluster.first_line.clone())
            || report.outcome != expected
            || screen.contains("Not looked at")
        {
            wrong.push(format!("{}: expected {}\n{screen}", cluster.name, cluster.first_line));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn a_missing_right_is_said_by_name_and_the_rest_is_looked_at() {
    let Some((client, namespace)) = namespace().await else { return };
    let now = Timestamp::now();
    let cluster =
        broken::broken(now).into_iter().find(|cluster| cluster.name == "no node with room").unwrap();
    build(&client, &namespace, &cluster).await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "some" },
        "rules": [
            { "apiGroups": ["caudal.dev"], "resources": ["livestreams", "workerpools"], "verbs": ["get", "list"] },
            { "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] },
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "some" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "some" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "night-shift" }],
    });
    for object in [role, binding] {
        create(&client, &namespace, &object).await;
    }
    let mut config = config(std::env::var_os("KUBECONFIG").unwrap().as_ref()).await;
    config.auth_info.impersonate = Some("night-shift".to_owned());
    let theirs = Client::try_from(config).unwrap();
    let seen = until("rights that count", async || {
        let report = diagnose(&look(theirs.clone(), &namespace, target(&cluster)).await.unwrap());
        (report.outcome == Outcome::Wrong).then(|| text(&report, Paint::Plain))
    })
    .await;
    assert_eq!(seen.lines().next().unwrap(), cluster.first_line);
    assert!(
        seen.contains("\nNot looked at\n")
            && seen.contains("  cannot list events: events is forbidden: User \"night-shift\" cannot list"),
        "{seen}"
    );

    let nobody = {
        let mut config =
            caudal_kubernetes::throw_away_server::config(std::env::var_os("KUBECONFIG").unwrap().as_ref())
                .await;
        config.auth_info.impersonate = Some("nobody".to_owned());
        Client::try_from(config).unwrap()
    };
    let report = diagnose(&look(nobody, &namespace, target(&cluster)).await.unwrap());
    assert_eq!(report.outcome, Outcome::CouldNotLook, "{}", text(&report, Paint::Plain));
}

#[tokio::test]
async fn an_api_server_that_is_dead_or_silent_is_said_within_five_seconds() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (server, said) in
        [(silent.local_addr().unwrap(), "does not answer within 4 s"), (dead, "cannot be reached")]
    {
        let client =
            Client::try_from(kube::Config::new(format!("https://{server}").parse().unwrap())).unwrap();
        let begun = Instant::now();
        let blind = look(client, "caudal", Target::Installation).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(blind.outcome, Outcome::CouldNotLook);
        let screen = text(&blind, Paint::Plain);
        assert!(
            screen.starts_with("Nothing can be seen: the API server") && screen.contains(said),
            "{screen}"
        );
    }
}
