//! What was found in the cluster, and what could not be looked at.

use std::collections::BTreeMap;
use std::fmt;

use caudal_kubernetes::live_stream::READY;
use caudal_kubernetes::{LiveStream, WorkerPool};
use caudal_livestream::StreamId;
use caudal_livestream::record::Phase;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod, ResourceQuota, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use crate::log_line::LogLine;

/// What somebody asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whether broadcasts can be made at all.
    Installation,
    /// One broadcast.
    Stream(StreamId),
    /// The newest broadcast of a channel.
    Channel(String),
}

/// What could not be looked at: the attempt ("list events"), and why it came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unseen {
    pub(crate) attempt: String,
    pub(crate) why: String,
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.attempt, self.why)
    }
}

/// What was looked at, or why not.
pub(crate) type Looked<T> = Result<T, Unseen>;

/// A LiveStream whose fields this release does not understand.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    pub(crate) name: String,
    pub(crate) why: String,
}

/// Everything that the checks go by.
#[derive(Clone, Debug)]
pub struct Facts {
    /// By the API server's clock.
    pub(crate) now: Timestamp,
    pub(crate) namespace: String,
    pub(crate) target: Target,
    /// Those of `LiveStream` and `WorkerPool` that are installed.
    pub(crate) definitions: Looked<Vec<CustomResourceDefinition>>,
    pub(crate) streams: Looked<Vec<LiveStream>>,
    pub(crate) unreadable: Vec<Unreadable>,
    pub(crate) pools: Looked<Vec<WorkerPool>>,
    /// Pods of all roles, workers among them.
    pub(crate) pods: Looked<Vec<Pod>>,
    pub(crate) deployments: Looked<Vec<Deployment>>,
    /// Events of type `Warning`.
    pub(crate) warnings: Looked<Vec<Event>>,
    pub(crate) claims: Looked<Vec<PersistentVolumeClaim>>,
    /// The platform's.
    pub(crate) services: Looked<Vec<Service>>,
    pub(crate) quotas: Looked<Vec<ResourceQuota>>,
    pub(crate) policies: Looked<Vec<NetworkPolicy>>,
    /// None when nobody has ever led.
    pub(crate) lease: Looked<Option<Lease>>,
    /// The end of the logs that may say something, by pod.
    pub(crate) logs: BTreeMap<String, Looked<Vec<LogLine>>>,
    /// Lists that were longer than what is read of one.
    pub(crate) cut_short: Vec<Unseen>,
}

/// What was seen, or nothing.
pub(crate) fn seen<T>(looked: &Looked<Vec<T>>) -> &[T] {
    looked.as_deref().unwrap_or_default()
}

impl Facts {
    /// The broadcast that is asked about: of a channel's, one that is not over, else the newest.
    pub(crate) fn stream(&self) -> Option<&LiveStream> {
        let streams = seen(&self.streams).iter();
        match &self.target {
            Target::Installation => None,
            Target::Stream(stream) => streams.into_iter().find(|found| found.spec.stream == *stream),
            Target::Channel(channel) => streams
                .filter(|found| {
                    found.spec.channel.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(channel))
                })
                .max_by_key(|found| {
                    (is_open(found), found.metadata.creation_timestamp.as_ref().map(|at| at.0))
                }),
        }
    }

    /// What is asked about, as it is called in a sentence.
    pub(crate) fn subject(&self) -> String {
        match (&self.target, self.stream()) {
            (Target::Channel(channel), _) => channel.clone(),
            (Target::Stream(stream), None) => format!("broadcast {stream}"),
            (Target::Stream(stream), Some(found)) => match &found.spec.channel {
                Some(channel) => format!("broadcast {stream} of {channel}"),
                None => format!("broadcast {stream}"),
            },
            (Target::Installation, _) => "the installation".to_owned(),
        }
    }

    /// The pods of a role, as the chart labels them.
    pub(crate) fn pods_of(&self, component: &str) -> Vec<&Pod> {
        let pods = seen(&self.pods).iter();
        pods.filter(|pod| pod.labels().get(COMPONENT_LABEL).map(String::as_str) == Some(component)).collect()
    }

    /// Warnings about an object, the newest first.
    pub(crate) fn warnings_about(&self, kind: &str, name: &str) -> Vec<&Event> {
        let mut found: Vec<_> = seen(&self.warnings)
            .iter()
            .filter(|event| {
                let about = &event.involved_object;
                about.kind.as_deref() == Some(kind) && about.name.as_deref() == Some(name)
            })
            .collect();
        found.sort_by_key(|event| std::cmp::Reverse(time_of(event)));
        found
    }

    /// The end of a pod's log; empty where it was not read.
    pub(crate) fn log_of(&self, pod: &Pod) -> &[LogLine] {
        self.logs.get(&pod.name_any()).map_or(&[], seen)
    }

    /// Everything that could not be looked at.
    pub(crate) fn unseen(&self) -> Vec<Unseen> {
        let lists = [
            self.definitions.as_ref().err(),
            self.streams.as_ref().err(),
            self.pools.as_ref().err(),
            self.pods.as_ref().err(),
            self.deployments.as_ref().err(),
            self.warnings.as_ref().err(),
            self.claims.as_ref().err(),
            self.services.as_ref().err(),
            self.quotas.as_ref().err(),
            self.policies.as_ref().err(),
            self.lease.as_ref().err(),
        ];
        let logs = self.logs.values().filter_map(|log| log.as_ref().err());
        lists.into_iter().flatten().chain(logs).chain(&self.cut_short).cloned().collect()
    }

    /// How long ago something was, in seconds; 0 for what is to come.
    pub(crate) fn seconds_since(&self, at: Timestamp) -> i64 {
        self.now.as_second().saturating_sub(at.as_second()).max(0)
    }
}

/// So many of something, in words.
pub(crate) fn counted(count: usize, of: &str) -> String {
    if count == 1 { format!("1 {of}") } else { format!("{count} {of}s") }
}

/// When an Event last happened.
pub(crate) fn time_of(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let micro = series.or(event.event_time.as_ref()).map(|at| at.0);
    event.last_timestamp.as_ref().map(|at| at.0).or(micro).or(event
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|at| at.0))
}

/// Whether a broadcast takes a publisher still.
pub(crate) fn is_open(stream: &LiveStream) -> bool {
    !stream.status.as_ref().is_some_and(|status| status.phase.is_over()) && !stream.is_being_deleted()
}

/// Whether its publisher is with a router, as far as the operator knows.
pub(crate) fn is_let_in(stream: &LiveStream) -> bool {
    is_open(stream) && stream.status.as_ref().is_none_or(|status| status.phase != Phase::Reconnecting)
}

/// When it became as it is.
pub(crate) fn changed(stream: &LiveStream) -> Option<Timestamp> {
    let conditions = stream.status.iter().flat_map(|status| &status.conditions);
    conditions.into_iter().find(|one| one.type_ == READY).map(|one| one.last_transition_time.0)
}

/// When the API server took it.
pub(crate) fn created(stream: &LiveStream) -> Option<Timestamp> {
    stream.metadata.creation_timestamp.as_ref().map(|at| at.0)
}

/// As the screen writes a time.
pub(crate) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// Why a list came to nothing whose resource is not installed.
pub(crate) const UNKNOWN_RESOURCE: &str = "the API server does not know this resource";
/// How far back what happened still explains a call for help.
pub(crate) const CALL_SECONDS: i64 = 900;
/// How long a failure that is tried again and again is taken as one of now.
pub(crate) const NOW_SECONDS: i64 = 60;
pub(crate) const COMPONENT_LABEL: &str = "app.kubernetes.io/component";
pub(crate) const OPERATOR: &str = "operator";
pub(crate) const ROUTER: &str = "ingest-router";
pub(crate) const EDGE: &str = "hls-edge";
pub(crate) const API: &str = "api";
