//! Storage credentials of workers that have none of their own.

use std::sync::atomic::AtomicBool;

use caudal_storage::StreamCredentials;

use super::*;

/// Makes credentials that are called after how many were made before, and are to be renewed after half an hour.
#[derive(Default)]
pub(super) struct FakeSource {
    fails: AtomicBool,
    made: Mutex<HashMap<StreamId, Vec<Instant>>>,
}

impl FakeSource {
    fn made(&self, stream: StreamId) -> usize {
        self.made.lock().unwrap().get(&stream).map_or(0, Vec::len)
    }
}

impl CredentialSource for FakeSource {
    fn credentials(&self, stream: StreamId) -> BoxFuture<'_, Result<Fresh, NoCredentials>> {
        Box::pin(async move {
            sleep(Duration::from_millis(100)).await;
            let mut made = self.made.lock().unwrap();
            let made = made.entry(stream).or_default();
            let age = made.last().map_or(RENEWAL, Instant::elapsed);
            if age >= RENEWAL && self.fails.load(Ordering::Relaxed) {
                return Err(NoCredentials {
                    reason: "AccessDenied".to_owned(),
                    detail: "AccessDenied: arn:aws:iam::1:user/operator may not".to_owned(),
                    held: (!made.is_empty()).then(|| numbered(made.len())),
                });
            }
            if age >= RENEWAL {
                made.push(Instant::now());
                return Ok(Fresh { credentials: numbered(made.len()), renew_in: RENEWAL });
            }
            Ok(Fresh { credentials: numbered(made.len()), renew_in: RENEWAL.saturating_sub(age) })
        })
    }

    fn forget(&self, stream: StreamId) {
        self.made.lock().unwrap().remove(&stream);
    }
}

fn numbered(number: usize) -> StreamCredentials {
    StreamCredentials {
        access_key_id: format!("session-{number}"),
        secret_access_key: "secret".to_owned(),
        session_token: "token".to_owned(),
        expires: UnixMillis(i64::try_from(number).unwrap()),
    }
}

const RENEWAL: Duration = Duration::from_mins(30);

fn with_source() -> (World, Arc<FakeSource>) {
    let mut world = World::new();
    let source = Arc::new(FakeSource::default());
    world.source = Some(Arc::clone(&source));
    (world, source)
}

/// The names of all that the only worker alive was given, in order, each once.
fn given(world: &World) -> Vec<String> {
    let alive = world.cluster.alive();
    assert_eq!(alive.len(), 1);
    let mut given: Vec<_> = alive[0].given().into_iter().map(|one| one.access_key_id).collect();
    given.dedup();
    given
}

#[tokio::test(start_paused = true)]
async fn an_assignment_brings_credentials_that_its_worker_alone_can_open_and_they_are_renewed_at_half_their_life()
 {
    let (world, source) = with_source();
    let controller = world.controller().await;
    let stream = world.open();
    world.until_phase(stream, Phase::Live).await;
    // The fake worker opens them, or fails.
    assert_eq!(given(&world), ["session-1"]);
    sleep(RENEWAL.saturating_sub(Duration::from_secs(5))).await;
    assert_eq!((given(&world).len(), source.made(stream)), (1, 1));
    sleep(Duration::from_mins(2)).await;
    assert_eq!(
        (given(&world), source.made(stream)),
        (vec!["session-1".to_owned(), "session-2".to_owned()], 2)
    );
    sleep(RENEWAL * 3).await;
    assert_eq!((given(&world).len(), source.made(stream)), (5, 5));
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn no_worker_is_assigned_without_credentials_and_the_stream_says_why_it_waits() {
    let (world, source) = with_source();
    source.fails.store(true, Ordering::Relaxed);
    let controller = world.controller().await;
    let stream = world.open();
    let said = "there are no storage credentials for its worker (AccessDenied)";
    let waits = |record: &Record| record.machine.status(None).reason.as_deref() == Some(said);
    world.until(stream, "the reason", waits).await;
    sleep(Duration::from_secs(30)).await;
    assert!(world.cluster.alive().iter().all(|worker| worker.assignments().is_empty()));
    assert_eq!(world.cluster.workers().len(), 1, "the worker that is there waits");
    source.fails.store(false, Ordering::Relaxed);
    let record = world.until_phase(stream, Phase::Live).await;
    assert_eq!((record.machine.epoch(), record.machine.status(None).reason), (Epoch(1), None));
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_fails_in_its_minute_where_there_are_never_any_credentials() {
    let (world, source) = with_source();
    source.fails.store(true, Ordering::Relaxed);
    let controller = world.controller().await;
    let stream = world.open();
    let record = world.until_phase(stream, Phase::Failed).await;
    let reason = record.machine.status(None).reason.unwrap();
    assert!(reason.ends_with("there are no storage credentials for its worker (AccessDenied)"), "{reason}");
    assert!(world.cluster.workers().iter().all(|worker| worker.assignments().is_empty()));
    sleep(Duration::from_secs(5)).await;
    assert!(world.cluster.alive().is_empty());
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_found_while_the_source_fails_gets_what_is_left_of_the_last_credentials() {
    let (world, source) = with_source();
    let controller = world.controller().await;
    let stream = world.open();
    world.until_phase(stream, Phase::Live).await;
    source.fails.store(true, Ordering::Relaxed);
    // Older than half their life.
    sleep(RENEWAL + Duration::from_mins(2)).await;
    world.cluster.kill_all();
    world.until(stream, "the next worker", |record| record.machine.epoch() == Epoch(2)).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(given(&world), ["session-1"]);
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_takes_over_renews_what_the_one_before_gave_within_a_minute() {
    let (world, _) = with_source();
    let first = world.controller().await;
    let stream = world.open();
    world.until_phase(stream, Phase::Live).await;
    first.close().await;
    // It knows nothing of what the first one had.
    let mut world = world;
    let made_before = Arc::new(FakeSource::default());
    made_before.made.lock().unwrap().insert(stream, vec![Instant::now() - RENEWAL]);
    world.source = Some(made_before);
    let second = world.controller().await;
    sleep(Duration::from_secs(62)).await;
    assert_eq!(given(&world), ["session-1", "session-2"]);
    world.end(second).await;
}

#[tokio::test(start_paused = true)]
async fn credentials_that_a_worker_does_not_take_are_offered_again_until_it_does() {
    let (world, _) = with_source();
    let controller = world.controller().await;
    let stream = world.open();
    world.until_phase(stream, Phase::Live).await;
    world.cluster.renews_none.store(true, Ordering::Relaxed);
    sleep(RENEWAL + Duration::from_mins(3)).await;
    assert_eq!(given(&world), ["session-1"], "it keeps the old ones");
    let failed = r#"caudal_controller_storage_credentials_total{outcome="failed",step="renewal"}"#;
    let mut text = String::new();
    let encoder = prometheus::TextEncoder::new();
    encoder.encode_utf8(&world.registry.gather(), &mut text).unwrap();
    assert!(text.contains(failed), "{text}");
    world.cluster.renews_none.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(given(&world), ["session-1", "session-2"]);
    world.end(controller).await;
}
