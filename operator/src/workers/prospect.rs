//! Whether the pod that a claim has got will come up.

use caudal_kubernetes::names::cold_pod;

use crate::pods::{SetUp, WorkerPod};

/// What is to be expected of a pod whose worker has not been told of its broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prospect {
    /// It is on its way.
    Comes,
    /// It may come up, but one that waits would be there before it.
    Late,
    /// Something is wrong with its node, or with it.
    Stuck,
}

impl Prospect {
    /// By the API server's clock, in seconds since 1970; without it, nothing is late.
    pub(super) fn of(pod: &WorkerPod, now: Option<i64>) -> Self {
        if pod.ready {
            return Self::Comes;
        }
        if pod.unschedulable.is_some() {
            return Self::Late;
        }
        let fell_silent = pod.silent_since.is_some();
        let since = pod.silent_since.unwrap_or(pod.created);
        let seconds = now.map_or(0, |now| now.saturating_sub(since));
        if seconds < LATE_SECONDS || (pod.runs && !fell_silent) {
            return Self::Comes;
        }
        let is_stuck = match pod.set_up {
            _ if fell_silent || pod.trouble.is_some() => true,
            // No scheduler has said anything, and none would of another one.
            SetUp::NotBegun => pod.node.is_some(),
            // Where the second pod takes as long as the first, every node does.
            SetUp::Begun => seconds >= STUCK_SECONDS && is_first(pod),
            // Another node might have to pull the image, too.
            SetUp::Done => false,
        };
        if is_stuck { Self::Stuck } else { Self::Late }
    }
}

/// Whether it has the name that the first pod of its broadcast and epoch gets.
fn is_first(pod: &WorkerPod) -> bool {
    pod.claim.is_some_and(|(stream, epoch)| pod.name == cold_pod(stream, epoch))
}

/// A kubelet that is there takes a pod up within a second or two. A claim looks again after nine seconds, and clocks that count as the
/// same may be apart by almost two.
const LATE_SECONDS: i64 = 6;
/// Some storage takes that long to mount. A claim looks after 27 s, and a start has a minute: the next pod has half a minute of it, and one
/// behind that would have next to nothing.
const STUCK_SECONDS: i64 = 20;

#[cfg(test)]
mod tests {
    use caudal_kubernetes::worker_pool::Template;
    use caudal_livestream::{Epoch, StreamId};
    use k8s_openapi::jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::build::{self, tests};

    const CREATED: i64 = 1_800_000_000;

    /// A pod that was made for a broadcast, on a node, as its kubelet tells of it.
    fn pod(node: Option<&str>, status: &Value) -> WorkerPod {
        let pool = tests::pool(Template::default());
        let made = build::cold(&pool, StreamId::generate(), Epoch(1), "1", &tests::settings());
        let mut pod = serde_json::to_value(made).unwrap();
        pod["metadata"]["uid"] = json!(uuid::Uuid::new_v4());
        pod["metadata"]["resourceVersion"] = json!("1");
        pod["metadata"]["creationTimestamp"] = json!(Timestamp::from_second(CREATED).unwrap().to_string());
        pod["spec"]["nodeName"] = json!(node);
        pod["status"] = status.clone();
        WorkerPod::of(&serde_json::from_value(pod).unwrap()).unwrap()
    }

    fn container(state: &Value) -> Value {
        json!([{
            "name": "transcoder-worker", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        }])
    }

    #[test]
    fn a_pod_that_nothing_is_done_for_is_stuck_and_one_that_only_takes_its_time_is_late() {
        let at = |seconds: i64| json!(Timestamp::from_second(CREATED + seconds).unwrap().to_string());
        let condition =
            |kind: &str, is: &str| json!([{ "type": kind, "status": is, "lastTransitionTime": at(2) }]);
        let waiting = |set_up: &str, reason: &str| {
            json!({
                "startTime": at(1), "conditions": condition("PodReadyToStartContainers", set_up),
                "containerStatuses": container(&json!({ "waiting": { "reason": reason } })),
            })
        };
        let runs = |ready: &Value| {
            let container = container(&json!({ "running": { "startedAt": at(1) } }));
            json!({ "startTime": at(1), "conditions": ready, "containerStatuses": container })
        };
        let node = Some("node-1");
        let [comes, late, stuck] = [Prospect::Comes, Prospect::Late, Prospect::Stuck];
        for (what, node, status, later, much_later) in [
            ("its kubelet says nothing", node, json!({}), stuck, stuck),
            ("no scheduler says anything", None, json!({}), late, late),
            ("it gets no network", node, waiting("False", "ContainerCreating"), late, stuck),
            ("its image is pulled", node, waiting("True", "ContainerCreating"), late, late),
            ("its image is not there", node, waiting("True", "ErrImagePull"), stuck, stuck),
            ("it runs", node, runs(&json!([])), comes, comes),
            ("it is ready", node, runs(&condition("Ready", "True")), comes, comes),
            ("its machine went", node, runs(&condition("Ready", "False")), stuck, stuck),
        ] {
            let pod = pod(node, &status);
            for (seconds, expected) in [(3, comes), (9, later), (27, much_later)] {
                assert_eq!(
                    Prospect::of(&pod, Some(CREATED + seconds)),
                    expected,
                    "{what}, after {seconds} s"
                );
            }
            assert_eq!(Prospect::of(&pod, None), comes, "{what}");
        }
        // Under its broadcast's second name.
        for (status, expected) in
            [(waiting("False", "ContainerCreating"), late), (waiting("False", "ErrImagePull"), stuck)]
        {
            let mut next = pod(node, &status);
            next.name.push_str("-2");
            assert_eq!(Prospect::of(&next, Some(CREATED + 27)), expected, "{status}");
        }
        let nowhere = pod(None, &json!({ "conditions": condition("PodScheduled", "False") }));
        assert_eq!(Prospect::of(&nowhere, Some(CREATED)), late, "it may be one too many");
    }
}
