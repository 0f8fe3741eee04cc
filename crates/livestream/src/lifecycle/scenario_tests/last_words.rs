//! A worker that has lost the stream and still closes what it has.

use super::*;

/// A worker for the current epoch, which has not taken its assignment.
fn claimed(scene: &mut Scene) -> Option<WorkerOrder> {
    scene.say(Input::WorkerClaimed(scene.epoch(), address()));
    scene.machine.orders().worker
}

#[test]
fn the_worker_behind_one_that_still_closes_is_claimed_at_once_and_begins_behind_its_last_word() {
    type Begin = fn() -> Scene;
    type Loss = fn(&mut Scene);
    let next_dies: Loss = |scene| scene.say(Input::WorkerLost(Epoch(2), Evidence::ProcessEnded));
    let hands_over_to_nobody: Loss = |scene| scene.old_says_moved();
    let unreachable: Loss = |scene| (0..3).for_each(|_| scene.say(Input::RelayFailed(Epoch(1))));
    let wanted = || {
        let mut scene = Scene::live();
        scene.say(Input::Move);
        scene
    };
    let cases: [(Begin, Loss); 5] = [
        (Scene::handing_over, next_dies),
        (Scene::live, hands_over_to_nobody),
        (Scene::live, unreachable),
        (wanted, hands_over_to_nobody),
        (wanted, unreachable),
    ];
    for (begin, loss) in cases {
        for closes in [true, false] {
            let mut scene = begin();
            let old = scene.worker();
            loss(&mut scene);
            assert!(
                matches!(scene.machine.orders().worker, Some(WorkerOrder::Claim(epoch)) if epoch > Epoch(1))
            );
            assert_eq!(scene.machine.orders().follow_parting, old.map(|old| (Epoch(1), old)));
            assert_eq!(claimed(&mut scene), None, "the last word is waited for");
            scene.say(Input::Announced(Epoch(1), floor(12)));
            assert_eq!(scene.machine.floor(), Some(floor(12)));
            if closes {
                scene.say(Input::WorkerLost(Epoch(1), Evidence::Closed));
            } else {
                scene.after(999);
                assert_eq!(scene.machine.orders().worker, None);
                scene.after(1);
            }
            assert_eq!(scene.machine.orders().follow_parting, None);
            scene.take_assignment();
            scene.say(Input::Announced(Epoch(1), floor(13)));
            assert_eq!(scene.machine.floor(), Some(floor(12)), "its time is over");
        }
    }
}

#[test]
fn a_worker_that_is_dead_is_not_waited_for() {
    for evidence in [Evidence::ProcessEnded, Evidence::Closed, Evidence::FeedSilent] {
        let mut scene = Scene::live();
        scene.say(Input::WorkerLost(Epoch(1), evidence));
        assert!(matches!(claimed(&mut scene), Some(WorkerOrder::Assign { .. })), "{evidence:?}");
    }
    let mut scene = Scene::handing_over();
    scene.old_closes();
    scene.take_assignment();
    scene.say(Input::WorkerLost(Epoch(2), Evidence::ProcessEnded));
    assert!(matches!(claimed(&mut scene), Some(WorkerOrder::Assign { .. })), "the next one had the stream");
}

#[test]
fn a_worker_that_was_claimed_for_a_move_is_told_to_begin_behind_the_last_word_however_far_it_is() {
    for takes in [None, Some(AssignmentMode::Prepare)] {
        let mut scene = Scene::live();
        let old = scene.worker();
        scene.say(Input::Move);
        scene.say(Input::WorkerClaimed(Epoch(2), address()));
        scene.old_says_moved();
        assert_eq!(scene.epoch(), Epoch(2));
        assert_eq!(scene.machine.orders().follow_parting, old.map(|old| (Epoch(1), old)), "{takes:?}");
        // The request to prepare was on its way.
        if let Some(mode) = takes {
            scene.say(Input::AssignmentTaken(Epoch(2), mode));
        }
        assert_eq!(scene.machine.orders().worker, None, "{takes:?}");
        scene.say(Input::Announced(Epoch(1), floor(12)));
        scene.say(Input::WorkerLost(Epoch(1), Evidence::Closed));
        assert_eq!((scene.mode(), scene.machine.floor()), (Some(AssignmentMode::Live), Some(floor(12))));
    }
}

#[test]
fn a_broadcast_whose_first_segment_comes_from_a_worker_that_closes_has_begun() {
    let mut scene = Scene::opened();
    scene.give_worker();
    (0..3).for_each(|_| scene.say(Input::RelayFailed(Epoch(1))));
    scene.say(Input::Announced(Epoch(1), floor(7)));
    assert!(matches!(scene.machine.orders().report, Some(ReportOrder::Published(_))));
    scene.say(Input::End(EndReason::EndedByOwner));
    scene.say(Input::WorkerLost(Epoch(1), Evidence::Closed));
    scene.after(20_000);
    scene.say(Input::Acknowledged(ReportKind::Published));
    assert!(scene.done().is_some_and(|done| done.published));
}
