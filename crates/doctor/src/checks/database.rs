//! Whether the api can use its database. Only its log says so: an api without a database stays ready, because another replica would have the
//! same one.

use kube::ResourceExt as _;

use crate::facts::{API, CALL_SECONDS, Facts, clock};
use crate::finding::{Evidence, Finding, Kind, Place, Severity};

pub(super) fn check(facts: &Facts) -> Option<Finding> {
    let lines = facts.pods_of(API).into_iter().flat_map(|pod| {
        let fails = facts.log_of(pod).iter().filter(|line| FAILS.iter().any(|words| line.starts_with(words)));
        fails.map(move |line| (pod, line))
    });
    let (pod, line) = lines.max_by_key(|(_, line)| line.at)?;
    let at = line.at.filter(|at| facts.seconds_since(*at) < CALL_SECONDS)?;
    let (severity, says) = if facts.seconds_since(at) < FAILING_SECONDS {
        (Severity::Problem, format!("the api cannot use PostgreSQL: {}", line.reason()))
    } else {
        (
            Severity::Warning,
            format!("until {} the api could not use PostgreSQL: {}", clock(at), line.reason()),
        )
    };
    let (name, namespace) = (pod.name_any(), &facts.namespace);
    Some(Finding {
        place: Place::Api,
        severity,
        kind: Kind::Database,
        says,
        evidence: vec![Evidence::new(format!("log of Pod {name}"), line.at, line.words())],
        advice: vec![
            format!("kubectl -n {namespace} logs {name} | grep PostgreSQL"),
            "Does PostgreSQL run, and does the api reach it at the address that the chart's database names?"
                .to_owned(),
            format!("kubectl -n {namespace} get pods    # with database.builtIn it is one of these"),
        ],
    })
}

/// As the api says it in its log: with each request that fails, and with each of its own rounds.
pub(crate) const FAILS: [&str; 2] = ["PostgreSQL is unavailable", "PostgreSQL is away from the background"];
/// The api's rounds are five seconds apart; one that waits for a connection takes three more, one whose query hangs longer.
const FAILING_SECONDS: i64 = 30;
