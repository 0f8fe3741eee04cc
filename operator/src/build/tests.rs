//! What a pod is, from what a pool says.

use caudal_kubernetes::live_stream::Rung;
use caudal_kubernetes::worker_pool::{Encoder, Template, Warm};
use caudal_kubernetes::{WorkerPoolSpec, names::STREAM_LABEL};
use serde_json::Value;

use super::*;

pub(crate) fn ladder() -> Vec<Rung> {
    [("720p", 720, 2_800_000), ("480p", 480, 1_400_000), ("360p", 360, 800_000)]
        .map(|(name, height, bitrate)| Rung { name: name.parse().unwrap(), height, bitrate })
        .into()
}

pub(crate) fn pool(template: Template) -> WorkerPool {
    let mut pool = WorkerPool::new(
        "default",
        WorkerPoolSpec {
            max_workers: 20,
            warm: Warm::default(),
            move_surge: 5,
            ladder: ladder(),
            encoder: Encoder::X264,
            template,
        },
    );
    pool.metadata.uid = Some("00000000-0000-4000-8000-000000000001".to_owned());
    pool
}

pub(crate) fn settings() -> PodSettings {
    PodSettings {
        namespace: "caudal".to_owned(),
        release: "caudal".to_owned(),
        image: "example.org/caudal:0.1.0".to_owned(),
        pull_secrets: Vec::new(),
        pull_policy: None,
        secret: "caudal-worker".to_owned(),
        storage: Storage::Volume { claim: "caudal-media".to_owned() },
        log_level: None,
        traces: None,
    }
}

fn yaml(pod: &Pod) -> String {
    serde_saphyr::to_string(pod).unwrap()
}

#[test]
fn a_warm_pod() {
    insta::assert_snapshot!(yaml(&warm(&pool(Template::default()), 3, &settings())));
}

#[test]
fn a_cold_pod_with_a_bucket_and_a_template() {
    let template: Template = serde_json::from_value(serde_json::json!({
        "labels": { "team": "video", STREAM_LABEL: "stolen" },
        "annotations": { "example.org/note": "a", "caudal.dev/anything": "b" },
        "nodeSelector": { "video": "yes" },
        "tolerations": [{ "key": "video", "operator": "Exists" }],
        "topologySpreadConstraints": [],
        "priorityClassName": "live",
        "resources": { "limits": { "cpu": "4" } },
    }))
    .unwrap();
    let settings = PodSettings {
        pull_secrets: vec!["registry".to_owned()],
        pull_policy: Some("Always".to_owned()),
        storage: Storage::Bucket {
            name: "media".to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint: Some("https://s3.example.org".to_owned()),
            credentials: BucketCredentials::Secret("caudal-bucket".to_owned()),
        },
        log_level: Some("info".to_owned()),
        traces: Some(WorkerTraces { endpoint: "http://collector.observe:4318".to_owned(), share: 0.1 }),
        ..settings()
    };
    let stream: StreamId = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
    let owner = "00000000-0000-4000-8000-000000000002";
    insta::assert_snapshot!(yaml(&cold(&pool(template), stream, Epoch(2), owner, &settings)));
}

#[test]
fn a_pod_whose_credentials_come_with_its_assignment_has_no_secret_of_the_bucket() {
    let storage = |credentials| Storage::Bucket {
        name: "media".to_owned(),
        region: "eu-central-1".to_owned(),
        endpoint: None,
        credentials,
    };
    let of = |credentials| {
        let settings = PodSettings { storage: storage(credentials), ..settings() };
        (yaml(&warm(&pool(Template::default()), 0, &settings)), hash(&pool(Template::default()), &settings))
    };
    let (assigned, hash) = of(BucketCredentials::Assignment);
    assert!(assigned.contains("CAUDAL_STORAGE_CREDENTIALS"), "{assigned}");
    for absent in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "caudal-bucket", BUCKET_SECRET_FOLDER] {
        assert!(!assigned.contains(absent), "{absent}: {assigned}");
    }
    let (own, other_hash) = of(BucketCredentials::Secret("caudal-bucket".to_owned()));
    assert!(own.contains("AWS_ACCESS_KEY_ID_FILE") && !own.contains("CAUDAL_STORAGE_CREDENTIALS"), "{own}");
    assert_ne!(hash, other_hash, "idle pods of the other kind are replaced");
}

#[test]
fn a_pod_that_is_to_be_elsewhere_is_the_same_pod_otherwise() {
    let pod = || warm(&pool(Template::default()), 0, &settings());
    assert_eq!(elsewhere(pod(), &BTreeSet::new()), pod());
    let nodes = BTreeSet::from(["node-1".to_owned(), "node-2".to_owned()]);
    let away = elsewhere(pod(), &nodes);
    assert_eq!(away.metadata, pod().metadata, "it is not outdated");
    let other_than =
        |node| serde_json::json!({ "key": "metadata.name", "operator": "NotIn", "values": [node] });
    let affinity = serde_json::json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 100, "preference": { "matchFields": [other_than("node-1"), other_than("node-2")] },
    }] } });
    assert_eq!(serde_json::to_value(away).unwrap()["spec"]["affinity"], affinity);
}

#[test]
fn a_pod_keeps_the_restricted_standard_whatever_the_template_says() {
    let pods = [
        warm(&pool(Template::default()), 0, &settings()),
        cold(&pool(Template::default()), StreamId::generate(), Epoch(1), "uid", &settings()),
    ];
    for pod in pods {
        let pod = serde_json::to_value(pod).unwrap();
        let spec = &pod["spec"];
        for host in ["hostNetwork", "hostPID", "hostIPC", "hostUsers"] {
            assert!(spec[host].is_null(), "{host}");
        }
        assert_eq!(spec["automountServiceAccountToken"], false);
        assert_eq!(spec["enableServiceLinks"], false);
        assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
        assert_eq!(spec["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for container in spec["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"], serde_json::json!({ "drop": ["ALL"] }));
            for port in container["ports"].as_array().unwrap() {
                assert!(port["hostPort"].is_null());
            }
        }
        let allowed = ["emptyDir", "secret", "persistentVolumeClaim"];
        for volume in spec["volumes"].as_array().unwrap() {
            let kinds = volume.as_object().unwrap().keys().filter(|key| *key != "name");
            assert!(kinds.into_iter().all(|kind| allowed.contains(&kind.as_str())), "{volume}");
        }
    }
}

#[test]
fn workers_run_as_the_images_user() {
    let image = include_str!("../../../Containerfile");
    assert!(image.contains(&format!("\nUSER {USER}:{USER}\n")), "the Containerfile's user is not {USER}");
}

#[test]
fn the_hash_tells_specs_apart_and_nothing_else() {
    let base = hash(&pool(Template::default()), &settings());
    assert_eq!(hash(&pool(Template::default()), &settings()), base);
    let mut bigger = pool(Template::default());
    (bigger.spec.max_workers, bigger.spec.warm.max) = (50, 20);
    assert_eq!(hash(&bigger, &settings()), base, "how many there are says nothing about each");
    let other_image = PodSettings { image: "example.org/caudal:0.2.0".to_owned(), ..settings() };
    let mut other_ladder = pool(Template::default());
    other_ladder.spec.ladder.pop();
    let annotated = Template {
        annotations: BTreeMap::from([("example.org/note".to_owned(), "a".to_owned())]),
        ..Template::default()
    };
    let labelled =
        Template { labels: BTreeMap::from([("team".to_owned(), "video".to_owned())]), ..Template::default() };
    for (what, other) in [
        ("image", hash(&pool(Template::default()), &other_image)),
        ("ladder", hash(&other_ladder, &settings())),
        ("annotations", hash(&pool(annotated), &settings())),
        ("labels", hash(&pool(labelled), &settings())),
    ] {
        assert_ne!(other, base, "{what}");
    }
}

#[test]
fn what_a_pod_requests_grows_with_its_ladder() {
    let of = |rungs: &[Rung]| serde_json::to_value(resources(rungs)).unwrap();
    let none = serde_json::json!({
        "requests": { "cpu": "50m", "memory": "96Mi" },
        "limits": { "cpu": "150m", "memory": "448Mi" },
    });
    let full = serde_json::json!({
        "requests": { "cpu": "621m", "memory": "234Mi" },
        "limits": { "cpu": "1863m", "memory": "724Mi" },
    });
    for (ladder, expected) in [(Vec::new(), none), (ladder(), full)] {
        let found: Value = of(&ladder);
        assert_eq!(found, expected);
    }
}

#[test]
fn a_broadcast_that_began_with_a_larger_ladder_than_its_pools_gets_a_worker_for_that_one() {
    let large = pool(Template::default());
    let mut small = large.clone();
    small.spec.ladder.remove(0);
    let resources_of = |pool: &WorkerPool, renditions: &[Rung]| {
        let pod = cold(&large_enough(pool, renditions), StreamId::generate(), Epoch(1), "uid", &settings());
        pod.spec.unwrap().containers.remove(0).resources.unwrap()
    };
    assert_eq!(resources_of(&small, &ladder()), resources(&ladder()));
    assert_eq!(resources_of(&large, &[]), resources(&ladder()), "one that needs less gets the pool's");
    let own: Template =
        serde_json::from_value(serde_json::json!({ "resources": { "limits": { "cpu": "4" } } })).unwrap();
    let mut sized = pool(own.clone());
    sized.spec.ladder.clear();
    assert_eq!(resources_of(&sized, &ladder()), own.resources.unwrap(), "somebody has said what all get");
}

#[test]
fn the_documentation_says_what_workers_request() {
    let page = include_str!("../../../docs/kubernetes/size.md");
    let table = page.split("### What a worker takes").nth(1).unwrap().split("\n###").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")).filter(|line| line.contains(" MiB "));
    let mut seen = 0;
    for row in rows {
        let [names, written @ ..] = row.split(" | ").collect::<Vec<_>>().try_into().unwrap_or([""; 5]);
        let heights = names.split([',', ' ']).filter_map(|name| name.strip_suffix('p'));
        let ladder: Vec<Rung> = heights
            .map(|height| Rung {
                name: format!("{height}p").parse().unwrap(),
                height: height.parse().unwrap(),
                bitrate: 1_000_000,
            })
            .collect();
        let given = resources(&ladder);
        let (requests, limits) = (given.requests.unwrap(), given.limits.unwrap());
        let cores = |amount: &str| {
            let cores = amount.strip_suffix('m').unwrap().parse::<f64>().unwrap() / 1000.0;
            format!("{cores:.2}")
        };
        let memory = |amount: &str| format!("{} MiB", amount.strip_suffix("Mi").unwrap());
        let expected = [
            cores(&requests["cpu"].0),
            cores(&limits["cpu"].0),
            memory(&requests["memory"].0),
            memory(&limits["memory"].0),
        ];
        assert_eq!(written.map(|cell| cell.trim_end_matches(" |").to_owned()), expected, "{names}");
        seen += 1;
    }
    assert_eq!(seen, 5);
}
