//! A router's evidence against a worker, as it comes through a store that merges changes.

use caudal_livestream::record::RelayFailures;

use super::*;

fn failures(session: SessionId, epoch: u32, failures: u32) -> RelayFailures {
    RelayFailures { epoch: Epoch(epoch), session, failures, last_failed_at: UnixMillis(1) }
}

#[tokio::test(start_paused = true)]
async fn a_count_in_the_store_loses_a_worker_once_three_of_its_failures_are_new() {
    let world = World::new();
    let controller = world.controller().await;
    let stream = world.open();
    let session = world.until_phase(stream, Phase::Live).await.spec.unwrap().ingest.session;
    let write = |relay| world.store.change_spec(stream, |spec| spec.ingest.relay = Some(relay));
    // Each of these says two at most.
    for relay in [failures(SessionId::generate(), 1, 9), failures(session, 1, 2), failures(session, 1, 2)] {
        write(relay);
        sleep(Duration::from_secs(20)).await;
        assert_eq!(world.store.get(stream).unwrap().machine.epoch(), Epoch(1), "{relay:?}");
    }
    write(failures(session, 1, 5));
    let serving =
        |record: &Record| record.machine.phase() == Phase::Live && record.machine.epoch() == Epoch(2);
    world.until(stream, "served by another worker", serving).await;
    // What the controller is told directly counts the same.
    controller.relay_failed(stream, failures(session, 2, 2));
    controller.relay_failed(stream, failures(session, 2, 3));
    let replaced = |record: &Record| record.machine.epoch() == Epoch(3);
    let record = world.until(stream, "replaced again", replaced).await;
    assert_eq!(record.spec.unwrap().ingest.relay, Some(failures(session, 2, 3)));
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn why_a_publisher_was_turned_away_ends_what_it_interrupts_again_and_again() {
    let world = World::new();
    let controller = world.controller().await;
    let stream = world.open();
    let ingest = world.until_phase(stream, Phase::Live).await.spec.unwrap().ingest;
    let refuse = |session| {
        world.store.change_spec(stream, |spec| {
            spec.ingest.session = session;
            spec.ingest.generation = spec.ingest.generation.next();
            spec.ingest.refused = Some("vp9 is not supported".to_owned());
        });
    };
    refuse(ingest.session);
    sleep(Duration::from_secs(1)).await;
    // The same word again, with another change of the record, is no second refusal.
    world.store.change_spec(stream, |spec| spec.title = "another".to_owned());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.store.get(stream).unwrap().machine.end_reason(), None);
    refuse(SessionId::generate());
    let ended = |record: &Record| record.machine.end_reason() == Some(EndReason::NothingPlayable);
    world.until(stream, "ended for it", ended).await;
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_was_written_while_nobody_led_is_heard_by_the_next_controller() {
    let world = World::new();
    world.cluster.no_worker(Some(ClaimError::Unavailable("soon".to_owned())));
    let stream = world.open();
    world.store.change_spec(stream, |spec| spec.ingest.refused = Some("vp9 is not supported".to_owned()));
    let controller = world.controller().await;
    let over = |record: &Record| record.machine.end_reason().is_some();
    let record = world.until(stream, "ended", over).await;
    assert_eq!(record.machine.end_reason(), Some(EndReason::NothingPlayable));
    controller.close().await;
}
