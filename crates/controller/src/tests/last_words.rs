//! Whatever a worker has announced when it loses the stream, its successor begins behind that.

use caudal_livestream::assignment::{AssignmentMode, Floor};
use caudal_livestream::record::RelayFailures;

use super::fake_worker::{BehindTheSwitch, FakeWorker};
use super::*;

impl World {
    fn worker_of(&self, epoch: Epoch) -> FakeWorker {
        self.cluster.workers().into_iter().find(|worker| worker.epoch == epoch).unwrap()
    }

    /// Three times, as the record says it or as the controller is told.
    fn relay_fails(&self, controller: &Controller, stream: StreamId, by_record: bool) {
        let ingest = self.store.get(stream).unwrap().spec.unwrap().ingest;
        let (session, last_failed_at) = (ingest.session, UnixMillis(1));
        let told = RelayFailures { epoch: Epoch(1), session, failures: 3, last_failed_at };
        if by_record {
            self.store.change_spec(stream, |spec| spec.ingest.relay = Some(told));
        } else {
            controller.relay_failed(stream, told);
        }
    }

    /// The floor that the stream's new worker was given.
    async fn floor_given(&self, stream: StreamId, epoch: Epoch) -> Option<Floor> {
        let serves = |record: &Record| record.machine.orders().follow.is_some_and(|(of, _)| of == epoch);
        self.until(stream, "with another worker", serves).await;
        let assignments = self.worker_of(epoch).assignments();
        assignments.iter().find(|assignment| assignment.mode == AssignmentMode::Live).unwrap().floor
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_worker_dies_at_the_switch_and_the_third_begins_behind_all_that_the_old_one_announces() {
    let (world, controller, stream) = World::live().await;
    world.cluster.behind_the_switch(BehindTheSwitch::NextDies);
    let old = world.worker_of(Epoch(1));
    old.reaches(200);
    controller.move_stream(stream).await.unwrap_err();
    let given = world.floor_given(stream, Epoch(3)).await;
    assert_eq!(given, old.last_reached(), "it announced that after the stream had been given to a third one");
    assert!(position(given) > position(old.last_floor()));
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn one_that_never_closes_is_not_waited_for_longer_than_a_second() {
    let (world, controller, stream) = World::live().await;
    let old = world.worker_of(Epoch(1));
    old.hangs();
    let reached = old.reaches(200);
    let lost = Instant::now();
    world.relay_fails(&controller, stream, false);
    assert_eq!(world.floor_given(stream, Epoch(2)).await, Some(reached));
    let waited = lost.elapsed();
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_millis(1500), "{waited:?}");
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_dies_or_cannot_be_reached_or_hands_over_is_followed_behind_its_last_part() {
    for how in ["it dies", "a router says so", "the record says so", "it hands over"] {
        let (world, controller, stream) = World::live().await;
        let old = world.worker_of(Epoch(1));
        // Alone: the controller is told of it in the same moment as of the loss.
        let reached = old.reaches(600);
        match how {
            "it dies" => old.dead.cancel(),
            "a router says so" => world.relay_fails(&controller, stream, false),
            "the record says so" => world.relay_fails(&controller, stream, true),
            _ => {
                controller.move_stream(stream).await.unwrap();
            }
        }
        let given = world.floor_given(stream, Epoch(2)).await;
        assert!(position(given) >= position(Some(reached)), "{how}: {given:?}");
        world.end(controller).await;
    }
}

fn position(floor: Option<Floor>) -> Option<(u64, i64)> {
    floor.map(|floor| (floor.msn.0, floor.media_end.0))
}
