//! Workers that are told to go, and what their going says of the stream.

use super::*;
use crate::lifecycle::{LastMove, MoveAskedBy, MoveEnd, MoveFailure};

impl Scene {
    fn leaving_input(&self) -> InputState {
        InputState {
            session: Some(SessionId::generate()),
            generation: self.machine.generation(),
            up: true,
            leaving: true,
            ..InputState::default()
        }
    }

    /// The worker is told to go.
    fn told_to_go(&mut self) {
        let state = self.leaving_input();
        self.input(state);
    }

    /// Its publisher's connection is gone, and it ends.
    fn leaves(&mut self, explicit: bool) {
        let state = InputState { up: false, explicit, ..self.leaving_input() };
        self.input(state);
    }

    fn asked_by(&self) -> Option<MoveAskedBy> {
        self.machine.last_move().map(|last| last.asked_by)
    }
}

#[test]
fn when_a_leaving_worker_has_no_time_left_the_next_one_that_is_ready_steps_in() {
    let mut scene = Scene::live();
    let old = scene.worker().unwrap();
    scene.told_to_go();
    scene.claim_next();
    scene.prepare_next();
    let next = scene.machine.status(None).next.unwrap();
    scene.leaves(false);
    assert_eq!(scene.phase(), Phase::Live, "the worker went, and not the publisher");
    assert_eq!(scene.machine.status(None).next, Some(next));
    assert!(scene.machine.orders().release.is_empty(), "it is closing what it has");
    scene.announce(9);
    scene.lose_worker();
    assert_eq!((scene.epoch(), scene.worker(), scene.phase()), (Epoch(2), Some(next.address), Phase::Live));
    assert_eq!(scene.machine.floor(), Some(floor(9)), "what the old one has announced last");
    assert_eq!(scene.machine.orders().release, [old]);
    scene.take_assignment();
    scene.publisher_up();
    scene.announce(10);
    let last = scene.machine.last_move().unwrap();
    assert!(matches!(last, LastMove { end: MoveEnd::Moved { stepped_in: true, .. }, .. }), "{last:?}");
    assert_eq!((scene.asked_by(), scene.phase()), (Some(MoveAskedBy::Worker), Phase::Live));
}

#[test]
fn a_leaving_worker_is_given_a_second_to_close_and_the_next_one_has_its_place_then() {
    let mut scene = Scene::live();
    scene.told_to_go();
    scene.claim_next();
    scene.prepare_next();
    scene.leaves(false);
    scene.after(999);
    assert_eq!(scene.epoch(), Epoch(1));
    scene.after(1);
    assert_eq!((scene.epoch(), scene.phase()), (Epoch(2), Phase::Live));
}

#[test]
fn a_leaving_worker_whose_next_one_is_not_ready_is_replaced_by_that_one_when_it_has_ended() {
    for claimed in [false, true] {
        let mut scene = Scene::live();
        scene.told_to_go();
        if claimed {
            scene.claim_next();
        }
        scene.leaves(false);
        scene.lose_worker();
        assert_eq!((scene.epoch(), scene.phase()), (Epoch(2), Phase::Live));
        assert_eq!(scene.machine.orders().worker.map(|order| order.epoch()), Some(Epoch(2)));
    }
}

#[test]
fn a_publisher_that_leaves_a_leaving_worker_has_the_next_one_to_come_back_to() {
    for (explicit, wait) in [(true, 5_000), (false, 5_000 + 30_000)] {
        let mut scene = Scene::live();
        scene.told_to_go();
        scene.claim_next();
        scene.prepare_next();
        scene.leaves(explicit);
        scene.lose_worker();
        assert_eq!((scene.epoch(), scene.worker().is_some()), (Epoch(2), true));
        scene.take_assignment();
        scene.after(5_000);
        scene.after(wait - 5_000);
        assert_eq!(
            (scene.phase(), scene.mode()),
            (Phase::Ending, Some(AssignmentMode::Finish)),
            "{explicit}"
        );
    }
}

#[test]
fn a_move_whose_publisher_stays_away_behind_the_switch_does_not_say_that_the_next_worker_was_lost() {
    for publisher_is_there in [false, true] {
        let mut scene = Scene::live();
        scene.told_to_go();
        scene.claim_next();
        scene.prepare_next();
        scene.leaves(false);
        scene.lose_worker();
        scene.take_assignment();
        if publisher_is_there {
            scene.publisher_up();
        }
        let worker = scene.worker().unwrap();
        for _ in 0..2 {
            assert_eq!(scene.machine.last_move(), None);
            scene.after(7_500);
        }
        let failure = if publisher_is_there {
            MoveFailure::NothingAnnounced
        } else {
            MoveFailure::PublisherLostBehindTheSwitch
        };
        assert_eq!(scene.machine.last_move().map(|last| last.end), Some(MoveEnd::Failed { failure }));
        assert!(failure.to_string().contains("the stream stays with it"), "{failure}");
        assert!(failure.has_left());
        assert_eq!((scene.worker(), scene.epoch()), (Some(worker), Epoch(2)));
        assert_eq!(scene.machine.orders().worker, None, "no other one is wanted");
    }
}

#[test]
fn a_leaving_worker_that_never_ends_does_not_hide_that_its_publisher_is_gone() {
    let mut scene = Scene::live();
    scene.told_to_go();
    scene.leaves(false);
    // No other worker is to be had, and this one is heard on and on.
    scene.after(5_000);
    assert_eq!(scene.phase(), Phase::Reconnecting);
}

#[test]
fn workers_that_are_told_to_go_again_and_again_are_no_reason_to_end_a_broadcast() {
    for ready in [false, true] {
        let mut scene = Scene::live();
        for msn in 8..20 {
            scene.after(1_000);
            scene.told_to_go();
            if ready {
                scene.claim_next();
                scene.prepare_next();
            }
            scene.leaves(false);
            scene.lose_worker();
            if let Some(WorkerOrder::Claim(_)) = scene.machine.orders().worker {
                scene.give_worker();
            } else {
                scene.take_assignment();
            }
            scene.publisher_up();
            scene.announce(msn);
            assert_eq!(scene.phase(), Phase::Live, "{msn}");
            assert!(!scene.machine.status(None).without_replay, "{msn}");
        }
    }
}

#[test]
fn the_successor_of_a_leaving_worker_that_dies_of_what_it_is_sent_counts_as_any_other() {
    let mut scene = Scene::live();
    let mut lost = 0;
    while scene.phase() == Phase::Live {
        lost += 1;
        scene.told_to_go();
        scene.claim_next();
        scene.prepare_next();
        let next = scene.next_epoch().unwrap();
        scene.old_says_moved();
        scene.next_has_media(next);
        scene.say(Input::WorkerLost(next, Evidence::ProcessEnded));
        if scene.phase() == Phase::Live {
            scene.give_worker();
            scene.publisher_up();
        }
    }
    assert_eq!((lost, scene.machine.end_reason()), (3, Some(EndReason::WorkersLost)));
}

#[test]
fn a_worker_that_served_for_long_and_handed_over_clears_the_count_of_lost_ones() {
    let mut scene = Scene::live();
    for _ in 0..2 {
        scene.after(9_000);
        scene.lose_worker();
        scene.give_worker();
        scene.publisher_up();
    }
    assert!(scene.machine.status(None).without_replay);
    scene.announce(9);
    scene.after(3_600_000);
    scene.say(Input::Move);
    scene.claim_next();
    scene.prepare_next();
    scene.old_says_moved();
    scene.lose_worker();
    scene.take_assignment();
    scene.publisher_up();
    scene.announce(10);
    assert!(!scene.machine.status(None).without_replay);
    scene.after(5_000);
    scene.lose_worker();
    assert_eq!(scene.phase(), Phase::Live);
}

#[test]
fn failures_of_the_old_workers_relay_do_not_count_against_the_next_one() {
    let mut scene = Scene::live();
    for _ in 0..2 {
        scene.say(Input::RelayFailed(Epoch(1)));
    }
    scene.say(Input::Move);
    scene.claim_next();
    scene.prepare_next();
    scene.old_says_moved();
    scene.lose_worker();
    scene.say(Input::RelayFailed(Epoch(2)));
    assert_eq!(scene.epoch(), Epoch(2));
}

#[test]
fn a_move_that_is_given_up_while_a_worker_is_being_claimed_withdraws_the_claim_until_that_is_done() {
    let mut scene = Scene::moving();
    scene.after(30_000);
    let stored = serde_json::to_vec(&scene.machine).unwrap();
    scene.machine = serde_json::from_slice(&stored).unwrap();
    assert_eq!(scene.machine.orders().withdraw, [Epoch(2)]);
    scene.say(Input::Withdrawn(Epoch(2)));
    assert!(scene.machine.orders().withdraw.is_empty());
    // One that came with the answer is released as before.
    scene.say(Input::WorkerClaimed(Epoch(2), address()));
    assert_eq!(scene.machine.orders().release.len(), 1);
}

/// All that the release before this one reads of epochs: it gives the next one.
#[test]
fn the_release_before_counts_on_from_the_highest_epoch_that_was_ever_given() {
    let next_of_the_release_before = |scene: &Scene| {
        let record = serde_json::to_value(&scene.machine).unwrap();
        record["epoch"].as_u64().unwrap() + 1
    };
    let mut scene = Scene::prepared();
    assert_eq!((scene.epoch(), next_of_the_release_before(&scene)), (Epoch(1), 3));
    scene.say(Input::WorkerLost(Epoch(2), Evidence::ProcessEnded));
    assert_eq!((scene.epoch(), next_of_the_release_before(&scene)), (Epoch(1), 3));
    scene.lose_worker();
    assert_eq!((scene.epoch(), next_of_the_release_before(&scene)), (Epoch(3), 4));
}
