//! A worker in the middle of a change of keys.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

use std::time::Duration;

use caudal_directory::{AssignError, FeedRenditions, WorkerClient};
use caudal_livestream::admission::LatencyMode;
use caudal_livestream::assignment::{Assignment, AssignmentMode};
use caudal_livestream::proof::{AssignmentKeys, RoleKey, RoleKeys, SignedAssignment};
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::{Epoch, Generation, InstallationId, SessionId, StreamId, UnixMillis, WorkerId};
use caudal_rtmp::{RelayClient, RelayTarget};
use caudal_storage::{Provenance, SegmentStore};
use caudal_transcoder_worker::{Config, LadderChoice, run};
use ed25519_dalek::SigningKey;
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const EPOCH: Epoch = Epoch(1);
/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The keys of one installation, before or after their change.
struct Keys {
    controller: SigningKey,
    router: RoleKey,
    reader: RoleKey,
}

impl Keys {
    fn new(number: u8) -> Self {
        Self {
            controller: SigningKey::from_bytes(&[number; 32]),
            router: RoleKey::new([number + 1; 32]),
            reader: RoleKey::new([number + 2; 32]),
        }
    }

    /// What a controller with these keys has a worker do; it accepts the `other` ones too.
    fn assignment(
        &self,
        other: &Self,
        worker: WorkerId,
        stream: StreamId,
        mode: AssignmentMode,
    ) -> SignedAssignment {
        let router = RoleKeys::new(self.router.clone(), vec![other.router.clone()]);
        let reader = RoleKeys::new(self.reader.clone(), vec![other.reader.clone()]);
        let assignment = Assignment {
            worker,
            stream,
            epoch: EPOCH,
            generation: Generation(1),
            mode,
            floor: None,
            ladder: Vec::new(),
            latency_mode: LatencyMode::Low,
            record: false,
            hints: None,
            input_key_digest: router.proof(stream, EPOCH).digest(),
            feed_key_digest: reader.proof(stream, EPOCH).digest(),
            other_input_key_digests: router.other_digests(stream, EPOCH),
            other_feed_key_digests: reader.other_digests(stream, EPOCH),
            credentials: None,
            expires: UnixMillis(i64::MAX),
        };
        SignedAssignment::sign(&assignment, &self.controller).unwrap()
    }

    /// Whether the worker lets in a router and a reader with these keys.
    async fn are_let_in(&self, worker: &WorkerAddress, stream: StreamId, session: SessionId) -> (bool, bool) {
        let auth = self.router.proof(stream, EPOCH);
        let target = RelayTarget {
            app: "relay".to_owned(),
            stream_name: format!("{stream}?epoch=1&session={session}&generation=1&auth={}", auth.reveal()),
            tc_url: "rtmp://worker/relay".to_owned(),
        };
        let relay = RelayClient::connect_tcp(worker.rtmp, target, Instant::now() + PATIENCE).await;
        let client = WorkerClient::new().unwrap();
        let feed = client.feed(worker, &self.reader.proof(stream, EPOCH), FeedRenditions::None).await;
        (relay.is_ok(), feed.is_ok())
    }
}

#[tokio::test]
async fn a_worker_that_got_ready_before_a_change_of_keys_serves_behind_it_and_its_media_stays_its_installations()
 {
    let folder = tempfile::tempdir().unwrap();
    let (old, new, strange) = (Keys::new(10), Keys::new(20), Keys::new(30));
    let bind = || TcpListener::bind("127.0.0.1:0");
    let config = Config {
        worker: WorkerId::generate(),
        controller: [&new, &old].map(|keys| keys.controller.verifying_key()).to_vec(),
        storage: SegmentStore::folder(folder.path()).unwrap(),
        credentials: None,
        rtmp: bind().await.unwrap(),
        http: bind().await.unwrap(),
        advertised: None,
        registry: Registry::new(),
        traces: caudal_traces::Traces::off(),
        ffmpeg: "ffmpeg".into(),
        ladder: LadderChoice::Full,
        poster_interval: PATIENCE,
        leave: CancellationToken::new(),
    };
    let ready = config.ready().unwrap();
    let address = WorkerAddress { worker: ready.worker, rtmp: ready.rtmp, http: ready.http };
    let (store, shutdown) = (config.storage.clone(), CancellationToken::new());
    let worker = tokio::spawn(run(config, shutdown.clone()));
    let (client, stream) = (WorkerClient::new().unwrap(), StreamId::generate());
    let assign = async |by: &Keys, other: &Keys, mode| {
        client.assign(&address, &by.assignment(other, address.worker, stream, mode)).await
    };

    let refused = assign(&strange, &old, AssignmentMode::Prepare).await;
    assert!(matches!(refused, Err(AssignError::Refused { status, .. }) if status == 403), "{refused:?}");
    assign(&old, &new, AssignmentMode::Prepare).await.unwrap();
    assign(&new, &old, AssignmentMode::Live).await.unwrap();
    let begun = Instant::now();
    let state = loop {
        match store.state(stream, EPOCH).await.unwrap() {
            Some(state) => break state,
            None => assert!(begun.elapsed() < PATIENCE, "the epoch is never claimed"),
        }
        sleep(Duration::from_millis(20)).await;
    };
    let owner = state.owner.unwrap().installation;
    assert_eq!(owner, InstallationId::of(&old.controller.verifying_key()), "as whose it got ready");
    let installation = AssignmentKeys::new(new.controller.clone(), vec![old.controller.verifying_key()]);
    let provenance = store.provenance(stream, &installation.installations()).await.unwrap();
    assert!(matches!(provenance, Provenance::Disposable(_)), "{provenance:?}");

    let session = SessionId::generate();
    for (keys, let_in) in [(&old, true), (&new, true), (&strange, false)] {
        assert_eq!(keys.are_let_in(&address, stream, session).await, (let_in, let_in));
    }
    shutdown.cancel();
    worker.await.unwrap().unwrap();
}
