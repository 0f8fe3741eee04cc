//! Keys in folders, a role's own in each.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use crate::program::Start;

/// Makes what is missing in `folder`.
fn made(folder: &Path, secret: Option<&str>) -> crate::program::Ended {
    let start = Start::of("keys").flag(folder.to_str().unwrap());
    match secret {
        Some(secret) => start.with("CAUDAL_SECRET", secret).end(),
        None => start.end(),
    }
}

fn files(folder: &Path) -> BTreeSet<(String, String)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|role| fs::read_dir(role).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>())
        .map(|path| {
            (path.strip_prefix(folder).unwrap().display().to_string(), fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn keys_are_made_once_for_their_owner_alone_and_again_where_one_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let ended = made(folder.path(), None);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let before = files(folder.path());
    assert!(before.iter().any(|(name, _)| name == "transcoder-worker/controllerKey"));
    let key = folder.path().join("ingest-router/input");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::remove_file(&key).unwrap();
    // Another secret than none changes nothing of what is there, nor what follows from that.
    assert_eq!(made(folder.path(), Some(&"x".repeat(32))).code, Some(0));
    assert_eq!(files(folder.path()), before);
    let again = made(folder.path(), None);
    assert!(again.stderr.contains("nothing was missing: all keys that are there stay"), "{}", again.stderr);
    let own = format!("CAUDAL_KEYS={}/ROLE", folder.path().display());
    assert!(again.stderr.contains(&own), "{}", again.stderr);
    let file = made(&key, None);
    assert_eq!(file.code, Some(64), "{}", file.stderr);
    assert!(file.stderr.contains("ingest-router/input\" is a file: expected a folder"), "{}", file.stderr);
    fs::write(&key, "nonsense").unwrap();
    let ended = made(folder.path(), None);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("input of ingest-router: line 1: it has 8 characters"), "{}", ended.stderr);
}

#[test]
fn a_role_that_is_given_a_folder_of_keys_says_at_once_what_is_wrong_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let keys = || made(folder.path(), None);
    assert_eq!(keys().code, Some(0));
    let edge = |keys: &Path| {
        Start::of("hls-edge")
            .with("CAUDAL_INTERNAL_CONTROLLER_URL", "http://127.0.0.1:1")
            .with("CAUDAL_INTERNAL_API_URL", "http://127.0.0.1:1")
            .with("CAUDAL_KEYS", keys)
            .with("HLS_PATH", std::env::temp_dir())
    };
    let own = folder.path().join("hls-edge");
    let (ended, _folder) = edge(&own).interrupted_at("the controller is away");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let ended = edge(&own).with("CAUDAL_SECRET", "x".repeat(32)).end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(ended.stderr.contains("CAUDAL_SECRET and CAUDAL_KEYS are both set"), "{}", ended.stderr);

    let ended = edge(&folder.path().join("ingest-router")).end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    let words = "there is no file feed in it; there are caller-api, caller-ingest-router, input";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);

    fs::write(own.join("feed"), "x".repeat(40)).unwrap();
    let ended = edge(&own).end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(ended.stderr.contains("feed: line 1: it has 40 characters; expected 64 hex"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("xxxx"), "{}", ended.stderr);
}

#[test]
fn a_controller_with_other_keys_than_its_data_folder_was_used_with_does_not_start() {
    let (before, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for folder in [&before, &other] {
        assert_eq!(made(folder.path(), None).code, Some(0));
    }
    let controller = |keys: &Path| {
        Start::of("controller")
            .with("CAUDAL_INTERNAL_API_URL", "http://127.0.0.1:9")
            .with("CAUDAL_KEYS", keys.join("controller"))
    };
    let public = fs::read_to_string(before.path().join("transcoder-worker/controllerKey")).unwrap();
    let mut id = hex::encode(Sha256::digest(BASE64.decode(public.trim()).unwrap()));
    id.truncate(32);
    // As a first broadcast leaves it.
    let folder = tempfile::tempdir().unwrap();
    let noted = folder.path().join("secrets/keys");
    fs::create_dir(noted.parent().unwrap()).unwrap();
    fs::write(&noted, format!("{id}\n")).unwrap();

    let ended = controller(other.path()).with("CAUDAL_DATA_DIR", folder.path()).end();
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    for expected in ["was used with other keys before", &format!("move {} away", noted.display())] {
        assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
    }
    // The former key stands behind the new one while it is changed.
    let key = |keys: &Path| fs::read_to_string(keys.join("controller/assignments")).unwrap();
    fs::write(
        before.path().join("controller/assignments"),
        format!("{}{}", key(other.path()), key(before.path())),
    )
    .unwrap();
    let (ended, _) = controller(before.path()).with("CAUDAL_DATA_DIR", folder.path()).interrupted_at("ready");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (ended, _) = controller(other.path()).with("CAUDAL_DATA_DIR", folder.path()).interrupted_at("ready");
    assert_eq!(ended.code, Some(0), "once it was accepted beside the former one: {}", ended.stderr);
}
