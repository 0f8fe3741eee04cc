//! Workers that are lost.

use super::*;

#[test]
fn a_lost_worker_is_replaced_under_the_next_epoch_behind_the_floor() {
    let mut scene = Scene::live();
    scene.announce(9);
    let old = scene.worker().unwrap();
    scene.after(60_000);
    scene.lose_worker();
    assert_eq!((scene.phase(), scene.epoch()), (Phase::Live, Epoch(2)), "viewers see a hitch at most");
    assert_eq!(scene.machine.orders().worker, Some(WorkerOrder::Claim(Epoch(2))));
    assert_eq!(scene.machine.orders().release, [old]);
    assert_eq!(scene.machine.floor(), Some(floor(9)));
    scene.give_worker();
    scene.publisher_up();
    assert_eq!(scene.phase(), Phase::Live);
    assert!(!scene.machine.status(None).without_replay);
    scene.say(Input::Released(old.worker));
    assert!(scene.machine.orders().release.is_empty());
}

#[test]
fn words_of_a_replaced_worker_count_no_more() {
    let mut scene = Scene::live();
    scene.lose_worker();
    scene.give_worker();
    let before = scene.machine.clone();
    scene.say(Input::Announced(Epoch(1), floor(99)));
    scene.say(Input::WorkerLost(Epoch(1), Evidence::FeedSilent));
    scene.say(Input::Finished(Epoch(1)));
    scene.say(Input::RelayFailed(Epoch(1)));
    scene.say(Input::AssignmentTaken(Epoch(1), AssignmentMode::Finish));
    scene.say(Input::Publisher(Epoch(1), InputState { up: true, ..InputState::default() }));
    assert_eq!(scene.machine, before);
}

#[test]
fn when_the_publisher_does_not_follow_to_the_new_worker_it_counts_as_lost() {
    let mut scene = Scene::live();
    scene.lose_worker();
    scene.give_worker();
    // The new worker has never had a publisher; that by itself says nothing.
    scene.input(InputState::default());
    assert_eq!(scene.phase(), Phase::Live);
    scene.after(5_000);
    assert_eq!(scene.phase(), Phase::Reconnecting);
    scene.after(30_000);
    assert_eq!(scene.phase(), Phase::Ending);
}

#[test]
fn the_third_worker_gets_no_replay_and_its_loss_is_the_end() {
    let mut scene = Scene::live();
    let mut without_replay = Vec::new();
    for _ in 0..3 {
        scene.after(9_000);
        scene.lose_worker();
        if scene.phase() == Phase::Live {
            scene.give_worker();
            scene.publisher_up();
            without_replay.push(scene.machine.status(None).without_replay);
        }
    }
    assert_eq!(without_replay, [false, true]);
    assert_eq!(scene.phase(), Phase::Ending);
    assert_eq!(scene.machine.end_reason(), Some(EndReason::WorkersLost));
    // Viewers still get a playlist that ends.
    let epoch = scene.epoch();
    assert_eq!(scene.machine.orders().worker, Some(WorkerOrder::Claim(epoch)));
    scene.say(Input::WorkerClaimed(epoch, address()));
    assert_eq!(scene.mode(), Some(AssignmentMode::Finish));
    scene.take_assignment();
    scene.say(Input::Finished(epoch));
    assert_eq!(scene.phase(), Phase::Failed);
}

#[test]
fn a_worker_that_lived_longer_than_ten_seconds_clears_the_count() {
    let mut scene = Scene::live();
    for _ in 0..5 {
        scene.after(9_000);
        scene.lose_worker();
        scene.give_worker();
        scene.publisher_up();
        scene.after(10_000);
        scene.lose_worker();
        scene.give_worker();
        scene.publisher_up();
    }
    assert_eq!(scene.phase(), Phase::Live);
}

#[test]
fn workers_that_ended_with_the_last_controller_are_not_held_against_the_stream() {
    let mut scene = Scene::live();
    for _ in 0..5 {
        let epoch = scene.epoch();
        scene.say(Input::WorkerLost(epoch, Evidence::ControllerRestarted));
        scene.give_worker();
        scene.publisher_up();
    }
    assert_eq!(scene.phase(), Phase::Live);
    assert!(!scene.machine.status(None).without_replay);
}

#[test]
fn a_stream_that_finds_no_working_worker_for_a_minute_fails() {
    let mut scene = Scene::live();
    scene.lose_worker();
    for _ in 0..59 {
        // Each takes its assignment and dies before it has the publisher.
        scene.give_worker();
        scene.after(1_000);
        scene.lose_worker();
        assert_eq!(scene.phase(), Phase::Live);
    }
    scene.after(1_000);
    assert_eq!(scene.machine.end_reason(), Some(EndReason::WorkersLost));
}

#[test]
fn a_worker_that_does_not_take_its_assignment_is_replaced() {
    let mut scene = Scene::opened();
    scene.say(Input::WorkerClaimed(Epoch(1), address()));
    scene.say(Input::WorkerLost(Epoch(1), Evidence::NotAssigned));
    let orders = scene.machine.orders();
    assert_eq!((orders.worker, orders.release.len()), (Some(WorkerOrder::Claim(Epoch(2))), 1));
}

#[test]
fn one_failed_relay_is_not_a_lost_worker_and_three_in_ten_seconds_are() {
    let mut scene = Scene::live();
    for _ in 0..10 {
        scene.say(Input::RelayFailed(Epoch(1)));
        scene.after(6_000);
    }
    assert_eq!(scene.epoch(), Epoch(1));
    scene.after(10_000);
    for _ in 0..3 {
        scene.say(Input::RelayFailed(Epoch(1)));
    }
    assert_eq!(scene.epoch(), Epoch(2));
}

#[test]
fn a_worker_that_says_end_unasked_is_replaced() {
    let mut scene = Scene::live();
    scene.say(Input::Finished(Epoch(1)));
    assert_eq!((scene.phase(), scene.epoch()), (Phase::Live, Epoch(2)));
}

#[test]
fn a_worker_claimed_too_late_is_let_go() {
    let mut scene = Scene::opened();
    scene.say(Input::End(EndReason::EndedByOwner));
    let late = address();
    scene.say(Input::WorkerClaimed(Epoch(1), late));
    assert_eq!(scene.machine.orders().release, [late]);
}

#[test]
fn behind_a_record_that_was_lost_the_next_worker_gets_an_epoch_above_all_that_were_claimed() {
    let mut scene = Scene::opened();
    let not_assigned = |scene: &mut Scene| {
        let epoch = scene.epoch();
        scene.say(Input::WorkerClaimed(epoch, address()));
        scene.say(Input::WorkerLost(epoch, Evidence::NotAssigned));
    };
    scene.say(Input::EpochsClaimed(Epoch(7)));
    assert_eq!(scene.epoch(), Epoch(1), "the worker that was refused is of this one");
    not_assigned(&mut scene);
    assert_eq!(scene.epoch(), Epoch(8));
    // Older news, and a file name that nobody's worker has given.
    for claimed in [Epoch(3), Epoch(u32::MAX)] {
        let before = scene.epoch();
        scene.say(Input::EpochsClaimed(claimed));
        not_assigned(&mut scene);
        assert_eq!(scene.epoch(), before.next(), "{claimed}");
    }
}

/// Its publisher is lost; what happens 26 s later, and what 3 s after that.
fn back_without_a_worker(first: fn(&mut Scene), then: fn(&mut Scene)) -> Scene {
    let mut scene = Scene::live();
    scene.publisher_gone(false);
    scene.after(26_000);
    first(&mut scene);
    scene.after(3_000);
    then(&mut scene);
    scene
}

type Happening = fn(&mut Scene);

fn comes_back(scene: &mut Scene) {
    let next = scene.machine.generation().next();
    scene.say(Input::PublisherChosen(next));
}

#[test]
fn a_publisher_that_is_back_while_its_worker_is_lost_waits_for_the_next_one() {
    let (returns, loses): (Happening, Happening) = (comes_back, Scene::lose_worker);
    for [first, then] in [[returns, loses], [loses, returns]] {
        let mut scene = back_without_a_worker(first, then);
        // The next worker takes longer than the window, and than a publisher that was let in has to reach one.
        scene.after(11_000);
        scene.give_worker();
        scene.after(4_000);
        scene.publisher_up();
        assert_eq!(scene.phase(), Phase::Live);

        // There never is one.
        let mut scene = back_without_a_worker(first, then);
        scene.after(59_999);
        assert_eq!(scene.phase(), Phase::Live);
        scene.after(1);
        assert_eq!(scene.machine.end_reason(), Some(EndReason::WorkersLost));
    }
}

#[test]
fn a_publisher_that_was_back_and_left_again_before_its_worker_was_lost_has_its_window_and_no_more() {
    let mut scene = back_without_a_worker(comes_back, |scene| scene.publisher_gone(false));
    scene.lose_worker();
    assert_eq!(scene.phase(), Phase::Reconnecting);
    scene.after(3_000);
    assert_eq!(scene.machine.end_reason(), Some(EndReason::PublisherLost));
}

/// Live, with a window of ten minutes, and its publisher is lost now.
fn without_publisher() -> Scene {
    let now = UnixMillis(1_000_000);
    let machine = Lifecycle::new(StreamId::generate(), 600_000, Generation(1), now);
    let mut scene = Scene { machine, now };
    scene.give_worker();
    scene.publisher_up();
    scene.announce(7);
    scene.publisher_gone(false);
    scene
}

#[test]
fn a_publisher_that_is_back_has_the_whole_minute_whatever_was_lost_while_it_was_away() {
    let replaced: Happening = |scene| {
        scene.lose_worker();
        scene.after(5_000);
        scene.give_worker();
    };
    let unreached: Happening = |scene| {
        // A publisher that comes back and finds no worker does not reach the next one either.
        scene.lose_worker();
        comes_back(scene);
        scene.give_worker();
        scene.after(5_000);
        assert_eq!(scene.phase(), Phase::Reconnecting);
    };
    let not_replaced: Happening = Scene::lose_worker;
    let (returns, loses): (Happening, Happening) = (comes_back, Scene::lose_worker);
    for (earlier, then) in [
        (replaced, vec![returns, loses]),
        (replaced, vec![loses, returns]),
        (unreached, vec![returns, loses]),
        (unreached, vec![loses, returns]),
        (not_replaced, vec![returns]),
    ] {
        // What an earlier loss has left of its minute, and long after that.
        for later in [53_000, 300_000] {
            let mut scene = without_publisher();
            earlier(&mut scene);
            scene.after(later);
            assert_eq!(scene.phase(), Phase::Reconnecting);
            for happens in &then {
                happens(&mut scene);
            }
            scene.after(59_999);
            assert_eq!(scene.phase(), Phase::Live);
            scene.after(1);
            assert_eq!(scene.machine.end_reason(), Some(EndReason::WorkersLost));
        }
    }
}

#[test]
fn a_publisher_that_is_away_has_its_window_also_while_there_is_no_worker() {
    let mut scene = without_publisher();
    scene.lose_worker();
    scene.after(599_999);
    assert_eq!(scene.phase(), Phase::Reconnecting);
    scene.after(1);
    assert_eq!(scene.machine.end_reason(), Some(EndReason::PublisherLost));
}

#[test]
fn a_publisher_that_comes_back_again_and_again_while_there_is_no_worker_gets_no_second_minute() {
    let mut scene = without_publisher();
    scene.lose_worker();
    for _ in 0..6 {
        comes_back(&mut scene);
        scene.after(10_000);
    }
    assert_eq!(scene.machine.end_reason(), Some(EndReason::WorkersLost));
}
