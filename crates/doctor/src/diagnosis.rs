//! Which finding explains the others, and how it all came out.

use caudal_livestream::record::Phase;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use crate::checks;
use crate::facts::{Facts, Target, Unseen, is_let_in, is_open, seen};
use crate::finding::{Finding, Kind, Place, Severity};
use crate::pod_trouble::is_ready;

/// What is to be told.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it came out.
    pub outcome: Outcome,
    /// The verdict: one sentence.
    pub(crate) verdict: String,
    /// The first one is the verdict's; the others by how near to a cause they are.
    pub(crate) findings: Vec<Finding>,
    /// What could not be looked at.
    pub(crate) unseen: Vec<Unseen>,
    pub(crate) namespace: String,
    pub(crate) now: Option<k8s_openapi::jiff::Timestamp>,
}

/// How it came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is live, or could be: also a channel whose last broadcast was stopped.
    Healthy,
    /// It is not.
    Wrong,
    /// Nobody can tell.
    CouldNotLook,
}

impl Outcome {
    /// For a script.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Wrong => 1,
            Self::CouldNotLook => 2,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Wrong => "wrong",
            Self::CouldNotLook => "could-not-look",
        }
    }
}

impl Report {
    /// The API server could not be asked anything.
    pub(crate) fn blind(namespace: &str, why: &str) -> Self {
        Self {
            outcome: Outcome::CouldNotLook,
            verdict: format!("Nothing can be seen: {why}."),
            findings: Vec::new(),
            unseen: Vec::new(),
            namespace: namespace.to_owned(),
            now: None,
        }
    }
}

/// The report of what was found.
pub fn diagnose(facts: &Facts) -> Report {
    let mut findings = checks::all(facts);
    let driven =
        !findings.iter().any(|one| one.place == Place::Operator && one.severity == Severity::Problem);
    let live = is_carried(facts, driven);
    if live {
        // What keeps others from starting does not keep this one from being watched.
        let its_own = |finding: &Finding| {
            matches!(finding.place, Place::Edge | Place::Definitions) || finding.kind == Kind::Silent
        };
        for finding in findings.iter_mut().filter(|finding| !its_own(finding)) {
            finding.severity = Severity::Warning;
        }
    }
    if facts.stream().is_some_and(is_let_in) {
        // It was let in, and needs neither again before its publisher is lost.
        for finding in
            findings.iter_mut().filter(|finding| matches!(finding.place, Place::Router | Place::Api))
        {
            finding.severity = Severity::Warning;
        }
    }
    findings.sort_by_key(|finding| (finding.severity, finding.place));
    fold(&mut findings);
    let unseen = facts.unseen();
    let blind = facts.streams.is_err() || facts.pods.is_err() || facts.pools.is_err();
    let warnings = findings.iter().filter(|finding| finding.severity == Severity::Warning).count();
    let (outcome, verdict) = match findings.first() {
        Some(first) if first.severity == Severity::Problem => (Outcome::Wrong, wrong(first, facts, live)),
        _ if blind => {
            (Outcome::CouldNotLook, "Nobody can tell: what matters most could not be looked at.".to_owned())
        }
        Some(first) if first.severity == Severity::Note => {
            let verdict = format!("{} is not live: {}, and {}.", facts.subject(), first.says, but(warnings));
            (Outcome::Healthy, verdict)
        }
        _ => (Outcome::Healthy, healthy(facts, warnings)),
    };
    Report { outcome, verdict, findings, unseen, namespace: facts.namespace.clone(), now: Some(facts.now) }
}

/// Whether the broadcast that is asked about can be watched. Its phase stays `Live` while it waits for its next worker, and for as long as
/// no operator looks at its worker.
fn is_carried(facts: &Facts, driven: bool) -> bool {
    let status = facts.stream().and_then(|stream| stream.status.as_ref());
    let Some(worker) =
        status.filter(|status| status.phase == Phase::Live).and_then(|status| status.worker.as_ref())
    else {
        return false;
    };
    let its = |pod: &&Pod| worker.pod.as_ref().is_none_or(|name| pod.name_any() == *name);
    driven || facts.pods.as_ref().map_or(true, |pods| pods.iter().filter(its).any(is_ready))
}

/// What says the same as the first finding, or only what follows from it, becomes its evidence.
fn fold(findings: &mut Vec<Finding>) {
    let Some(first) = findings.first().filter(|first| first.severity == Severity::Problem) else { return };
    let (kind, place) = (first.kind, first.place);
    let follows = |one: &Finding| {
        let symptom = one.place == Place::Symptom && matches!(one.kind, Kind::Waiting | Kind::NotThere);
        one.severity == Severity::Note
            || one.severity == Severity::Problem
                && (symptom && place < Place::Symptom || (one.kind, one.place) == (kind, place))
    };
    let (folded, rest): (Vec<_>, Vec<_>) = findings.drain(1..).partition(follows);
    let evidence = folded.into_iter().filter_map(|one| one.evidence.into_iter().next());
    if let Some(first) = findings.first_mut() {
        for one in evidence {
            if !first.evidence.contains(&one) {
                first.evidence.push(one);
            }
        }
    }
    findings.extend(rest);
}

fn wrong(first: &Finding, facts: &Facts, live: bool) -> String {
    let subject = facts.subject();
    let effect = match (&facts.target, first.place) {
        (Target::Installation, Place::Edge) => "Nobody can watch".to_owned(),
        (Target::Installation, _) => "Nobody can go live".to_owned(),
        (_, Place::Edge) if live => format!("{subject} is live, but nobody can watch"),
        _ if live => format!("{subject} is live, but not for long"),
        _ => format!("{subject} is not live"),
    };
    format!("{effect}: {}.", first.says.trim_end_matches('.'))
}

fn healthy(facts: &Facts, warnings: usize) -> String {
    let but = but(warnings);
    if facts.target == Target::Installation {
        let open = seen(&facts.streams).iter().filter(|stream| is_open(stream)).count();
        return format!("All is well: broadcasts can be made and watched ({open} now), and {but}.");
    }
    format!("{} is live, and {but}.", facts.subject())
}

fn but(warnings: usize) -> String {
    match warnings {
        0 => "nothing is wrong".to_owned(),
        1 => "there is one warning".to_owned(),
        more => format!("there are {more} warnings"),
    }
}
