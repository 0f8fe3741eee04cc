//! What the definitions take and refuse, by the word of the server that enforces them.

use caudal_kubernetes::{LiveStream, WorkerPool, names};
use caudal_livestream::StreamId;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::server::namespace;

/// As a router creates it, with what has no default and no more.
fn live_stream(stream: StreamId) -> Value {
    json!({
        "apiVersion": "caudal.dev/v1alpha1",
        "kind": "LiveStream",
        "metadata": { "name": names::live_stream(stream) },
        "spec": {
            "stream": stream,
            "channel": "ann",
            "ingest": {
                "session": StreamId::generate(), "generation": 2, "router": "http://10.1.2.3:3001", "keyHash": "ab",
            },
        },
    })
}

fn typed<K: serde::de::DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

#[tokio::test]
async fn a_live_stream_is_created_with_the_documented_defaults() {
    let Some((client, namespace)) = namespace().await else { return };
    let api: Api<LiveStream> = Api::namespaced(client, &namespace);
    let stream = StreamId::generate();
    let created = api.create(&PostParams::default(), &typed(live_stream(stream))).await.unwrap();
    let spec = serde_json::to_value(&created.spec).unwrap();
    for (field, default) in [
        ("pool", json!("default")),
        ("title", json!("")),
        ("access", json!("public")),
        ("latencyMode", json!("low")),
        ("reconnectWindow", json!("30s")),
        ("record", json!(false)),
        ("desiredState", json!("Live")),
        ("ttlSecondsAfterEnded", json!(3600)),
        ("keyRevoked", json!(false)),
    ] {
        assert_eq!(spec[field], default, "{field}");
    }
    let found = api.list(&ListParams::default().fields("spec.channel=ann")).await.unwrap();
    assert_eq!(found.items.len(), 1);
    assert!(api.list(&ListParams::default().fields("spec.channel=bob")).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let Some((client, namespace)) = namespace().await else { return };
    let api: Api<kube::core::DynamicObject> =
        Api::namespaced_with(client, &namespace, &kube::core::ApiResource::erase::<LiveStream>(&()));
    let cases: [Case; 10] = [
        ("no channel", |o| drop(o["spec"].as_object_mut().unwrap().remove("channel")), "needs a channel"),
        (
            "no ingest",
            |o| drop(o["spec"].as_object_mut().unwrap().remove("ingest")),
            "needs a channel and an ingest",
        ),
        ("a window of a week", |o| o["spec"]["reconnectWindow"] = json!("168h"), "0s to 24h"),
        ("a window that is no duration", |o| o["spec"]["reconnectWindow"] = json!("soon"), "reconnectWindow"),
        ("a window before now", |o| o["spec"]["reconnectWindow"] = json!("-1s"), "0s to 24h"),
        (
            "seven rungs",
            |o| {
                let rung = |n| json!({ "name": format!("r{n}"), "height": 100 + n, "bitrate": 100_000 });
                o["spec"]["renditions"] = (0..7).map(rung).collect();
            },
            "renditions",
        ),
        (
            "a rung twice",
            |o| {
                let rung = json!({ "name": "720p", "height": 720, "bitrate": 2_000_000 });
                o["spec"]["renditions"] = json!([rung, rung]);
            },
            "Duplicate",
        ),
        (
            "a rung called source",
            |o| o["spec"]["renditions"] = json!([{ "name": "source", "height": 720, "bitrate": 2_000_000 }]),
            "renditions",
        ),
        ("an unknown state", |o| o["spec"]["desiredState"] = json!("Paused"), "desiredState"),
        ("another's name", |o| o["metadata"]["name"] = json!("s-somebody"), "name"),
    ];
    for (what, change, said) in cases {
        let mut object = live_stream(StreamId::generate());
        change(&mut object);
        let refused = api.create(&PostParams::default(), &typed(object)).await.expect_err(what).to_string();
        assert!(refused.contains(said), "{what}: {refused}");
    }
}

#[tokio::test]
async fn what_is_decided_cannot_be_taken_back() {
    let Some((client, namespace)) = namespace().await else { return };
    let api: Api<LiveStream> = Api::namespaced(client, &namespace);
    let rung = json!({ "name": "720p", "height": 720, "bitrate": 2_000_000 });
    let cases: [(&str, Value, Value, &str); 10] = [
        ("another channel", json!({}), json!({ "channel": "bob" }), "stays on its channel"),
        ("another stream", json!({}), json!({ "stream": StreamId::generate() }), "one broadcast for good"),
        (
            "no channel",
            json!({ "desiredState": "Ended" }),
            json!({ "channel": null }),
            "stays on its channel",
        ),
        (
            "a revival",
            json!({ "desiredState": "Ended" }),
            json!({ "desiredState": "Live" }),
            "cannot be revived",
        ),
        (
            "a key that counts again",
            json!({ "keyRevoked": true }),
            json!({ "keyRevoked": false }),
            "stays revoked",
        ),
        ("another pool", json!({}), json!({ "pool": "big" }), "pool, renditions and latencyMode"),
        ("another rung", json!({}), json!({ "renditions": [rung] }), "pool, renditions and latencyMode"),
        (
            "other latency",
            json!({}),
            json!({ "latencyMode": "standard" }),
            "pool, renditions and latencyMode",
        ),
        ("another window", json!({}), json!({ "reconnectWindow": "60s" }), "keeps the reconnectWindow"),
        ("an earlier publisher", json!({}), json!({ "ingest": { "generation": 1 } }), "must not decrease"),
    ];
    for (what, first, then, said) in cases {
        let stream = StreamId::generate();
        let created = api.create(&PostParams::default(), &typed(live_stream(stream))).await.unwrap();
        let patch = |spec: &Value| Patch::Merge(json!({ "spec": spec }));
        let name = created.name_any();
        api.patch(&name, &PatchParams::default(), &patch(&first)).await.expect(what);
        // The default, in other words.
        let same = json!({ "reconnectWindow": "30000ms" });
        api.patch(&name, &PatchParams::default(), &patch(&same)).await.expect(what);
        let refused =
            api.patch(&name, &PatchParams::default(), &patch(&then)).await.expect_err(what).to_string();
        assert!(refused.contains(said), "{what}: {refused}");
    }
}

#[tokio::test]
async fn a_pool_has_defaults_that_fit_each_other_and_can_be_scaled() {
    let Some((client, namespace)) = namespace().await else { return };
    let api: Api<WorkerPool> = Api::namespaced(client, &namespace);
    let pool = json!({ "metadata": { "name": "default" }, "spec": {} });
    let created = api.create(&PostParams::default(), &typed_pool(pool)).await.unwrap();
    assert_eq!((created.spec.max_workers, created.spec.warm.min, created.spec.move_surge), (20, 1, 5));
    // Nobody is let in with 0, whatever is to wait otherwise.
    for replicas in [30, 0] {
        let scale = json!({ "spec": { "replicas": replicas } });
        api.patch_scale("default", &PatchParams::default(), &Patch::Merge(scale)).await.unwrap();
        assert_eq!(api.get("default").await.unwrap().spec.max_workers, replicas);
    }
    let swapped = json!({ "metadata": { "name": "other" }, "spec": { "warm": { "min": 5, "max": 2 } } });
    let refused = api.create(&PostParams::default(), &typed_pool(swapped)).await.unwrap_err().to_string();
    assert!(refused.contains("warm.min must not exceed"), "{refused}");
    let named = json!({ "metadata": { "name": "a".repeat(41) }, "spec": {} });
    let refused = api.create(&PostParams::default(), &typed_pool(named)).await.unwrap_err().to_string();
    assert!(refused.contains("at most 40"), "{refused}");
}

fn typed_pool(mut pool: Value) -> WorkerPool {
    pool["apiVersion"] = json!("caudal.dev/v1alpha1");
    pool["kind"] = json!("WorkerPool");
    typed(pool)
}

/// What is wrong, the change that makes it so, and a piece of what the server says.
type Case = (&'static str, fn(&mut Value), &'static str);
