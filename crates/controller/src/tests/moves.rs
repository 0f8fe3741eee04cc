//! What moves leave behind.

use caudal_livestream::lifecycle::Input;

use super::fake_worker::BehindTheSwitch;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_claimed_for_a_move_that_was_given_up_is_ended_also_by_the_next_controller() {
    for crash in [false, true] {
        let (world, mut controller, stream) = World::live().await;
        world.cluster.answers_no_claim(true);
        if crash {
            world.cluster.leave_all();
            world.until(stream, "being moved", |record| record.machine.moves_to().is_some()).await;
            sleep(Duration::from_secs(29)).await;
            controller.close().await;
            world.cluster.answers_no_claim(false);
            // The next controller finds the move as it was, and what was given up is withdrawn before anything else.
            let mut record = world.store.get(stream).unwrap();
            record.machine.handle(UnixMillis(world.now().0 + 2_000), Input::Tick);
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
        world.end(controller).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_asked_for_a_move_hears_in_the_next_workers_words_why_it_did_not_get_ready() {
    let (world, controller, stream) = World::live().await;
    world.cluster.nobody_gets_ready(full());
    let failed = controller.move_stream(stream).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "the next worker could not get ready: the disk is full; the stream stays where it is"
    );
    assert_eq!(world.cluster.not_moved(), [], "who asked says so");
    assert_eq!(world.store.get(stream).unwrap().machine.phase(), Phase::Live);
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn where_a_worker_asked_for_a_move_that_failed_the_observer_is_told_why() {
    let (world, controller, stream) = World::live().await;
    world.cluster.nobody_gets_ready(full());
    world.cluster.leave_all();
    world.until(stream, "not moved", |record| record.machine.last_move().is_some()).await;
    let told = world.cluster.not_moved();
    let words = "the next worker could not get ready: the disk is full; the stream stays where it is";
    assert_eq!(told.first(), Some(&(stream, words.to_owned())));
    world.end(controller).await;
}

fn full() -> NotAssigned {
    NotAssigned::Refused("the disk is full".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_no_connection_reaches_is_tried_once_and_one_that_does_not_answer_again() {
    let words = || "no answer".to_owned();
    for (reason, silence, times) in [
        (NotAssigned::Unconnected(words()), 0, 1),
        (NotAssigned::Unsettled(words()), 0, 3),
        // Longer, and the router's replay would not hold any more what viewers lack.
        (NotAssigned::Unsettled(words()), 5, 2),
    ] {
        let (world, controller, stream) = World::live().await;
        world.cluster.nobody_gets_ready_after(Duration::from_secs(silence), reason);
        world.cluster.kill_all();
        world.until(stream, "given to a third", |record| record.machine.epoch() > Epoch(2)).await;
        assert_eq!(world.cluster.asked().first(), Some(&times));
        world.cluster.somebody_gets_ready();
        world.until_phase(stream, Phase::Live).await;
        world.end(controller).await;
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_worker_can_take_the_stream_few_are_tried_until_one_can() {
    let (world, controller, stream) = World::live().await;
    world.cluster.nobody_gets_ready(full());
    world.cluster.kill_all();
    sleep(Duration::from_secs(20)).await;
    let tried = world.cluster.workers().len();
    assert!((6..=12).contains(&tried), "{tried}");
    world.cluster.somebody_gets_ready();
    let again = |record: &Record| record.machine.phase() == Phase::Live && record.machine.epoch() > Epoch(2);
    world.until(stream, "live again", again).await;
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn who_asked_for_a_move_hears_when_the_old_worker_died_behind_the_switch_and_not_when_it_closed() {
    let (world, controller, stream) = World::live().await;
    for (happens, dies, epoch) in
        [(BehindTheSwitch::OldDies, true, Epoch(2)), (BehindTheSwitch::OldCloses, false, Epoch(3))]
    {
        world.cluster.behind_the_switch(happens);
        let moved = controller.move_stream(stream).await.unwrap();
        assert_eq!((moved.epoch, moved.stepped_in), (epoch, dies));
    }
    world.end(controller).await;
}
