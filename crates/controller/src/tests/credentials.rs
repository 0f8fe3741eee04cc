//! Storage credentials of workers that have none of their own.

use std::sync::atomic::AtomicBool;

use caudal_livestream::assignment::AssignmentMode;
use caudal_storage::{SealingKey, StreamCredentials};

use super::*;

/// Makes credentials that are called after how many were made before, and are to be renewed after half an hour.
#[derive(Default)]
pub(super) struct FakeSource {
    fails: AtomicBool,
    /// It answers nobody for whom it has to make any.
    hangs: AtomicBool,
    made: Mutex<HashMap<StreamId, Vec<Instant>>>,
}

impl FakeSource {
    fn made(&self, stream: StreamId) -> usize {
        self.made.lock().unwrap().get(&stream).map_or(0, Vec::len)
    }

    /// The last ones, unless they are older, and how long until they are.
    fn younger_than(&self, age: Duration, stream: StreamId) -> Option<Fresh> {
        let made = self.made.lock().unwrap();
        let made = made.get(&stream)?;
        let renew_in = age.checked_sub(made.last()?.elapsed()).filter(|left| !left.is_zero())?;
        Some(Fresh { credentials: numbered(made.len()), renew_in })
    }

    async fn make(&self, stream: StreamId) -> Result<Fresh, NoCredentials> {
        sleep(Duration::from_millis(100)).await;
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if self.fails.load(Ordering::Relaxed) {
            return Err(NoCredentials {
                reason: "AccessDenied".to_owned(),
                detail: "AccessDenied: arn:aws:iam::1:user/operator may not".to_owned(),
            });
        }
        let mut made = self.made.lock().unwrap();
        let made = made.entry(stream).or_default();
        made.push(Instant::now());
        Ok(Fresh { credentials: numbered(made.len()), renew_in: RENEWAL })
    }
}

impl CredentialSource for FakeSource {
    fn credentials(&self, stream: StreamId) -> BoxFuture<'_, Result<StreamCredentials, NoCredentials>> {
        Box::pin(async move {
            let held = self.younger_than(USELESS, stream);
            Ok(if let Some(held) = held { held } else { self.make(stream).await? }.credentials)
        })
    }

    fn renewed(&self, stream: StreamId) -> BoxFuture<'_, Result<Fresh, NoCredentials>> {
        Box::pin(async move {
            let held = self.younger_than(RENEWAL, stream);
            if let Some(held) = held { Ok(held) } else { self.make(stream).await }
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
        issued: UnixMillis(i64::try_from(number).unwrap()),
        expires: UnixMillis(i64::try_from(number).unwrap()),
    }
}

const RENEWAL: Duration = Duration::from_mins(30);
const USELESS: Duration = Duration::from_mins(58);

fn with_source() -> (World, Arc<FakeSource>) {
    let mut world = World::new();
    let source = Arc::new(FakeSource::default());
    world.source = Some(Arc::clone(&source));
    world.cluster.needs_credentials.store(true, Ordering::Relaxed);
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

/// What the worker of this epoch was told to do, in order.
fn modes(world: &World, epoch: u32) -> Vec<AssignmentMode> {
    let workers = world.cluster.workers();
    let worker = workers.iter().find(|worker| worker.epoch == Epoch(epoch));
    worker.map(|worker| worker.assignments().iter().map(|one| one.mode).collect()).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_has_credentials_is_told_to_go_live_although_no_others_can_be_had() {
    let (world, source) = with_source();
    let controller = world.controller().await;
    let stream = world.open();
    world.until_phase(stream, Phase::Live).await;
    let lost_behind_the_preparation = async {
        world.until(stream, "ready", |_| modes(&world, 2) == [AssignmentMode::Prepare]).await;
        source.hangs.store(true, Ordering::Relaxed);
        source.forget(stream);
    };
    let (moved, ()) = tokio::join!(controller.move_stream(stream), lost_behind_the_preparation);
    moved.unwrap();
    let live = [AssignmentMode::Prepare, AssignmentMode::Live];
    world.until(stream, "live", |_| modes(&world, 2) == live).await;
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_has_credentials_is_told_to_finish_by_a_controller_that_has_none() {
    let (mut world, _) = with_source();
    let first = world.controller().await;
    let stream = world.open();
    world.until_phase(stream, Phase::Live).await;
    first.close().await;
    let hangs = Arc::new(FakeSource::default());
    hangs.hangs.store(true, Ordering::Relaxed);
    world.source = Some(hangs);
    let second = world.controller().await;
    world.store.change_spec(stream, |spec| spec.desired_state = DesiredState::Ended);
    world.until_phase(stream, Phase::Ended).await;
    assert_eq!(modes(&world, 1), [AssignmentMode::Live, AssignmentMode::Finish]);
    world.end(second).await;
}

#[tokio::test(start_paused = true)]
async fn who_answers_in_a_workers_place_later_gets_nothing_and_the_worker_is_renewed() {
    let (world, _) = with_source();
    let controller = world.controller().await;
    let stream = world.open();
    world.until_phase(stream, Phase::Live).await;
    *world.cluster.answers_in_its_place.lock().unwrap() = Some(SealingKey::generate().unwrap().public());
    sleep(RENEWAL + Duration::from_mins(2)).await;
    assert_eq!(given(&world), ["session-1", "session-2"]);
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_key_could_not_be_had_is_asked_again_within_a_minute() {
    let (mut world, _) = with_source();
    let first = world.controller().await;
    let stream = world.open();
    world.until_phase(stream, Phase::Live).await;
    first.close().await;
    world.cluster.keyless.store(true, Ordering::Relaxed);
    let made_before = Arc::new(FakeSource::default());
    made_before.made.lock().unwrap().insert(stream, vec![Instant::now() - RENEWAL]);
    world.source = Some(made_before);
    let second = world.controller().await;
    sleep(Duration::from_mins(3)).await;
    assert_eq!(given(&world), ["session-1"]);
    world.cluster.keyless.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(given(&world), ["session-1", "session-2"]);
    world.end(second).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_credentials_of_its_own_has_none_made_for_it_once_it_is_assigned() {
    let (world, source) = with_source();
    world.cluster.needs_credentials.store(false, Ordering::Relaxed);
    world.cluster.keyless.store(true, Ordering::Relaxed);
    let controller = world.controller().await;
    let stream = world.open();
    world.until_phase(stream, Phase::Live).await;
    sleep(RENEWAL * 3).await;
    assert_eq!((given(&world).len(), source.made(stream)), (0, 1));
    world.end(controller).await;
}
