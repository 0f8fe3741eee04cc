//! `WorkerPool`: transcoder workers that are alike, warm ones among them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ResourceRequirements, Toleration, TopologySpreadConstraint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::live_stream::{Rung, schemas};

/// Transcoder workers that are alike: how many there may be, how many wait warm, what they can encode, and where they run. A
/// LiveStream names the pool that its workers come from.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "caudal.dev",
    version = "v1alpha1",
    kind = "WorkerPool",
    plural = "workerpools",
    singular = "workerpool",
    shortname = "wp",
    category = "caudal",
    namespaced,
    status = "WorkerPoolStatus",
    derive = "PartialEq",
    doc = "Transcoder workers that are alike: how many there may be, how many wait warm, what they can encode, and where they run. \
           A LiveStream names the pool that its workers come from.",
    scale(
        spec_replicas_path = ".spec.maxWorkers",
        status_replicas_path = ".status.workers",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Idle", type_ = "integer", json_path = ".status.idle"),
    printcolumn(name = "Claimed", type_ = "integer", json_path = ".status.claimed"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".spec.maxWorkers"),
    printcolumn(name = "Paused", type_ = "string", json_path = r".metadata.annotations.caudal\.dev/paused"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Starting", type_ = "integer", json_path = ".status.starting", priority = 1),
    printcolumn(name = "Outdated", type_ = "integer", json_path = ".status.outdated", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    validation = Rule::new("self.metadata.name.size() <= 40 && !self.metadata.name.contains('.')")
        .message("the name of a pool is in the names of its pods: at most 40 letters, digits and '-'")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.warm.min <= self.warm.max").message("warm.min must not exceed warm.max"))]
pub struct WorkerPoolSpec {
    /// How many workers there may be at once, the warm ones among them: the broadcasts that the pool can carry. Routers refuse a
    /// publisher beyond that. `kubectl scale` sets this.
    #[serde(default = "default_max_workers")]
    #[schemars(with = "i64", range(min = 0, max = 10_000))]
    pub max_workers: u32,

    /// How many workers wait for a broadcast, so that it does not wait for a pod.
    #[serde(default)]
    pub warm: Warm,

    /// How many workers there may be beyond `maxWorkers` while broadcasts are moved: each of them has two workers for a moment.
    #[serde(default = "default_move_surge")]
    #[schemars(with = "i64", range(min = 0, max = 1_000))]
    pub move_surge: u32,

    /// The qualities below the source that a worker of this pool makes. Fixes what a pod requests.
    #[serde(default)]
    #[schemars(length(max = 6))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub ladder: Vec<Rung>,

    /// What encodes the ladder. `x264` is the processor.
    #[serde(default)]
    pub encoder: Encoder,

    /// Where the workers run, and what else their pods are to have.
    #[serde(default)]
    pub template: Template,
}

/// How many workers wait for a broadcast: `percentOfLive` of those that have one, within `min` and `max`.
#[derive(KubeSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Warm {
    /// At least so many.
    #[serde(default = "default_warm_min")]
    #[schemars(with = "i64", range(min = 0, max = 1_000))]
    pub min: u32,
    /// So many for a hundred broadcasts.
    #[serde(default = "default_percent")]
    #[schemars(with = "i64", range(min = 0, max = 100))]
    pub percent_of_live: u32,
    /// At most so many, and no more than `maxWorkers` has room for.
    #[serde(default = "default_warm_max")]
    #[schemars(with = "i64", range(min = 0, max = 1_000))]
    pub max: u32,
}

impl Warm {
    /// How many are to wait while so many broadcasts have a worker.
    pub fn wanted(self, live: u32) -> u32 {
        let share = u64::from(live).saturating_mul(u64::from(self.percent_of_live)).div_ceil(100);
        u32::try_from(share).unwrap_or(u32::MAX).max(self.min).min(self.max)
    }
}

impl Default for Warm {
    fn default() -> Self {
        Self { min: default_warm_min(), percent_of_live: default_percent(), max: default_warm_max() }
    }
}

/// What encodes the ladder.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoder {
    /// The processor.
    #[default]
    X264,
}

/// Where the workers run, and what else their pods are to have. What keeps one broadcast from another cannot be changed here.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// More labels. Those of `caudal.dev` and `app.kubernetes.io` are the operator's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub labels: BTreeMap<String, String>,
    /// More annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the workers put up with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub tolerations: Vec<Toleration>,
    /// How the workers are spread. By default over nodes, as evenly as can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// The PriorityClass of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub priority_class_name: Option<String>,
    /// The RuntimeClass of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub runtime_class_name: Option<String>,
    /// What a pod requests and may have, instead of what follows from the ladder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// What is known of a pool. Written once a second at most.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPoolStatus {
    /// The `metadata.generation` that the rest of the status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// All workers that there are.
    #[serde(default)]
    #[schemars(schema_with = "schemas::count")]
    pub workers: u32,
    /// Those that wait for a broadcast.
    #[serde(default)]
    #[schemars(schema_with = "schemas::count")]
    pub idle: u32,
    /// Those that have one.
    #[serde(default)]
    #[schemars(schema_with = "schemas::count")]
    pub claimed: u32,
    /// Those whose pods are not ready yet.
    #[serde(default)]
    #[schemars(schema_with = "schemas::count")]
    pub starting: u32,
    /// Those that were made from an earlier template.
    #[serde(default)]
    #[schemars(schema_with = "schemas::count")]
    pub outdated: u32,
    /// Selects the workers' pods; for the `scale` subresource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// `Ready`: as many workers wait as are to. `Draining`: broadcasts have workers on nodes that are being emptied.
    /// `Paused`: the annotation `caudal.dev/paused` keeps the operator from making and replacing workers that wait.
    /// `ForeignPods`: pods have the labels or names of this pool's workers, and the operator has not made them; it leaves them alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schemas::conditions")]
    pub conditions: Vec<Condition>,
}

fn default_max_workers() -> u32 {
    20
}

/// One that the next broadcast gets, so that it starts at once.
fn default_warm_min() -> u32 {
    1
}

/// A node that is lost takes a share of the live workers with it; their streams want others at once.
fn default_percent() -> u32 {
    10
}

fn default_warm_max() -> u32 {
    10
}

fn default_move_surge() -> u32 {
    5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_workers_are_a_share_of_the_live_ones_within_bounds() {
        let warm = Warm { min: 2, percent_of_live: 10, max: 5 };
        for (live, wanted) in [(0, 2), (20, 2), (21, 3), (40, 4), (41, 5), (50, 5), (u32::MAX, 5)] {
            assert_eq!(warm.wanted(live), wanted, "{live}");
        }
        assert_eq!(Warm { min: 0, percent_of_live: 0, max: 0 }.wanted(1_000), 0);
    }
}
