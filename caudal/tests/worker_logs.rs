//! A worker process whose log nobody takes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use caudal_directory::{FeedRenditions, WorkerClient};
use caudal_livestream::admission::LatencyMode;
use caudal_livestream::assignment::{Assignment, AssignmentMode, WorkerReady};
use caudal_livestream::feed::{Event, Frame};
use caudal_livestream::proof::{RoleKey, SignedAssignment};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{Epoch, Generation, SessionId, StreamId, UnixMillis, WorkerId};
use caudal_rtmp::{RelayClient, RelayTarget};
use ed25519_dalek::SigningKey;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn a_worker_whose_standard_error_is_full_goes_on_with_its_media_and_ends_when_told() {
    let controller = SigningKey::from_bytes(&[3; 32]);
    let (router, edge) = (RoleKey::new([1; 32]), RoleKey::new([2; 32]));
    let (worker, stream, session) = (WorkerId::generate(), StreamId::generate(), SessionId::generate());
    let folder = tempfile::tempdir().unwrap();
    let (_never_read, mut full) = std::io::pipe().unwrap();
    full.write_all(&vec![b'.'; PIPE]).unwrap();

    let mut child = Command::new(env!("CARGO_BIN_EXE_caudal"))
        .arg("transcoder-worker")
        .env("CAUDAL_WORKER_ID", worker.to_string())
        .env("CAUDAL_CONTROLLER_KEY", BASE64.encode(controller.verifying_key().as_bytes()))
        .env("HLS_PATH", folder.path())
        // Every frame and every request says something.
        .env("LOG_LEVEL", "trace")
        // There is nobody to move the stream elsewhere.
        .env("CAUDAL_WORKER_GRACE", "1s")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(full)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready: WorkerReady =
        serde_json::from_str(&within(lines.next_line()).await.unwrap().unwrap()).unwrap();
    let address = WorkerAddress { worker, rtmp: ready.rtmp, http: ready.http };

    let client = WorkerClient::new().unwrap();
    let assignment = Assignment {
        worker,
        stream,
        epoch: Epoch(0),
        generation: Generation(1),
        mode: AssignmentMode::Live,
        floor: None,
        ladder: Vec::new(),
        latency_mode: LatencyMode::Low,
        record: false,
        hints: None,
        input_key_digest: router.proof(stream, Epoch(0)).digest(),
        feed_key_digest: edge.proof(stream, Epoch(0)).digest(),
        other_input_key_digests: Vec::new(),
        other_feed_key_digests: Vec::new(),
        credentials: None,
        expires: UnixMillis(i64::MAX),
    };
    let signed = SignedAssignment::sign(&assignment, &controller).unwrap();
    within(client.assign(&address, &signed)).await.unwrap();
    let proof = edge.proof(stream, Epoch(0));
    let mut feed = within(client.feed(&address, &proof, FeedRenditions::None)).await.unwrap();

    let auth = router.proof(stream, Epoch(0));
    let target = RelayTarget {
        app: "relay".to_owned(),
        stream_name: format!("{stream}?epoch=0&session={session}&generation=1&auth={}", auth.reveal()),
        tc_url: "rtmp://worker/relay".to_owned(),
    };
    let deadline = Instant::now() + PATIENCE;
    let mut relay = within(RelayClient::connect_tcp(address.rtmp, target, deadline)).await.unwrap();
    relay.send_video(0, AVC_HEADER).unwrap();
    // Ten seconds, and between any two frames a tag that cannot be read.
    for frame in 0..250_u32 {
        let mut picture = vec![if frame % 50 == 0 { 0x17 } else { 0x27 }, 1, 0, 0, 0, 0, 0, 0, 2];
        picture.extend_from_slice(if frame % 50 == 0 { &[0x65, 0x88] } else { &[0x41, 0x9A] });
        relay.send_video(frame * 40, picture.into()).unwrap();
        relay.send_audio(frame * 40, Bytes::from_static(&[0xAF, 0])).unwrap();
        within(relay.flush()).await.unwrap();
    }
    let mut parts = 0;
    while parts < 5 {
        let frame = within(feed.next()).await.unwrap().expect("the stream goes on");
        parts += usize::from(matches!(frame, Frame::Event(Event::Part(_))));
    }

    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(within(child.wait()).await.unwrap().success());
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("the worker does nothing any more")
}

const PATIENCE: Duration = Duration::from_secs(60);
/// What a pipe holds, pipe(7).
const PIPE: usize = 65_536;

/// x264's configuration of a 1280x720 stream.
const AVC_HEADER: Bytes = Bytes::from_static(&[
    0x17, 0, 0, 0, 0, 1, 0x42, 0xC0, 0x1F, 0xFF, 0xE1, 0, 0x17, 0x67, 0x42, 0xC0, 0x1F, 0xDA, 1, 0x40, 0x16,
    0xEC, 4, 0x40, 0, 0, 3, 0, 0x40, 0, 0, 0x0F, 3, 0xC6, 0x0C, 0xA8, 1, 0, 4, 0x68, 0xCE, 0x0F, 0xC8,
]);
