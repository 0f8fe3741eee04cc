//! `caudal janitor` that is not told what it needs.

use std::process::{Command, Stdio};

/// Its exit status, and what it said.
fn janitor(variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caudal"));
    command.args(["janitor", "--dry-run"]).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    let ended = command.output().unwrap();
    (ended.status.code(), String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap())
}

#[test]
fn it_says_what_it_needs_and_makes_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("not-mounted");
    // The public half of 32 sevens.
    let key = "6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
    let named = [("CAUDAL_CONTROLLER_KEY", key), ("CAUDAL_NAMESPACE", "caudal")];
    let with = |more: &[(&'static str, &'static str)]| [&named[..], more].concat();
    let unmounted: &'static str = nowhere.to_str().unwrap().to_owned().leak();
    for (variables, words) in [
        (vec![], "--controller-key <KEYS>"),
        (vec![("CAUDAL_CONTROLLER_KEY", "hunter2")], "expected an Ed25519 public key in base64"),
        (
            vec![("CAUDAL_CONTROLLER_KEY", key), ("AWS_S3_BUCKET", "media")],
            "--namespace (or CAUDAL_NAMESPACE) is needed",
        ),
        (with(&[]), "HLS_PATH is not set: expected a folder for segments, or AWS_S3_BUCKET"),
        (with(&[("HLS_PATH", unmounted)]), "not-mounted is not a folder that is there"),
    ] {
        let (code, said) = janitor(&variables);
        assert!(code == Some(64) && said.contains(words), "{code:?}, {words}: {said}");
    }
    assert!(!nowhere.exists());
    let folder: &'static str = folder.path().to_str().unwrap().to_owned().leak();
    let (code, said) = janitor(&with(&[("HLS_PATH", folder), ("KUBECONFIG", "/nowhere")]));
    assert!(code == Some(1) && said.contains("where the API server is"), "{code:?}: {said}");
}
