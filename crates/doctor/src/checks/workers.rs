//! The workers' pods: whether they come up, and what they complain of.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use caudal_kubernetes::names::{CLAIMED, EPOCH_LABEL, IDLE, POOL_LABEL, STATE_LABEL, STREAM_LABEL};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::facts::{Facts, NOW_SECONDS, OPERATOR, Target, changed, seen};
use crate::finding::{Evidence, Finding, Kind, Place, Severity};
use crate::log_line::LogLine;
use crate::pod_trouble::{is_ready, trouble};

/// Of a broadcast, its own worker; before it has one, and for the installation, those that wait.
pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(stream) = facts.stream() else { return waiting(facts, None) };
    let id = stream.spec.stream.to_string();
    let mut own: Vec<_> = labelled(facts, STREAM_LABEL, &id).collect();
    // The one that is to carry it next comes first; what became of those before it is over.
    own.sort_by_key(|pod| Reverse(epoch(pod)));
    let serves = stream.status.as_ref().and_then(|status| status.worker.as_ref()?.pod.clone());
    let carries = own.iter().find(|pod| is_ready(pod) && serves.as_ref() == Some(&pod.name_any()));
    // While its own worker runs, the others are no reason for anything but a move that does not come about.
    let whose = |pod: &Pod| match carries.map(|carries| epoch(carries)) {
        None => (Severity::Problem, "its worker"),
        Some(current) if epoch(pod) > current => (Severity::Warning, "the worker that it is to move to"),
        Some(_) => (Severity::Warning, "a worker that it had before"),
    };
    let mut found: Vec<_> = own
        .iter()
        .filter_map(|pod| Some((*pod, trouble(pod, facts)?)))
        .map(|(pod, trouble)| {
            let (severity, who) = whose(pod);
            Finding {
                place: Place::Worker,
                severity,
                kind: trouble.kind,
                says: format!("{who} does not run: {} (Pod {})", trouble.says, pod.name_any()),
                evidence: trouble.evidence,
                advice: trouble.advice,
            }
        })
        .collect();
    found.extend(own.iter().flat_map(|pod| complaints(pod, facts)));
    let serving = own.iter().filter(|pod| serves.as_ref().is_none_or(|name| pod.name_any() == *name));
    found.extend(serving.filter_map(|pod| reduced(pod, facts)));
    // What the operator asked for a broadcast that is over, it asks no more.
    if stream.status.as_ref().is_none_or(|status| status.worker.is_none() && !status.phase.is_over()) {
        found.extend(no_worker(facts, &id));
    }
    if own.is_empty() {
        found.extend(waiting(facts, Some(&stream.spec.pool)));
    }
    found
}

/// The workers that nobody has claimed: what keeps them from coming up keeps the next broadcast from starting.
fn waiting(facts: &Facts, pool: Option<&str>) -> Vec<Finding> {
    let of_pool =
        |pod: &&Pod| pool.is_none_or(|pool| pod.labels().get(POOL_LABEL).is_some_and(|of| of == pool));
    let idle: Vec<_> = labelled(facts, STATE_LABEL, IDLE).filter(of_pool).collect();
    let some_wait = idle.iter().any(|pod| is_ready(pod));
    let mut found = Vec::new();
    if let Some((pod, trouble)) = idle.iter().find_map(|pod| Some((*pod, trouble(pod, facts)?))) {
        let (severity, who) = match (some_wait, pool) {
            (false, _) => (Severity::Problem, "no worker comes up"),
            (true, _) => (Severity::Warning, "not every worker comes up"),
        };
        found.push(Finding {
            place: Place::Worker,
            severity,
            kind: trouble.kind,
            says: format!("{who}: {} (Pod {})", trouble.says, pod.name_any()),
            evidence: trouble.evidence,
            advice: trouble.advice,
        });
    }
    found.extend(idle.iter().flat_map(|pod| complaints(pod, facts)));
    if facts.target == Target::Installation {
        let claimed = labelled(facts, STATE_LABEL, CLAIMED);
        let failing = claimed.filter_map(|pod| Some((pod, trouble(pod, facts)?)));
        found.extend(failing.take(FEW).map(|(pod, trouble)| Finding {
            place: Place::Worker,
            severity: Severity::Warning,
            kind: trouble.kind,
            says: format!(
                "the worker of a broadcast does not run: {} (Pod {})",
                trouble.says,
                pod.name_any()
            ),
            evidence: trouble.evidence,
            advice: trouble.advice,
        }));
    }
    // Ten workers with one complaint have it once.
    found.dedup_by(|one, before| one.kind == before.kind && one.severity == before.severity);
    found
}

/// What a worker's log says of storage and ffmpeg: the newest line of each.
fn complaints(pod: &Pod, facts: &Facts) -> Vec<Finding> {
    let log = facts.log_of(pod);
    let newest =
        |which: fn(&LogLine) -> bool| log.iter().rev().find(|line| line.is_complaint() && which(line));
    // Said once, at the worker's start, and true until its end.
    let ffmpeg = newest(|line| line.starts_with(NO_FFMPEG))
        .map(|line| {
            let says =
                format!("its worker has no ffmpeg ({}), so it makes no lower qualities", line.reason());
            let needed = if lower_qualities(facts) { Severity::Problem } else { Severity::Warning };
            (Kind::Ffmpeg, needed, line, says)
        })
        .or_else(|| {
            let failures = |line: &LogLine| FFMPEG_FAILS.iter().any(|words| line.starts_with(words));
            let line = newest(failures).filter(|line| is_of_now(line, facts))?;
            // The source quality goes on without it.
            let says = format!("ffmpeg fails in its worker: {}", line.words());
            Some((Kind::Ffmpeg, Severity::Warning, line, says))
        });
    // An outage is said at its beginning and its end; all else that fails is said when it does.
    let outage =
        log.iter().rev().find(|line| [OUTAGE, OUTAGE_OVER].iter().any(|words| line.starts_with(words)));
    let outage = outage.filter(|line| line.starts_with(OUTAGE));
    let storage = outage.or_else(|| {
        let newest = log.iter().rposition(|line| line.is_complaint() && is_about_storage(line))?;
        let (line, later) = log.get(newest..)?.split_first()?;
        let over = later.iter().any(|line| line.starts_with(OUTAGE_OVER));
        (!over && is_of_now(line, facts)).then_some(line)
    });
    let storage = storage.map(|line| {
        (
            Kind::Storage,
            Severity::Problem,
            line,
            format!("its worker cannot store segments: {}", line.reason()),
        )
    });
    let name = pod.name_any();
    let namespace = &facts.namespace;
    let found = ffmpeg.into_iter().chain(storage).map(|(kind, severity, line, says)| Finding {
        place: Place::Worker,
        severity,
        kind,
        says,
        evidence: vec![Evidence::new(format!("log of Pod {name}"), line.at, line.words())],
        advice: match kind {
            Kind::Ffmpeg => vec![
                format!("kubectl -n {namespace} logs {name} | grep -i ffmpeg"),
                "The image of the Containerfile has ffmpeg; does image.repository name another one?".to_owned(),
            ],
            _ => vec![
                format!("kubectl -n {namespace} logs {name} | grep -i stor"),
                format!("kubectl -n {namespace} get pvc    # full, or read-only? Of a bucket: its name, endpoint and keys (storage.s3)"),
            ],
        },
    });
    found.collect()
}

/// The qualities that a worker does not make although its broadcast is to have them, by its last word of each. The source is always there.
fn reduced(pod: &Pod, facts: &Facts) -> Option<Finding> {
    let mut withdrawn = BTreeMap::new();
    for line in facts.log_of(pod) {
        match line.message.as_str() {
            WITHDRAWN => drop(withdrawn.insert(line.field("rung"), line)),
            TRIED_AGAIN => drop(withdrawn.remove(line.field("rung"))),
            _ => {}
        }
    }
    let newest = withdrawn.values().max_by_key(|line| line.at)?;
    let named = withdrawn.keys().copied().collect::<Vec<_>>().join(", ");
    let reason = newest.field("reason");
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let name = pod.name_any();
    let namespace = &facts.namespace;
    Some(Finding {
        place: Place::Worker,
        severity: Severity::Warning,
        kind: Kind::QualitiesReduced,
        says: format!("its worker does not make {named} at present{why}"),
        evidence: vec![Evidence::new(
            format!("log of Pod {name}"),
            newest.at,
            format!("{}: {}", newest.message, newest.field("rung")),
        )],
        advice: vec![
            format!("kubectl -n {namespace} logs {name} | grep -i rendition"),
            "Give workers more CPU (workerPool.template.resources), or make fewer qualities (workerPool.ladder)".to_owned(),
        ],
    })
}

/// Whether a line is not of another time: it is young, or the broadcast has been as it is since before.
fn is_of_now(line: &LogLine, facts: &Facts) -> bool {
    let changed = facts.stream().and_then(changed);
    line.at.is_some_and(|at| {
        facts.seconds_since(at) < NOW_SECONDS || changed.is_some_and(|changed| at >= changed)
    })
}

/// Whether workers are to make any. One without ffmpeg takes no broadcast that is to have them.
fn lower_qualities(facts: &Facts) -> bool {
    match facts.stream() {
        Some(stream) => !stream.spec.renditions.is_empty(),
        None => seen(&facts.pools).iter().any(|pool| !pool.spec.ladder.is_empty()),
    }
}

fn is_about_storage(line: &LogLine) -> bool {
    let words = line.words();
    let causes = [
        "No space left on device",
        "Read-only file system",
        "Permission denied (os error 13)",
        "AccessDenied",
        "NoSuchBucket",
    ];
    let refused = line.message == REFUSES && causes.iter().any(|cause| words.contains(cause));
    refused || STORAGE_FAILS.iter().any(|words| line.starts_with(words))
}

/// The operator says in its log why it could not give a broadcast a worker.
fn no_worker(facts: &Facts, stream: &str) -> Option<Finding> {
    let lines = facts.pods_of(OPERATOR).into_iter().flat_map(|pod| {
        let of_stream = facts
            .log_of(pod)
            .iter()
            .filter(|line| line.is_complaint() && line.field("stream") == stream && is_of_now(line, facts));
        of_stream.map(move |line| (pod, line))
    });
    let (pod, line) = lines.max_by_key(|(_, line)| line.at)?;
    let words = line.words();
    let (kind, says) = if words.contains("no ffmpeg") {
        (Kind::Ffmpeg, "the worker has no ffmpeg, so it does not take the broadcast".to_owned())
    } else if words.contains("quota") {
        (Kind::Quota, words.clone())
    } else {
        (Kind::Waiting, words.clone())
    };
    // A pod says more exactly what is wrong with it than the operator that waits for it.
    let place = if kind == Kind::Waiting { Place::Symptom } else { Place::Worker };
    let (name, namespace) = (pod.name_any(), &facts.namespace);
    let mut advice = vec![format!("kubectl -n {namespace} logs {name} | grep {stream}")];
    if kind == Kind::Quota {
        advice.push(format!("kubectl -n {namespace} describe resourcequota"));
    }
    Some(Finding {
        place,
        severity: Severity::Problem,
        kind,
        says,
        evidence: vec![Evidence::new(format!("log of Pod {name}"), line.at, words)],
        advice,
    })
}

fn epoch(pod: &Pod) -> Option<u64> {
    pod.labels().get(EPOCH_LABEL)?.parse().ok()
}

fn labelled<'a>(facts: &'a Facts, label: &'a str, value: &'a str) -> impl Iterator<Item = &'a Pod> {
    seen(&facts.pods).iter().filter(move |pod| pod.labels().get(label).map(String::as_str) == Some(value))
}

// As workers say it in their logs.
pub(crate) const WITHDRAWN: &str = "the largest rendition is withdrawn";
pub(crate) const TRIED_AGAIN: &str = "a withdrawn rendition is tried again";
pub(crate) const NO_FFMPEG: &str = "no ffmpeg";
pub(crate) const OUTAGE: &str = "storage fails";
pub(crate) const OUTAGE_OVER: &str = "storage works again";
pub(crate) const REFUSES: &str = "assignment refused";
pub(crate) const STORAGE_FAILS: [&str; 3] =
    ["storage did not take", "nothing more is written", "the stream cannot be taken over"];
pub(crate) const FFMPEG_FAILS: [&str; 3] =
    ["ffmpeg does not start", "ffmpeg is lost", "ffmpeg does not come back"];
/// One screen.
const FEW: usize = 3;
