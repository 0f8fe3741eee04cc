//! Why a pod does not run, in the words of whoever keeps it from running: the scheduler, the kubelet, or the program in it.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Event, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use crate::facts::{Facts, seen};
use crate::finding::{Evidence, Kind};

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) kind: Kind,
    /// A clause about "it", the pod or what runs in it.
    pub(crate) says: String,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) advice: Vec<String>,
}

/// Whether the pod does what it is for.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    !is_being_deleted(pod) && ready.any(|condition| condition.status == "True")
}

/// Whether the pod is on its way out.
pub(crate) fn is_being_deleted(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the pod has ended for good, and not as it should: its node evicted it, for one.
pub(crate) fn has_failed(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed")
}

/// What keeps the pod from running; none when nothing does, or when it has had little time so far.
pub(crate) fn trouble(pod: &Pod, facts: &Facts) -> Option<Trouble> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    // A pod that is being deleted, or has done what it was for, is not waited for.
    if is_ready(pod) || is_being_deleted(pod) || phase == Some("Succeeded") {
        return None;
    }
    let look = Look { pod, facts, name: pod.name_any() };
    look.containers()
        .or_else(|| look.evicted())
        .or_else(|| look.schedule())
        .or_else(|| look.volumes())
        .or_else(|| look.slow())
}

/// A pod that is looked at.
struct Look<'a> {
    pod: &'a Pod,
    facts: &'a Facts,
    name: String,
}

impl Look<'_> {
    fn containers(&self) -> Option<Trouble> {
        let status = self.pod.status.as_ref()?;
        let done = |init: &&ContainerStatus| {
            let state = init.state.as_ref().and_then(|state| state.terminated.as_ref());
            state.is_some_and(|terminated| terminated.exit_code == 0)
        };
        let before = status.init_container_statuses.iter().flatten().filter(|init| !done(init));
        before
            .chain(status.container_statuses.iter().flatten())
            .find_map(|container| self.container(container))
    }

    fn container(&self, container: &ContainerStatus) -> Option<Trouble> {
        let state = container.state.as_ref()?;
        if let Some(waiting) = &state.waiting {
            let said = waiting.message.clone().unwrap_or_default();
            let reason = waiting.reason.as_deref().unwrap_or_default();
            let evidence = || self.says(None, format!("{reason}: {said}"));
            return match reason {
                "ErrImagePull"
                | "ImagePullBackOff"
                | "InvalidImageName"
                | "ErrImageNeverPull"
                | "RegistryUnavailable" => Some(self.image(container, evidence())),
                "CreateContainerConfigError" => Some(self.missing(&said, evidence())),
                "CreateContainerError" | "RunContainerError" | "PostStartHookError" => {
                    Some(self.of(Kind::Crash, format!("its container cannot be started: {said}"), evidence()))
                }
                "CrashLoopBackOff" => {
                    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
                    Some(last.map_or_else(
                        || self.of(Kind::Crash, "it ends again and again".to_owned(), evidence()),
                        |last| self.ended(last, " again and again"),
                    ))
                }
                _ => None,
            };
        }
        let ContainerState { terminated: Some(terminated), .. } = state else { return None };
        let by_itself =
            self.pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Succeeded"));
        (!by_itself || terminated.exit_code != 0).then(|| self.ended(terminated, ""))
    }

    fn image(&self, container: &ContainerStatus, evidence: Evidence) -> Trouble {
        let mut trouble =
            self.of(Kind::ImagePull, format!("its image {} cannot be pulled", container.image), evidence);
        // The container says that it backs off; the Event says why.
        trouble.evidence.extend(
            self.newest(|event| event.reason.as_deref() == Some("Failed") && words(event).contains("pull")),
        );
        trouble.advice.push(
            "Is that image in the registry, and may the nodes pull it? (the chart's image.repository, image.tag, image.pullSecrets)"
                .to_owned(),
        );
        trouble
    }

    /// A Secret, a ConfigMap or a key in one is not there.
    fn missing(&self, said: &str, evidence: Evidence) -> Trouble {
        let says =
            missing_object(said).unwrap_or_else(|| format!("what its settings name is missing: {said}"));
        let mut trouble = self.of(Kind::MissingSecret, says, evidence);
        trouble.advice.push(format!("kubectl -n {} get secrets", self.facts.namespace));
        trouble.advice.push(
            "Restore it from your backup. Only where there is none: `helm upgrade` runs the Job that makes missing keys of the Secrets \
             RELEASE-ROLE, and what the lost ones protected is void"
                .to_owned(),
        );
        trouble
    }

    fn ended(&self, terminated: &ContainerStateTerminated, how_often: &str) -> Trouble {
        let at = terminated.finished_at.as_ref().map(|at| at.0);
        let code = terminated.exit_code;
        let reason = terminated.reason.as_deref().unwrap_or_default();
        let last_words = self
            .facts
            .log_of(self.pod)
            .iter()
            .rev()
            .find(|line| line.is_complaint() || code != 0 && line.is_last_word());
        let (kind, says) = match (reason, code) {
            ("OOMKilled", _) => (Kind::Crash, format!("it was killed{how_often}, out of memory")),
            // As sysexits(3) has it; `caudal` ends so when another try changes nothing.
            (_, 64) => (Kind::Settings, format!("its settings cannot be used (exit code 64{how_often})")),
            _ => (Kind::Crash, format!("it ended{how_often} with exit code {code}")),
        };
        let says = match last_words {
            Some(line) => format!("{says}: {}", line.words()),
            None => says,
        };
        let said = format!("terminated, {reason}, exit code {code}");
        let mut trouble = self.of(kind, says, self.says(at, said));
        if let Some(line) = last_words {
            trouble.evidence.push(Evidence::new(format!("log of Pod {}", self.name), line.at, line.words()));
        }
        let previous = if how_often.is_empty() { "" } else { " --previous" };
        trouble.advice.push(format!("kubectl -n {} logs {}{previous}", self.facts.namespace, self.name));
        if reason == "OOMKilled" {
            trouble.advice.push(
                "Raise its memory limit (for workers the chart's workerPool.template.resources)".to_owned(),
            );
        }
        trouble
    }

    fn evicted(&self) -> Option<Trouble> {
        let status = self.pod.status.as_ref()?;
        let reason = status.reason.as_deref().filter(|_| status.phase.as_deref() == Some("Failed"))?;
        let said = status.message.clone().unwrap_or_default();
        let evidence = self.says(None, format!("{reason}: {said}"));
        Some(self.of(Kind::Crash, format!("its node ended it ({reason}): {said}"), evidence))
    }

    fn schedule(&self) -> Option<Trouble> {
        let status = self.pod.status.as_ref()?;
        let scheduled = status.conditions.iter().flatten().find(|one| one.type_ == "PodScheduled")?;
        if scheduled.status == "True" {
            return None;
        }
        let said = scheduled.message.clone().unwrap_or_default();
        let reason = scheduled.reason.as_deref().unwrap_or_default();
        let at = scheduled.last_transition_time.as_ref().map(|at| at.0);
        let evidence = self.says(at, format!("PodScheduled is False, {reason}: {said}"));
        if said.to_ascii_lowercase().contains("persistentvolumeclaim") {
            return Some(self.storage(&said, evidence));
        }
        let mut trouble = self.of(Kind::Scheduling, format!("no node takes it: {said}"), evidence);
        trouble
            .advice
            .push("kubectl get nodes; kubectl describe nodes | grep -A8 'Allocated resources'".to_owned());
        let cordoned = said.contains("were unschedulable");
        if cordoned {
            trouble.advice.push(
                "kubectl uncordon NODE    # of those that are SchedulingDisabled, once they may take pods again"
                    .to_owned(),
            );
        }
        if said.contains("untolerated taint") || said.contains("affinity") || said.contains("selector") {
            trouble.advice.push(
                "The pod's nodeSelector and tolerations are the chart's workerPool.template, or the role's own values"
                    .to_owned(),
            );
        } else if !cordoned || said.contains("Insufficient") {
            trouble.advice.push(
                "Add a node, or request less (for workers the chart's workerPool.template.resources)"
                    .to_owned(),
            );
        }
        Some(trouble)
    }

    /// What the kubelet says while it makes the container.
    fn volumes(&self) -> Option<Trouble> {
        let waits = |event: &&&Event| {
            matches!(
                event.reason.as_deref(),
                Some("FailedMount" | "FailedAttachVolume" | "FailedMapVolume" | "FailedCreatePodSandBox")
            )
        };
        let events = self.facts.warnings_about("Pod", &self.name);
        let event = events.iter().find(waits)?;
        let said = words(event);
        let evidence = Evidence::of_event(event);
        if event.reason.as_deref() == Some("FailedCreatePodSandBox") {
            return Some(self.of(
                Kind::Network,
                format!("its node cannot give it a network: {said}"),
                evidence,
            ));
        }
        if missing_object(&said).is_some() {
            return Some(self.missing(&said, evidence));
        }
        Some(self.storage(&said, evidence))
    }

    fn storage(&self, said: &str, evidence: Evidence) -> Trouble {
        let namespace = &self.facts.namespace;
        let claims = self.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        let claims = claims.filter_map(|volume| Some(&volume.persistent_volume_claim.as_ref()?.claim_name));
        let mut trouble = self.of(Kind::Storage, format!("its volume is not there: {said}"), evidence);
        for claim in claims {
            let found = seen(&self.facts.claims).iter().find(|found| found.name_any() == *claim);
            let phase = found.and_then(|found| found.status.as_ref()?.phase.as_deref());
            let object = format!("PersistentVolumeClaim {claim}");
            match (found, phase) {
                (None, _) if self.facts.claims.is_ok() => {
                    trouble.says = format!("the PersistentVolumeClaim {claim} is not there");
                    trouble.evidence.push(Evidence::new(object, None, "there is none of this name"));
                }
                (Some(_), Some(phase)) if phase != "Bound" => {
                    let event = self.facts.warnings_about("PersistentVolumeClaim", claim).into_iter().next();
                    let why = event.map(|event| format!(": {}", words(event))).unwrap_or_default();
                    trouble.says = format!("the PersistentVolumeClaim {claim} is {phase}{why}");
                    trouble.evidence.push(Evidence::new(object, None, format!("phase {phase}")));
                    trouble.evidence.extend(event.map(Evidence::of_event));
                    trouble.advice.push(
                        "The chart's claim needs a storage class that can do ReadWriteMany (kubectl get storageclass; storage.volume)"
                            .to_owned(),
                    );
                }
                _ => {}
            }
            trouble.advice.push(format!("kubectl -n {namespace} describe pvc {claim}"));
        }
        trouble
    }

    /// Nobody says what is wrong, but it takes longer than it may.
    fn slow(&self) -> Option<Trouble> {
        let created = self.pod.metadata.creation_timestamp.as_ref().map(|at| at.0);
        let conditions = self.pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let unready = conditions
            .filter(|one| one.type_ == "Ready")
            .find_map(|one| Some(one.last_transition_time.as_ref()?.0))
            .or(created)?;
        let age = self.facts.seconds_since(unready);
        if age < PATIENCE_SECONDS {
            return None;
        }
        let node = self.pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let started = self.pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let running = started.is_some_and(|all| {
            all.iter().any(|one| one.state.as_ref().is_some_and(|state| state.running.is_some()))
        });
        let evidence = self.says(Some(unready), "not Ready since then".to_owned());
        let mut trouble = match (node, running) {
            (None, _) => self.of(
                Kind::Scheduling,
                "no scheduler has looked at it: does kube-scheduler run?".to_owned(),
                evidence,
            ),
            (Some(node), false) => {
                let says = format!("node {node} has not started it for {age} s: does the kubelet there run?");
                self.of(Kind::NotReady, says, evidence)
            }
            (Some(_), true) => {
                let complaint = self.facts.log_of(self.pod).iter().rev().find(|line| line.is_complaint());
                let why = complaint.map(|line| format!(": {}", line.words())).unwrap_or_default();
                self.of(Kind::NotReady, format!("it runs, but does not get ready{why}"), evidence)
            }
        };
        trouble.evidence.extend(self.newest(|_| true));
        trouble.advice.push(format!("kubectl -n {} logs {}", self.facts.namespace, self.name));
        Some(trouble)
    }

    fn of(&self, kind: Kind, mut says: String, evidence: Evidence) -> Trouble {
        let describe = format!("kubectl -n {} describe pod {}", self.facts.namespace, self.name);
        says.truncate(says.trim_end_matches('.').len());
        Trouble { kind, says, evidence: vec![evidence], advice: vec![describe] }
    }

    fn says(&self, at: Option<Timestamp>, said: String) -> Evidence {
        Evidence::new(format!("Pod {}", self.name), at, said)
    }

    fn newest(&self, which: impl Fn(&Event) -> bool) -> Option<Evidence> {
        let events = self.facts.warnings_about("Pod", &self.name);
        events.into_iter().find(|event| which(event)).map(Evidence::of_event)
    }
}

fn words(event: &Event) -> String {
    event.message.clone().unwrap_or_default()
}

/// Which Secret or ConfigMap the kubelet misses, in its words: `secret "a" not found`, `couldn't find key b in Secret ns/a`, also within
/// a longer sentence.
fn missing_object(said: &str) -> Option<String> {
    for (word, kind) in [("secret", "Secret"), ("configmap", "ConfigMap")] {
        let quoted = said.split_once(&format!("{word} \"")).and_then(|(_, rest)| rest.split_once('"'));
        if let Some((name, rest)) = quoted
            && rest.trim_start().starts_with("not found")
        {
            return Some(format!("the {kind} {name} is missing"));
        }
    }
    let (_, rest) = said.split_once("couldn't find key ")?;
    let (key, rest) = rest.split_once(" in ")?;
    let (kind, rest) = rest.split_once(' ')?;
    let name = rest.split_whitespace().next()?.rsplit('/').next()?;
    Some(format!("the {kind} {name} has no key {key}"))
}

/// A pull of the image on a new node and the first start take less.
const PATIENCE_SECONDS: i64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kubelet_misses_is_named() {
        for (said, named) in [
            (r#"secret "caudal-api" not found"#, Some("the Secret caudal-api is missing")),
            (
                r#"MountVolume.SetUp failed for volume "keys" : secret "caudal-api" not found"#,
                Some("the Secret caudal-api is missing"),
            ),
            (r#"configmap "x" not found"#, Some("the ConfigMap x is missing")),
            (
                "couldn't find key controllerKey in Secret caudal/caudal-transcoder-worker",
                Some("the Secret caudal-transcoder-worker has no key controllerKey"),
            ),
            (r#"secret "caudal-api" is not yours"#, None),
            ("mount failed: exit status 32", None),
            ("couldn't find key", None),
            ("", None),
        ] {
            assert_eq!(missing_object(said).as_deref(), named, "{said}");
        }
    }
}
