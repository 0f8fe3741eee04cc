//! What is a cause now, and what only looks like one.

use super::objects::ready;
use super::*;
use crate::checks::{self, workers};
use crate::finding::Place;

/// Ann's broadcast in place of what there was.
fn with(stream: Value, channel: &str) -> Facts {
    let mut facts = at_rest();
    facts.target = Target::Channel(channel.to_owned());
    add(&mut facts.streams, stream);
    facts
}

fn without_operator(facts: &mut Facts) {
    facts.pods.as_mut().unwrap().retain(|pod| pod.metadata.name.as_deref() != Some("caudal-operator-x"));
    facts.deployments.as_mut().unwrap().retain(|one| one.metadata.name.as_deref() != Some("caudal-operator"));
    add(&mut facts.deployments, deployment("operator", 0));
    facts.lease = Ok(Some(serde_json::from_value(lease("", &ago(now(), 240))).unwrap()));
}

fn says(facts: &mut Facts, pod: &str, seconds: i64, level: &str, message: &str) {
    let line = json!({
        "timestamp": ago(now(), seconds), "level": level, "message": message, "stream": objects::STREAM,
        "reason": if message == "publisher refused" { "unknown_key" } else { "" },
    });
    let log = facts.logs.entry(pod.to_owned()).or_insert(Ok(vec![]));
    log.as_mut().unwrap().push(LogLine::read(&line.to_string()));
}

fn refuses(facts: &mut Facts, seconds: i64, reason: &str, channel: &str) {
    let mut line =
        json!({ "timestamp": ago(now(), seconds), "message": "publisher refused", "reason": reason });
    if !channel.is_empty() {
        line["channel"] = channel.into();
        line["stream"] = objects::STREAM.into();
    }
    let log = facts.logs.entry("caudal-ingest-router-x".to_owned()).or_insert(Ok(vec![]));
    log.as_mut().unwrap().push(LogLine::read(&line.to_string()));
}

fn kinds(facts: &Facts) -> Vec<(Kind, Severity)> {
    checks::all(facts).into_iter().map(|one| (one.kind, one.severity)).collect()
}

#[test]
fn a_broadcast_whose_publisher_is_away_needs_a_router_and_an_api() {
    for role in ["ingest-router", "api"] {
        let mut facts = with(broadcast(now(), "Reconnecting"), "ann");
        facts
            .pods
            .as_mut()
            .unwrap()
            .retain(|pod| pod.metadata.name.as_deref() != Some(&format!("caudal-{role}-x")));
        add(&mut facts.pods, role_pod(role, &of_role(role, waiting("ErrImagePull", "no"))));
        let line = first_line(&diagnose(&facts));
        assert!(line.starts_with(&format!("ann is not live: no {role} runs: its image")), "{line}");
    }
}

#[test]
fn a_broadcast_is_live_while_a_worker_carries_it_and_not_by_its_phase_alone() {
    let mut orphan = broadcast(now(), "Live");
    orphan["status"].as_object_mut().unwrap().remove("worker");
    let unassigned = json!({
        "type": "WorkerAssigned", "status": "False", "reason": "WaitingForWorker", "message": "", "lastTransitionTime": ago(now(), 9),
    });
    orphan["status"]["conditions"].as_array_mut().unwrap().push(unassigned);
    let line = first_line(&diagnose(&with(orphan.clone(), "ann")));
    assert_eq!(line, "ann is not live: it has lost its worker, and waits for another one since 03:11:55Z.");

    // Its last worker's end is not the reason that the next one does not come.
    let mut facts = with(orphan, "ann");
    let killed = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
    add(
        &mut facts.pods,
        claimed(&json!({ "phase": "Failed", "containerStatuses": [objects::container(&killed, false)] })),
    );
    let mut next = claimed(&objects::unscheduled(now(), "0/2 nodes are available: 2 Insufficient cpu."));
    next["metadata"]["name"] = "w-next".into();
    next["metadata"]["labels"]["caudal.dev/epoch"] = "10".into();
    add(&mut facts.pods, next);
    let line = first_line(&diagnose(&facts));
    assert!(line.starts_with("ann is not live: its worker does not run: no node takes it"), "{line}");
}

#[test]
fn without_an_operator_a_worker_that_is_gone_is_not_replaced() {
    let mut facts = live();
    without_operator(&mut facts);
    assert_eq!(diagnose(&facts).outcome, Outcome::Healthy, "its worker goes on");
    facts.pods.as_mut().unwrap().retain(|pod| pod.metadata.name != Some(objects::worker()));
    let line = first_line(&diagnose(&facts));
    assert_eq!(line, "ann is not live: no operator runs: its Deployment caudal-operator is scaled to 0.");
}

#[test]
fn definitions_that_lack_fields_are_a_fault_of_a_cluster_of_this_release_alone() {
    let mut old = serde_json::to_value(LiveStream::crd()).unwrap();
    let fields = &mut old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    fields["spec"]["properties"]["ingest"]["properties"].as_object_mut().unwrap().remove("relay").unwrap();
    for (version, outcome, words) in [
        (Some(env!("CARGO_PKG_VERSION")), Outcome::Wrong, "older than this release"),
        (Some("0.0.9"), Outcome::Healthy, "and the operator is 0.0.9"),
        (None, Outcome::Healthy, "cannot be seen"),
    ] {
        let mut facts = at_rest();
        facts.definitions = Ok(vec![serde_json::from_value(old.clone()).unwrap(), WorkerPool::crd()]);
        for one in facts.deployments.as_mut().unwrap() {
            let labels = one.metadata.labels.as_mut().unwrap();
            labels.remove("app.kubernetes.io/version");
            labels
                .extend(version.map(|version| ("app.kubernetes.io/version".to_owned(), version.to_owned())));
        }
        let report = diagnose(&facts);
        assert_eq!((report.outcome, report.findings.len()), (outcome, 1), "{version:?}");
        assert!(report.findings[0].says.contains(words), "{}", report.findings[0].says);
    }
}

#[test]
fn only_relays_to_this_worker_that_fail_now_are_told() {
    for (epoch, seconds, told) in [(1, 2, true), (0, 2, false), (1, 300, false)] {
        let mut stream = broadcast(now(), "Starting");
        stream["spec"]["ingest"]["relay"] = json!({ "epoch": epoch, "session": objects::SESSION, "failures": 4, "lastFailedAt": ago(now(), seconds) });
        for target in [Target::Installation, Target::Channel("ann".to_owned())] {
            let mut facts = with(stream.clone(), "ann");
            facts.target = target;
            let found = checks::all(&facts).iter().any(|one| one.place == Place::Network);
            assert_eq!(found, told, "epoch {epoch}, {seconds} s ago, {:?}", facts.target);
        }
    }
}

#[test]
fn a_worker_complains_of_what_is_wrong_now() {
    const FULL: &str = "storage fails; segments stay in memory until it works again";
    const LOST: &str = "storage did not take the segment in time: it is lost";
    const NONE: &str = "no ffmpeg: streams have their source rendition only, and no poster";
    const ANEW: &str = "ffmpeg is lost and is started anew";
    const OVER: &str = "storage works again";
    // The broadcast has been as it is for 30 s.
    let cases: [(Lines, Option<(Kind, Severity)>); 9] = [
        (&[(900, FULL)], Some((Kind::Storage, Severity::Problem))),
        (&[(900, FULL), (20, OVER)], None),
        (&[(900, FULL), (600, OVER), (20, FULL)], Some((Kind::Storage, Severity::Problem))),
        (&[(20, LOST)], Some((Kind::Storage, Severity::Problem))),
        (&[(20, LOST), (10, OVER)], None),
        (&[(900, LOST)], None),
        (&[(900, NONE)], Some((Kind::Ffmpeg, Severity::Warning))),
        (&[(20, ANEW)], Some((Kind::Ffmpeg, Severity::Warning))),
        (&[(900, ANEW)], None),
    ];
    for (lines, told) in cases {
        let mut facts = with(broadcast(now(), "Starting"), "ann");
        add(&mut facts.pods, claimed(&ready()));
        for (seconds, message) in lines {
            says(
                &mut facts,
                &objects::worker(),
                *seconds,
                if *message == OVER { "INFO" } else { "WARN" },
                message,
            );
        }
        let found = kinds(&facts).into_iter().find(|(kind, _)| matches!(kind, Kind::Storage | Kind::Ffmpeg));
        assert_eq!(found, told, "{lines:?}");
    }
}

#[test]
fn the_operators_complaint_counts_while_there_is_no_worker_and_it_is_new() {
    for (phase, seconds, told) in [("Pending", 10, true), ("Pending", 900, false), ("Starting", 10, false)] {
        let mut facts = with(broadcast(now(), phase), "ann");
        says(&mut facts, "caudal-operator-x", seconds, "WARN", "assignment failed");
        let found = checks::all(&facts).iter().any(|one| one.says.starts_with("assignment failed"));
        assert_eq!(found, told, "{phase}, {seconds} s ago");
    }
}

#[test]
fn what_the_operator_asked_for_a_broadcast_that_is_over_it_asks_no_more() {
    let asks = "a stream gets no worker now; asking again each second";
    for (stream, told) in [
        (broadcast(now(), "Pending"), true),
        (over(now(), "Failed", "no_capacity", "the platform had no worker for it"), false),
    ] {
        let mut facts = with(stream, "ann");
        // Also one that was written as it ended.
        says(&mut facts, "caudal-operator-x", 24, "WARN", asks);
        let found = checks::all(&facts).iter().any(|one| one.says.starts_with("a stream gets no worker"));
        assert_eq!(found, told);
    }
}

#[test]
fn a_database_that_is_away_is_said_by_the_api_alone_and_for_as_long_as_it_is_away() {
    const BACKGROUND: &str = "PostgreSQL is away from the background; its work is tried again";
    for (seconds, message, outcome, words) in [
        (3, "PostgreSQL is unavailable", Outcome::Wrong, "the api cannot use PostgreSQL"),
        (8, BACKGROUND, Outcome::Wrong, "the api cannot use PostgreSQL"),
        (90, BACKGROUND, Outcome::Healthy, "until 03:10:34Z the api could not use PostgreSQL"),
        (2_000, BACKGROUND, Outcome::Healthy, ""),
        (3, "request failed", Outcome::Healthy, ""),
    ] {
        let mut facts = at_rest();
        says(&mut facts, "caudal-api-x", seconds, "WARN", message);
        // It explains what routers say.
        refuses(&mut facts, seconds + 1, "unavailable", "");
        let report = diagnose(&facts);
        let first = report.findings.iter().find(|one| one.kind == Kind::Database);
        let said = first.map_or("", |one| one.says.as_str());
        assert!(said.starts_with(words) && said.is_empty() == words.is_empty(), "{message}: {said}");
        if outcome == Outcome::Wrong {
            assert!(first_line(&report).starts_with("Nobody can go live: the api cannot use PostgreSQL"));
        }
        // A broadcast that is on the air needs it no more.
        facts.target = Target::Channel("ann".to_owned());
        add(&mut facts.streams, broadcast(now(), "Live"));
        add(&mut facts.pods, claimed(&ready()));
        assert_eq!(diagnose(&facts).outcome, Outcome::Healthy, "{message}");
    }
}

#[test]
fn a_refusal_is_told_of_the_channel_whose_key_the_router_knew() {
    let mut facts = live();
    add(&mut facts.streams, {
        let mut bob = broadcast(now(), "Live");
        bob["metadata"]["name"] = "s-bob".into();
        bob["spec"]["stream"] = objects::SESSION.into();
        bob["spec"]["channel"] = "bob".into();
        bob
    });
    refuses(&mut facts, 10, "already_live", "ann");
    let said = "in the last 15 minutes routers refused a publisher for a channel that is live already (ann)";
    for (target, told) in [
        (Target::Channel("ann".to_owned()), true),
        (Target::Channel("bob".to_owned()), false),
        (Target::Stream(objects::STREAM.parse().unwrap()), true),
        (Target::Stream(objects::SESSION.parse().unwrap()), false),
        (Target::Installation, true),
    ] {
        facts.target = target;
        let found: Vec<_> =
            checks::all(&facts).into_iter().filter(|one| one.place == Place::Router).collect();
        assert_eq!(found.iter().any(|one| one.says == said), told, "{:?}: {found:?}", facts.target);
        assert_eq!(found.len(), usize::from(told), "{:?}: {found:?}", facts.target);
    }
}

#[test]
fn of_refusals_the_newest_counts_and_what_answers_again_is_said_to() {
    // The api did not answer, and then it did: the key was wrong.
    let mut facts = at_rest();
    refuses(&mut facts, 20, "unavailable", "");
    refuses(&mut facts, 10, "unknown_key", "");
    let report = diagnose(&facts);
    assert_eq!(report.outcome, Outcome::Healthy, "{}", first_line(&report));
    assert!(report.findings.iter().any(|one| one.says.ends_with("from the api; it answers now")));
    facts.target = Target::Channel("bob".to_owned());
    let line = first_line(&diagnose(&facts));
    assert!(line.contains("routers refused a publisher for an unknown stream key"), "{line}");
    // Of a channel that had a broadcast, strangers' keys are no verdict, nor is what was before them.
    let mut facts = with(over(now(), "Failed", "no_capacity", "the platform had no worker for it"), "ann");
    refuses(&mut facts, 20, "unavailable", "");
    refuses(&mut facts, 10, "unknown_key", "");
    let line = first_line(&diagnose(&facts));
    assert!(line.starts_with("ann is not live: its last broadcast ended"), "{line}");
    // A key that was known came as far as the API server, which answers once a broadcast is there.
    let mut facts = at_rest();
    refuses(&mut facts, 50, "unavailable", "ann");
    refuses(&mut facts, 45, "unknown_key", "");
    let line = first_line(&diagnose(&facts));
    assert!(line.ends_with("for want of an answer from the API server (ann)."), "{line}");
    let mut begun = broadcast(now(), "Live");
    begun["metadata"]["creationTimestamp"] = ago(now(), 30).into();
    add(&mut facts.streams, begun);
    assert_eq!(diagnose(&facts).outcome, Outcome::Healthy);
}

#[test]
fn a_broadcast_that_was_stopped_is_no_problem_and_one_that_failed_is() {
    for (phase, reason, outcome) in [
        ("Ended", "unpublished", Outcome::Healthy),
        ("Ending", "ended_by_owner", Outcome::Healthy),
        ("Ended", "publisher_lost", Outcome::Wrong),
        ("Failed", "workers_lost", Outcome::Wrong),
        ("Failed", "start_timeout", Outcome::Wrong),
    ] {
        let mut facts = with(over(now(), phase, reason, "so it was"), "ann");
        let report = diagnose(&facts);
        let and = if outcome == Outcome::Healthy { ", and nothing is wrong" } else { "" };
        let line = format!("ann is not live: its last broadcast ended at 03:11:39Z: so it was{and}.");
        assert_eq!((report.outcome, first_line(&report)), (outcome, line), "{reason}");
        assert!(text(&report, Paint::Plain).contains("What to do next"), "{reason}");
        // Beside a fault it is evidence.
        facts.pools.as_mut().unwrap()[0].spec.max_workers = 0;
        let report = diagnose(&facts);
        assert_eq!(report.outcome, Outcome::Wrong, "{reason}");
        if outcome == Outcome::Healthy {
            assert_eq!(report.findings.len(), 1, "{reason}: {:?}", report.findings);
        }
    }
}

#[test]
fn an_encoder_that_is_connected_and_sends_nothing_is_told() {
    for (bitrate, since, line) in [
        (0, 30, "ann is live, but not for long: its encoder is connected, but sends nothing."),
        // Nothing was measured yet.
        (0, 5, "ann is live, and nothing is wrong."),
        (6_000_000, 30, "ann is live, and nothing is wrong."),
    ] {
        let mut stream = broadcast(now(), "Live");
        stream["status"]["media"] = json!({ "bitrate": bitrate });
        stream["status"]["conditions"][0]["lastTransitionTime"] = ago(now(), since).into();
        let mut facts = with(stream, "ann");
        add(&mut facts.pods, claimed(&ready()));
        assert_eq!(first_line(&diagnose(&facts)), line);
    }
}

#[test]
fn a_second_worker_that_does_not_run_is_not_called_the_broadcasts_own() {
    for (epoch, says) in [
        ("2", "the worker that it is to move to does not run: no node takes it"),
        ("0", "a worker that it had before does not run: no node takes it"),
    ] {
        let mut facts = live();
        let mut other = claimed(&objects::unscheduled(now(), "0/2 nodes are available: 2 Insufficient cpu."));
        other["metadata"]["name"] = "w-other".into();
        other["metadata"]["labels"]["caudal.dev/epoch"] = epoch.into();
        add(&mut facts.pods, other);
        let report = diagnose(&facts);
        assert_eq!(first_line(&report), "ann is live, and there is one warning.");
        assert!(report.findings[0].says.starts_with(says), "{:?}", report.findings);
    }
}

#[test]
fn pods_that_are_being_deleted_are_neither_young_nor_a_role() {
    let leaving = |facts: &mut Facts| {
        for pod in facts.pods.as_mut().unwrap() {
            if pod.metadata.name.as_deref() == Some("caudal-ingest-router-x") {
                let at: Timestamp = ago(now(), 10).parse().unwrap();
                pod.metadata.deletion_timestamp =
                    Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
            }
        }
    };
    let no_deployment = "there is no Deployment of it, and its pods are being deleted";
    for (replicas, says) in [
        (None, no_deployment),
        (Some(0), "its Deployment caudal-ingest-router is scaled to 0"),
        (Some(1), "its Deployment caudal-ingest-router has no pods but those that are being deleted; does"),
    ] {
        let mut facts = at_rest();
        leaving(&mut facts);
        let deployments = facts.deployments.as_mut().unwrap();
        deployments.retain(|one| one.metadata.name.as_deref() != Some("caudal-ingest-router"));
        if let Some(replicas) = replicas {
            add(&mut facts.deployments, deployment("ingest-router", replicas));
        }
        let line = first_line(&diagnose(&facts));
        assert!(line.starts_with(&format!("Nobody can go live: no ingest-router runs: {says}")), "{line}");
    }
}

#[test]
fn advice_helps_with_what_is_the_matter() {
    // A closed pool whose places are taken.
    let mut facts = live();
    facts.target = Target::Installation;
    facts.pools = Ok(vec![serde_json::from_value(objects::pool(now(), 0, 0, 1)).unwrap()]);
    let scale = "kubectl -n caudal scale workerpool default --replicas=2 ";
    assert!(advice(&facts, Kind::Capacity).iter().any(|line| line.starts_with(scale)));
    // A quota, by the broadcast's own screen.
    let mut facts = with(broadcast(now(), "Pending"), "ann");
    let line = json!({
        "timestamp": ago(now(), 5), "level": "WARN", "stream": objects::STREAM, "error": "exceeded quota: team",
        "message": "a stream gets no worker now; asking again each second",
    });
    facts.logs =
        BTreeMap::from([("caudal-operator-x".to_owned(), Ok(vec![LogLine::read(&line.to_string())]))]);
    assert!(advice(&facts, Kind::Quota).contains(&"kubectl -n caudal describe resourcequota".to_owned()));
    // Where that log cannot be read, the LiveStream says so too.
    let mut stream = broadcast(now(), "Pending");
    stream["status"]["reason"] = "waiting for a worker: exceeded quota: team".into();
    let facts = with(stream, "ann");
    assert!(advice(&facts, Kind::Waiting).contains(&"kubectl -n caudal describe resourcequota".to_owned()));
    // A node that was cordoned, alone and beside one that is full.
    for (said, uncordon, add_one) in [
        ("0/1 nodes are available: 1 node(s) were unschedulable.", true, false),
        ("0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable.", true, true),
        ("0/1 nodes are available: 1 Insufficient cpu.", false, true),
    ] {
        let mut facts = with(broadcast(now(), "Pending"), "ann");
        add(&mut facts.pods, claimed(&objects::unscheduled(now(), said)));
        let advice = advice(&facts, Kind::Scheduling);
        assert_eq!(advice.iter().any(|line| line.starts_with("kubectl uncordon")), uncordon, "{said}");
        assert_eq!(advice.iter().any(|line| line.starts_with("Add a node")), add_one, "{said}");
    }
}

#[test]
fn that_a_quota_allows_no_more_is_said_once() {
    let mut facts = at_rest();
    let mut pool = objects::pool(now(), 4, 0, 0);
    let refused = "a quota allows no more: pods \"w-default-0\" is forbidden: exceeded quota: team";
    pool["status"]["conditions"][0]["reason"] = "CannotCreate".into();
    pool["status"]["conditions"][0]["message"] = refused.into();
    facts.pools = Ok(vec![serde_json::from_value(pool).unwrap()]);
    let said = format!("the pool default cannot make workers: {refused}");
    assert!(checks::all(&facts).iter().any(|one| one.kind == Kind::Quota && one.says == said));
}

fn advice(facts: &Facts, kind: Kind) -> Vec<String> {
    checks::all(facts).into_iter().find(|one| one.kind == kind).unwrap().advice
}

#[test]
fn what_a_program_writes_before_it_has_a_log_is_shown() {
    // As `caudal` writes it to standard error.
    for (written, code, shown) in [
        (
            "caudal: DATABASE_URL is missing\ncaudal: warning: CAUDAL_POL is no setting\n",
            64,
            ": DATABASE_URL is missing",
        ),
        (
            "caudal: 2 settings cannot be used:\n  HLS_PATH is missing\n  BIND is no address\n",
            64,
            ": BIND is no address",
        ),
        ("caudal: cannot listen on 0.0.0.0:1935: in use\n", 1, ": cannot listen on 0.0.0.0:1935: in use"),
        (
            "thread 'main' panicked at src/x.rs:1:2:\nof course\nnote: run with `RUST_BACKTRACE=1`\n",
            101,
            ": of course",
        ),
        ("caudal: it ends\n", 0, " with exit code 0"),
    ] {
        let mut facts = at_rest();
        let status = json!({
            "phase": "Running",
            "containerStatuses": [objects::container(&json!({ "terminated": { "exitCode": code, "reason": "Error" } }), false)],
        });
        facts.pods.as_mut().unwrap().retain(|pod| pod.metadata.name.as_deref() != Some("caudal-api-x"));
        add(&mut facts.pods, role_pod("api", &of_role("api", status)));
        facts.logs =
            BTreeMap::from([("caudal-api-x".to_owned(), Ok(written.lines().map(LogLine::read).collect()))]);
        let line = first_line(&diagnose(&facts));
        assert!(line.ends_with(&format!("{shown} (Pod caudal-api-x).")), "{line}");
    }
}

#[test]
fn an_init_container_that_is_done_is_no_trouble_and_one_that_failed_is() {
    for (code, words) in [(0, "it runs, but does not get ready"), (1, "it ended with exit code 1")] {
        let mut status = of_role("api", ready());
        status["conditions"] =
            json!([{ "type": "Ready", "status": "False", "lastTransitionTime": ago(now(), 90) }]);
        status["initContainerStatuses"] =
            json!([objects::container(&json!({ "terminated": { "exitCode": code } }), true)]);
        let mut facts = at_rest();
        facts.pods.as_mut().unwrap().retain(|pod| pod.metadata.name.as_deref() != Some("caudal-api-x"));
        add(&mut facts.pods, role_pod("api", &status));
        let line = first_line(&diagnose(&facts));
        assert!(line.contains(words), "{line}");
    }
}

#[test]
fn a_pod_that_was_ready_for_long_is_not_slow_as_soon_as_it_is_not() {
    for (seconds, slow) in [(5, false), (90, true)] {
        let mut status = of_role("api", ready());
        status["conditions"] =
            json!([{ "type": "Ready", "status": "False", "lastTransitionTime": ago(now(), seconds) }]);
        let mut pod = role_pod("api", &status);
        pod["metadata"]["creationTimestamp"] = ago(now(), 90_000).into();
        let pod = serde_json::from_value(pod).unwrap();
        assert_eq!(crate::pod_trouble::trouble(&pod, &at_rest()).is_some(), slow, "{seconds}");
    }
}

#[test]
fn a_deployment_that_may_not_be_seen_is_not_said_to_be_missing() {
    let mut facts = at_rest();
    facts.pods.as_mut().unwrap().retain(|pod| pod.metadata.name.as_deref() != Some("caudal-api-x"));
    facts.deployments =
        Err(Unseen { attempt: "list deployments.apps".to_owned(), why: "forbidden".to_owned() });
    let line = first_line(&diagnose(&facts));
    assert_eq!(line, "Nobody can go live: no api runs, and its Deployment cannot be looked at.");
}

#[test]
fn strangers_wrong_keys_are_no_verdict_on_a_broadcast() {
    let ended = || over(now(), "Ended", "unpublished", "the publisher stopped");
    let id = Target::Stream(objects::STREAM.parse().unwrap());
    let ann = Target::Channel("ann".to_owned());
    for (stream, target, told) in [
        (Some(ended()), id.clone(), None),
        (None, id, None),
        (Some(ended()), ann.clone(), Some(Severity::Warning)),
        (Some(broadcast(now(), "Reconnecting")), ann.clone(), Some(Severity::Warning)),
        (None, ann, Some(Severity::Problem)),
    ] {
        let mut facts = at_rest();
        if let Some(stream) = stream {
            add(&mut facts.streams, stream);
        }
        facts.target = target;
        says(&mut facts, "caudal-ingest-router-x", 10, "INFO", "publisher refused");
        let found =
            kinds(&facts).into_iter().find(|(kind, _)| *kind == Kind::Key).map(|(_, severity)| severity);
        assert_eq!(found, told, "{:?}", facts.target);
    }
}

#[test]
fn a_broadcasts_own_worker_does_not_fill_its_pool() {
    for (claims, full) in [(1, false), (2, true)] {
        let mut facts = with(broadcast(now(), "Pending"), "ann");
        add(&mut facts.pods, claimed(&waiting("ContainerCreating", "")));
        let pool = objects::pool(now(), claims, 0, claims);
        facts.pools = Ok(vec![serde_json::from_value(pool).unwrap()]);
        if full {
            // The other one's.
            facts.pools.as_mut().unwrap()[0].spec.max_workers = 1;
        }
        assert_eq!(kinds(&facts).iter().any(|(kind, _)| *kind == Kind::Capacity), full, "{claims} claims");
    }
}

#[test]
fn a_pool_that_an_uninstall_has_closed_is_not_called_too_small() {
    for (most, annotations, told) in [
        (0, json!({}), vec![Kind::Capacity]),
        (0, json!({ "caudal.dev/closed-by-uninstall": "{}" }), vec![Kind::Closed]),
        // Somebody has opened it since.
        (4, json!({ "caudal.dev/closed-by-uninstall": "{}" }), vec![]),
        (4, json!({ "caudal.dev/paused": "true" }), vec![Kind::Paused]),
        (4, json!({ "caudal.dev/paused": "yes" }), vec![]),
        (
            0,
            json!({ "caudal.dev/closed-by-uninstall": "{}", "caudal.dev/paused": "true" }),
            vec![Kind::Closed, Kind::Paused],
        ),
    ] {
        let mut facts = at_rest();
        let mut pool = objects::pool(now(), 4, 1, 0);
        pool["spec"]["maxWorkers"] = most.into();
        pool["metadata"]["annotations"] = annotations.clone();
        facts.pools = Ok(vec![serde_json::from_value(pool).unwrap()]);
        let found: Vec<_> = kinds(&facts).into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(found, told, "{annotations}");
    }
}

#[test]
fn a_spent_quota_is_told_once_whatever_the_number_of_pools() {
    let mut facts = at_rest();
    for name in ["b", "c"] {
        let mut pool = objects::pool(now(), 4, 1, 0);
        pool["metadata"]["name"] = name.into();
        add(&mut facts.pools, pool);
    }
    let quota = json!({ "metadata": { "name": "team" }, "status": { "hard": { "pods": "4" }, "used": { "pods": "4" } } });
    add(&mut facts.quotas, quota);
    assert_eq!(kinds(&facts), [(Kind::Quota, Severity::Warning)]);
}

#[test]
fn a_quota_of_broadcasts_is_told_from_one_of_pods() {
    let mut facts = at_rest();
    facts.target = Target::Channel("ann".to_owned());
    let spent = json!({ "count/livestreams.caudal.dev": "1" });
    let quota = json!({ "metadata": { "name": "team" }, "status": { "hard": spent, "used": spent } });
    add(&mut facts.quotas, quota);
    let said = "the ResourceQuota team allows no more broadcasts: count/livestreams.caudal.dev 1 of 1";
    assert_eq!(diagnose(&facts).findings[0].says, said);
    // Of a broadcast that was made, it is not why this one ended.
    add(&mut facts.streams, over(now(), "Failed", "workers_lost", "its workers were lost"));
    for (target, severity) in [
        (Target::Channel("ann".to_owned()), Severity::Problem),
        (Target::Stream(objects::STREAM.parse().unwrap()), Severity::Warning),
        (Target::Stream(objects::SESSION.parse().unwrap()), Severity::Problem),
    ] {
        facts.target = target;
        assert_eq!(kinds(&facts).first(), Some(&(Kind::Quota, severity)), "{:?}", facts.target);
    }
    facts.target = Target::Stream(objects::STREAM.parse().unwrap());
    let line = first_line(&diagnose(&facts));
    assert!(line.ends_with("is not live: it ended at 03:11:39Z: its workers were lost."), "{line}");
}

#[test]
fn one_broadcast_that_failed_is_not_several() {
    let mut facts = with(over(now(), "Failed", "workers_lost", "its workers were lost"), "ann");
    facts.target = Target::Installation;
    let report = diagnose(&facts);
    let said = "1 broadcast failed in the last 15 minutes; the newest is ann's: its workers were lost";
    assert_eq!(report.findings[0].says, said);
}

#[test]
fn qualities_that_are_not_made_are_named_with_the_reason_and_until_they_are_tried_again() {
    let mut facts = live();
    let line = |seconds, message: &str, rung: &str| {
        let reason = "it takes more CPU than the worker has";
        let line = json!({ "timestamp": ago(now(), seconds), "level": "WARN", "message": message, "rung": rung, "reason": reason });
        LogLine::read(&line.to_string())
    };
    let mut lines = vec![line(2_000, workers::WITHDRAWN, "1080p"), line(1_900, workers::WITHDRAWN, "720p")];
    facts.logs = BTreeMap::from([(objects::worker(), Ok(lines.clone()))]);
    let report = diagnose(&facts);
    assert_eq!(first_line(&report), "ann is live, and there is one warning.");
    let said = "its worker does not make 1080p, 720p at present: it takes more CPU than the worker has";
    assert_eq!((report.findings[0].says.as_str(), report.findings[0].kind), (said, Kind::QualitiesReduced));
    lines.push(line(60, workers::TRIED_AGAIN, "720p"));
    facts.logs = BTreeMap::from([(objects::worker(), Ok(lines.clone()))]);
    assert!(diagnose(&facts).findings[0].says.contains("does not make 1080p at present"));
    lines.push(line(50, workers::TRIED_AGAIN, "1080p"));
    facts.logs = BTreeMap::from([(objects::worker(), Ok(lines))]);
    assert_eq!(diagnose(&facts).findings, []);
}

#[test]
fn a_pool_that_was_full_and_has_room_again_keeps_nobody_from_going_live() {
    let refused = |seconds| {
        let line = json!({ "timestamp": ago(now(), seconds), "message": "publisher refused", "reason": "no_capacity" });
        Ok(vec![LogLine::read(&line.to_string())])
    };
    let mut facts = at_rest();
    facts.logs = BTreeMap::from([("caudal-ingest-router-x".to_owned(), refused(30))]);
    let report = diagnose(&facts);
    assert_eq!(report.outcome, Outcome::Healthy, "{}", first_line(&report));
    assert!(report.findings[0].says.ends_with("for no capacity; there is room now"), "{:?}", report.findings);
    // Whoever asks for a channel wants to know why it is not there.
    facts.target = Target::Channel("ann".to_owned());
    assert!(first_line(&diagnose(&facts)).starts_with("ann is not live: in the last 15 minutes"));
    facts.target = Target::Installation;
    // An api that was away for a moment, and one that still is.
    for (seconds, outcome) in [(300, Outcome::Healthy), (20, Outcome::Wrong)] {
        let line = json!({ "timestamp": ago(now(), seconds), "message": "publisher refused", "reason": "unavailable" });
        let line = Ok(vec![LogLine::read(&line.to_string())]);
        facts.logs = BTreeMap::from([("caudal-ingest-router-x".to_owned(), line)]);
        assert_eq!(diagnose(&facts).outcome, outcome, "{seconds}");
    }
}

#[test]
fn where_obs_is_to_connect_is_read_from_the_service() {
    let service = |spec: Value, status: Value| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "name": "caudal-rtmp", "labels": objects::labels("ingest-router") },
            "spec": spec, "status": status,
        })
    };
    let ports = |node: u16| json!([{ "name": "rtmp", "port": 1935, "nodePort": node }]);
    for (spec, status, expected) in [
        (json!({ "type": "NodePort", "ports": ports(31_935) }), json!({}), "nc -vz NODE-ADDRESS 31935"),
        (
            json!({ "type": "LoadBalancer", "ports": ports(31_936) }),
            json!({ "loadBalancer": { "ingress": [{ "ip": "203.0.113.7" }] } }),
            "nc -vz 203.0.113.7 1935",
        ),
        (
            json!({ "type": "LoadBalancer", "ports": ports(31_937) }),
            json!({}),
            "The Service caudal-rtmp waits for an address",
        ),
        (
            json!({ "type": "ClusterIP", "ports": [{ "name": "rtmp", "port": 1935 }] }),
            json!({}),
            "The Service caudal-rtmp is of type ClusterIP",
        ),
    ] {
        let mut facts = live();
        facts.target = Target::Channel("bob".to_owned());
        add(&mut facts.services, service(spec, status));
        let advice = diagnose(&facts).findings[0].advice.clone();
        assert!(advice.iter().any(|line| line.starts_with(expected)), "{expected}: {advice:?}");
        assert!(!advice.iter().any(|line| line.contains("RTMP-NAME")), "{advice:?}");
    }
}

#[test]
fn a_broadcast_that_is_paused_is_said_to_be_so() {
    let mut paused = broadcast(now(), "Live");
    paused["metadata"]["annotations"] = json!({ "caudal.dev/paused": "true" });
    let mut facts = with(paused, "ann");
    add(&mut facts.pods, claimed(&ready()));
    let report = diagnose(&facts);
    assert_eq!(first_line(&report), "ann is live, and there is one warning.");
    assert!(report.findings[0].says.starts_with("it is paused"), "{:?}", report.findings);
}

/// The doctor reads other programs' logs, whose words nothing else holds in place.
#[test]
fn each_line_that_is_looked_for_in_a_log_is_one_that_is_written() {
    use crate::checks::{database, publishers};
    let root = std::path::Path::new("../..");
    let worker = ["transcoder-worker/src"];
    let lines = [
        workers::NO_FFMPEG,
        workers::OUTAGE,
        workers::OUTAGE_OVER,
        workers::REFUSES,
        workers::WITHDRAWN,
        workers::TRIED_AGAIN,
    ];
    let lines = lines.into_iter().chain(workers::FFMPEG_FAILS).chain(workers::STORAGE_FAILS);
    let wanted = lines.map(|line| (line, worker)).chain([(publishers::REFUSED, ["ingest-router/src"])]);
    let wanted = wanted.chain(database::FAILS.map(|line| (line, ["api/src"])));
    for (line, [folder]) in wanted {
        assert!(holds(&root.join(folder), &format!("\"{line}")), "nothing in {folder} writes {line:?}");
    }
}

fn holds(folder: &std::path::Path, words: &str) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            holds(&path, words)
        } else {
            String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(words)
        }
    })
}

/// How many seconds ago each was written, and its message.
type Lines = &'static [(i64, &'static str)];
