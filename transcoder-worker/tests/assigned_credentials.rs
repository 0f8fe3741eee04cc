//! A worker whose storage credentials come with its assignment, on a server that speaks S3 and STS.
//!
//! moto takes any credentials, so what a session may do is not shown here (see `crates/storage/tests/sessions.rs`), but that there is no
//! storage without one, and which one the worker holds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

#[allow(dead_code, reason = "other test files ask for more")]
#[path = "../../crates/storage/tests/moto/mod.rs"]
mod moto;
#[allow(dead_code, reason = "other test files ask for more")]
mod support;

use std::time::Duration;

use caudal_directory::AssignError;
use caudal_livestream::assignment::Assignment;
use caudal_livestream::credentials::{CredentialsRenewal, Recipient};
use caudal_livestream::{Epoch, UnixMillis, WorkerId};
use caudal_storage::{
    AssignedCredentials, Key, Need, RoleConfig, RoleSessions, S3Access, S3Config, S3Credentials,
    SegmentStore, StreamCredentials, StreamFile,
};
use moto::Moto;
use support::publisher::Publisher;
use support::{ALONE, Broadcast, Worker};

/// A worker that waits for credentials, and who makes them.
struct Scene {
    _server: Moto,
    own: SegmentStore,
    sessions: RoleSessions,
    held: AssignedCredentials,
    broadcast: Broadcast,
    worker: Worker,
}

impl Scene {
    async fn new() -> Self {
        let server = Moto::start();
        let keys = S3Credentials {
            access_key_id: "test".to_owned(),
            secret_access_key: "test".to_owned(),
            session_token: None,
        };
        let bucket = server.config("media", S3Access::Keys(keys));
        let role = RoleConfig {
            role_arn: "arn:aws:iam::123456789012:role/caudal-worker".to_owned(),
            duration: Duration::from_mins(15),
            endpoint: None,
            region: None,
        };
        let held = AssignedCredentials::none();
        let access = S3Access::Assigned(held.clone());
        let store = SegmentStore::s3(&S3Config { access, ..bucket.clone() }).unwrap();
        let broadcast = Broadcast::new(Vec::new());
        let worker = broadcast.worker_without_credentials(store, held.clone()).await;
        let own = SegmentStore::s3(&bucket).unwrap();
        let sessions = RoleSessions::new(&bucket, role).unwrap();
        Self { _server: server, own, sessions, held, broadcast, worker }
    }

    fn recipient(&self) -> Recipient {
        Recipient { worker: self.worker.address.worker, stream: self.broadcast.stream, epoch: Epoch(1) }
    }

    async fn assignment(&self, credentials: &StreamCredentials, recipient: Recipient) -> Assignment {
        let key = self.broadcast.key(&self.worker).await.unwrap();
        let sealed = Some(credentials.seal(key, recipient).unwrap());
        Assignment { credentials: sealed, ..self.broadcast.assignment(&self.worker, 1) }
    }

    async fn renewal(&self, credentials: &StreamCredentials) -> CredentialsRenewal {
        let key = self.broadcast.key(&self.worker).await.unwrap();
        let Recipient { worker, stream, epoch } = self.recipient();
        let renewed = credentials.seal(key, self.recipient()).unwrap();
        CredentialsRenewal { worker, stream, epoch, renewed }
    }

    /// The next session, which does not hold as long as the one before.
    async fn later(&self, than: &StreamCredentials) -> StreamCredentials {
        let made = self.sessions.of(self.broadcast.stream, Need::First).await.unwrap();
        let issued = UnixMillis(than.issued.0 + 1);
        StreamCredentials { issued, expires: UnixMillis(than.expires.0 - 60_000), ..made }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_stores_with_the_session_that_came_with_its_assignment_and_then_with_the_renewed_one() {
    let _alone = ALONE.lock().await;
    let scene = Scene::new().await;
    let Scene { own, sessions, held, broadcast, worker, .. } = &scene;
    let claim = Key::Live(broadcast.stream, StreamFile::State(Epoch(1)));

    let without = broadcast.try_assign(worker, &broadcast.assignment(worker, 1)).await;
    assert!(
        matches!(&without, Err(AssignError::Unable(words)) if words.contains("no storage credentials")),
        "{without:?}"
    );
    let first = sessions.of(broadcast.stream, Need::First).await.unwrap();
    let elsewhere = Recipient { worker: WorkerId::generate(), ..scene.recipient() };
    let not_ours = broadcast.try_assign(worker, &scene.assignment(&first, elsewhere).await).await;
    assert!(matches!(not_ours, Err(AssignError::Refused { status: 400, .. })), "{not_ours:?}");
    assert_eq!((held.expires(), own.version(&claim).await.unwrap()), (None, None), "nothing was begun");

    broadcast.try_assign(worker, &scene.assignment(&first, scene.recipient()).await).await.unwrap();
    assert_eq!(held.expires(), Some(first.expires));
    assert!(own.version(&claim).await.unwrap().is_some(), "its epoch is claimed in the bucket");

    let mut reader = broadcast.feed(worker, 1, &[]).await;
    let publisher = Publisher::start(broadcast.publish(worker, 1).await, 0);
    reader.stored("source", 1).await;
    let second = scene.later(&first).await;
    broadcast.try_renew(worker, &scene.renewal(&second).await).await.unwrap();
    assert_eq!(held.expires(), Some(second.expires));
    // What an eavesdropper sends once more.
    broadcast.try_renew(worker, &scene.renewal(&first).await).await.unwrap();
    assert_eq!(held.expires(), Some(second.expires));
    // The controller has heard no answer to the assignment, and repeats it with what it has by now.
    let third = scene.later(&second).await;
    let repeated = scene.assignment(&third, scene.recipient()).await;
    let repeated = Assignment { expires: UnixMillis(repeated.expires.0 - 5_000), ..repeated };
    broadcast.try_assign(worker, &repeated).await.unwrap();
    assert_eq!(held.expires(), Some(third.expires));
    reader.stored("source", 1).await;
    let counted = |name| worker.metric(name).round().to_string();
    assert_eq!(counted("caudal_worker_storage_credentials_taken_total"), "3");
    assert_eq!(counted("caudal_worker_storage_failures_total"), "0", "no upload was interrupted");
    drop(publisher);
    scene.worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewal_for_another_stream_or_epoch_or_that_cannot_be_opened_changes_nothing() {
    let scene = Scene::new().await;
    let Scene { sessions, held, broadcast, worker, .. } = &scene;
    let first = sessions.of(broadcast.stream, Need::First).await.unwrap();
    let later = scene.later(&first).await;
    let early = broadcast.try_renew(worker, &scene.renewal(&later).await).await;
    assert!(matches!(early, Err(AssignError::Conflict(_))), "it has no stream yet: {early:?}");
    broadcast.try_assign(worker, &scene.assignment(&first, scene.recipient()).await).await.unwrap();

    let good = scene.renewal(&later).await;
    let other_stream = CredentialsRenewal { stream: Broadcast::new(Vec::new()).stream, ..good.clone() };
    let refused = broadcast.try_renew(worker, &other_stream).await;
    assert!(matches!(refused, Err(AssignError::Conflict(_))), "{refused:?}");
    let other_epoch = CredentialsRenewal { epoch: Epoch(2), ..good.clone() };
    let refused = broadcast.try_renew(worker, &other_epoch).await;
    assert!(matches!(refused, Err(AssignError::Conflict(_))), "{refused:?}");
    let other_worker = CredentialsRenewal { worker: WorkerId::generate(), ..good.clone() };
    let refused = broadcast.try_renew(worker, &other_worker).await;
    assert!(matches!(refused, Err(AssignError::Refused { status: 403, .. })), "{refused:?}");
    let broken = serde_json::json!("AAAA");
    let broken = CredentialsRenewal { renewed: serde_json::from_value(broken).unwrap(), ..good };
    let refused = broadcast.try_renew(worker, &broken).await;
    assert!(matches!(refused, Err(AssignError::Refused { status: 400, .. })), "{refused:?}");
    assert_eq!(held.expires(), Some(first.expires));
    scene.worker.stop().await;
}

#[tokio::test]
async fn a_worker_with_credentials_of_its_own_has_no_key_to_seal_to() {
    let folder = tempfile::tempdir().unwrap();
    let broadcast = Broadcast::new(Vec::new());
    let worker = broadcast.worker(folder.path()).await;
    assert_eq!(broadcast.key(&worker).await, None);
    worker.stop().await;
}
