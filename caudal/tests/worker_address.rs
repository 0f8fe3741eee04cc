//! What a worker process says of where it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use caudal_livestream::WorkerId;
use caudal_livestream::assignment::WorkerReady;
use ed25519_dalek::SigningKey;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

fn worker(folder: &tempfile::TempDir, settings: &[(&str, &str)]) -> Command {
    let controller = SigningKey::from_bytes(&[3; 32]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_caudal"));
    command
        .arg("transcoder-worker")
        .env("CAUDAL_WORKER_ID", WorkerId::generate().to_string())
        .env("CAUDAL_CONTROLLER_KEY", BASE64.encode(controller.verifying_key().as_bytes()))
        .env("HLS_PATH", folder.path())
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Ports that were free a moment ago, different ones.
fn free_ports() -> [u16; 2] {
    let listeners = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

#[tokio::test]
async fn a_worker_in_a_pod_says_the_address_and_the_ports_that_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let [rtmp, http] = free_ports();
    let (rtmp_port, http_port) = (rtmp.to_string(), http.to_string());
    let settings = [
        ("CAUDAL_WORKER_BIND", "0.0.0.0"),
        ("CAUDAL_ADVERTISED_ADDRESS", "192.0.2.7"),
        ("CAUDAL_WORKER_RTMP_PORT", rtmp_port.as_str()),
        ("CAUDAL_WORKER_HTTP_PORT", http_port.as_str()),
    ];
    let mut child = worker(&folder, &settings).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.expect("a line in time").unwrap().unwrap();
    let ready: WorkerReady = serde_json::from_str(&line).unwrap();
    let address: IpAddr = "192.0.2.7".parse().unwrap();
    assert_eq!((ready.rtmp, ready.http), ((address, rtmp).into(), (address, http).into()));
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_worker_that_nobody_could_find_does_not_start_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (settings, words) in [
        (vec![("CAUDAL_WORKER_BIND", "0.0.0.0")], "set CAUDAL_ADVERTISED_ADDRESS"),
        (vec![("CAUDAL_ADVERTISED_ADDRESS", "0.0.0.0")], "CAUDAL_ADVERTISED_ADDRESS is 0.0.0.0"),
        (vec![("CAUDAL_WORKER_RTMP_PORT", port.as_str())], "CAUDAL_WORKER_RTMP_PORT"),
        (vec![("CAUDAL_WORKER_HTTP_PORT", port.as_str())], "CAUDAL_WORKER_HTTP_PORT"),
    ] {
        let output = timeout(PATIENCE, worker(&folder, &settings).output()).await.expect("it ends").unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{settings:?}: {said}");
        assert!(output.stdout.is_empty(), "nobody is told of it");
    }
}

const PATIENCE: Duration = Duration::from_mins(1);
