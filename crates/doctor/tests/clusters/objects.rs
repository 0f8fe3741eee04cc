//! The objects of a namespace with Caudal in it, as JSON: what the chart makes, and what operator, kubelet, scheduler and routers write.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// So many seconds before `now`.
pub fn ago(now: Timestamp, seconds: i64) -> String {
    let at = now.checked_sub(SignedDuration::from_secs(seconds)).unwrap();
    // A Lease's times have six digits, no more and no fewer.
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

pub fn labels(component: &str) -> Value {
    json!({
        "app.kubernetes.io/name": "caudal", "app.kubernetes.io/instance": "caudal", "app.kubernetes.io/component": component,
    })
}

pub fn deployment(role: &str, replicas: u32) -> Value {
    let mut versioned = labels(role);
    versioned["app.kubernetes.io/version"] = env!("CARGO_PKG_VERSION").into();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": format!("caudal-{role}"), "labels": versioned },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": labels(role) },
            "template": { "metadata": { "labels": labels(role) }, "spec": { "containers": [{ "name": role, "image": IMAGE }] } },
        },
    })
}

/// A pod of the restricted Pod Security Standard, on the test's node.
pub fn pod(name: &str, container: &str, labels: &Value, status: &Value) -> Value {
    let unscheduled =
        status["conditions"][0]["type"] == "PodScheduled" && status["conditions"][0]["status"] == "False";
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": labels },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": container, "image": IMAGE,
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
            }],
            "volumes": [{ "name": "media", "persistentVolumeClaim": { "claimName": "caudal-media" } }],
        },
        "status": status,
    });
    if !unscheduled {
        pod["spec"]["nodeName"] = NODE.into();
    }
    pod
}

pub fn role_pod(role: &str, status: &Value) -> Value {
    pod(&format!("caudal-{role}-x"), role, &labels(role), status)
}

/// A worker that waits.
pub fn idle(name: &str, status: &Value) -> Value {
    let mut labels = labels(WORKER);
    labels["caudal.dev/pool"] = "default".into();
    labels["caudal.dev/worker"] = "idle".into();
    pod(name, WORKER, &labels, status)
}

/// The worker of ann's broadcast.
pub fn claimed(status: &Value) -> Value {
    let mut labels = labels(WORKER);
    labels["caudal.dev/pool"] = "default".into();
    labels["caudal.dev/worker"] = "claimed".into();
    labels["caudal.dev/stream"] = STREAM.into();
    labels["caudal.dev/epoch"] = "1".into();
    pod(&worker(), WORKER, &labels, status)
}

pub fn worker() -> String {
    format!("w-{STREAM}-1")
}

pub fn ready() -> Value {
    json!({
        "phase": "Running",
        "conditions": [{ "type": "Ready", "status": "True" }],
        "containerStatuses": [container(&json!({ "running": {} }), true)],
    })
}

pub fn waiting(reason: &str, message: &str) -> Value {
    json!({
        "phase": "Pending",
        "conditions": [{ "type": "Ready", "status": "False" }],
        "containerStatuses": [container(&json!({ "waiting": { "reason": reason, "message": message } }), false)],
    })
}

pub fn unscheduled(now: Timestamp, message: &str) -> Value {
    json!({
        "phase": "Pending",
        "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastTransitionTime": ago(now, 20),
        }],
    })
}

pub fn container(state: &Value, ready: bool) -> Value {
    json!({ "name": WORKER, "image": IMAGE, "imageID": "", "ready": ready, "restartCount": 0, "state": state })
}

/// The container of a role's pod; which one is read a log of by its name.
pub fn of_role(role: &str, mut status: Value) -> Value {
    status["containerStatuses"][0]["name"] = role.into();
    status
}

pub fn lease(holder: &str, renewed: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "caudal-operator" },
        "spec": { "holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 6 },
    })
}

pub fn pool(now: Timestamp, max: u32, idle: u32, claimed: u32) -> Value {
    let (is_ready, message) =
        if idle > 0 { ("True", "1 of 1 workers wait") } else { ("False", "0 of 1 workers wait") };
    json!({
        "apiVersion": "caudal.dev/v1alpha1", "kind": "WorkerPool", "metadata": { "name": "default" },
        "spec": { "maxWorkers": max, "moveSurge": 0, "warm": { "min": max.min(1), "percentOfLive": 0, "max": max.min(1) } },
        "status": {
            "workers": idle + claimed, "idle": idle, "claimed": claimed,
            "conditions": [{
                "type": "Ready", "status": is_ready, "reason": if idle > 0 { "WarmWorkersReady" } else { "Starting" },
                "message": message, "lastTransitionTime": ago(now, 300),
            }],
        },
    })
}

pub fn claim(phase: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "caudal-media" },
        "spec": { "accessModes": ["ReadWriteMany"], "resources": { "requests": { "storage": "100Gi" } } },
        "status": { "phase": phase },
    })
}

pub fn warning(now: Timestamp, about: (&str, &str), reason: &str, message: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "name": format!("{}.{}", about.1, reason.to_lowercase()) },
        "involvedObject": { "kind": about.0, "name": about.1 },
        "type": "Warning", "reason": reason, "message": message, "count": 3, "lastTimestamp": ago(now, 10),
    })
}

/// Ann's broadcast, in a phase.
pub fn broadcast(now: Timestamp, phase: &str) -> Value {
    let mut status = json!({ "phase": phase, "epoch": 1 });
    let conditions: &[(&str, &str, &str, &str)] = match phase {
        "Live" => &[("Ready", "True", "Live", "viewers can watch it")],
        "Pending" => &[
            ("Ready", "False", "WaitingForWorker", "waiting for a worker"),
            ("WorkerAssigned", "False", "WaitingForWorker", "looking for a worker for epoch 1"),
        ],
        "Starting" => &[("Ready", "False", "Starting", "waiting for the first pictures")],
        _ => &[],
    };
    let all = conditions.iter().map(|(kind, status, reason, message)| {
        json!({ "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": ago(now, 30) })
    });
    status["conditions"] = all.collect();
    if matches!(phase, "Live" | "Starting") {
        status["worker"] = json!({
            "id": STREAM, "pod": worker(), "node": NODE, "rtmp": "10.1.2.4:1935", "http": "10.1.2.4:8080",
        });
    }
    json!({
        "apiVersion": "caudal.dev/v1alpha1", "kind": "LiveStream", "metadata": { "name": format!("s-{STREAM}") },
        "spec": {
            "stream": STREAM, "channel": "ann",
            "ingest": { "session": SESSION, "generation": 1, "router": "http://10.1.2.3:3003", "keyHash": "ab" },
        },
        "status": status,
    })
}

/// One that is over.
pub fn over(now: Timestamp, phase: &str, end_reason: &str, words: &str) -> Value {
    let mut broadcast = broadcast(now, phase);
    broadcast["status"]["endReason"] = end_reason.into();
    broadcast["status"]["reason"] = words.into();
    broadcast["status"]["endedAt"] = ago(now, 25).into();
    broadcast
}

pub fn log(now: Timestamp, level: &str, message: &str, fields: &Value) -> String {
    let mut line = json!({ "timestamp": ago(now, 15), "level": level, "message": message });
    for (name, value) in fields.as_object().unwrap() {
        line[name] = value.clone();
    }
    format!("{line}\n")
}

pub const STREAM: &str = "019ac0de-0000-7000-8000-000000000001";
pub const SESSION: &str = "019ac0de-0000-7000-8000-000000000002";
/// The test's server knows it by the namespace's name too.
pub const NODE: &str = "node-1";
pub const WORKER: &str = "transcoder-worker";
pub const IMAGE: &str = "registry.example.org/caudal:0.1.0";
