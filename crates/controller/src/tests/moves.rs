//! What moves leave behind.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_claimed_for_a_move_that_was_given_up_is_ended_also_by_the_next_controller() {
    for crash in [false, true] {
        let world = World::new();
        let mut controller = world.controller().await;
        let stream = world.open();
        world.until_phase(stream, Phase::Live).await;
        world.cluster.answers_no_claim(true);
        if crash {
            world.cluster.leave_all();
            world.until(stream, "being moved", |record| record.machine.moves_to().is_some()).await;
            sleep(Duration::from_secs(29)).await;
            controller.close().await;
            world.cluster.answers_no_claim(false);
            // The next controller finds the move as it was, and what was given up is withdrawn before anything else.
            let mut record = world.store.get(stream).unwrap();
            record
                .machine
                .handle(UnixMillis(world.now().0 + 2_000), caudal_livestream::lifecycle::Input::Tick);
            assert_eq!(record.machine.orders().withdraw, [Epoch(2)]);
            world.store.write_as_another(record);
            controller = world.controller().await;
        } else {
            let given_up = controller.move_stream(stream).await;
            assert!(given_up.is_err(), "{given_up:?}");
            world.cluster.answers_no_claim(false);
        }
        let withdrawn = |record: &Record| record.machine.orders().withdraw.is_empty();
        world.until(stream, "withdrawn", withdrawn).await;
        let second = world.cluster.workers().into_iter().find(|worker| worker.epoch == Epoch(2)).unwrap();
        assert!(second.dead.is_cancelled(), "it would be kept until the stream ends");
        assert_eq!(world.store.get(stream).unwrap().machine.phase(), Phase::Live);
        world.cluster.kill_all();
        controller.close().await;
    }
}
