//! Whether routers reach workers: what they counted of failed relays, and what the NetworkPolicies say.

use std::collections::BTreeMap;

use caudal_kubernetes::LiveStream;
use caudal_kubernetes::names::STREAM_LABEL;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt as _;

use crate::facts::{Facts, NOW_SECONDS, ROUTER, is_open, seen};
use crate::finding::{Evidence, Finding, Kind, Place, Severity};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    if let Some(stream) = facts.stream() {
        return relay(stream, facts, Severity::Problem).into_iter().collect();
    }
    let open = seen(&facts.streams).iter().filter(|stream| is_open(stream));
    open.filter_map(|stream| relay(stream, facts, Severity::Warning)).take(1).collect()
}

/// The relays to a broadcast's worker that fail.
fn relay(stream: &LiveStream, facts: &Facts, severity: Severity) -> Option<Finding> {
    let ingest = stream.spec.ingest.as_ref()?;
    let epoch = stream.status.as_ref().map(|status| status.epoch);
    // Routers try again each few seconds: an older failure was mended, and another worker's is not this one's.
    let relay = ingest.relay.as_ref().filter(|relay| {
        relay.failures > 0
            && relay.session == ingest.session
            && Some(relay.epoch) == epoch
            && facts.seconds_since(relay.last_failed_at.0) < NOW_SECONDS
    })?;
    let object = format!("LiveStream {}", stream.name_any());
    let said =
        format!("spec.ingest.relay: {} failed relays to the worker of epoch {}", relay.failures, relay.epoch);
    let mut evidence = vec![Evidence::new(object, Some(relay.last_failed_at.0), said)];
    let policy = closed(stream, facts);
    let says = match &policy {
        Some((policy, way)) => {
            evidence.push(Evidence::new(format!("NetworkPolicy {policy}"), None, way.clone()));
            format!("the router does not reach its worker: the NetworkPolicy {policy} {way}")
        }
        None => format!("the router does not reach its worker: {} relays failed", relay.failures),
    };
    let namespace = &facts.namespace;
    Some(Finding {
        place: Place::Network,
        severity,
        kind: Kind::Network,
        says,
        evidence,
        advice: match policy {
            Some((policy, _)) => vec![
                format!("kubectl -n {namespace} describe networkpolicy {policy}"),
                "The chart's policies let routers in at 1935 and 8080; an open connection outlives a change, a new one does not".to_owned(),
            ],
            None => vec![
                format!("kubectl -n {namespace} logs -l app.kubernetes.io/component=ingest-router --tail=200 | grep 'relay failed'"),
                format!("kubectl -n {namespace} get networkpolicies; policies of the network plug-in's own kinds are not seen here"),
            ],
        },
    })
}

/// The policy that keeps a router's connection from the worker, and how; none when none does, as far as this can be told from here.
fn closed(stream: &LiveStream, facts: &Facts) -> Option<(String, String)> {
    let id = stream.spec.stream.to_string();
    let worker = seen(&facts.pods).iter().find(|pod| pod.labels().get(STREAM_LABEL) == Some(&id))?;
    let router = facts.pods_of(ROUTER).into_iter().next()?;
    let policies = seen(&facts.policies);
    let ingress = |policy: &NetworkPolicy| {
        let rules = policy.spec.iter().flat_map(|spec| spec.ingress.iter().flatten());
        rules
            .map(|rule| (rule.from.clone().unwrap_or_default(), rule.ports.clone().unwrap_or_default()))
            .collect()
    };
    let egress = |policy: &NetworkPolicy| {
        let rules = policy.spec.iter().flat_map(|spec| spec.egress.iter().flatten());
        rules
            .map(|rule| (rule.to.clone().unwrap_or_default(), rule.ports.clone().unwrap_or_default()))
            .collect()
    };
    shut(policies, "Ingress", worker, router, ingress)
        .map(|policy| (policy, format!("lets nothing in from the router at port {RTMP}")))
        .or_else(|| {
            shut(policies, "Egress", router, worker, egress)
                .map(|policy| (policy, format!("lets the router out to no worker at port {RTMP}")))
        })
}

/// The first policy of those that select `here` when none of them lets `there` through: policies add up.
fn shut(
    policies: &[NetworkPolicy],
    direction: &str,
    here: &Pod,
    there: &Pod,
    rules: impl Fn(&NetworkPolicy) -> Vec<(Vec<NetworkPolicyPeer>, Vec<NetworkPolicyPort>)>,
) -> Option<String> {
    let applies = |policy: &&NetworkPolicy| {
        let Some(spec) = &policy.spec else { return false };
        let types = spec.policy_types.as_deref().unwrap_or_default();
        let of_direction = types.iter().any(|one| one == direction)
            || types.is_empty() && (direction == "Ingress" || spec.egress.is_some());
        of_direction && spec.pod_selector.as_ref().is_none_or(|selector| selects(selector, here.labels()))
    };
    let applying: Vec<_> = policies.iter().filter(applies).collect();
    let open = applying.iter().flat_map(|policy| rules(policy)).any(|(peers, ports)| {
        (peers.is_empty() || peers.iter().any(|peer| may_be(peer, there)))
            && (ports.is_empty() || ports.iter().any(is_rtmp))
    });
    let first = applying.first().filter(|_| !open)?;
    Some(first.name_any())
}

/// Addresses and other namespaces cannot be judged from here: those count as let through.
fn may_be(peer: &NetworkPolicyPeer, pod: &Pod) -> bool {
    if peer.ip_block.is_some() || peer.namespace_selector.is_some() {
        return true;
    }
    peer.pod_selector.as_ref().is_none_or(|selector| selects(selector, pod.labels()))
}

fn is_rtmp(port: &NetworkPolicyPort) -> bool {
    if port.protocol.as_deref().is_some_and(|protocol| protocol != "TCP") {
        return false;
    }
    match (&port.port, port.end_port) {
        (None, _) => true,
        (Some(IntOrString::Int(first)), Some(last)) => (*first..=last).contains(&RTMP),
        (Some(IntOrString::Int(port)), None) => *port == RTMP,
        (Some(IntOrString::String(name)), _) => name == "rtmp",
    }
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    equal
        && selector.match_expressions.iter().flatten().all(|wanted| {
            let value = labels.get(&wanted.key);
            let among = |values: &Option<Vec<String>>| {
                value.is_some_and(|value| values.iter().flatten().any(|one| one == value))
            };
            match wanted.operator.as_str() {
                "In" => among(&wanted.values),
                "NotIn" => !among(&wanted.values),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => true,
            }
        })
}

/// Where a worker takes a router's relay.
const RTMP: i32 = 1935;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy(spec: &Value) -> NetworkPolicy {
        serde_json::from_value(json!({ "metadata": { "name": "p" }, "spec": spec })).unwrap()
    }

    fn pod(component: &str) -> Pod {
        serde_json::from_value(json!({ "metadata": { "labels": { "c": component } } })).unwrap()
    }

    fn is_shut(specs: &[Value]) -> bool {
        let policies: Vec<_> = specs.iter().map(policy).collect();
        let rules = |policy: &NetworkPolicy| {
            let rules = policy.spec.iter().flat_map(|spec| spec.ingress.iter().flatten());
            rules
                .map(|rule| (rule.from.clone().unwrap_or_default(), rule.ports.clone().unwrap_or_default()))
                .collect()
        };
        shut(&policies, "Ingress", &pod("worker"), &pod("router"), rules).is_some()
    }

    #[test]
    fn a_worker_is_shut_off_when_a_policy_selects_it_and_none_lets_the_router_in() {
        let of = |labels: Value, ingress: Value| json!({ "podSelector": labels, "policyTypes": ["Ingress"], "ingress": ingress });
        let worker = json!({ "matchLabels": { "c": "worker" } });
        let from = |component: &str| json!([{ "podSelector": { "matchLabels": { "c": component } } }]);
        let nothing = of(worker.clone(), json!([]));
        assert!(!is_shut(&[]));
        assert!(is_shut(std::slice::from_ref(&nothing)));
        assert!(is_shut(&[of(json!({}), json!([{ "from": from("edge") }]))]));
        assert!(!is_shut(&[of(json!({ "matchLabels": { "c": "api" } }), json!([]))]), "not this pod's");
        let let_in = of(worker.clone(), json!([{ "from": from("router"), "ports": [{ "port": 1935 }] }]));
        assert!(!is_shut(&[nothing.clone(), let_in]), "policies add up");
        assert!(is_shut(&[of(
            worker.clone(),
            json!([{ "from": from("router"), "ports": [{ "port": 8080 }] }])
        )]));
        assert!(is_shut(&[of(worker.clone(), json!([{ "ports": [{ "port": 1935, "protocol": "UDP" }] }]))]));
        assert!(!is_shut(&[of(worker.clone(), json!([{ "ports": [{ "port": 1900, "endPort": 2000 }] }]))]));
        assert!(
            !is_shut(&[of(worker, json!([{ "from": [{ "ipBlock": { "cidr": "10.0.0.0/8" } }] }]))]),
            "may be the router's"
        );
        let expression =
            json!({ "matchExpressions": [{ "key": "c", "operator": "In", "values": ["worker"] }] });
        assert!(is_shut(&[of(expression, json!([]))]));
        assert!(!is_shut(&[json!({ "podSelector": {}, "policyTypes": ["Egress"] })]), "another direction");
    }
}
