//! From a pool, and perhaps a stream, to a worker's pod: pure functions, so that what runs can be read in snapshots.

mod resources;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use caudal_kubernetes::live_stream::Rung;
use caudal_kubernetes::names::{
    CLAIMED, EPOCH_LABEL, GROUP, HASH_LABEL, IDLE, POOL_LABEL, STATE_LABEL, STREAM_LABEL, cold_pod,
    live_stream, warm_pod,
};
use caudal_kubernetes::{LiveStream, WorkerPool};
use caudal_livestream::{Epoch, StreamId};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction,
    LocalObjectReference, NodeSelectorRequirement, NodeSelectorTerm, ObjectFieldSelector,
    PersistentVolumeClaimVolumeSource, Pod, PodSecurityContext, PodSpec, PreferredSchedulingTerm, Probe,
    SeccompProfile, SecretKeySelector, SecretVolumeSource, SecurityContext, TopologySpreadConstraint, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{Resource as _, ResourceExt as _};
use sha2::{Digest as _, Sha256};

use resources::{millicores, needs_more_than, resources};

/// What all workers of a release have in common.
#[derive(Clone, Debug)]
pub struct PodSettings {
    /// The namespace of the release.
    pub namespace: String,
    /// The name of the release, as Helm knows it.
    pub release: String,
    /// The image that holds the `caudal` executable.
    pub image: String,
    /// Secrets to pull the image with.
    pub pull_secrets: Vec<String>,
    /// When a node pulls the image: `Always`, `IfNotPresent` or `Never`; none for the cluster's default.
    pub pull_policy: Option<String>,
    /// The Secret of all workers: `controllerKey` is the operator's public key.
    pub secret: String,
    /// Where segments go.
    pub storage: Storage,
    /// `LOG_LEVEL` of the workers; none for their default.
    pub log_level: Option<String>,
    /// Where workers send traces; none for nowhere.
    pub traces: Option<WorkerTraces>,
}

/// Where workers send traces, and of how many streams.
#[derive(Clone, Debug)]
pub struct WorkerTraces {
    /// The collector's base URL.
    pub endpoint: String,
    /// From 0 to 1.
    pub share: f64,
}

/// Where segments go.
#[derive(Clone, Debug)]
pub enum Storage {
    /// A claim of a volume that edges mount too.
    Volume {
        /// The PersistentVolumeClaim, `ReadWriteMany`.
        claim: String,
    },
    /// A bucket.
    Bucket {
        /// Its name.
        name: String,
        /// Its region.
        region: String,
        /// A server other than Amazon's.
        endpoint: Option<String>,
        /// Where a worker's credentials come from.
        credentials: BucketCredentials,
    },
}

/// Where a worker's credentials for the bucket come from.
#[derive(Clone, Debug)]
pub enum BucketCredentials {
    /// The Secret of this name, with `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`: the same for all workers.
    Secret(String),
    /// Its assignment: they open its stream's objects alone.
    Assignment,
}

/// A warm worker of `pool`, in one of the places that it has for them.
pub fn warm(pool: &WorkerPool, place: u32, settings: &PodSettings) -> Pod {
    let name = warm_pod(&pool_name(pool), place);
    let mut pod = pod(pool, settings, name, pool.controller_owner_ref(&()));
    pod.labels_mut().insert(STATE_LABEL.to_owned(), IDLE.to_owned());
    // Without that word the cluster autoscaler keeps every node with a pod whose controller it does not know. The claim takes it back.
    pod.annotations_mut().insert(SAFE_TO_EVICT.to_owned(), "true".to_owned());
    pod
}

/// What of a core a worker has to request for these renditions, in thousandths; none where the pool says what its workers request.
pub(crate) fn least_millicores(pool: &WorkerPool, renditions: &[Rung]) -> Option<u64> {
    pool.spec.template.resources.is_none().then(|| millicores(renditions))
}

/// The pool that a broadcast with these renditions gets its workers from: a broadcast keeps the renditions that it began with, also
/// when the pool's ladder has become smaller since. A worker of that ladder would be throttled.
pub(crate) fn large_enough<'a>(pool: &'a WorkerPool, renditions: &[Rung]) -> Cow<'a, WorkerPool> {
    let spec = &pool.spec;
    if spec.template.resources.is_some() || !needs_more_than(renditions, &spec.ladder) {
        return Cow::Borrowed(pool);
    }
    let mut pool = pool.clone();
    pool.spec.ladder = renditions.to_vec();
    Cow::Owned(pool)
}

/// A worker for `stream` and `epoch`, where no warm one was to be had. `owner` is the stream's LiveStream's uid.
pub(crate) fn cold(
    pool: &WorkerPool,
    stream: StreamId,
    epoch: Epoch,
    owner: &str,
    settings: &PodSettings,
) -> Pod {
    let mut pod = pod(pool, settings, cold_pod(stream, epoch), Some(owned_by(stream, owner)));
    pod.labels_mut().extend(claim_labels(stream, epoch));
    pod.annotations_mut().extend(claim_annotations());
    pod
}

/// The same pod, on any other node than these if there is one. They may be gone, and the scheduler does not know yet; or they may be
/// all that there is.
pub(crate) fn elsewhere(mut pod: Pod, nodes: &BTreeSet<String>) -> Pod {
    let other_than = |node: &String| NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(vec![node.clone()]),
    };
    let Some(spec) = pod.spec.as_mut().filter(|_| !nodes.is_empty()) else { return pod };
    let preference = NodeSelectorTerm {
        match_fields: Some(nodes.iter().map(other_than).collect()),
        ..NodeSelectorTerm::default()
    };
    let preferred = vec![PreferredSchedulingTerm { weight: MOST, preference }];
    spec.affinity
        .get_or_insert_default()
        .node_affinity
        .get_or_insert_default()
        .preferred_during_scheduling_ignored_during_execution = Some(preferred);
    pod
}

/// What a pod has for as long as it is a stream's.
pub(crate) fn claim_labels(stream: StreamId, epoch: Epoch) -> [(String, String); 3] {
    [
        (STATE_LABEL.to_owned(), CLAIMED.to_owned()),
        (STREAM_LABEL.to_owned(), stream.to_string()),
        (EPOCH_LABEL.to_owned(), epoch.to_string()),
    ]
}

/// Autoscalers are not to move a live broadcast for the sake of a fuller node.
pub(crate) fn claim_annotations() -> [(String, String); 2] {
    [(SAFE_TO_EVICT.to_owned(), "false".to_owned()), (DO_NOT_DISRUPT.to_owned(), "true".to_owned())]
}

/// The LiveStream takes its workers with it, and does not wait for them: the lifecycle has.
pub(crate) fn owned_by(stream: StreamId, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: LiveStream::api_version(&()).into_owned(),
        kind: LiveStream::kind(&()).into_owned(),
        name: live_stream(stream),
        uid: uid.to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    }
}

/// What a worker of `pool` is made from, in short: two pods that differ in it are not the same.
pub(crate) fn hash(pool: &WorkerPool, settings: &PodSettings) -> String {
    let template = &pool.spec.template;
    let spec = serde_json::to_vec(&(spec(pool, settings), &template.labels, &template.annotations))
        .unwrap_or_default();
    let mut hash = hex::encode(Sha256::digest(spec));
    hash.truncate(HASH_LENGTH);
    hash
}

fn pod(pool: &WorkerPool, settings: &PodSettings, name: String, owner: Option<OwnerReference>) -> Pod {
    let ours = [(HASH_LABEL.to_owned(), hash(pool, settings)), (MANAGED_BY.to_owned(), OPERATOR.to_owned())];
    let template = &pool.spec.template;
    Pod {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(settings.namespace.clone()),
            labels: Some(foreign(&template.labels).chain(selector(pool, settings)).chain(ours).collect()),
            annotations: Some(foreign(&template.annotations).collect()),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(spec(pool, settings)),
        status: None,
    }
}

/// Labels or annotations of a template, without those that nobody else may set.
fn foreign(of_template: &BTreeMap<String, String>) -> impl Iterator<Item = (String, String)> {
    of_template.iter().filter(|(key, _)| !is_ours(key)).map(|(key, value)| (key.clone(), value.clone()))
}

/// What selects the workers of a pool.
pub(crate) fn selector(pool: &WorkerPool, settings: &PodSettings) -> BTreeMap<String, String> {
    BTreeMap::from([
        (NAME_LABEL.to_owned(), CAUDAL.to_owned()),
        (INSTANCE_LABEL.to_owned(), settings.release.clone()),
        (COMPONENT_LABEL.to_owned(), COMPONENT.to_owned()),
        (POOL_LABEL.to_owned(), pool_name(pool)),
    ])
}

fn is_ours(key: &str) -> bool {
    let prefix = key.split_once('/').map(|(prefix, _)| prefix);
    prefix.is_some_and(|prefix| {
        prefix == GROUP || prefix.ends_with(&format!(".{GROUP}")) || prefix == "app.kubernetes.io"
    })
}

fn pool_name(pool: &WorkerPool) -> String {
    pool.metadata.name.clone().unwrap_or_default()
}

fn spec(pool: &WorkerPool, settings: &PodSettings) -> PodSpec {
    let template = &pool.spec.template;
    let spread =
        template.topology_spread_constraints.clone().unwrap_or_else(|| vec![over_nodes(pool, settings)]);
    PodSpec {
        automount_service_account_token: Some(false),
        containers: vec![container(pool, settings)],
        enable_service_links: Some(false),
        image_pull_secrets: references(&settings.pull_secrets),
        node_selector: Some(template.node_selector.clone()).filter(|selector| !selector.is_empty()),
        priority_class_name: template.priority_class_name.clone(),
        // A worker that has ended has ended its epoch; another one gets the next.
        restart_policy: Some("Never".to_owned()),
        runtime_class_name: template.runtime_class_name.clone(),
        security_context: Some(PodSecurityContext {
            fs_group: Some(USER),
            // Not all files of a big shared volume again for each pod.
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            run_as_group: Some(USER),
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        tolerations: Some(template.tolerations.clone()).filter(|tolerations| !tolerations.is_empty()),
        topology_spread_constraints: Some(spread).filter(|spread| !spread.is_empty()),
        volumes: Some(volumes(&settings.storage)),
        ..PodSpec::default()
    }
}

/// A node that is lost takes as few broadcasts with it as can be.
fn over_nodes(pool: &WorkerPool, settings: &PodSettings) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        label_selector: Some(LabelSelector {
            match_labels: Some(selector(pool, settings)),
            ..LabelSelector::default()
        }),
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        ..TopologySpreadConstraint::default()
    }
}

fn references(names: &[String]) -> Option<Vec<LocalObjectReference>> {
    let references: Vec<_> = names.iter().map(|name| LocalObjectReference { name: name.clone() }).collect();
    Some(references).filter(|references| !references.is_empty())
}

fn container(pool: &WorkerPool, settings: &PodSettings) -> Container {
    let port = |name: &str, port| ContainerPort {
        name: Some(name.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let storage = match &settings.storage {
        Storage::Volume { .. } => Some(VolumeMount {
            name: "media".to_owned(),
            mount_path: MEDIA_FOLDER.to_owned(),
            ..VolumeMount::default()
        }),
        Storage::Bucket { credentials: BucketCredentials::Secret(_), .. } => Some(VolumeMount {
            name: "bucket".to_owned(),
            mount_path: BUCKET_SECRET_FOLDER.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }),
        Storage::Bucket { credentials: BucketCredentials::Assignment, .. } => None,
    };
    let scratch =
        VolumeMount { name: "scratch".to_owned(), mount_path: "/tmp".to_owned(), ..VolumeMount::default() };
    let mounts = [Some(scratch), storage].into_iter().flatten().collect();
    Container {
        name: COMPONENT.to_owned(),
        image: Some(settings.image.clone()),
        image_pull_policy: settings.pull_policy.clone(),
        args: Some(vec![COMPONENT.to_owned()]),
        env: Some(environment(settings)),
        ports: Some(vec![port("rtmp", RTMP_PORT), port("http", HTTP_PORT)]),
        resources: Some(template_resources(pool)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        // Started: it listens. Ready: it may be claimed or serves, until it is leaving. Alive: it answers at all; a busy machine
        // must not kill a live broadcast, so that takes its time.
        startup_probe: Some(probe("/healthz", 1, 60)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        liveness_probe: Some(probe("/healthz", 10, 6)),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn template_resources(pool: &WorkerPool) -> k8s_openapi::api::core::v1::ResourceRequirements {
    pool.spec.template.resources.clone().unwrap_or_else(|| resources(&pool.spec.ladder))
}

fn probe(path: &str, period_seconds: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(PROBE_TIMEOUT_SECONDS),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn environment(settings: &PodSettings) -> Vec<EnvVar> {
    let mut environment = vec![
        from_pod("CAUDAL_WORKER_ID", "metadata.uid"),
        from_pod("CAUDAL_ADVERTISED_ADDRESS", "status.podIP"),
        EnvVar {
            name: "CAUDAL_CONTROLLER_KEY".to_owned(),
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: settings.secret.clone(),
                    key: "controllerKey".to_owned(),
                    optional: Some(false),
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        },
        plain("CAUDAL_WORKER_BIND", "0.0.0.0"),
        plain("CAUDAL_WORKER_RTMP_PORT", &RTMP_PORT.to_string()),
        plain("CAUDAL_WORKER_HTTP_PORT", &HTTP_PORT.to_string()),
        plain("CAUDAL_WORKER_GRACE", &format!("{}s", GRACE_SECONDS - LAST_SECONDS)),
        // What a worker has cores for is in its requests.
        plain("CAUDAL_LADDER", "full"),
        plain("LOG_FORMAT", "json"),
    ];
    if let Some(level) = &settings.log_level {
        environment.push(plain("LOG_LEVEL", level));
    }
    if let Some(WorkerTraces { endpoint, share }) = &settings.traces {
        environment.push(plain("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint));
        environment.push(plain("OTEL_TRACES_SAMPLER_ARG", &share.to_string()));
    }
    match &settings.storage {
        Storage::Volume { .. } => environment.push(plain("HLS_PATH", MEDIA_FOLDER)),
        Storage::Bucket { name, region, endpoint, credentials } => {
            environment.push(plain("AWS_S3_BUCKET", name));
            environment.push(plain("AWS_REGION", region));
            environment.extend(endpoint.as_deref().map(|endpoint| plain("AWS_ENDPOINT_URL", endpoint)));
            match credentials {
                BucketCredentials::Secret(_) => {
                    environment.extend(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|secret| {
                        plain(&format!("{secret}_FILE"), &format!("{BUCKET_SECRET_FOLDER}/{secret}"))
                    }));
                }
                BucketCredentials::Assignment => {
                    environment.push(plain("CAUDAL_STORAGE_CREDENTIALS", "assigned"));
                }
            }
        }
    }
    environment
}

fn plain(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), ..EnvVar::default() }
}

fn from_pod(name: &str, path: &str) -> EnvVar {
    let field_ref = ObjectFieldSelector { field_path: path.to_owned(), ..ObjectFieldSelector::default() };
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() }),
        ..EnvVar::default()
    }
}

fn volumes(storage: &Storage) -> Vec<Volume> {
    let scratch = Volume {
        name: "scratch".to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(k8s_openapi::apimachinery::pkg::api::resource::Quantity(SCRATCH.to_owned())),
            ..EmptyDirVolumeSource::default()
        }),
        ..Volume::default()
    };
    let storage = match storage {
        Storage::Volume { claim } => Some(Volume {
            name: "media".to_owned(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.clone(),
                read_only: None,
            }),
            ..Volume::default()
        }),
        Storage::Bucket { credentials: BucketCredentials::Secret(secret), .. } => Some(Volume {
            name: "bucket".to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(secret.clone()),
                default_mode: Some(SECRET_MODE),
                ..SecretVolumeSource::default()
            }),
            ..Volume::default()
        }),
        Storage::Bucket { credentials: BucketCredentials::Assignment, .. } => None,
    };
    [Some(scratch), storage].into_iter().flatten().collect()
}

/// The name of the container, of the role on the command line, and of the component.
pub(crate) const COMPONENT: &str = "transcoder-worker";
/// Of a scheduling preference.
const MOST: i32 = 100;
/// Where routers publish to.
pub(crate) const RTMP_PORT: i32 = 1935;
/// Where operator, edges and scrapers ask.
pub(crate) const HTTP_PORT: i32 = 8080;
/// What the NetworkPolicies and the policy of what an operator may change know a worker by: [`CAUDAL`], the release, and [`COMPONENT`].
pub(crate) const NAME_LABEL: &str = "app.kubernetes.io/name";
pub(crate) const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
pub(crate) const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
pub(crate) const CAUDAL: &str = "caudal";
/// On all that an operator makes: [`OPERATOR`].
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Whoever makes workers' pods.
pub(crate) const OPERATOR: &str = "caudal-operator";
/// The cluster autoscaler's and Karpenter's words for: not of your own accord.
const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
/// Long enough for a move (ARCHITECTURE §3.9) that begins when the pod is told to go.
const GRACE_SECONDS: i64 = 60;
/// Of that, for closing and storing what is left when no other worker came.
const LAST_SECONDS: i64 = 10;
/// The image's user (Containerfile), and so the other roles': on a shared volume the operator removes what workers wrote.
const USER: i64 = 10_001;
const BUCKET_SECRET_FOLDER: &str = "/etc/caudal/bucket";
/// Readable by the worker's group alone.
const SECRET_MODE: i32 = 0o440;
const MEDIA_FOLDER: &str = "/media";
/// For ffmpeg's own small files.
const SCRATCH: &str = "64Mi";
const PROBE_TIMEOUT_SECONDS: i32 = 2;
/// Forty bits tell the few specs that a pool has in its life apart.
const HASH_LENGTH: usize = 10;

#[cfg(test)]
pub(crate) mod tests;
