//! Streams that live on while keys are changed.

use super::fake_worker::FakeWorker;
use super::*;

/// The keys of an installation, before or after their change.
struct Keys {
    controller: SigningKey,
    router: RoleKey,
    reader: RoleKey,
}

impl Keys {
    /// A controller that uses these, and accepts the `other` ones.
    async fn controller(&self, world: &World, other: &Self) -> Controller {
        let assignments =
            AssignmentKeys::new(self.controller.clone(), vec![other.controller.verifying_key()]);
        let router = RoleKeys::new(self.router.clone(), vec![other.router.clone()]);
        let reader = RoleKeys::new(self.reader.clone(), vec![other.reader.clone()]);
        world.controller_with(assignments, router, reader).await
    }
}

#[tokio::test(start_paused = true)]
async fn workers_that_were_assigned_before_a_change_of_keys_are_heard_and_relayed_to_behind_it() {
    let [old, new] = [(9, 1, 2), (10, 3, 4)].map(|(controller, router, reader)| Keys {
        controller: signing_key(controller),
        router: RoleKey::new([router; 32]),
        reader: RoleKey::new([reader; 32]),
    });
    let world = World::new();
    let before = old.controller(&world, &new).await;
    let stream = world.open();
    world.until_phase(stream, Phase::Live).await;
    let floor = world.store.get(stream).unwrap().machine.floor().unwrap();
    before.close().await;

    let after = new.controller(&world, &old).await;
    let further = |record: &Record| record.machine.floor().unwrap().msn.0 > floor.msn.0 + 3;
    let record = world.until(stream, "heard", further).await;
    assert_eq!(record.machine.epoch(), Epoch(1), "it serves on");
    after.move_stream(stream).await.unwrap();

    let workers = world.cluster.workers();
    assert_eq!(workers.len(), 2);
    for assignment in workers.iter().flat_map(FakeWorker::assignments) {
        for keys in [&old, &new] {
            assert!(assignment.knows_router(&keys.router.proof(stream, assignment.epoch)));
            assert!(assignment.knows_reader(&keys.reader.proof(stream, assignment.epoch)));
            assert!(!assignment.knows_router(&keys.reader.proof(stream, assignment.epoch)));
        }
    }
    world.end(after).await;
}
