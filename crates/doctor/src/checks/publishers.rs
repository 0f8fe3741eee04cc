//! Who was not let in. There is no resource of a publisher that a router has refused: only its log says so.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::pools;
use crate::facts::{
    CALL_SECONDS, COMPONENT_LABEL, Facts, NOW_SECONDS, ROUTER, Target, changed, created, is_let_in, seen,
};
use crate::finding::{Evidence, Finding, Kind, Place, Severity};
use crate::log_line::LogLine;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut found = refusals(facts);
    let asked = !matches!(facts.target, Target::Installation);
    if asked && facts.stream().is_none() && facts.streams.is_ok() {
        found.push(not_there(facts));
    }
    found
}

/// A reason for which routers turned publishers away.
struct Refused<'a> {
    count: usize,
    pod: String,
    last: &'a LogLine,
    /// Whose, as far as routers knew the keys.
    channels: BTreeSet<&'a str>,
}

/// Whether the key of the publisher was known when it was refused: the api had answered then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    NotKnown,
    Known,
}

fn refusals(facts: &Facts) -> Vec<Finding> {
    let left = facts.stream().and_then(|stream| {
        let ended = stream.status.as_ref().and_then(|status| status.ended_at.as_ref()).map(|at| at.0);
        ended.or_else(|| changed(stream)).or_else(|| created(stream))
    });
    let recent = |at: Timestamp| facts.seconds_since(at) < CALL_SECONDS && left.is_none_or(|left| at > left);
    let mut by_reason = BTreeMap::<(&str, Key), Refused<'_>>::new();
    for (pod, line) in refused(facts) {
        if !line.at.is_some_and(recent) || !concerns(line, facts) {
            continue;
        }
        let channel = Some(line.field("channel")).filter(|channel| !channel.is_empty());
        let key = if channel.is_some() { Key::Known } else { Key::NotKnown };
        let of = by_reason.entry((line.field("reason"), key)).or_insert(Refused {
            count: 0,
            pod: pod.name_any(),
            last: line,
            channels: BTreeSet::new(),
        });
        of.count = of.count.saturating_add(1);
        of.channels.extend(channel);
        if line.at > of.last.at {
            (of.pod, of.last) = (pod.name_any(), line);
        }
    }
    let newest = by_reason.values().filter_map(|refused| refused.last.at).max();
    by_reason
        .into_iter()
        .map(|((reason, key), refused)| {
            let is_newest = refused.last.at == newest;
            of_reason(reason, key, &refused, is_newest, facts)
        })
        .collect()
}

/// The refusals in the routers' logs, with the pods that wrote them.
fn refused(facts: &Facts) -> impl Iterator<Item = (&Pod, &LogLine)> {
    facts.pods_of(ROUTER).into_iter().flat_map(|pod| {
        let refused = facts.log_of(pod).iter().filter(|line| line.message == REFUSED);
        refused.map(move |line| (pod, line))
    })
}

/// Whether a refusal may say something of what is asked about. Whose the keys were that no router knew, nobody can tell: of one broadcast
/// these say nothing, nor of one whose publisher was let in.
fn concerns(line: &LogLine, facts: &Facts) -> bool {
    let channel = line.field("channel");
    match &facts.target {
        Target::Installation => true,
        Target::Channel(asked) if !channel.is_empty() => channel.eq_ignore_ascii_case(asked),
        Target::Channel(_) => !facts.stream().is_some_and(is_let_in),
        Target::Stream(asked) => !channel.is_empty() && line.field("stream") == asked.to_string(),
    }
}

/// Whether what did not answer at `at` has answered since: the API server, to which a broadcast is written, and before it the api.
fn has_answered(at: Timestamp, key: Key, facts: &Facts) -> bool {
    let begun = seen(&facts.streams).iter().filter_map(created).any(|created| created > at);
    let answers: &[&str] = match key {
        Key::NotKnown => &["unknown_key", "banned", "held", "no_capacity", "no_pool"],
        Key::Known => &["no_capacity", "no_pool"],
    };
    let later = |line: &LogLine| line.at.is_some_and(|later| later > at);
    begun || refused(facts).any(|(_, line)| later(line) && answers.contains(&line.field("reason")))
}

fn of_reason(reason: &str, key: Key, refused: &Refused<'_>, is_newest: bool, facts: &Facts) -> Finding {
    let (kind, why, advice) = match (reason, key) {
        ("unknown_key", _) => (
            Kind::Key,
            "an unknown stream key",
            "The streamer copies the key anew from the page Go live into OBS",
        ),
        ("guessing", _) => (
            Kind::Key,
            "too many wrong stream keys from their address",
            "Wait a few minutes; behind one shared address, see rtmp.proxies",
        ),
        ("banned", _) => (Kind::Key, "an account that may not stream", "A moderator lifts the ban"),
        ("held", _) => (
            Kind::Key,
            "a key that is held because its broadcast was just ended",
            "The streamer starts again in half a minute",
        ),
        ("already_live", _) => (
            Kind::Key,
            "a channel that is live already",
            "Another encoder has the channel; end its broadcast first",
        ),
        ("no_capacity", _) => {
            (Kind::Capacity, "no capacity", "Raise workerPool.maxWorkers, if the nodes have room")
        }
        ("no_pool", _) => (
            Kind::NoPool,
            "a WorkerPool that there is not",
            "Its name is the api's CAUDAL_POOL; kubectl get workerpools lists those that there are",
        ),
        ("unavailable", Key::NotKnown) => (
            Kind::RoleDown,
            "want of an answer from the api",
            "Does the api run, and does PostgreSQL? The router's log says what came of asking it",
        ),
        ("unavailable", Key::Known) => (
            Kind::RoleDown,
            "want of an answer from the API server",
            "Are networkPolicies.apiServer.cidrs right? The router's log says what came of asking it",
        ),
        _ => (
            Kind::Capacity,
            "connections beyond the router's limits",
            "More routers (ingestRouter.replicas); it may be an attack: rtmp.service.loadBalancerSourceRanges",
        ),
    };
    let Refused { count, pod, last, channels } = refused;
    let publishers = if *count == 1 { "a publisher".to_owned() } else { format!("{count} publishers") };
    let whose = match &facts.target {
        _ if !channels.is_empty() => format!(" ({})", named(channels)),
        Target::Channel(channel) => {
            format!(" ({channel} may be among them: a refused key belongs to no channel)")
        }
        _ => String::new(),
    };
    // Strangers try wrong keys all the time. A channel that had a broadcast lately has a key that its encoder knows.
    // What is over keeps nobody from going live now; of a channel the newest refusal tells why it is not there.
    let answers = reason == "unavailable" && last.at.is_some_and(|at| has_answered(at, key, facts));
    let over = match reason {
        "no_capacity" => pools::some_room(facts),
        _ => answers || last.at.is_some_and(|at| facts.seconds_since(at) >= NOW_SECONDS),
    };
    let since = match reason {
        "no_capacity" if over => "; there is room now",
        "unavailable" if answers => "; it answers now",
        _ => "",
    };
    let theirs = facts.target != Target::Installation && (kind != Kind::Key || facts.stream().is_none());
    let of_now = matches!(reason, "unavailable" | "no_capacity" | "no_pool") && !over;
    let mut said = format!("{REFUSED}: reason {reason}, peer {}", last.field("peer"));
    if key == Key::Known {
        said = format!("{said}, channel {}", last.field("channel"));
    }
    Finding {
        place: Place::Router,
        severity: if of_now || theirs && is_newest { Severity::Problem } else { Severity::Warning },
        kind,
        says: format!(
            "in the last {} minutes routers refused {publishers} for {why}{whose}{since}",
            CALL_SECONDS / 60
        ),
        evidence: vec![Evidence::new(format!("log of Pod {pod}"), last.at, said)],
        advice: vec![
            advice.to_owned(),
            format!(
                "kubectl -n {} logs -l app.kubernetes.io/component=ingest-router --tail=200 | grep refused",
                facts.namespace
            ),
        ],
    }
}

fn not_there(facts: &Facts) -> Finding {
    let namespace = &facts.namespace;
    let (says, said) = match &facts.target {
        Target::Stream(stream) => (
            "there is no such broadcast any more, or there never was".to_owned(),
            format!(
                "there is none named s-{stream}; one that is over is kept for an hour (spec.ttlSecondsAfterEnded)"
            ),
        ),
        _ => (
            "no broadcast of a channel of this name is there, or ended within the hour".to_owned(),
            format!(
                "there is none with this spec.channel; whether there is such a channel, only the api knows. {}",
                channels(facts)
            ),
        ),
    };
    Finding {
        place: Place::Symptom,
        severity: Severity::Problem,
        kind: Kind::NotThere,
        says,
        evidence: vec![Evidence::new(format!("LiveStreams in {namespace}"), None, said)],
        advice: vec![format!("kubectl -n {namespace} get lst    # is the name right?"), way_in(facts)],
    }
}

/// Whose broadcasts there are, so that a name that was mistyped is seen.
fn channels(facts: &Facts) -> String {
    let names: BTreeSet<_> =
        seen(&facts.streams).iter().filter_map(|stream| stream.spec.channel.as_deref()).collect();
    if names.is_empty() {
        return "There is no broadcast at all".to_owned();
    }
    format!("There are broadcasts of {}", named(&names))
}

fn named(channels: &BTreeSet<&str>) -> String {
    let more = if channels.len() > CHANNELS_NAMED { ", …" } else { "" };
    let named: Vec<_> = channels.iter().copied().take(CHANNELS_NAMED).collect();
    format!("{}{more}", named.join(", "))
}

/// How to try whether a publisher gets to a router, by what the Service in front of them says.
fn way_in(facts: &Facts) -> String {
    let namespace = &facts.namespace;
    let from = "    # from where OBS is: no answer is the DNS, a firewall or the way to the cluster";
    let of_routers = seen(&facts.services).iter().find_map(|service| {
        let ports = service.spec.as_ref()?.ports.as_ref()?;
        let routers = service.labels().get(COMPONENT_LABEL).map(String::as_str) == Some(ROUTER);
        let port = ports.iter().find(|port| port.name.as_deref() == Some("rtmp")).filter(|_| routers)?;
        Some((service, port))
    });
    let Some((service, port)) = of_routers else {
        return format!(
            "kubectl -n {namespace} get service -l {COMPONENT_LABEL}={ROUTER}    # does OBS use its address and port?"
        );
    };
    let name = service.name_any();
    match service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) {
        Some("LoadBalancer") => {
            let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
            let ingress = balancer.and_then(|balancer| balancer.ingress.as_ref()?.first());
            match ingress.and_then(|ingress| ingress.ip.clone().or(ingress.hostname.clone())) {
                Some(address) => format!("nc -vz {address} {}{from}", port.port),
                None => format!(
                    "The Service {name} waits for an address: nothing in this cluster gives load balancers any (kubectl -n {namespace} describe service {name})"
                ),
            }
        }
        Some("NodePort") => match port.node_port {
            Some(port) => format!("nc -vz NODE-ADDRESS {port}{from}; any of kubectl get nodes -o wide"),
            None => format!("The Service {name} has no port on the nodes yet"),
        },
        _ => format!(
            "The Service {name} is of type ClusterIP: from outside nobody gets to it but through what stands in front of it (rtmp.service.type)"
        ),
    }
}

/// On one line.
const CHANNELS_NAMED: usize = 5;
/// As routers say it in their logs.
pub(crate) const REFUSED: &str = "publisher refused";
