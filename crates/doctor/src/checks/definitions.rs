//! Whether the cluster knows our resources as this release does.

use std::collections::BTreeSet;

use caudal_kubernetes::{LiveStream, WorkerPool};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResourceExt as _, ResourceExt};
use serde_json::Value;

use crate::facts::{COMPONENT_LABEL, Facts, OPERATOR, Target, UNKNOWN_RESOURCE, counted, is_open, seen};
use crate::finding::{Evidence, Finding, Kind, Place, Severity};
use crate::pod_trouble::is_being_deleted;

/// What there is no going on from: the cluster has no such resources, or nothing of Caudal is in the namespace.
pub(super) fn missing(facts: &Facts) -> Option<Finding> {
    let missing: Vec<_> = match &facts.definitions {
        Ok(there) => ours()
            .iter()
            .map(ResourceExt::name_any)
            .filter(|name| !there.iter().any(|one| one.name_any() == *name))
            .collect(),
        // Whoever may not read definitions still hears that the server does not know the resource.
        Err(_) => [facts.streams.as_ref().err(), facts.pools.as_ref().err()]
            .into_iter()
            .flatten()
            .filter(|unseen| unseen.why == UNKNOWN_RESOURCE)
            .map(|unseen| unseen.attempt.trim_start_matches("list ").to_owned())
            .collect(),
    };
    if !missing.is_empty() {
        let evidence = missing.iter().map(|name| {
            Evidence::new(format!("CustomResourceDefinition {name}"), None, "there is none of this name")
        });
        return Some(Finding {
            place: Place::Definitions,
            severity: Severity::Problem,
            kind: Kind::DefinitionsMissing,
            says: format!(
                "the cluster does not know Caudal's resources: {} {} missing",
                missing.join(" and "),
                if missing.len() == 1 { "is" } else { "are" }
            ),
            evidence: evidence.collect(),
            advice: vec![APPLY.to_owned()],
        });
    }
    not_installed(facts)
}

/// LiveStreams alone are no platform: an uninstall leaves those of broadcasts that are over.
fn not_installed(facts: &Facts) -> Option<Finding> {
    let looked = [facts.pods.is_ok(), facts.deployments.is_ok(), facts.pools.is_ok(), facts.streams.is_ok()];
    // Those that an uninstall has deleted take minutes to end, where publishers are let go one by one.
    let leaving = seen(&facts.pods).iter().filter(|pod| is_being_deleted(pod)).count();
    let nothing = seen(&facts.pods).len() == leaving
        && seen(&facts.deployments).is_empty()
        && seen(&facts.pools).is_empty();
    if !looked.iter().all(|looked| *looked) || !nothing {
        return None;
    }
    let namespace = &facts.namespace;
    let mut says = format!("Caudal is not installed in the namespace {namespace}");
    let but = if leaving == 0 { "" } else { " (but those that are being deleted)" };
    let mut evidence = vec![Evidence::new(
        format!("Namespace {namespace}"),
        None,
        format!("no Deployment and no Pod{but} labelled app.kubernetes.io/name=caudal, and no WorkerPool"),
    )];
    let mut advice = vec![
        "kubectl get deployments --all-namespaces -l app.kubernetes.io/name=caudal    # is it in another one?"
            .to_owned(),
        "If so: caudal doctor --namespace THAT-ONE".to_owned(),
        format!("If not: helm install caudal charts/caudal --namespace {namespace} --values mine.yaml"),
    ];
    let left = seen(&facts.streams);
    let are = |count: usize| if count == 1 { "is" } else { "are" };
    if !left.is_empty() {
        let count = left.len();
        says = format!("{says}; {} of it {} left", counted(count, "LiveStream"), are(count));
        let open = left.iter().filter(|stream| is_open(stream)).count();
        let said = match open {
            0 => format!("{count} {} left, all over", are(count)),
            open => format!("{count} {} left, and {open} of them {} not over", are(count), are(open)),
        };
        evidence.push(Evidence::new(format!("LiveStreams in {namespace}"), None, said));
        advice.push(format!(
            "kubectl -n {namespace} get lst    # an operator that is installed again ends those that are not over"
        ));
    }
    if leaving > 0 {
        says = format!("{says}; {} of it {} still being deleted", counted(leaving, "Pod"), are(leaving));
        advice.insert(
            0,
            format!(
                "kubectl -n {namespace} get pods    # what an uninstall has left takes a few minutes to end"
            ),
        );
    }
    Some(Finding {
        place: Place::Definitions,
        severity: Severity::Problem,
        kind: Kind::NothingHere,
        says,
        evidence,
        advice,
    })
}

/// Fields that this release knows and the installed definitions do not: the server drops them without a word.
pub(super) fn old(facts: &Facts) -> Vec<Finding> {
    let mut evidence = Vec::new();
    let mut lacks = false;
    for ours in ours() {
        let name = ours.name_any();
        let Some(there) = seen(&facts.definitions).iter().find(|one| one.name_any() == name) else {
            continue;
        };
        let known = fields(there);
        let unknown: Vec<_> = fields(&ours).into_iter().filter(|field| !known.contains(field)).collect();
        if let Some(first) = unknown.first() {
            lacks = true;
            let said = format!(
                "it lacks {} that this release knows, {first} among them",
                counted(unknown.len(), "field")
            );
            let since = there.metadata.creation_timestamp.as_ref().map(|at| at.0);
            evidence.push(Evidence::new(format!("CustomResourceDefinition {name}"), since, said));
        }
    }
    let apply = || {
        vec![
            APPLY.to_owned(),
            "Helm never upgrades them by itself, unless crds.upgrade.enabled is set".to_owned(),
        ]
    };
    // What counts is what the operator knows; whoever looks may have a newer `caudal`.
    let (severity, says, advice) = match release(facts) {
        Some(OURS) => (
            Severity::Problem,
            "the resource definitions are older than this release: the API server drops what they do not know"
                .to_owned(),
            apply(),
        ),
        Some(theirs) => (
            Severity::Warning,
            format!("this `caudal` is newer than the cluster: {OURS}, and the operator is {theirs}"),
            vec!["Use the `caudal` of the operator's release".to_owned()],
        ),
        None => (
            Severity::Warning,
            "the resource definitions are older than this `caudal`; of which release the operator is cannot be seen"
                .to_owned(),
            apply(),
        ),
    };
    let finding =
        Finding { place: Place::Definitions, severity, kind: Kind::DefinitionsOld, says, evidence, advice };
    if lacks { vec![finding] } else { Vec::new() }
}

/// Of which release the operator is, as the chart labels its Deployment.
fn release(facts: &Facts) -> Option<&str> {
    let operator = seen(&facts.deployments)
        .iter()
        .find(|one| one.labels().get(COMPONENT_LABEL).map(String::as_str) == Some(OPERATOR))?;
    operator.labels().get("app.kubernetes.io/version").map(String::as_str)
}

/// Resources that another release wrote.
pub(super) fn unreadable(facts: &Facts) -> Vec<Finding> {
    let asked = |name: &str, channel: Option<&str>| match &facts.target {
        Target::Installation => true,
        Target::Stream(stream) => name == caudal_kubernetes::names::live_stream(*stream),
        Target::Channel(wanted) => channel.is_some_and(|channel| channel.eq_ignore_ascii_case(wanted)),
    };
    let unread = facts.unreadable.iter().map(|one| (one.name.clone(), None, one.why.clone()));
    let stored = seen(&facts.streams).iter().filter_map(|stream| {
        let error = stream.status.as_ref()?.lifecycle.as_ref()?.read().err()?;
        Some((stream.name_any(), stream.spec.channel.as_deref(), error.to_string()))
    });
    let mut found: Vec<_> = unread.chain(stored).collect();
    found.sort_by_key(|(name, channel, _)| !asked(name, *channel));
    let Some((name, channel, why)) = found.first() else { return Vec::new() };
    let severity = match facts.target {
        Target::Installation => Severity::Warning,
        _ if asked(name, *channel) => Severity::Problem,
        _ => Severity::Warning,
    };
    vec![Finding {
        place: Place::Definitions,
        severity,
        kind: Kind::Unreadable,
        says: format!("this release cannot read {}: {why}", counted(found.len(), "LiveStream")),
        evidence: vec![Evidence::new(format!("LiveStream {name}"), None, why.clone())],
        advice: vec![
            "Use the `caudal` of the operator's release; broadcasts of another release wait until that one leads".to_owned(),
            format!("If it is of that release, somebody has written what cannot be: kubectl -n {} get lst {name} -o yaml --show-managed-fields", facts.namespace),
        ],
    }]
}

fn ours() -> [CustomResourceDefinition; 2] {
    [LiveStream::crd(), WorkerPool::crd()]
}

/// All fields of the served schemas, as `spec.ingest.relay`.
fn fields(definition: &CustomResourceDefinition) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for version in definition.spec.versions.iter().filter(|version| version.served) {
        let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
        if let Ok(schema) = serde_json::to_value(schema) {
            collect(&schema, "", &mut found);
        }
    }
    found
}

fn collect(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    if let Some(items) = schema.get("items") {
        collect(items, path, found);
    }
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect(field, &path, found);
        found.insert(path);
    }
}

/// The release of the `caudal` that looks.
const OURS: &str = env!("CARGO_PKG_VERSION");
const APPLY: &str = "kubectl apply --server-side --force-conflicts -f charts/caudal/crds";
