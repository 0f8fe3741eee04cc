//! `caudal admin`: what it refuses, and what it finds.

use std::fs;

use crate::program::Start;

#[test]
fn what_cannot_be_used_ends_with_the_status_of_a_setting_and_shows_no_key() {
    let key = format!("live_{}", "x".repeat(32));
    for named in
        [key.as_str(), &format!("rtmp://localhost/live/{key}"), "http://localhost:3000/studio", "--stream=1"]
    {
        let ended = Start::admin("move").flag(named).end();
        assert_eq!(ended.code, Some(64), "{}", ended.stderr);
        assert!(!ended.stderr.contains("xxx"), "{}", ended.stderr);
    }
    let start = Start::admin("streams");
    let file = start.folder.path().join("caudal.conf");
    fs::write(&file, "CAUDAL_DATADIR = /srv/caudal\n").unwrap();
    let ended = start.with("CAUDAL_CONFIG", &file).end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("line 1: there is no setting CAUDAL_DATADIR; did you mean CAUDAL_DATA_DIR?"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_platform_that_does_not_run_is_told_from_one_that_is_not_there() {
    let ended = Start::admin("streams").end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("there is no data folder"), "{}", ended.stderr);
    let start = Start::admin("streams");
    fs::create_dir(start.folder.path().join("data")).unwrap();
    let ended = start.end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("no platform or controller runs with the data folder"), "{}", ended.stderr);
}

#[test]
fn a_controller_in_a_process_of_its_own_is_asked_in_the_same_way() {
    let controller = Start::of("controller")
        .with("CAUDAL_INTERNAL_API_URL", "http://127.0.0.1:9")
        .with("CAUDAL_SECRET", "x".repeat(32))
        .ready();
    let data = controller.folder().join("data");
    let (ended, _folder) = Start::admin("streams").with("CAUDAL_DATA_DIR", &data).interrupted_at("never");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr, "There is no broadcast.\n");
    let (ended, _folder) = Start::admin("workers").with("CAUDAL_DATA_DIR", &data).interrupted_at("never");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().filter(|line| line.contains("  idle ")).count(), 1, "{}", ended.stderr);
    let (ended, _folder) =
        Start::admin("move").flag("ana").with("CAUDAL_DATA_DIR", &data).interrupted_at("never");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("no broadcast of the channel \"ana\" is on the air"), "{}", ended.stderr);
    let (ended, _folder) =
        Start::admin("make-admin").flag("ana").with("CAUDAL_DATA_DIR", &data).interrupted_at("never");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("a controller has no accounts"), "{}", ended.stderr);
    let reset = Start::admin("reset-password").flag("ana").with("CAUDAL_DATA_DIR", &data);
    let (ended, _folder) = reset.interrupted_at("never");
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("a controller has no accounts; run this where the api runs"),
        "{}",
        ended.stderr
    );
    controller.interrupt();
}

#[test]
fn what_is_no_username_becomes_no_admin_and_a_database_at_hand_is_asked_first() {
    let key = format!("live_{}", "x".repeat(32));
    let ended = Start::admin("make-admin").flag(&key).end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(!ended.stderr.contains("xxx"), "{}", ended.stderr);
    let url = "postgresql://caudal:hunter2@127.0.0.1:1/caudal";
    let ended = Start::admin("make-admin").flag("ana").with("DATABASE_URL", url).end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("PostgreSQL at 127.0.0.1:1"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[test]
fn a_data_folder_by_flag_wins_over_a_database_in_the_environment_and_a_database_is_named() {
    let url = "postgresql://me:hunter2@127.0.0.1:1/others";
    for command in ["make-admin", "reset-password"] {
        let start = Start::admin(command).flag("ana").with("DATABASE_URL", url);
        let elsewhere = start.folder.path().join("elsewhere");
        let flag = format!("--data-dir={}", elsewhere.display());
        let ended = start.with("CAUDAL_PUBLIC_API_URL", "https://live.example").flag(&flag).end();
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains("there is no data folder"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("127.0.0.1"), "{}", ended.stderr);
    }
    let ended = Start::admin("make-admin").flag("ana").with("DATABASE_URL", url).end();
    assert!(ended.stderr.contains("the database others at 127.0.0.1:1"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
}

#[test]
fn a_link_to_a_new_password_is_asked_of_the_database_where_both_it_and_the_pages_are_known() {
    let reset = || {
        Start::admin("reset-password")
            .flag("ana")
            .with("DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/caudal")
            .with("CAUDAL_PUBLIC_API_URL", "https://live.example")
    };
    let ended = reset().end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("caudal: the database: "), "{}", ended.stderr);
    let ended = reset().with("CAUDAL_PUBLIC_API_URL", "").end();
    assert!(ended.stderr.contains("there is no data folder"), "{}", ended.stderr);
    for (name, value) in [("DATABASE_URL", "mysql://hunter2"), ("CAUDAL_PUBLIC_API_URL", "live.example")] {
        let ended = reset().with(name, value).end();
        assert_eq!(ended.code, Some(64), "{}", ended.stderr);
        assert!(ended.stderr.contains(name) && !ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

#[test]
fn the_help_names_what_there_is() {
    let (ended, _folder) = Start::admin("move").flag("--help").interrupted_at("never");
    for expected in [
        "--data-dir <FOLDER>",
        "[env: CAUDAL_DATA_DIR]",
        "[default: /var/lib/caudal for root",
        "--config <FILE>",
    ] {
        assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
    }
}
