//! `caudal doctor` without a cluster, and as kubectl's plug-in.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn doctor(program: &Path, kubeconfig: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command
        .arg("doctor")
        .args(arguments)
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn caudal() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_caudal"))
}

#[test]
fn a_cluster_that_cannot_be_reached_ends_with_2_and_is_said_soon() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    // Port 1 is nobody's.
    let cluster = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": "https://127.0.0.1:1" } }],
        "users": [{ "name": "c", "user": {} }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }],
    });
    fs::write(&kubeconfig, cluster.to_string()).unwrap();
    let begun = Instant::now();
    let ended = doctor(caudal(), &kubeconfig, &["ann"]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let said = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.starts_with("Nothing can be seen: the API server cannot be reached: "), "{said}");
    let ended = doctor(caudal(), &kubeconfig, &["--output", "json"]);
    let said: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((ended.status.code(), &said["outcome"]), (Some(2), &"could-not-look".into()));

    let ended = doctor(caudal(), &folder.path().join("nothing"), &[]);
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(
        ended.status.code() == Some(2) && said.starts_with("Nothing can be seen: where the API server is"),
        "{said}"
    );
}

#[test]
fn a_stream_key_that_was_pasted_is_refused_and_not_shown() {
    let key = format!("live_{}", "x".repeat(32));
    let ended = doctor(caudal(), Path::new("/nowhere"), &[&key]);
    let said = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    assert!(ended.status.code() == Some(64) && !said.contains("xxx"), "{said}");
}

#[test]
fn kubectl_finds_it_as_a_plug_in_under_another_name() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-caudal");
    std::os::unix::fs::symlink(caudal(), &plugin).unwrap();
    let ended = doctor(&plugin, Path::new("/nowhere"), &["--help"]);
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(
        ended.status.success() && said.contains("Usage: kubectl caudal doctor [OPTIONS] [CHANNEL]"),
        "{said}"
    );
    let ended = doctor(&plugin, &folder.path().join("nothing"), &["ann"]);
    assert_eq!(ended.status.code(), Some(2));
}
