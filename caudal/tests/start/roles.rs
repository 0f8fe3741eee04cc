//! Roles as processes of their own.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::{Duration, Instant};

use caudal_livestream::StreamId;

use crate::program::{Start, get};

/// A port that nobody listens on.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_role_says_at_once_all_that_it_cannot_do_without() {
    for (role, missing) in [
        (
            "api",
            &[
                "CAUDAL_INTERNAL_CONTROLLER_URL is not set: expected the controller's",
                "CAUDAL_PUBLIC_HLS_URL is not set: expected where players reach",
                "CAUDAL_PUBLIC_RTMP_URL is not set: expected what streamers type",
                "CAUDAL_SECRET is not set: expected the same in all roles",
                "DATABASE_URL is not set: expected PostgreSQL",
            ][..],
        ),
        ("ingest-router", &["CAUDAL_INTERNAL_API_URL", "CAUDAL_INTERNAL_CONTROLLER_URL", "CAUDAL_SECRET"]),
        (
            "hls-edge",
            &[
                "CAUDAL_INTERNAL_API_URL",
                "CAUDAL_INTERNAL_CONTROLLER_URL",
                "CAUDAL_SECRET",
                "HLS_PATH is not set",
            ],
        ),
        ("controller", &["CAUDAL_INTERNAL_API_URL", "CAUDAL_SECRET"]),
    ] {
        let ended = Start::of(role).end();
        assert_eq!(ended.code, Some(64), "{role}: {}", ended.stderr);
        let count = format!("caudal: {} settings cannot be used:", missing.len());
        assert!(ended.stderr.starts_with(&count), "{role}: {}", ended.stderr);
        for name in missing {
            assert!(ended.stderr.contains(name), "{role}, {name}: {}", ended.stderr);
        }
    }
}

#[test]
fn several_apis_are_told_that_they_need_a_redis() {
    let expected = "REDIS_URL is not set: CAUDAL_API_REPLICAS is several";
    let several = || Start::of("api").with("CAUDAL_API_REPLICAS", "several");
    let ended = several().end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    let ended = several().with("REDIS_URL", "redis://127.0.0.1:1").end();
    assert!(!ended.stderr.contains(expected), "{}", ended.stderr);
}

#[test]
fn a_router_that_binds_all_addresses_is_told_the_one_that_others_reach_it_at() {
    let router = || Start::of("ingest-router").with("CAUDAL_INTERNAL_BIND", "0.0.0.0");
    let expected = "CAUDAL_ADVERTISED_ADDRESS is not set: CAUDAL_INTERNAL_BIND is 0.0.0.0";
    let ended = router().end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    let ended = router().with("CAUDAL_ADVERTISED_ADDRESS", "10.0.0.7").end();
    assert!(!ended.stderr.contains(expected), "{}", ended.stderr);
}

#[test]
fn a_setting_of_another_role_ends_the_start_by_flag_and_is_nothing_in_the_environment() {
    let url = format!("http://{}", nobody());
    let edge = || {
        Start::of("hls-edge")
            .with("CAUDAL_INTERNAL_CONTROLLER_URL", &url)
            .with("CAUDAL_INTERNAL_API_URL", &url)
            .with("CAUDAL_SECRET", "x".repeat(32))
            .with("HLS_PATH", std::env::temp_dir())
            // The router's, and the api's.
            .with("RTMP_PORT", "no port")
            .with("DATABASE_URL", "no database")
    };
    let ended = edge().flag("--rtmp-port=1935").end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("--rtmp-port is a setting of standalone and ingest-router, not of hls-edge"),
        "{}",
        ended.stderr
    );
    let (ended, _folder) = edge().interrupted_at("the controller is away");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("there is no setting"), "{}", ended.stderr);
    // Standard output stands between them.
    let logged: Vec<&str> = ended.stderr.lines().filter(|line| line.contains(" caudal::")).collect();
    assert!(!logged.is_empty(), "{}", ended.stderr);
    for line in logged {
        assert!(line.contains("Z role=hls-edge "), "{line}");
    }
}

#[test]
fn a_door_without_a_controller_waits_for_it_and_ends_when_it_is_told_to() {
    for role in ["ingest-router", "hls-edge"] {
        let url = format!("http://{}", nobody());
        let start = Start::of(role)
            .with("CAUDAL_INTERNAL_CONTROLLER_URL", &url)
            .with("CAUDAL_INTERNAL_API_URL", &url)
            .with("CAUDAL_SECRET", "x".repeat(32))
            .with("HLS_PATH", std::env::temp_dir());
        let (ended, _folder) = start.interrupted_at("the controller is away");
        assert_eq!(ended.code, Some(0), "{role}: {}", ended.stderr);
        assert!(ended.stderr.contains(&url) && !ended.stderr.contains("ready"), "{role}: {}", ended.stderr);
    }
}

#[test]
fn a_role_says_that_it_is_told_to_stop_and_that_it_has() {
    let url = format!("http://{}", nobody());
    for (role, until) in [
        ("ingest-router", "the controller is away"),
        ("hls-edge", "the controller is away"),
        ("controller", "ready"),
    ] {
        let start = Start::of(role)
            .with("CAUDAL_INTERNAL_CONTROLLER_URL", &url)
            .with("CAUDAL_INTERNAL_API_URL", &url)
            .with("CAUDAL_SECRET", "x".repeat(32));
        let media = start.folder.path().to_owned();
        let (ended, _folder) = start.with("HLS_PATH", media).interrupted_at(until);
        assert_eq!(ended.code, Some(0), "{role}: {}", ended.stderr);
        let at =
            |words: &str| ended.stderr.find(words).unwrap_or_else(|| panic!("{words}: {}", ended.stderr));
        assert!(at("told to stop signal=\"SIGTERM\"") < at("stopped"), "{role}: {}", ended.stderr);
    }
}

#[test]
fn a_controller_that_refuses_the_signature_is_told_from_one_that_is_away() {
    let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [port, admin] = free.each_ref().map(|listener| listener.local_addr().unwrap().port());
    drop(free);
    let url = format!("http://127.0.0.1:{port}");
    let controller = Start::of("controller")
        .with("CAUDAL_INTERNAL_API_URL", format!("http://{}", nobody()))
        .with("CAUDAL_INTERNAL_PORT", port.to_string())
        .with("CAUDAL_SECRET", "x".repeat(32))
        .ready();
    let edge = Start::of("hls-edge")
        .with("CAUDAL_INTERNAL_CONTROLLER_URL", &url)
        .with("CAUDAL_INTERNAL_API_URL", format!("http://{}", nobody()))
        .with("CAUDAL_SECRET", "y".repeat(32))
        .with("CAUDAL_ADMIN_PORT", admin.to_string())
        .with("HLS_PATH", std::env::temp_dir());
    let refused = "the controller refuses this role's signature";
    let (ended, _folder) = edge.interrupted_after(refused, |_| {
        let words = format!("not ready: the controller at {url} refuses this role's signature: it does not");
        // It is said in the log first.
        let patience = Instant::now() + Duration::from_secs(20);
        let answer = std::iter::repeat_with(|| get(&format!("http://127.0.0.1:{admin}/readyz")))
            .find(|answer| !answer.ends_with("not ready\n") || Instant::now() > patience)
            .unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains(&words), "{answer}");
    });
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stderr.contains("the controller is away"), "{}", ended.stderr);
    assert!(ended.stderr.contains("CAUDAL_SECRET or CAUDAL_KEYS is another one there"), "{}", ended.stderr);
    controller.interrupt();
}

#[test]
fn a_folder_that_roles_share_is_not_made_by_any_of_them() {
    let url = format!("http://{}", nobody());
    for role in ["hls-edge", "controller"] {
        let start = Start::of(role)
            .with("CAUDAL_INTERNAL_CONTROLLER_URL", &url)
            .with("CAUDAL_INTERNAL_API_URL", &url)
            .with("CAUDAL_SECRET", "x".repeat(32));
        let mistyped = start.folder.path().join("medai");
        let flag = format!("--hls-path={}", mistyped.display());
        // The folder of this start is gone when it has ended.
        let parent = start.folder.path().to_owned();
        let (ended, left) = start.flag(&flag).ended();
        assert_eq!(ended.code, Some(64), "{role}: {}", ended.stderr);
        let expected = format!("--hls-path is {mistyped:?}: there is no such folder");
        assert!(ended.stderr.contains(&expected), "{role}: {}", ended.stderr);
        assert!(left.path() == parent && !mistyped.exists(), "{role}");
    }
}

#[test]
fn a_role_says_where_it_listens_and_whom_it_asks() {
    let url = format!("http://{}", nobody());
    for (role, places) in [
        ("ingest-router", &["RTMP", "other roles", "metrics", "controller", "api"][..]),
        ("hls-edge", &["HLS and DASH", "metrics", "controller", "api", "segments"]),
        ("controller", &["other roles", "metrics", "api", "data", "segments"]),
    ] {
        let start = Start::of(role)
            .with("CAUDAL_INTERNAL_CONTROLLER_URL", &url)
            .with("CAUDAL_INTERNAL_API_URL", &url)
            .with("CAUDAL_SECRET", "x".repeat(32));
        let media = start.folder.path().to_owned();
        let until = if role == "controller" { "ready" } else { "the controller is away" };
        let (ended, _folder) = start.with("HLS_PATH", media).interrupted_at(until);
        for place in places {
            let line =
                ended.stderr.lines().find(|line| line.get(11..).is_some_and(|rest| rest.starts_with(place)));
            assert!(line.is_some(), "{role}, {place}: {}", ended.stderr);
        }
        assert!(ended.stderr.contains(&url), "{role}: {}", ended.stderr);
    }
}

#[test]
fn a_worker_has_its_id_in_its_command_line_and_the_grace_of_the_settings() {
    let controller = Start::of("controller")
        .with("CAUDAL_INTERNAL_API_URL", format!("http://{}", nobody()))
        .with("CAUDAL_SECRET", "x".repeat(32))
        .flag("--worker-grace=7s")
        .ready();
    let children = controller.children();
    let [worker] = children.as_slice() else { panic!("{children:?}") };
    assert_eq!(worker.name, "caudal-worker");
    assert!(worker.command.contains("/caudal\ntranscoder-worker\n--worker-id="), "{worker:?}");
    assert!(worker.environment.lines().any(|line| line == "CAUDAL_WORKER_GRACE=7s"), "{worker:?}");
    controller.interrupt();
}

#[test]
fn workers_are_this_release_s_also_once_its_file_is_gone() {
    let release = tempfile::tempdir().unwrap();
    let file = release.path().join("caudal");
    let controller = Start::by_copy(&file, "controller")
        .with("CAUDAL_INTERNAL_API_URL", format!("http://{}", nobody()))
        .with("CAUDAL_SECRET", "x".repeat(32))
        .ready();
    std::fs::remove_file(&file).unwrap();
    let another = controller.replaced_worker();
    assert!(another.command.starts_with(file.to_str().unwrap()), "{another:?}");
    controller.interrupt();
}

#[test]
fn a_controller_starts_and_ends_without_an_api() {
    let start = Start::of("controller")
        .with("CAUDAL_INTERNAL_API_URL", format!("http://{}", nobody()))
        .with("CAUDAL_SECRET", "x".repeat(32))
        .with("PATH", "/nowhere");
    let (ended, folder) = start.interrupted_at("ready");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(folder.path().join("data/streams").is_dir());
    assert!(!folder.path().join("data/secrets/master").exists(), "its secret is given");
    assert!(ended.stderr.contains("ffmpeg is not in PATH"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("no web pages"), "those are the api's: {}", ended.stderr);
}

#[test]
fn a_controller_ends_in_time_though_its_storage_hangs() {
    let start = Start::of("controller")
        .with("CAUDAL_INTERNAL_API_URL", format!("http://{}", nobody()))
        .with("CAUDAL_SECRET", "x".repeat(32));
    // Whichever of these states is read first shows that they are looked for, and the reader waits at the other.
    let states = [(); 2].map(|()| {
        let state =
            start.folder.path().join(format!("data/media/live/{}/state-1.json", StreamId::generate()));
        std::fs::create_dir_all(state.parent().unwrap()).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&state).status().unwrap().success());
        state
    });
    let (ended, _folder) = start.interrupted_after("ready", |_| {
        let is_read = |state: &std::path::PathBuf| {
            std::fs::File::options().write(true).custom_flags(nix::libc::O_NONBLOCK).open(state).is_ok()
        };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !states.iter().any(is_read) {
            assert!(Instant::now() < deadline, "nobody looks into storage");
            std::thread::yield_now();
        }
    });
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
