//! Who was not let in. There is no resource of a publisher that a router has refused: only its log says so.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;

use super::pools;
use crate::facts::{
    CALL_SECONDS, COMPONENT_LABEL, Facts, NOW_SECONDS, ROUTER, Target, changed, is_let_in, seen,
};
use crate::finding::{Evidence, Finding, Kind, Place, Severity};
use crate::log_line::LogLine;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    // Whose connections were refused, nobody knows: of one broadcast they say nothing, nor of one whose publisher was let in.
    let not_theirs = matches!(facts.target, Target::Stream(_)) || facts.stream().is_some_and(is_let_in);
    let mut found = if not_theirs { Vec::new() } else { refusals(facts) };
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
}

fn refusals(facts: &Facts) -> Vec<Finding> {
    let left = facts.stream().and_then(|stream| {
        let ended = stream.status.as_ref().and_then(|status| status.ended_at.as_ref()).map(|at| at.0);
        ended.or_else(|| changed(stream))
    });
    let recent = |at: Timestamp| facts.seconds_since(at) < CALL_SECONDS && left.is_none_or(|left| at > left);
    let mut by_reason = BTreeMap::<&str, Refused<'_>>::new();
    for pod in facts.pods_of(ROUTER) {
        let refused = facts.log_of(pod).iter().filter(|line| line.message == REFUSED);
        for line in refused.filter(|line| line.at.is_some_and(recent)) {
            let name = pod.name_any();
            let of = by_reason.entry(line.field("reason")).or_insert(Refused {
                count: 0,
                pod: name.clone(),
                last: line,
            });
            of.count = of.count.saturating_add(1);
            if line.at > of.last.at {
                (of.pod, of.last) = (name, line);
            }
        }
    }
    by_reason.into_iter().map(|(reason, refused)| of_reason(reason, &refused, facts)).collect()
}

fn of_reason(reason: &str, refused: &Refused<'_>, facts: &Facts) -> Finding {
    let (kind, why, advice) = match reason {
        "unknown_key" => (
            Kind::Key,
            "an unknown stream key",
            "The streamer copies the key anew from the page Go live into OBS",
        ),
        "guessing" => (
            Kind::Key,
            "too many wrong stream keys from their address",
            "Wait a few minutes; behind one shared address, see rtmp.proxies",
        ),
        "banned" => (Kind::Key, "an account that may not stream", "A moderator lifts the ban"),
        "held" => (
            Kind::Key,
            "a key that is held because its broadcast was just ended",
            "The streamer starts again in half a minute",
        ),
        "already_live" => (
            Kind::Key,
            "a channel that is live already",
            "Another encoder has the channel; end its broadcast first",
        ),
        "no_capacity" => {
            (Kind::Capacity, "no capacity", "Raise workerPool.maxWorkers, if the nodes have room")
        }
        "no_pool" => (
            Kind::NoPool,
            "a WorkerPool that there is not",
            "Its name is the api's CAUDAL_POOL; kubectl get workerpools lists those that there are",
        ),
        "unavailable" => (
            Kind::RoleDown,
            "an api or an API server that the router does not reach",
            "Does the api run, and does PostgreSQL? Are networkPolicies.apiServer.cidrs right?",
        ),
        _ => (
            Kind::Capacity,
            "connections beyond the router's limits",
            "More routers (ingestRouter.replicas); it may be an attack: rtmp.service.loadBalancerSourceRanges",
        ),
    };
    let Refused { count, pod, last } = refused;
    let publishers = if *count == 1 { "a publisher".to_owned() } else { format!("{count} publishers") };
    // A router knows the channel only of those that it lets in.
    let perhaps = match &facts.target {
        Target::Channel(channel) => {
            format!(" ({channel} may be among them: a refused key belongs to no channel)")
        }
        _ => String::new(),
    };
    // Strangers try wrong keys all the time. A channel that had a broadcast lately has a key that its encoder knows.
    // What is over keeps nobody from going live now; of a channel it tells why it is not there.
    let installation = facts.target == Target::Installation;
    let over = match reason {
        "no_capacity" => pools::some_room(facts),
        _ => last.at.is_some_and(|at| facts.seconds_since(at) >= NOW_SECONDS),
    };
    let room = if reason == "no_capacity" && over { "; there is room now" } else { "" };
    let theirs = facts.target != Target::Installation && (kind != Kind::Key || facts.stream().is_none());
    let asked =
        theirs || matches!(reason, "unavailable" | "no_capacity" | "no_pool") && !(installation && over);
    let said = format!("{REFUSED}: reason {reason}, peer {}", last.field("peer"));
    Finding {
        place: Place::Router,
        severity: if asked { Severity::Problem } else { Severity::Warning },
        kind,
        says: format!(
            "in the last {} minutes routers refused {publishers} for {why}{perhaps}{room}",
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
    let more = if names.len() > CHANNELS_NAMED { ", …" } else { "" };
    let names: Vec<_> = names.into_iter().take(CHANNELS_NAMED).collect();
    format!("There are broadcasts of {}{more}", names.join(", "))
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
