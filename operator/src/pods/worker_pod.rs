//! What matters of a worker's pod.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use caudal_kubernetes::names::{
    CLAIMED, EPOCH_LABEL, GROUP, HASH_LABEL, IDLE, POOL_LABEL, STATE_LABEL, STREAM_LABEL,
};
use caudal_kubernetes::{LiveStream, WorkerPool};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{Epoch, StreamId, WorkerId};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource as _;

use crate::build::{
    CAUDAL, COMPONENT, COMPONENT_LABEL, HTTP_PORT, INSTANCE_LABEL, MANAGED_BY, NAME_LABEL, OPERATOR,
    RTMP_PORT,
};
use crate::nodes::Emptied;

/// What matters of a worker's pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerPod {
    /// Its name.
    pub name: String,
    /// Its uid, which is what the worker in it is known by.
    pub worker: WorkerId,
    /// Its `resourceVersion`.
    pub version: u64,
    /// Its pool; empty where somebody has taken that label off a pod that has a broadcast.
    pub pool: String,
    /// What it was built from.
    pub hash: String,
    /// What its container requests of a core, in thousandths; none where it requests nothing that can be read.
    pub(crate) millicores: Option<u64>,
    /// An operator has made it, and its owner is one of ours. A pod that is not ours, which a person has given a worker's labels, is
    /// nobody's worker, takes no place, and is left alone. Neither is one that waits and has lost a label that everything else knows workers
    /// by: the operator may not claim or delete it.
    pub ours: bool,
    /// Whom it was claimed for.
    pub claim: Option<(StreamId, Epoch)>,
    /// It has a broadcast, and its label says something else, or nothing: somebody has changed it.
    pub(crate) mislabelled: bool,
    /// Its pool owns it, and it is neither idle nor claimed: somebody has changed its labels. It never had a broadcast, because a claim
    /// changes labels and owner together.
    pub(crate) stray: bool,
    /// It says that nobody has claimed it, and its pool owns it: once one has had a broadcast, it waits for no other.
    pub idle: bool,
    /// The uid of its controller.
    pub owner: Option<String>,
    /// Its address, once it has one.
    pub address: Option<IpAddr>,
    /// The node that it is on.
    pub node: Option<String>,
    /// Reasons to empty a node that keep no such pod from being put there.
    pub(crate) tolerates: Vec<Emptied>,
    /// The worker in it listens.
    pub ready: bool,
    /// Since when the worker in it, which was ready once, does not listen, in seconds since 1970: its process hangs, or its machine is gone.
    pub silent_since: Option<i64>,
    /// Somebody has deleted it; its process may still run.
    pub leaving: bool,
    /// Until when its process may take to end, in seconds since 1970, once somebody has deleted it.
    pub(crate) ends_by: Option<i64>,
    /// Its process has ended.
    pub ended: bool,
    /// Its node or the control plane has ended it, or never began it: for want of room, or to be emptied.
    pub ended_by_node: bool,
    /// Why there is no node for it.
    pub unschedulable: Option<String>,
    /// What keeps the container from running, in words for whoever runs the platform; none while it runs or is on its way.
    pub trouble: Option<String>,
    /// How far its node is with it.
    pub(crate) set_up: SetUp,
    /// The container runs.
    pub runs: bool,
    /// How the process ended; none while it has not, or where nobody says.
    pub end: Option<String>,
    /// When it was created, in seconds since 1970.
    pub created: i64,
}

/// How far a node is with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetUp {
    /// Its kubelet has not said that it has heard of the pod.
    NotBegun,
    /// The kubelet sees to the pod's volumes and its network.
    Begun,
    /// What a container waits for that does not run is its image.
    Done,
}

impl WorkerPod {
    /// None when the pod is no worker's, or has no identity yet.
    pub fn of(pod: &Pod) -> Option<Self> {
        let metadata = &pod.metadata;
        let label = |key: &str| metadata.labels.as_ref()?.get(key).map(String::as_str);
        let status = pod.status.as_ref();
        let stream = label(STREAM_LABEL).and_then(|stream| stream.parse().ok());
        let epoch = label(EPOCH_LABEL).and_then(|epoch| epoch.parse().ok());
        let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let owner_is = |kind: &str| owner.is_some_and(|owner| owner.kind == kind);
        let of_pool = owner_is(&WorkerPool::kind(&()));
        let of_stream = owner_is(&LiveStream::kind(&()));
        let says_claimed = label(STATE_LABEL) == Some(CLAIMED);
        let claim = stream.zip(epoch).filter(|_| says_claimed || of_stream);
        let idle = label(STATE_LABEL) == Some(IDLE) && of_pool;
        let known = label(NAME_LABEL) == Some(CAUDAL)
            && label(COMPONENT_LABEL) == Some(COMPONENT)
            && label(INSTANCE_LABEL).is_some_and(|release| !release.is_empty());
        let made_by_us = label(MANAGED_BY) == Some(OPERATOR) && label(HASH_LABEL).is_some();
        let ours = made_by_us && owner.is_some_and(is_ours) && (known || claim.is_some());
        // One that has a broadcast serves on, whoever takes it out of its pool.
        let pool = label(POOL_LABEL).or_else(|| (ours && claim.is_some()).then_some(""));
        Some(Self {
            name: metadata.name.clone()?,
            worker: metadata.uid.as_deref()?.parse().ok()?,
            version: metadata.resource_version.as_deref()?.parse().ok()?,
            pool: pool?.to_owned(),
            hash: label(HASH_LABEL).unwrap_or_default().to_owned(),
            millicores: requested_millicores(pod),
            ours,
            claim,
            mislabelled: claim.is_some() && !says_claimed,
            stray: ours && of_pool && claim.is_none() && !idle,
            idle,
            owner: owner.map(|owner| owner.uid.clone()),
            address: status.and_then(|status| status.pod_ip.as_deref()).and_then(|ip| ip.parse().ok()),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            tolerates: pod
                .spec
                .as_ref()
                .and_then(|spec| spec.tolerations.as_deref())
                .map_or_else(Vec::new, Emptied::tolerated),
            ready: condition(status, "Ready").is_some_and(is_true),
            silent_since: silent_since(status),
            leaving: metadata.deletion_timestamp.is_some(),
            ends_by: metadata.deletion_timestamp.as_ref().map(|at| at.0.as_second()),
            ended: has_ended(status),
            ended_by_node: is_ended_by_node(status),
            unschedulable: condition(status, "PodScheduled")
                .filter(|scheduled| !is_true(scheduled))
                .map(|scheduled| scheduled.message.clone().unwrap_or_default()),
            trouble: trouble(metadata.name.as_deref().unwrap_or_default(), status),
            set_up: set_up(status),
            runs: container(status)
                .and_then(|of| of.state.as_ref())
                .is_some_and(|state| state.running.is_some()),
            end: end(status),
            created: metadata.creation_timestamp.as_ref().map_or(0, |at| at.0.as_second()),
        })
    }

    /// Whether a stream may have it.
    pub(crate) fn is_claimable(&self) -> bool {
        self.ours && self.idle && self.ready && self.address.is_some() && !self.leaving && !self.ended
    }

    /// Whether its process should have ended by now, and nobody says that it has: its machine is gone, or cut off.
    pub(crate) fn is_overdue(&self, now: i64) -> bool {
        self.ends_by.is_some_and(|by| now.saturating_sub(by) >= OVERDUE_SECONDS)
    }

    /// Whether its machine has been gone for so long that nobody waits for its process any more. What one writes that is only cut off, and
    /// has its publisher still, is the janitor's.
    pub(crate) fn is_given_up(&self, now: i64) -> bool {
        self.ends_by.is_some_and(|by| now.saturating_sub(by) >= GIVEN_UP_SECONDS)
    }

    /// Whether it is on one of these nodes.
    pub(crate) fn is_on(&self, nodes: &BTreeSet<String>) -> bool {
        self.node.as_ref().is_some_and(|node| nodes.contains(node))
    }

    /// That it ended, and how.
    pub(crate) fn ended_in_words(&self) -> String {
        let how = self.end.as_deref().map(|how| format!(" ({how})")).unwrap_or_default();
        let name = &self.name;
        if self.leaving && !self.ended {
            format!("pod {name} is being deleted, and makes room for another one")
        } else {
            format!("pod {name} ended before its worker had the broadcast{how}")
        }
    }

    /// Where the worker in it is, once it listens.
    pub(crate) fn listens_at(&self) -> Option<WorkerAddress> {
        self.will_listen_at().filter(|_| self.ready)
    }

    /// Where the worker in it is or will be, once the pod has an address.
    pub(crate) fn will_listen_at(&self) -> Option<WorkerAddress> {
        let at = |port: i32| Some(SocketAddr::new(self.address?, u16::try_from(port).ok()?));
        Some(WorkerAddress { worker: self.worker, rtmp: at(RTMP_PORT)?, http: at(HTTP_PORT)? })
    }
}

/// What the kubelet says while it cannot start the container. What it only has not come to yet is no trouble.
fn trouble(pod: &str, status: Option<&PodStatus>) -> Option<String> {
    let waiting = container(status)?.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| !ON_ITS_WAY.contains(reason))?;
    let said = waiting.message.as_deref().map(|said| format!("{reason}: {said}"));
    let said = said.unwrap_or_else(|| reason.to_owned());
    Some(if reason.contains("Image") {
        format!("the image of pod {pod} cannot be pulled: {said}")
    } else {
        format!("the container of pod {pod} cannot be started: {said}")
    })
}

fn set_up(status: Option<&PodStatus>) -> SetUp {
    if condition(status, "PodReadyToStartContainers").is_some_and(is_true) {
        SetUp::Done
    } else if status.is_some_and(|status| status.start_time.is_some()) {
        SetUp::Begun
    } else {
        SetUp::NotBegun
    }
}

/// How the process ended, in the words of whoever ended it or saw it end.
fn end(status: Option<&PodStatus>) -> Option<String> {
    let by_node = status.and_then(|status| {
        let reason = status.reason.as_deref().filter(|_| status.phase.as_deref() == Some("Failed"))?;
        Some(status.message.as_deref().map_or_else(|| reason.to_owned(), |said| format!("{reason}: {said}")))
    });
    by_node.or_else(|| {
        let ended = container(status)?.state.as_ref()?.terminated.as_ref()?;
        let code = format!("exit code {}", ended.exit_code);
        // Of a program that ended by itself Kubernetes says no more.
        let reason = ended.reason.as_deref().filter(|reason| !matches!(*reason, "Error" | "Completed"));
        Some(reason.map_or_else(|| code.clone(), |reason| format!("{reason}, {code}")))
    })
}

/// A pod is its pool's, and then its LiveStream's.
fn is_ours(owner: &OwnerReference) -> bool {
    let kinds = [WorkerPool::kind(&()), LiveStream::kind(&())];
    let group = owner.api_version.split_once('/').map(|(group, _)| group);
    group == Some(GROUP) && kinds.contains(&Cow::Borrowed(owner.kind.as_str()))
}

fn condition<'a>(status: Option<&'a PodStatus>, kind: &str) -> Option<&'a PodCondition> {
    status?.conditions.iter().flatten().find(|condition| condition.type_ == kind)
}

fn is_true(condition: &PodCondition) -> bool {
    condition.status == "True"
}

/// Of a machine that is gone, Kubernetes says after 40 s that its pods are not ready, and nothing else about them changes. One that was
/// never ready has been unready since before its container began.
fn silent_since(status: Option<&PodStatus>) -> Option<i64> {
    let begun = container(status)?.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0.as_second();
    let unready = condition(status, "Ready").filter(|ready| !is_true(ready))?;
    let since = unready.last_transition_time.as_ref()?.0.as_second();
    (since > begun).then_some(since)
}

fn container(status: Option<&PodStatus>) -> Option<&ContainerStatus> {
    status?.container_statuses.iter().flatten().find(|container| container.name == COMPONENT)
}

/// A pod of a node that is lost says nothing; its process may well run.
fn has_ended(status: Option<&PodStatus>) -> bool {
    let phase = status.and_then(|status| status.phase.as_deref());
    let state = container(status).and_then(|container| container.state.as_ref());
    state.is_some_and(|state| state.terminated.is_some()) || matches!(phase, Some("Succeeded" | "Failed"))
}

/// A node that shuts down before its pods are deleted, and an old one that is short of memory or disk, say so by the reason alone.
fn is_ended_by_node(status: Option<&PodStatus>) -> bool {
    let reason = status.and_then(|status| status.reason.as_deref());
    has_ended(status)
        && (condition(status, "DisruptionTarget").is_some_and(is_true)
            || reason.is_some_and(|reason| ENDED_BY_NODE.contains(&reason)))
}

/// A kubelet that is there kills the process at the end of its grace, and says so within a second or two.
const OVERDUE_SECONDS: i64 = 5;
/// Kubernetes keeps a pod until its node is back or deleted, which on bare metal may be never.
const GIVEN_UP_SECONDS: i64 = 600;
/// What a kubelet says of a pod that it ends, or turns away, on account of its node.
const ENDED_BY_NODE: [&str; 5] = ["Evicted", "NodeShutdown", "Preempting", "Shutdown", "Terminated"];
/// Why a container waits that is being started.
const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Whole cores, or thousandths with an `m`: how the server writes quantities of a core.
fn requested_millicores(pod: &Pod) -> Option<u64> {
    let container = pod.spec.as_ref()?.containers.first()?;
    let Quantity(cpu) = container.resources.as_ref()?.requests.as_ref()?.get("cpu")?;
    match cpu.strip_suffix('m') {
        Some(thousandths) => thousandths.parse().ok(),
        None => cpu.parse::<u64>().ok()?.checked_mul(1000),
    }
}
