//! The core over whole clusters, without a server: which finding is the verdict, and what the screen looks like.

#[path = "../tests/clusters/broken.rs"]
mod broken;
#[path = "../tests/clusters/objects.rs"]
mod objects;

mod causes;

use std::collections::BTreeMap;

use caudal_kubernetes::{LiveStream, WorkerPool};
use k8s_openapi::jiff::Timestamp;
use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use crate::facts::{Facts, Looked, Target, UNKNOWN_RESOURCE, Unseen};
use crate::finding::{Kind, Severity};
use crate::log_line::LogLine;
use crate::{Outcome, Paint, Report, diagnose, text};
use broken::Cluster;
use objects::{ago, broadcast, claimed, deployment, idle, lease, of_role, over, role_pod, waiting, warning};

fn now() -> Timestamp {
    "2026-11-28T03:12:04Z".parse().unwrap()
}

fn facts(cluster: &Cluster) -> Facts {
    let logs =
        cluster.logs.iter().map(|(pod, lines)| (pod.clone(), Ok(lines.lines().map(LogLine::read).collect())));
    Facts {
        now: now(),
        namespace: "caudal".to_owned(),
        target: cluster.channel.map_or(Target::Installation, |channel| Target::Channel(channel.to_owned())),
        definitions: Ok(vec![LiveStream::crd(), WorkerPool::crd()]),
        streams: Ok(of_kind(cluster, "LiveStream")),
        unreadable: Vec::new(),
        pools: Ok(of_kind(cluster, "WorkerPool")),
        pods: Ok(of_kind(cluster, "Pod")),
        deployments: Ok(of_kind(cluster, "Deployment")),
        warnings: Ok(of_kind(cluster, "Event")),
        claims: Ok(of_kind(cluster, "PersistentVolumeClaim")),
        services: Ok(of_kind(cluster, "Service")),
        quotas: Ok(of_kind(cluster, "ResourceQuota")),
        policies: Ok(of_kind(cluster, "NetworkPolicy")),
        lease: Ok(of_kind(cluster, "Lease").pop()),
        logs: logs.collect(),
        cut_short: Vec::new(),
    }
}

fn of_kind<T: serde::de::DeserializeOwned>(cluster: &Cluster, kind: &str) -> Vec<T> {
    let of_kind = cluster.objects.iter().filter(|one| one["kind"] == kind).cloned();
    of_kind
        .map(|mut one| {
            // As the server writes it, and in the past.
            one["metadata"]["creationTimestamp"] = json!("2026-11-28T03:11:24Z");
            serde_json::from_value(one).unwrap()
        })
        .collect()
}

fn first_line(report: &Report) -> String {
    text(report, Paint::Plain).lines().next().unwrap().to_owned()
}

/// A healthy platform that carries ann's broadcast.
fn live() -> Facts {
    facts(&broken::healthy(now())[0])
}

fn at_rest() -> Facts {
    facts(&broken::healthy(now())[1])
}

fn add<T: serde::de::DeserializeOwned>(list: &mut Looked<Vec<T>>, object: Value) {
    list.as_mut().unwrap().push(serde_json::from_value(object).unwrap());
}

#[test]
fn every_broken_cluster_is_told_by_its_first_line() {
    for cluster in broken::broken(now()) {
        let report = diagnose(&facts(&cluster));
        assert_eq!(first_line(&report), cluster.first_line, "{}", cluster.name);
        assert_eq!(report.outcome, Outcome::Wrong, "{}", cluster.name);
    }
    for cluster in broken::healthy(now()) {
        let report = diagnose(&facts(&cluster));
        assert_eq!(first_line(&report), cluster.first_line, "{}", cluster.name);
        assert_eq!((report.outcome, report.findings), (Outcome::Healthy, vec![]), "{}", cluster.name);
    }
}

#[test]
fn a_screen_has_the_verdict_who_says_so_and_what_to_do() {
    for cluster in broken::broken(now()).into_iter().chain(broken::healthy(now())) {
        let screen = text(&diagnose(&facts(&cluster)), Paint::Plain);
        assert!(screen.lines().count() <= 30, "{screen}");
        insta::assert_snapshot!(cluster.name.replace(' ', "_"), screen);
    }
}

#[test]
fn definitions_that_are_missing_or_older_explain_everything_else() {
    let mut facts = at_rest();
    facts.definitions = Ok(vec![LiveStream::crd()]);
    facts.pools =
        Err(Unseen { attempt: "list workerpools.caudal.dev".to_owned(), why: UNKNOWN_RESOURCE.to_owned() });
    let report = diagnose(&facts);
    let missing = "Nobody can go live: the cluster does not know Caudal's resources: workerpools.caudal.dev is missing.";
    assert_eq!((first_line(&report).as_str(), report.findings.len()), (missing, 1));
    // Also for somebody who may not read definitions.
    facts.definitions = Err(Unseen { attempt: "get definitions".to_owned(), why: "forbidden".to_owned() });
    assert_eq!(first_line(&diagnose(&facts)), missing);

    let mut facts = at_rest();
    let mut old = serde_json::to_value(LiveStream::crd()).unwrap();
    let fields = &mut old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    fields["spec"]["properties"]["ingest"]["properties"].as_object_mut().unwrap().remove("relay").unwrap();
    facts.definitions = Ok(vec![serde_json::from_value(old).unwrap(), WorkerPool::crd()]);
    let report = diagnose(&facts);
    assert_eq!(report.findings[0].kind, Kind::DefinitionsOld);
    assert!(
        report.findings[0].evidence[0].said.contains("lacks 5 fields"),
        "{:?}",
        report.findings[0].evidence
    );
    assert!(
        report.findings[0].evidence[0].said.contains("spec.ingest.relay"),
        "{:?}",
        report.findings[0].evidence
    );
}

#[test]
fn a_namespace_without_caudal_is_told_from_one_that_is_down() {
    let mut facts = at_rest();
    (facts.pods, facts.deployments, facts.pools, facts.lease) =
        (Ok(vec![]), Ok(vec![]), Ok(vec![]), Ok(None));
    let line = "Nobody can go live: Caudal is not installed in the namespace caudal.";
    assert_eq!(first_line(&diagnose(&facts)), line);
    // As an uninstall leaves it.
    add(&mut facts.streams, over(now(), "Ended", "unpublished", "the publisher stopped"));
    let report = diagnose(&facts);
    let line =
        "Nobody can go live: Caudal is not installed in the namespace caudal; 1 LiveStream of it is left.";
    assert_eq!((first_line(&report).as_str(), report.findings.len()), (line, 1));
    let mut open = broadcast(now(), "Live");
    open["metadata"]["name"] = "s-open".into();
    add(&mut facts.streams, open);
    let report = diagnose(&facts);
    let line =
        "Nobody can go live: Caudal is not installed in the namespace caudal; 2 LiveStreams of it are left.";
    assert_eq!(first_line(&report), line);
    assert_eq!(report.findings[0].evidence[1].said, "2 are left, and 1 of them is not over");
    // Routers let their publishers go one by one.
    let mut leaving = role_pod("ingest-router", &of_role("ingest-router", objects::ready()));
    leaving["metadata"]["deletionTimestamp"] = ago(now(), 10).into();
    add(&mut facts.pods, leaving);
    let line = first_line(&diagnose(&facts));
    assert!(line.ends_with("2 LiveStreams of it are left; 1 Pod of it is still being deleted."), "{line}");
    // Who may not see pods cannot say so.
    facts.pods = Err(Unseen { attempt: "list pods".to_owned(), why: "forbidden".to_owned() });
    assert_ne!(diagnose(&facts).findings[0].kind, Kind::NothingHere);
}

#[test]
fn what_may_not_be_seen_is_said_and_the_rest_is_looked_at() {
    let forbidden = |what: &str| Unseen { attempt: format!("list {what}"), why: "forbidden".to_owned() };
    let mut facts = live();
    facts.warnings = Err(forbidden("events"));
    let report = diagnose(&facts);
    assert_eq!(report.outcome, Outcome::Healthy);
    assert!(text(&report, Paint::Plain).contains("\nNot looked at\n  cannot list events: forbidden\n"));
    // Without the pods nobody can say that all is well, but what is wrong can still be seen.
    facts.pods = Err(forbidden("pods"));
    assert_eq!(diagnose(&facts).outcome, Outcome::CouldNotLook);
    facts.streams = Ok(vec![
        serde_json::from_value(over(now(), "Ended", "key_rotated", "its stream key was changed")).unwrap(),
    ]);
    let report = diagnose(&facts);
    assert_eq!(report.outcome, Outcome::Wrong);
    assert_eq!(
        first_line(&report),
        "ann is not live: its last broadcast ended at 03:11:39Z: its stream key was changed."
    );
}

#[test]
fn what_keeps_others_from_starting_is_a_warning_for_a_broadcast_that_is_live() {
    let mut facts = live();
    facts.lease = Ok(Some(serde_json::from_value(lease("one", &ago(now(), 60))).unwrap()));
    let report = diagnose(&facts);
    assert_eq!((report.outcome, report.findings[0].severity), (Outcome::Healthy, Severity::Warning));
    assert_eq!(first_line(&report), "ann is live, and there is one warning.");
    // Viewers need an edge.
    let pods = facts.pods.as_mut().unwrap();
    pods.retain(|pod| pod.metadata.name.as_deref() != Some("caudal-hls-edge-x"));
    facts.deployments.as_mut().unwrap().retain(|one| one.metadata.name.as_deref() != Some("caudal-hls-edge"));
    let line = first_line(&diagnose(&facts));
    assert_eq!(line, "ann is live, but nobody can watch: no hls-edge runs: there is no Deployment of it.");
}

#[test]
fn of_a_role_with_replicas_one_that_fails_is_a_warning_and_the_last_one_a_problem() {
    let mut facts = at_rest();
    let crashed = json!({
        "phase": "Running",
        "containerStatuses": [{
            "name": "hls-edge", "image": "i", "imageID": "", "ready": false, "restartCount": 4,
            "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 40s" } },
            "lastState": { "terminated": { "exitCode": 64, "reason": "Error", "finishedAt": ago(now(), 30) } },
        }],
    });
    let mut second = role_pod("hls-edge", &crashed);
    second["metadata"]["name"] = "caudal-hls-edge-y".into();
    add(&mut facts.pods, second);
    let stuck = diagnose(&facts);
    assert_eq!(stuck.outcome, Outcome::Healthy);
    assert!(
        stuck.findings[0]
            .says
            .starts_with("the hls-edge runs, but a new pod of it does not, so an upgrade does not get on: "),
        "{}",
        stuck.findings[0].says
    );
    facts.deployments.as_mut().unwrap().retain(|one| one.metadata.name.as_deref() != Some("caudal-hls-edge"));
    add(&mut facts.deployments, deployment("hls-edge", 2));
    facts.logs = BTreeMap::from([(
        "caudal-hls-edge-y".to_owned(),
        Ok(vec![LogLine::read(&objects::log(now(), "ERROR", "HLS_PATH is missing", &json!({})))]),
    )]);
    let report = diagnose(&facts);
    assert_eq!(report.outcome, Outcome::Healthy);
    let said = "1 of 2 pods of the hls-edge run: its settings cannot be used (exit code 64 again and again): HLS_PATH is missing \
                (Pod caudal-hls-edge-y)";
    assert_eq!(report.findings[0].says, said);
    facts.pods.as_mut().unwrap().retain(|pod| pod.metadata.name.as_deref() != Some("caudal-hls-edge-x"));
    assert!(
        first_line(&diagnose(&facts))
            .starts_with("Nobody can watch: no hls-edge runs: its settings cannot be used")
    );
}

#[test]
fn a_job_that_helm_waits_for_and_that_does_not_run_is_told_of() {
    let mut facts = at_rest();
    let mut pod = role_pod("crds", &of_role("crds", waiting("ImagePullBackOff", "no such image")));
    pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] = "caudal-crds".into();
    add(&mut facts.pods, pod);
    let report = diagnose(&facts);
    let said = "the Job caudal-crds does not run, so an upgrade that waits for it does not get on: ";
    assert!(report.findings[0].says.starts_with(said), "{}", report.findings[0].says);
    assert_eq!(report.findings[0].severity, Severity::Warning);
    // A rollback leaves it.
    let advice = &report.findings[0].advice;
    assert!(
        advice.iter().any(|line| line.starts_with("kubectl -n caudal delete job caudal-crds ")),
        "{advice:?}"
    );
}

#[test]
fn a_pod_that_its_node_ended_counts_until_it_is_replaced() {
    let mut facts = at_rest();
    let status =
        json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory." });
    let mut evicted = role_pod("hls-edge", &status);
    evicted["metadata"]["name"] = "caudal-hls-edge-y".into();
    add(&mut facts.pods, evicted);
    assert_eq!(diagnose(&facts).findings, []);
    facts.deployments.as_mut().unwrap().retain(|one| one.metadata.name.as_deref() != Some("caudal-hls-edge"));
    add(&mut facts.deployments, deployment("hls-edge", 2));
    let said = "1 of 2 pods of the hls-edge run: its node ended it (Evicted): The node was low on resource: memory \
                (Pod caudal-hls-edge-y)";
    assert_eq!(diagnose(&facts).findings[0].says, said);
}

#[test]
fn why_a_worker_does_not_run_is_told_in_the_words_of_who_keeps_it_from_running() {
    let ended = |terminated: Value| json!({ "phase": "Failed", "containerStatuses": [objects::container(&json!({ "terminated": terminated }), false)] });
    let mount = "MountVolume.SetUp failed for volume \"media\" : mount.nfs: Connection timed out";
    let cases: [Case; 8] = [
        (
            "out of memory",
            ended(json!({ "exitCode": 137, "reason": "OOMKilled" })),
            None,
            Kind::Crash,
            "it was killed, out of memory",
        ),
        (
            "its own fault",
            ended(json!({ "exitCode": 1, "reason": "Error" })),
            None,
            Kind::Crash,
            "it ended with exit code 1",
        ),
        (
            "evicted",
            json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory." }),
            None,
            Kind::Crash,
            "its node ended it (Evicted): The node was low on resource: memory",
        ),
        (
            "a key of a Secret",
            waiting("CreateContainerConfigError", "couldn't find key controllerKey in Secret caudal/w"),
            None,
            Kind::MissingSecret,
            "the Secret w has no key controllerKey",
        ),
        (
            "a mount",
            waiting("ContainerCreating", ""),
            Some(("FailedMount", mount)),
            Kind::Storage,
            "its volume is not there: MountVolume",
        ),
        (
            "a mounted Secret",
            waiting("ContainerCreating", ""),
            Some((
                "FailedMount",
                "MountVolume.SetUp failed for volume \"bucket\" : secret \"caudal-bucket\" not found",
            )),
            Kind::MissingSecret,
            "the Secret caudal-bucket is missing",
        ),
        (
            "a network",
            waiting("ContainerCreating", ""),
            Some(("FailedCreatePodSandBox", "plugin type=\"cilium-cni\" failed")),
            Kind::Network,
            "its node cannot give it a network: plugin",
        ),
        (
            "a start that fails",
            waiting("RunContainerError", "exec: \"caudal\": not found"),
            None,
            Kind::Crash,
            "its container cannot be started: exec",
        ),
    ];
    for (what, status, event, kind, says) in cases {
        let mut facts = at_rest();
        facts.target = Target::Channel("ann".to_owned());
        add(&mut facts.streams, broadcast(now(), "Pending"));
        add(&mut facts.pods, claimed(&status));
        if let Some((reason, message)) = event {
            add(&mut facts.warnings, warning(now(), ("Pod", &objects::worker()), reason, message));
        }
        let report = diagnose(&facts);
        let first = &report.findings[0];
        assert_eq!(first.kind, kind, "{what}: {first:?}");
        assert!(
            first.says.starts_with(&format!("its worker does not run: {says}")),
            "{what}: {}",
            first.says
        );
        assert!(!first.advice.is_empty() && !first.evidence.is_empty(), "{what}");
    }
}

#[test]
fn a_worker_that_is_young_is_in_no_trouble_and_one_that_takes_long_is() {
    let mut facts = at_rest();
    facts.pods.as_mut().unwrap().retain(|pod| pod.metadata.name.as_deref() != Some("w-default-0"));
    let mut young = idle("w-default-0", &waiting("ContainerCreating", ""));
    young["metadata"]["creationTimestamp"] = ago(now(), 5).into();
    add(&mut facts.pods, young.clone());
    assert_eq!(diagnose(&facts).outcome, Outcome::Healthy);
    facts.pods.as_mut().unwrap().pop();
    young["metadata"]["creationTimestamp"] = ago(now(), 300).into();
    add(&mut facts.pods, young);
    let line = first_line(&diagnose(&facts));
    assert_eq!(
        line,
        "Nobody can go live: no worker comes up: node node-1 has not started it for 300 s: does the kubelet there run? (Pod w-default-0)."
    );
}

#[test]
fn of_a_channels_broadcasts_the_open_one_counts_and_a_channel_is_found_in_any_case() {
    let mut facts = live();
    let mut older = over(now(), "Ended", "unpublished", "the publisher stopped");
    older["spec"]["stream"] = objects::SESSION.into();
    older["metadata"]["name"] = format!("s-{}", objects::SESSION).into();
    older["metadata"]["creationTimestamp"] = json!("2026-11-28T03:12:00Z");
    add(&mut facts.streams, older);
    facts.target = Target::Channel("ANN".to_owned());
    assert_eq!(first_line(&diagnose(&facts)), "ANN is live, and nothing is wrong.");
    facts.target = Target::Stream(objects::SESSION.parse().unwrap());
    let line = first_line(&diagnose(&facts));
    assert_eq!(
        line,
        format!(
            "broadcast {} of ann is not live: it ended at 03:11:39Z: the publisher stopped, and nothing is wrong.",
            objects::SESSION
        )
    );
}

#[test]
fn a_worker_that_has_done_its_work_is_in_no_trouble() {
    let mut facts = at_rest();
    let mut done = idle("w-default-1", &json!({ "phase": "Succeeded" }));
    done["metadata"]["creationTimestamp"] = ago(now(), 300).into();
    done["metadata"]["labels"]["caudal.dev/worker"] = "claimed".into();
    add(&mut facts.pods, done);
    assert_eq!(diagnose(&facts).findings.len(), diagnose(&at_rest()).findings.len());
}

#[test]
fn a_pool_that_is_closed_explains_a_channel_that_is_not_live_and_the_end_of_its_last_broadcast_does_not() {
    let mut facts = at_rest();
    facts.target = Target::Channel("ann".to_owned());
    add(&mut facts.streams, over(now(), "Ended", "ended_by_owner", "its owner ended it"));
    assert!(first_line(&diagnose(&facts)).starts_with("ann is not live: its last broadcast ended"));
    facts.pools.as_mut().unwrap()[0].spec.max_workers = 0;
    let line = first_line(&diagnose(&facts));
    assert!(line.starts_with("ann is not live: the pool default allows no worker at all"), "{line}");
}

#[test]
fn a_channel_that_nobody_publishes_to_is_said_to_be_so() {
    let mut facts = live();
    facts.target = Target::Channel("bob".to_owned());
    assert_eq!(
        first_line(&diagnose(&facts)),
        "bob is not live: no broadcast of a channel of this name is there, or ended within the hour."
    );
    // A role that is down explains it better.
    facts.pods.as_mut().unwrap().retain(|pod| pod.metadata.name.as_deref() != Some("caudal-ingest-router-x"));
    add(&mut facts.pods, role_pod("ingest-router", &of_role("ingest-router", waiting("ErrImagePull", "no"))));
    assert!(first_line(&diagnose(&facts)).starts_with("bob is not live: no ingest-router runs: its image"));
}

#[test]
fn an_api_that_is_down_does_not_explain_a_broadcast_that_was_let_in() {
    let mut facts = at_rest();
    facts.target = Target::Channel("ann".to_owned());
    add(&mut facts.streams, broadcast(now(), "Pending"));
    facts.pods.as_mut().unwrap().retain(|pod| pod.metadata.name.as_deref() != Some("caudal-api-x"));
    add(&mut facts.pods, role_pod("api", &of_role("api", waiting("ErrImagePull", "no"))));
    let line = first_line(&diagnose(&facts));
    assert_eq!(line, "ann is not live: it has waited for a worker since 03:11:34Z.");
    facts.target = Target::Installation;
    assert!(first_line(&diagnose(&facts)).starts_with("Nobody can go live: no api runs: its image"));
}

#[test]
fn refusals_from_before_the_last_broadcast_or_long_ago_explain_nothing() {
    let mut facts = live();
    facts.target = Target::Channel("bob".to_owned());
    let refused = |seconds| {
        let line = json!({ "timestamp": ago(now(), seconds), "message": "publisher refused", "reason": "unknown_key" });
        Ok(vec![LogLine::read(&line.to_string())])
    };
    let count = |facts: &Facts| diagnose(facts).findings.iter().filter(|one| one.kind == Kind::Key).count();
    for (seconds, found) in [(10, 1), (2_000, 0)] {
        facts.logs = BTreeMap::from([("caudal-ingest-router-x".to_owned(), refused(seconds))]);
        assert_eq!(count(&facts), found, "{seconds}");
    }
    facts.target = Target::Channel("ann".to_owned());
    facts.streams = Ok(vec![
        serde_json::from_value(over(now(), "Ended", "unpublished", "the publisher stopped")).unwrap(),
    ]);
    for (seconds, found) in [(10, 1), (40, 0)] {
        facts.logs = BTreeMap::from([("caudal-ingest-router-x".to_owned(), refused(seconds))]);
        assert_eq!(count(&facts), found, "{seconds}");
    }
}

#[test]
fn text_from_the_cluster_moves_no_cursor_and_fills_no_screen() {
    let mut facts = live();
    let words = format!("\u{1b}[2Jgone\n\u{202e}{}", "x".repeat(5_000));
    facts.streams =
        Ok(vec![serde_json::from_value(over(now(), "Ended", "nothing_playable", &words)).unwrap()]);
    let screen = text(&diagnose(&facts), Paint::Plain);
    assert!(!screen.contains('\u{1b}') && !screen.contains('\u{202e}') && screen.len() < 4_000, "{screen}");
    assert!(text(&diagnose(&facts), Paint::Colours).starts_with("\u{1b}[1;31mann is not live"));
}

/// What is the matter, the pod's status, a warning of it with its reason, and what is found.
type Case = (&'static str, Value, Option<(&'static str, &'static str)>, Kind, &'static str);
