//! Whether a pool has room, and workers that wait.

use caudal_kubernetes::WorkerPool;
use caudal_kubernetes::names::{CLOSED_ANNOTATION, PAUSED_ANNOTATION, POOL_LABEL, STREAM_LABEL, is_paused};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use crate::facts::{Facts, Target, is_open, seen};
use crate::finding::{Evidence, Finding, Kind, Place, Severity};
use crate::quantity::is_used_up;

/// The pool of what is asked about; for the installation, all of them.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    if facts.pools.is_err() {
        return Vec::new();
    }
    let stream = facts.stream();
    let pools = seen(&facts.pools);
    let Some(named) = stream.map(|stream| stream.spec.pool.as_str()) else {
        if pools.is_empty() {
            return vec![none(facts, "there is no WorkerPool, so there are no workers".to_owned())];
        }
        return of_pools(pools, facts);
    };
    if let Some(pool) = pools.iter().find(|pool| pool.name_any() == named) {
        return of_pools(std::slice::from_ref(pool), facts);
    }
    let there = if pools.is_empty() {
        "there is none at all".to_owned()
    } else {
        format!("there is {}", listed(pools))
    };
    vec![none(facts, format!("there is no WorkerPool {named}, which its worker is to come from; {there}"))]
}

fn listed(pools: &[WorkerPool]) -> String {
    pools.iter().map(ResourceExt::name_any).collect::<Vec<_>>().join(", ")
}

fn none(facts: &Facts, says: String) -> Finding {
    let namespace = &facts.namespace;
    let pools = seen(&facts.pools);
    let there = if pools.is_empty() { "none".to_owned() } else { listed(pools) };
    let mut evidence = vec![Evidence::new(format!("WorkerPools in {namespace}"), None, there)];
    if let Some(stream) = facts.stream() {
        evidence.push(Evidence::new(
            format!("LiveStream {}", stream.name_any()),
            stream.metadata.creation_timestamp.as_ref().map(|at| at.0),
            format!("spec.pool is {}", stream.spec.pool),
        ));
    }
    Finding {
        place: Place::Pool,
        severity: Severity::Problem,
        kind: Kind::NoPool,
        says,
        evidence,
        advice: vec![
            format!("kubectl -n {namespace} get workerpools"),
            "The api names the pool of new broadcasts by its CAUDAL_POOL, which the chart sets to `default`; another one you make yourself".to_owned(),
            format!(
                "helm -n {namespace} upgrade --reset-then-reuse-values RELEASE charts/caudal    # brings the chart's own back, where it was deleted"
            ),
        ],
    }
}

fn of_pools(pools: &[WorkerPool], facts: &Facts) -> Vec<Finding> {
    // A broadcast that has a worker, or is over, waits for nothing of its pool; a channel's next one does.
    let next = matches!(facts.target, Target::Channel(_));
    let served = facts.stream().is_some_and(|stream| {
        stream.status.as_ref().is_some_and(|status| {
            let had_one = status.phase.is_over() && status.started_at.is_some();
            status.worker.is_some() || had_one && !next
        })
    });
    let severity = if served { Severity::Warning } else { Severity::Problem };
    let mut found = Vec::new();
    let mut some_room = false;
    for pool in pools {
        let without_room = closed(pool, facts, severity).or_else(|| full(pool, facts, severity));
        let has_room = without_room.is_none();
        found.extend(without_room);
        found.extend(paused(pool, facts));
        some_room |= has_room;
        let ready = pool.status.iter().flat_map(|status| &status.conditions).find(|one| one.type_ == "Ready");
        if let Some(ready) = ready.filter(|ready| has_room && ready.status == "False") {
            found.extend(not_ready(pool, ready, facts, severity));
        }
    }
    // A full pool makes no pods, whatever the namespace's quotas say. These are the namespace's, and so said once, and first.
    if some_room {
        found.splice(0..0, quotas(facts));
    }
    found
}

/// Whether a pool has room for one more broadcast, as far as is known.
pub(super) fn some_room(facts: &Facts) -> bool {
    let has_room = |pool: &WorkerPool| {
        closed(pool, facts, Severity::Problem).or_else(|| full(pool, facts, Severity::Problem)).is_none()
    };
    seen(&facts.pools).iter().any(has_room)
}

/// An uninstall closes pools first, and opens them again if it fails.
fn closed(pool: &WorkerPool, facts: &Facts, severity: Severity) -> Option<Finding> {
    let before = pool.annotations().get(CLOSED_ANNOTATION).filter(|_| pool.spec.max_workers == 0)?;
    let (name, namespace) = (pool.name_any(), &facts.namespace);
    let stays = if is_paused(pool) {
        ", and stays so for as long as it is paused"
    } else {
        "; if that does not come to its end, the operator opens it again"
    };
    Some(Finding {
        place: Place::Pool,
        severity,
        kind: Kind::Closed,
        says: format!("an uninstall has closed the pool {name}{stays}"),
        evidence: vec![Evidence::new(
            format!("WorkerPool {name}"),
            None,
            format!("{CLOSED_ANNOTATION}: {before}"),
        )],
        advice: vec![
            format!("kubectl -n {namespace} get jobs,pods    # does an uninstall run?"),
            format!(
                "kubectl -n {namespace} get workerpool {name} -w    # open again within seconds of the instant behind \"until\""
            ),
        ],
    })
}

/// What is paused by itself explains no missing broadcast while workers wait; it does once they are used up.
fn paused(pool: &WorkerPool, facts: &Facts) -> Option<Finding> {
    let (name, namespace) = (pool.name_any(), &facts.namespace);
    is_paused(pool).then(|| Finding {
        place: Place::Pool,
        severity: Severity::Warning,
        kind: Kind::Paused,
        says: format!("the pool {name} is paused: no worker is made ahead of a broadcast, and none moves"),
        evidence: vec![Evidence::new(format!("WorkerPool {name}"), None, format!("{PAUSED_ANNOTATION}: true"))],
        advice: vec![format!("kubectl -n {namespace} annotate workerpool {name} {PAUSED_ANNOTATION}-    # when nobody needs it any more")],
    })
}

fn full(pool: &WorkerPool, facts: &Facts, severity: Severity) -> Option<Finding> {
    let name = pool.name_any();
    let most = pool.spec.max_workers;
    let asked = facts.stream().map(|stream| stream.spec.stream);
    let others = seen(&facts.streams)
        .iter()
        .filter(|one| one.spec.pool == name && is_open(one) && Some(one.spec.stream) != asked);
    let open = u32::try_from(others.count()).unwrap_or(u32::MAX);
    let own = asked.map_or(0, |asked| {
        let (asked, pods) = (asked.to_string(), seen(&facts.pods).iter());
        let has = |pod: &&Pod, label, value: &str| pod.labels().get(label).is_some_and(|of| of == value);
        pods.filter(|pod| has(pod, STREAM_LABEL, &asked) && has(pod, POOL_LABEL, &name)).count()
    });
    let claimed = pool.status.as_ref().map_or(0, |status| status.claimed);
    let claimed = claimed.saturating_sub(u32::try_from(own).unwrap_or(u32::MAX));
    let taken = open.max(claimed);
    if taken < most {
        return None;
    }
    let says = if most == 0 {
        format!("the pool {name} allows no worker at all (spec.maxWorkers is 0)")
    } else {
        format!(
            "the pool {name} is full: {taken} of the {most} broadcasts that spec.maxWorkers allows are there"
        )
    };
    let said =
        format!("spec.maxWorkers {most}, claimed {claimed}, open LiveStreams {open}, without this one");
    let namespace = &facts.namespace;
    Some(Finding {
        place: Place::Pool,
        severity,
        kind: Kind::Capacity,
        says,
        evidence: vec![Evidence::new(format!("WorkerPool {name}"), None, said)],
        advice: vec![
            format!("kubectl -n {namespace} get lst    # are all of these wanted?"),
            format!(
                "kubectl -n {namespace} scale workerpool {name} --replicas={}    # if the nodes have room; keep it in workerPool.maxWorkers",
                most.saturating_mul(2).max(taken.saturating_add(1))
            ),
        ],
    })
}

fn not_ready(pool: &WorkerPool, ready: &Condition, facts: &Facts, severity: Severity) -> Option<Finding> {
    let name = pool.name_any();
    let since = ready.last_transition_time.0;
    let said = &ready.message;
    let (kind, severity, says) = match ready.reason.as_str() {
        "CannotCreate" if said.contains("quota") => {
            (Kind::Quota, severity, format!("the pool {name} cannot make workers: {said}"))
        }
        "CannotCreate" => {
            (Kind::NoWarmWorker, severity, format!("the pool {name} cannot make workers: {said}"))
        }
        "WorkersFail" => {
            (Kind::Crash, severity, format!("the workers of the pool {name} do not stay up: {said}"))
        }
        // Its pods say that better.
        "Unschedulable" => return None,
        _ => {
            let idle = pool.status.as_ref().map_or(0, |status| status.idle);
            if idle > 0 || facts.seconds_since(since) < PATIENCE_SECONDS {
                return None;
            }
            let says =
                format!("no worker waits in the pool {name}, so a new broadcast waits for a pod ({said})");
            (Kind::NoWarmWorker, Severity::Warning, says)
        }
    };
    let evidence = Evidence::new(
        format!("WorkerPool {name}"),
        Some(since),
        format!("Ready is False, {}: {said}", ready.reason),
    );
    let namespace = &facts.namespace;
    let mut advice = vec![format!("kubectl -n {namespace} describe workerpool {name}")];
    if kind == Kind::Quota {
        advice.push(format!("kubectl -n {namespace} describe resourcequota"));
    } else {
        advice.push(format!("kubectl -n {namespace} get pods -l caudal.dev/pool={name}"));
    }
    Some(Finding { place: Place::Pool, severity, kind, says, evidence: vec![evidence], advice })
}

/// Quotas of which nothing is left. One is no fault while everybody has a worker; it explains why somebody has none.
fn quotas(facts: &Facts) -> impl Iterator<Item = Finding> {
    let waits = facts.stream().is_some_and(|stream| {
        let status = stream.status.as_ref();
        status.is_none_or(|status| status.worker.is_none() && status.started_at.is_none())
    });
    let of_pods =
        if waits && facts.target != Target::Installation { Severity::Problem } else { Severity::Warning };
    // What a broadcast's own LiveStream needed, it had; a channel's next one is still to be made.
    let made =
        facts.stream().is_some_and(|stream| is_open(stream) || matches!(facts.target, Target::Stream(_)));
    let of_streams = if made { Severity::Warning } else { Severity::Problem };
    seen(&facts.quotas).iter().flat_map(move |quota| {
        let pods = spent(quota, &OF_PODS).map(|spent| {
            let advice = "Raise it, or keep workerPool.maxWorkers and what a worker requests within it";
            no_more(quota, "pods", &spent, of_pods, advice, facts)
        });
        let streams = spent(quota, &[OF_STREAMS]).map(|spent| {
            let advice = "Raise it: those that have ended count too, for as long as they are kept";
            no_more(quota, "broadcasts", &spent, of_streams, advice, facts)
        });
        [streams, pods].into_iter().flatten()
    })
}

/// Which of `limits` a quota has nothing left of.
fn spent(quota: &ResourceQuota, limits: &[&str]) -> Option<String> {
    let status = quota.status.as_ref()?;
    let (used, hard) = (status.used.as_ref()?, status.hard.as_ref()?);
    let spent = hard.iter().filter(|(what, _)| limits.contains(&what.as_str())).filter_map(|(what, most)| {
        let now = used.get(what)?;
        is_used_up(now, most).then(|| format!("{what} {} of {}", now.0, most.0))
    });
    let spent: Vec<_> = spent.collect();
    (!spent.is_empty()).then(|| spent.join(", "))
}

fn no_more(
    quota: &ResourceQuota,
    of: &str,
    spent: &str,
    severity: Severity,
    advice: &str,
    facts: &Facts,
) -> Finding {
    let name = quota.name_any();
    Finding {
        place: Place::Pool,
        severity,
        kind: Kind::Quota,
        says: format!("the ResourceQuota {name} allows no more {of}: {spent}"),
        evidence: vec![Evidence::new(format!("ResourceQuota {name}"), None, format!("used up: {spent}"))],
        advice: vec![
            format!("kubectl -n {} describe resourcequota {name}", facts.namespace),
            advice.to_owned(),
        ],
    }
}

/// What a pod takes of a quota.
const OF_PODS: [&str; 9] = [
    "pods",
    "count/pods",
    "cpu",
    "memory",
    "requests.cpu",
    "requests.memory",
    "limits.cpu",
    "limits.memory",
    "requests.ephemeral-storage",
];
/// A broadcast is one.
const OF_STREAMS: &str = "count/livestreams.caudal.dev";
/// A worker is refilled within seconds; a new node takes a minute or two.
const PATIENCE_SECONDS: i64 = 60;
