//! Whether operator, router, api and edge run, and whether an operator leads.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::facts::{API, COMPONENT_LABEL, EDGE, Facts, OPERATOR, ROUTER, seen};
use crate::finding::{Evidence, Finding, Kind, Place, Severity};
use crate::pod_trouble::{Trouble, has_failed, is_being_deleted, is_ready, trouble};

/// Whether somebody drives the broadcasts. An operator may run elsewhere, so whoever holds the Lease counts.
pub(super) fn operator(facts: &Facts) -> Vec<Finding> {
    let lead = lead(facts);
    let down = down(facts, OPERATOR);
    let lease = match &lead {
        Lead::Somebody => {
            return down
                .map(|down| vec![down.finding(facts, Place::Operator, Severity::Warning)])
                .unwrap_or_default();
        }
        Lead::Unknown => {
            return down
                .map(|down| vec![down.finding(facts, Place::Operator, Severity::Problem)])
                .unwrap_or_default();
        }
        Lead::Nobody(lease) => lease.clone(),
    };
    if let Some(down) = down.filter(|down| down.ready == 0) {
        let mut finding = down.finding(facts, Place::Operator, Severity::Problem);
        finding.evidence.push(lease);
        return vec![finding];
    }
    let complaints = facts.pods_of(OPERATOR).into_iter().filter_map(|pod| {
        let line = facts.log_of(pod).iter().rev().find(|line| line.is_complaint())?;
        Some(Evidence::new(format!("log of Pod {}", pod.name_any()), line.at, line.words()))
    });
    let mut evidence = vec![lease];
    evidence.extend(complaints);
    vec![Finding {
        place: Place::Operator,
        severity: Severity::Problem,
        kind: Kind::NobodyLeads,
        says: format!(
            "no operator leads, so nothing is done for any broadcast: {}",
            evidence.first().map(|one| one.said.clone()).unwrap_or_default()
        ),
        evidence,
        advice: vec![
            format!("kubectl -n {} logs -l app.kubernetes.io/component=operator --tail=50", facts.namespace),
            "Does it reach the API server (networkPolicies.apiServer.cidrs), and may it update the Lease?"
                .to_owned(),
        ],
    }]
}

/// The doors, and the api.
pub(super) fn others(facts: &Facts) -> Vec<Finding> {
    [(ROUTER, Place::Router), (API, Place::Api), (EDGE, Place::Edge)]
        .into_iter()
        .filter_map(|(role, place)| {
            let down = down(facts, role)?;
            let severity = if down.ready == 0 { Severity::Problem } else { Severity::Warning };
            Some(down.finding(facts, place, severity))
        })
        .collect()
}

/// The Jobs that Helm waits for: while the pod of one does not run, the install, upgrade or uninstall does not get on. Whether Helm still
/// waits, only Helm knows: a rollback leaves the Job of the upgrade that it follows.
pub(super) fn jobs(facts: &Facts) -> Vec<Finding> {
    [("keys", "an install or an upgrade"), (CRDS, "an upgrade"), ("uninstall", "an uninstall")]
        .into_iter()
        .filter_map(|(job, waits)| {
            let pods: Vec<_> = facts.pods_of(job).into_iter().filter(|pod| !has_failed(pod)).collect();
            let (pod, trouble) = first_in_trouble(&pods, facts)?;
            let name = JOB_LABELS.iter().find_map(|label| pod.labels().get(*label)).map_or(job, String::as_str);
            let mut advice = trouble.advice;
            advice.push(format!(
                "helm -n {} rollback RELEASE    # where an upgrade was broken off",
                facts.namespace
            ));
            if job == CRDS {
                advice.push(format!(
                    "kubectl -n {} delete job {name}    # where no upgrade waits for it, as after a rollback; it gives up by itself after five minutes",
                    facts.namespace
                ));
            }
            Some(Finding {
                place: Place::Symptom,
                severity: Severity::Warning,
                kind: trouble.kind,
                says: format!(
                    "the Job {name} does not run, so {waits} that waits for it does not get on: {} (Pod {})",
                    trouble.says,
                    pod.name_any()
                ),
                evidence: trouble.evidence,
                advice,
            })
        })
        .collect()
}

/// Who leads.
enum Lead {
    Somebody,
    Nobody(Evidence),
    /// The Lease could not be looked at.
    Unknown,
}

fn lead(facts: &Facts) -> Lead {
    let object = format!("Lease {}", caudal_kubernetes::names::LEASE);
    let lease = match &facts.lease {
        Err(_) => return Lead::Unknown,
        Ok(None) => return Lead::Nobody(Evidence::new(object, None, "nobody has ever taken the Lease")),
        Ok(Some(lease)) => lease,
    };
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref()).filter(|holder| !holder.is_empty());
    let renewed = spec.and_then(|spec| spec.renew_time.as_ref()).map(|at| at.0);
    match (holder, renewed) {
        (Some(_), Some(at)) if facts.seconds_since(at) <= STALE_SECONDS => Lead::Somebody,
        (Some(holder), at) => {
            let said = match at {
                Some(at) => format!("{holder} has not renewed its Lease for {} s", facts.seconds_since(at)),
                None => format!("{holder} has never renewed its Lease"),
            };
            Lead::Nobody(Evidence::new(object, at, said))
        }
        (None, at) => Lead::Nobody(Evidence::new(
            object,
            at,
            "the last leader has released the Lease, and nobody has taken it",
        )),
    }
}

/// A role of which not all runs.
struct Down<'a> {
    role: &'static str,
    ready: usize,
    wanted: usize,
    cause: Cause<'a>,
}

enum Cause<'a> {
    Pod(&'a Pod, Trouble),
    /// Pods that have had too little time to be in trouble.
    Young,
    NoPods {
        deployment: Option<&'a Deployment>,
        /// How many pods are there that are being deleted.
        leaving: usize,
    },
}

/// The first of these pods that does not run as it should, and why.
fn first_in_trouble<'a>(pods: &[&'a Pod], facts: &Facts) -> Option<(&'a Pod, Trouble)> {
    pods.iter().find_map(|pod| Some((*pod, trouble(pod, facts)?)))
}

/// None while all of the role's pods are ready, and where they cannot be looked at.
fn down<'a>(facts: &'a Facts, role: &'static str) -> Option<Down<'a>> {
    facts.pods.as_ref().ok()?;
    // A pod that its node ended is replaced, and stays listed until the garbage collector takes it.
    // One that is being deleted is as good as gone, and stays listed for as long as it takes to end, a router for minutes.
    let (leaving, staying): (Vec<_>, Vec<_>) =
        facts.pods_of(role).into_iter().partition(|pod| is_being_deleted(pod));
    let (ended, pods): (Vec<_>, Vec<_>) = staying.into_iter().partition(|pod| has_failed(pod));
    let deployment = seen(&facts.deployments)
        .iter()
        .find(|one| one.labels().get(COMPONENT_LABEL).map(String::as_str) == Some(role));
    let wanted = deployment
        .and_then(|one| one.spec.as_ref()?.replicas)
        .map_or(pods.len().max(1), |replicas| usize::try_from(replicas).unwrap_or(0));
    let ready = pods.iter().filter(|pod| is_ready(pod)).count();
    let in_trouble = first_in_trouble(&pods, facts).or_else(|| {
        let ended_counts = pods.len() < wanted;
        ended_counts.then(|| first_in_trouble(&ended, facts)).flatten()
    });
    // Enough of them run while the first pod of an upgrade does not.
    if ready > 0 && ready >= wanted && in_trouble.is_none() {
        return None;
    }
    let cause = match in_trouble {
        Some((pod, trouble)) => Cause::Pod(pod, trouble),
        None if pods.is_empty() => Cause::NoPods { deployment, leaving: leaving.len() },
        None if ready > 0 => return None,
        None => Cause::Young,
    };
    Some(Down { role, ready, wanted, cause })
}

impl Down<'_> {
    fn finding(self, facts: &Facts, place: Place, severity: Severity) -> Finding {
        let Self { role, ready, wanted, cause } = self;
        let whole = if role == OPERATOR { Kind::OperatorDown } else { Kind::RoleDown };
        let who = if ready == 0 {
            format!("no {role} runs")
        } else if ready >= wanted {
            format!("the {role} runs, but a new pod of it does not, so an upgrade does not get on")
        } else {
            format!("{ready} of {wanted} pods of the {role} run")
        };
        let namespace = &facts.namespace;
        let (kind, says, evidence, advice) = match cause {
            Cause::Pod(pod, trouble) => {
                let says = format!("{who}: {} (Pod {})", trouble.says, pod.name_any());
                (trouble.kind, says, trouble.evidence, trouble.advice)
            }
            Cause::Young => {
                let advice =
                    vec![format!("kubectl -n {namespace} get pods -l {COMPONENT_LABEL}={role} --watch")];
                (
                    whole,
                    format!("{who}: its pods have just been made, and are not ready yet"),
                    Vec::new(),
                    advice,
                )
            }
            Cause::NoPods { deployment: None, .. } if facts.deployments.is_err() => {
                let said =
                    format!("no Pod labelled {COMPONENT_LABEL}={role}; Deployments could not be looked at");
                let evidence = vec![Evidence::new(format!("Namespace {namespace}"), None, said)];
                let advice = vec![
                    format!("kubectl -n {namespace} get deployments -l {COMPONENT_LABEL}={role}"),
                    format!("helm -n {namespace} list"),
                ];
                (whole, format!("{who}, and its Deployment cannot be looked at"), evidence, advice)
            }
            Cause::NoPods { deployment: None, leaving } => {
                let (but, left) = match leaving {
                    0 => ("", ""),
                    _ => (" but those that are being deleted", ", and its pods are being deleted"),
                };
                let said = format!("no Pod{but} and no Deployment labelled {COMPONENT_LABEL}={role}");
                let evidence = vec![Evidence::new(format!("Namespace {namespace}"), None, said)];
                let advice = vec![
                    format!("helm -n {namespace} list; helm -n {namespace} get values RELEASE"),
                    format!("helm -n {namespace} upgrade --reset-then-reuse-values RELEASE charts/caudal"),
                ];
                (whole, format!("{who}: there is no Deployment of it{left}"), evidence, advice)
            }
            Cause::NoPods { deployment: Some(deployment), leaving } => {
                without_pods(&who, whole, deployment, leaving, facts)
            }
        };
        Finding { place, severity, kind, says, evidence, advice }
    }
}

/// A Deployment that has no pods: it wants none, or may not have any.
fn without_pods(
    who: &str,
    kind: Kind,
    deployment: &Deployment,
    leaving: usize,
    facts: &Facts,
) -> (Kind, String, Vec<Evidence>, Vec<String>) {
    let name = deployment.name_any();
    let namespace = &facts.namespace;
    let object = format!("Deployment {name}");
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    if replicas == 0 {
        let evidence = vec![Evidence::new(object, None, "spec.replicas is 0")];
        let advice = vec![format!("kubectl -n {namespace} scale deployment {name} --replicas=2")];
        return (kind, format!("{who}: its Deployment {name} is scaled to 0"), evidence, advice);
    }
    let conditions = deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let failed = conditions.into_iter().find(|one| one.type_ == "ReplicaFailure" && one.status == "True");
    let advice = vec![
        format!("kubectl -n {namespace} describe deployment {name}"),
        format!("kubectl -n {namespace} get events --field-selector reason=FailedCreate"),
    ];
    let Some(failed) = failed else {
        let but = if leaving == 0 { "" } else { " but those that are being deleted" };
        let said = format!("{replicas} replicas are wanted, and there is no pod{but}");
        return (
            kind,
            format!("{who}: its Deployment {name} has no pods{but}; does kube-controller-manager run?"),
            vec![Evidence::new(object, None, said)],
            advice,
        );
    };
    let said = failed.message.clone().unwrap_or_default();
    let at = failed.last_transition_time.as_ref().map(|at| at.0);
    let kind = if said.contains("exceeded quota") { Kind::Quota } else { kind };
    let evidence = vec![Evidence::new(object, at, format!("ReplicaFailure: {said}"))];
    (kind, format!("{who}: its pods cannot be made: {said}"), evidence, advice)
}

/// The component of the Job that upgrades the definitions. No upgrade goes on before it has.
const CRDS: &str = "crds";
/// What Kubernetes writes on the pods of a Job, now and before 1.27.
const JOB_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];
/// A lease lasts 6 s and is renewed each 2 s; this is longer than it takes another operator to take over.
const STALE_SECONDS: i64 = 15;
