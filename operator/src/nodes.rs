//! The nodes that are being emptied: cordoned ones, and those that an autoscaler is about to remove.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::{Node, Toleration};

use caudal_kubernetes::watching::News;

/// All nodes of the cluster, as far as somebody watches them. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub(crate) struct Nodes(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    emptied: BTreeMap<String, Vec<Emptied>>,
    whole: bool,
}

/// Why a node is being emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emptied {
    /// By `kubectl cordon`, `kubectl drain`, or what upgrades nodes.
    Cordoned,
    /// The cluster autoscaler removes it.
    ScaledDown,
    /// Karpenter removes it.
    Disrupted,
}

impl Nodes {
    /// Takes in what a watch told; true when that changes which nodes are being emptied.
    pub(crate) fn take(&self, news: News<Node>) -> bool {
        let mut table = self.table();
        match news {
            News::Is(node) => {
                let Some(name) = node.metadata.name.clone() else { return false };
                let why = Emptied::of(&node);
                if why.is_empty() {
                    return table.emptied.remove(&name).is_some();
                }
                table.emptied.insert(name, why.clone()) != Some(why)
            }
            News::Gone { name, .. } => table.emptied.remove(&name).is_some(),
            News::Whole => !std::mem::replace(&mut table.whole, true),
            // What was known last stands.
            News::Unreadable(_) | News::Interrupted | News::Resumed => false,
        }
    }

    /// Whether all nodes have been told of once; never, where nobody watches them.
    pub(crate) fn are_known(&self) -> bool {
        self.table().whole
    }

    /// Why a pod that tolerates `tolerated` is to leave this node, if it is.
    pub(crate) fn emptied(&self, node: &str, tolerated: &[Emptied]) -> Option<Emptied> {
        let table = self.table();
        table.emptied.get(node)?.iter().copied().find(|why| !tolerated.contains(why))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Emptied {
    const ALL: [Self; 3] = [Self::Cordoned, Self::ScaledDown, Self::Disrupted];

    /// The key of the taint that says so.
    fn taint(self) -> &'static str {
        match self {
            Self::Cordoned => "node.kubernetes.io/unschedulable",
            Self::ScaledDown => "ToBeDeletedByClusterAutoscaler",
            Self::Disrupted => "karpenter.sh/disrupted",
        }
    }

    fn of(node: &Node) -> Vec<Self> {
        let spec = node.spec.clone().unwrap_or_default();
        // The node controller adds a cordoned node's taint a moment after the field is set.
        let by_field = |why: Self| why == Self::Cordoned && spec.unschedulable == Some(true);
        let by_taint = |why: Self| {
            // A mere preference is the autoscaler's thinking aloud.
            spec.taints
                .iter()
                .flatten()
                .any(|taint| taint.key == why.taint() && taint.effect != "PreferNoSchedule")
        };
        Self::ALL.into_iter().filter(|why| by_field(*why) || by_taint(*why)).collect()
    }

    /// What the scheduler would put a pod onto such a node in spite of. Moving a worker off it would only bring the next one there.
    pub(crate) fn tolerated(tolerations: &[Toleration]) -> Vec<Self> {
        let tolerates = |why: Self, toleration: &Toleration| {
            let effect = toleration.effect.as_deref().unwrap_or_default();
            let key = toleration.key.as_deref().unwrap_or_default();
            let exists = toleration.operator.as_deref() == Some("Exists");
            // The taint of a cordon has no value; the others' is a time, which no template knows.
            let no_value =
                toleration.value.as_deref().unwrap_or_default().is_empty() && why == Self::Cordoned;
            matches!(effect, "" | "NoSchedule")
                && ((key.is_empty() && exists) || (key == why.taint() && (exists || no_value)))
        };
        let by_any = |why: &Self| tolerations.iter().any(|toleration| tolerates(*why, toleration));
        Self::ALL.into_iter().filter(by_any).collect()
    }
}

impl fmt::Display for Emptied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cordoned => "cordoned",
            Self::ScaledDown => "to be deleted by the cluster autoscaler",
            Self::Disrupted => "to be deleted by Karpenter",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(spec: &Value) -> Node {
        serde_json::from_value(json!({ "metadata": { "name": "node-1" }, "spec": spec })).unwrap()
    }

    fn taint(key: &str, effect: &str) -> Value {
        json!({ "taints": [{ "key": key, "effect": effect, "value": "1800000000" }] })
    }

    #[test]
    fn a_node_is_being_emptied_once_it_is_cordoned_or_an_autoscaler_removes_it() {
        for (spec, why) in [
            (json!({}), None),
            (json!({ "unschedulable": false }), None),
            (json!({ "unschedulable": true }), Some(Emptied::Cordoned)),
            (taint("node.kubernetes.io/unschedulable", "NoSchedule"), Some(Emptied::Cordoned)),
            (taint("ToBeDeletedByClusterAutoscaler", "NoSchedule"), Some(Emptied::ScaledDown)),
            (taint("karpenter.sh/disrupted", "NoSchedule"), Some(Emptied::Disrupted)),
            (taint("karpenter.sh/disrupted", "NoExecute"), Some(Emptied::Disrupted)),
            (taint("ToBeDeletedByClusterAutoscaler", "PreferNoSchedule"), None),
            (taint("DeletionCandidateOfClusterAutoscaler", "PreferNoSchedule"), None),
            (taint("node.kubernetes.io/not-ready", "NoSchedule"), None),
            (taint("video", "NoSchedule"), None),
        ] {
            let nodes = Nodes::default();
            assert_eq!(nodes.take(News::Is(Box::new(node(&spec)))), why.is_some(), "{spec}");
            assert_eq!(nodes.emptied("node-1", &[]), why, "{spec}");
            assert_eq!(nodes.emptied("node-2", &[]), None);
        }
    }

    #[test]
    fn it_is_no_longer_so_when_it_is_uncordoned_or_gone_and_still_so_while_nothing_is_heard() {
        let nodes = Nodes::default();
        let cordoned = || News::Is(Box::new(node(&json!({ "unschedulable": true }))));
        assert!(nodes.take(cordoned()));
        assert!(!nodes.take(cordoned()), "no news");
        assert!(!nodes.take(News::Interrupted));
        assert_eq!(nodes.emptied("node-1", &[]), Some(Emptied::Cordoned));
        assert!(nodes.take(News::Is(Box::new(node(&json!({}))))));
        assert_eq!(nodes.emptied("node-1", &[]), None);
        assert!(nodes.take(cordoned()));
        assert!(nodes.take(News::Gone { name: "node-1".to_owned(), uid: None }));
        assert_eq!(nodes.emptied("node-1", &[]), None);
        assert!(!nodes.are_known());
        nodes.take(News::Whole);
        assert!(nodes.are_known());
    }

    #[test]
    fn a_pod_that_tolerates_the_reason_stays_unless_there_is_another() {
        let read = |toleration: Value| Emptied::tolerated(&[serde_json::from_value(toleration).unwrap()]);
        assert_eq!(read(json!({ "operator": "Exists" })), Emptied::ALL);
        assert_eq!(read(json!({ "operator": "Exists", "effect": "NoExecute" })), []);
        assert_eq!(read(json!({ "key": "video", "operator": "Exists" })), []);
        let unschedulable = "node.kubernetes.io/unschedulable";
        assert_eq!(read(json!({ "key": unschedulable, "operator": "Exists" })), [Emptied::Cordoned]);
        assert_eq!(read(json!({ "key": unschedulable, "effect": "NoSchedule" })), [Emptied::Cordoned]);
        assert_eq!(read(json!({ "key": unschedulable, "value": "x" })), []);
        assert_eq!(read(json!({ "key": "ToBeDeletedByClusterAutoscaler" })), []);

        let nodes = Nodes::default();
        let mut both = taint("karpenter.sh/disrupted", "NoSchedule");
        both["unschedulable"] = json!(true);
        nodes.take(News::Is(Box::new(node(&both))));
        assert_eq!(nodes.emptied("node-1", &[Emptied::Cordoned]), Some(Emptied::Disrupted));
        assert_eq!(nodes.emptied("node-1", &Emptied::ALL), None);
    }
}
