//! Planned moves, and everything that can come between.

use super::*;
use crate::lifecycle::{LastMove, MoveAskedBy, MoveEnd, MoveFailure, MoveRefusal};

impl Scene {
    /// A live stream on epoch 1 that is told to move.
    pub(super) fn moving() -> Self {
        let mut scene = Self::live();
        scene.announce(9);
        scene.say(Input::Move);
        scene
    }

    /// The next worker is ready, and the router waits for a keyframe.
    pub(super) fn prepared() -> Self {
        let mut scene = Self::moving();
        scene.claim_next();
        scene.prepare_next();
        scene
    }

    /// The router has switched.
    pub(super) fn handing_over() -> Self {
        let mut scene = Self::prepared();
        scene.old_says_moved();
        scene
    }

    pub(super) fn claim_next(&mut self) {
        let Some(WorkerOrder::Claim(epoch)) = self.machine.orders().next else { panic!("nothing to claim") };
        self.say(Input::WorkerClaimed(epoch, address()));
    }

    pub(super) fn prepare_next(&mut self) {
        let Some(WorkerOrder::Assign { epoch, mode, .. }) = self.machine.orders().next else {
            panic!("nothing to prepare")
        };
        assert_eq!(mode, AssignmentMode::Prepare);
        self.say(Input::AssignmentTaken(epoch, mode));
    }

    pub(super) fn old_says_moved(&mut self) {
        let epoch = self.epoch();
        let session = Some(SessionId::generate());
        let generation = self.machine.generation();
        let state = InputState { session, generation, moved: true, ..InputState::default() };
        self.say(Input::Publisher(epoch, state));
    }

    /// The old worker has closed what it had.
    pub(super) fn old_closes(&mut self) {
        self.say(Input::WorkerLost(self.epoch(), Evidence::Closed));
    }

    pub(super) fn next_has_media(&mut self, epoch: Epoch) {
        let session = Some(SessionId::generate());
        let generation = self.machine.generation();
        let state = InputState { session, generation, up: true, silent_ms: Some(0), ..InputState::default() };
        self.say(Input::Publisher(epoch, state));
    }

    pub(super) fn next_epoch(&self) -> Option<Epoch> {
        self.machine.status(None).next.map(|next| next.epoch)
    }

    fn move_end(&self) -> Option<MoveEnd> {
        self.machine.last_move().map(|last| last.end)
    }

    fn failure(&self) -> Option<MoveFailure> {
        match self.move_end() {
            Some(MoveEnd::Failed { failure }) => Some(failure),
            _ => None,
        }
    }
}

#[test]
fn a_move_goes_from_claim_over_prepare_and_the_switch_to_the_next_worker() {
    let mut scene = Scene::moving();
    let old = scene.worker().unwrap();
    assert_eq!(scene.machine.moves_to(), Some(Epoch(2)));
    scene.claim_next();
    assert_eq!(scene.next_epoch(), None, "the router is not told before it is ready");
    scene.prepare_next();
    let next = scene.machine.status(None).next.unwrap();
    assert_eq!(scene.machine.orders().follow_next, Some((Epoch(2), next.address)));
    assert_eq!((scene.epoch(), scene.worker(), scene.phase()), (Epoch(1), Some(old), Phase::Live));
    scene.old_says_moved();
    scene.next_has_media(Epoch(2));
    scene.announce(10);
    assert_eq!(scene.machine.floor(), Some(floor(10)), "what the old one announces while it closes counts");
    assert!(scene.machine.orders().release.is_empty(), "it is left alone until it has closed");
    scene.old_closes();
    assert_eq!((scene.epoch(), scene.worker(), scene.phase()), (Epoch(2), Some(next.address), Phase::Live));
    assert_eq!(scene.machine.orders().release, [old]);
    assert_eq!(scene.mode(), Some(AssignmentMode::Live), "it is told that it is the only one now");
    scene.take_assignment();
    assert_eq!(scene.machine.orders().worker, None);
    assert_eq!(scene.move_end(), None);
    scene.input(InputState { up: true, seam_lost_ms: Some(1_400), ..InputState::default() });
    scene.announce(11);
    let (from, to) = (old.worker, next.address.worker);
    let last = LastMove {
        asked_by: MoveAskedBy::Administrator,
        from,
        from_epoch: Epoch(1),
        epoch: Epoch(2),
        end: MoveEnd::Moved { to, stepped_in: false, lost_ms: Some(1_400) },
    };
    assert_eq!(scene.machine.last_move(), Some(last));
    assert_eq!(scene.machine.moves_to(), None);
    scene.after(1_000_000);
    assert_eq!(scene.phase(), Phase::Live);
}

#[test]
fn the_next_worker_takes_over_when_the_old_one_has_closed_or_was_given_a_second_or_it_has_announced() {
    type Act = fn(&mut Scene);
    let cases: [(&str, Act, bool); 5] = [
        ("it closed and ended", |scene| scene.old_closes(), false),
        ("it was killed", |scene| scene.lose_worker(), true),
        ("it said the end", |scene| scene.say(Input::Finished(Epoch(1))), false),
        ("it took too long", |scene| scene.after(1_000), false),
        ("the next one was faster", |scene| scene.say(Input::Announced(Epoch(2), floor(10))), false),
    ];
    for (case, act, died) in cases {
        let mut scene = Scene::handing_over();
        scene.after(999 - 1);
        assert_eq!(scene.epoch(), Epoch(1), "{case}");
        act(&mut scene);
        assert_eq!((scene.epoch(), scene.phase()), (Epoch(2), Phase::Live), "{case}");
        assert_eq!(scene.machine.orders().release.len(), 1, "{case}");
        assert!(!scene.machine.status(None).without_replay, "{case}");
        scene.announce(11);
        let to = scene.worker().unwrap().worker;
        assert_eq!(scene.move_end(), Some(MoveEnd::Moved { to, stepped_in: died, lost_ms: None }), "{case}");
    }
}

#[test]
fn media_at_the_next_worker_means_that_the_router_has_switched_and_a_connection_alone_does_not() {
    let mut scene = Scene::prepared();
    let state = InputState { up: true, session: Some(SessionId::generate()), ..InputState::default() };
    scene.say(Input::Publisher(Epoch(2), state));
    scene.after(2_000);
    assert_eq!(scene.epoch(), Epoch(1));
    scene.next_has_media(Epoch(2));
    scene.after(1_000);
    assert_eq!(scene.epoch(), Epoch(2));
}

#[test]
fn before_the_switch_a_failure_leaves_the_stream_where_it_is() {
    type Act = fn(&mut Scene);
    type Case = (&'static str, fn() -> Scene, Act, MoveFailure);
    let lost: Act = |scene| scene.say(Input::WorkerLost(Epoch(2), Evidence::ProcessEnded));
    let cases: [Case; 8] = [
        ("no worker", Scene::moving, |scene| scene.after(30_000), MoveFailure::NoWorker),
        ("no keyframe", Scene::prepared, |scene| scene.after(30_000), MoveFailure::NoSwitch),
        ("the next worker died", Scene::prepared, lost, MoveFailure::NextWorkerLost),
        (
            "it said the end",
            Scene::prepared,
            |s| s.say(Input::Finished(Epoch(2))),
            MoveFailure::NextWorkerLost,
        ),
        (
            "the router cannot reach it",
            Scene::prepared,
            |scene| {
                scene.say(Input::RelayFailed(Epoch(2)));
                scene.after(1_000);
            },
            MoveFailure::NextWorkerUnreachable,
        ),
        (
            "it died, and the router noticed first",
            Scene::prepared,
            |scene| {
                scene.say(Input::RelayFailed(Epoch(2)));
                scene.after(200);
                scene.say(Input::WorkerLost(Epoch(2), Evidence::ProcessEnded));
            },
            MoveFailure::NextWorkerLost,
        ),
        (
            "it did not take its assignment",
            || {
                let mut scene = Scene::moving();
                scene.claim_next();
                scene
            },
            |scene| scene.say(Input::WorkerLost(Epoch(2), Evidence::NotAssigned)),
            MoveFailure::NextWorkerNotReady,
        ),
        (
            "the publisher left",
            Scene::prepared,
            |scene| scene.publisher_gone(false),
            MoveFailure::PublisherLost,
        ),
    ];
    for (case, scene, act, failure) in cases {
        let mut scene = scene();
        let (worker, next) = (scene.worker(), scene.machine.status(None).next);
        act(&mut scene);
        assert_eq!(scene.failure(), Some(failure), "{case}");
        assert_eq!((scene.epoch(), scene.worker()), (Epoch(1), worker), "{case}");
        let orders = scene.machine.orders();
        assert_eq!((orders.next, orders.follow_next, scene.next_epoch()), (None, None, None), "{case}");
        if let Some(next) = next {
            assert_eq!(orders.release, [next.address], "{case}");
        }
        assert!(!scene.phase().is_over(), "{case}");
    }
}

#[test]
fn an_epoch_that_was_given_up_is_never_given_again() {
    let mut scene = Scene::prepared();
    scene.say(Input::WorkerLost(Epoch(2), Evidence::ProcessEnded));
    let stored = serde_json::to_vec(&scene.machine).unwrap();
    scene.machine = serde_json::from_slice(&stored).unwrap();
    scene.say(Input::Move);
    assert_eq!(scene.machine.orders().next, Some(WorkerOrder::Claim(Epoch(3))));
    scene.say(Input::WorkerClaimed(Epoch(2), address()));
    assert_eq!(scene.machine.orders().release.len(), 2, "a worker that came too late is let go");
    scene.claim_next();
    scene.prepare_next();
    scene.say(Input::WorkerLost(Epoch(3), Evidence::ProcessEnded));
    scene.lose_worker();
    assert_eq!(scene.machine.orders().worker, Some(WorkerOrder::Claim(Epoch(4))));
}

#[test]
fn when_the_old_worker_dies_before_the_switch_the_next_one_steps_in_however_far_it_is() {
    // Nobody is claimed yet: the claim that is on its way goes on under the same epoch.
    let mut scene = Scene::moving();
    scene.lose_worker();
    assert_eq!(scene.machine.orders().worker, Some(WorkerOrder::Claim(Epoch(2))));
    assert_eq!(scene.failure(), Some(MoveFailure::OldWorkerLost));

    // `prepare` is unanswered: the order to go live follows all the same.
    let mut scene = Scene::moving();
    scene.claim_next();
    scene.lose_worker();
    assert_eq!(scene.mode(), Some(AssignmentMode::Live));
    scene.say(Input::AssignmentTaken(Epoch(2), AssignmentMode::Prepare));
    assert_eq!(scene.mode(), Some(AssignmentMode::Live), "what was taken is only `prepare`");
    scene.take_assignment();
    assert_eq!(scene.machine.orders().worker, None);
    scene.publisher_up();
    scene.announce(10);
    assert!(matches!(scene.move_end(), Some(MoveEnd::Moved { stepped_in: true, .. })));

    // It is ready: it has the stream at once.
    let mut scene = Scene::prepared();
    let next = scene.machine.status(None).next.unwrap().address;
    scene.lose_worker();
    assert_eq!((scene.epoch(), scene.worker()), (Epoch(2), Some(next)));
    assert_eq!(scene.machine.floor(), Some(floor(9)), "what it has to begin behind");
    assert_eq!(scene.mode(), Some(AssignmentMode::Live));
    scene.take_assignment();
    scene.publisher_up();
    scene.announce(10);
    assert!(matches!(scene.move_end(), Some(MoveEnd::Moved { stepped_in: true, .. })));
    assert_eq!(scene.phase(), Phase::Live);
}

#[test]
fn when_the_next_worker_dies_behind_the_switch_a_third_one_takes_the_stream() {
    for arrived in [false, true] {
        let mut scene = Scene::handing_over();
        if arrived {
            scene.old_closes();
            scene.take_assignment();
        }
        scene.say(Input::WorkerLost(Epoch(2), Evidence::ProcessEnded));
        assert_eq!(scene.failure(), Some(MoveFailure::LostAfterTheSwitch));
        assert_eq!(scene.machine.orders().worker, Some(WorkerOrder::Claim(Epoch(3))));
        assert_eq!(scene.machine.orders().release.len(), 2);
        scene.give_worker();
        scene.publisher_up();
        assert_eq!(scene.phase(), Phase::Live);
    }
}

#[test]
fn when_both_die_a_third_one_takes_the_stream() {
    for scene in [Scene::prepared, Scene::handing_over] {
        for epochs in [[1, 2], [2, 1]] {
            let mut scene = scene();
            for epoch in epochs {
                scene.say(Input::WorkerLost(Epoch(epoch), Evidence::ProcessEnded));
            }
            assert_eq!(scene.machine.orders().worker, Some(WorkerOrder::Claim(Epoch(3))));
            assert_eq!(scene.machine.moves_to(), None);
            let words = scene.failure().unwrap().to_string();
            assert!(!words.contains("stays where it is"), "{words}");
            scene.give_worker();
            scene.publisher_up();
            assert_eq!(scene.phase(), Phase::Live);
        }
    }
    for mut scene in [Scene::prepared(), Scene::handing_over()] {
        scene.lose_worker();
        scene.lose_worker();
        assert_eq!(scene.failure(), Some(MoveFailure::BothLost));
        assert!(MoveFailure::BothLost.has_left() && !MoveFailure::NoSwitch.has_left());
    }
}

#[test]
fn a_worker_that_hands_over_to_nobody_is_replaced() {
    let mut scene = Scene::prepared();
    scene.after(30_000);
    assert_eq!(scene.failure(), Some(MoveFailure::NoSwitch));
    scene.old_says_moved();
    assert_eq!(scene.machine.orders().worker, Some(WorkerOrder::Claim(Epoch(3))));
    assert_eq!(scene.phase(), Phase::Live);
}

#[test]
fn an_end_before_the_switch_is_the_old_workers_and_behind_it_the_next_ones() {
    let mut scene = Scene::prepared();
    scene.say(Input::End(EndReason::EndedByOwner));
    assert_eq!(scene.failure(), Some(MoveFailure::Ended));
    assert_eq!((scene.epoch(), scene.mode()), (Epoch(1), Some(AssignmentMode::Finish)));

    let mut scene = Scene::handing_over();
    scene.say(Input::End(EndReason::EndedByOwner));
    assert_eq!(scene.machine.orders().worker, None, "the old one closes by itself");
    scene.lose_worker();
    assert_eq!((scene.epoch(), scene.mode()), (Epoch(2), Some(AssignmentMode::Finish)));
    scene.take_assignment();
    scene.say(Input::Finished(Epoch(2)));
    assert_eq!(scene.phase(), Phase::Ended);
}

#[test]
fn a_publisher_that_leaves_behind_the_switch_is_away_from_the_next_worker() {
    for (explicit, window) in [(true, 5_000), (false, 30_000)] {
        let mut scene = Scene::handing_over();
        scene.next_has_media(Epoch(2));
        let state = InputState {
            session: Some(SessionId::generate()),
            generation: scene.machine.generation(),
            explicit,
            ..InputState::default()
        };
        scene.say(Input::Publisher(Epoch(2), state));
        scene.lose_worker();
        assert_eq!(scene.phase(), Phase::Reconnecting);
        scene.after(window);
        assert_eq!(scene.phase(), Phase::Ending);
        assert_eq!(scene.epoch(), Epoch(2));
    }
}

#[test]
fn a_restart_of_the_controller_in_the_middle_takes_a_new_worker_under_a_new_epoch() {
    for scene in [Scene::moving, Scene::prepared, Scene::handing_over] {
        let mut scene = scene();
        let next = scene.machine.status(None).next;
        scene.say(Input::WorkerLost(Epoch(1), Evidence::ControllerRestarted));
        assert_eq!(scene.machine.orders().worker, Some(WorkerOrder::Claim(Epoch(3))));
        assert_eq!(scene.failure(), Some(MoveFailure::ControllerRestarted));
        assert_eq!(scene.machine.orders().release.len(), 1 + usize::from(next.is_some()));
    }
}

#[test]
fn a_move_is_refused_with_words_where_it_cannot_begin() {
    let ended = || {
        let mut scene = Scene::live();
        scene.say(Input::End(EndReason::EndedByOwner));
        scene
    };
    let lost = || {
        let mut scene = Scene::live();
        scene.lose_worker();
        scene
    };
    let away = || {
        let mut scene = Scene::live();
        scene.publisher_gone(false);
        scene
    };
    let not_relayed = || {
        let mut scene = Scene::live();
        scene.lose_worker();
        scene.give_worker();
        scene
    };
    let cases: [(fn() -> Scene, MoveRefusal); 7] = [
        (Scene::opened, MoveRefusal::NoWorker),
        (Scene::starting, MoveRefusal::NotStarted),
        (Scene::prepared, MoveRefusal::UnderWay(Epoch(2))),
        (ended, MoveRefusal::Over),
        (lost, MoveRefusal::NoWorker),
        (away, MoveRefusal::NoPublisher),
        (not_relayed, MoveRefusal::NotRelayed),
    ];
    for (scene, refusal) in cases {
        let mut scene = scene();
        assert_eq!(scene.machine.may_move(), Err(refusal));
        let before = scene.machine.clone();
        scene.say(Input::Move);
        assert_eq!(scene.machine, before, "{refusal}");
    }
}

#[test]
fn a_worker_that_is_told_to_go_is_moved_away_from_by_itself() {
    let mut scene = Scene::live();
    let generation = scene.machine.generation();
    let leaving = InputState {
        session: Some(SessionId::generate()),
        generation,
        up: true,
        leaving: true,
        ..InputState::default()
    };
    scene.input(leaving);
    assert_eq!(scene.machine.orders().next, Some(WorkerOrder::Claim(Epoch(2))));
    scene.claim_next();
    scene.prepare_next();
    scene.say(Input::WorkerLost(Epoch(2), Evidence::ProcessEnded));
    assert_eq!(scene.machine.orders().next, None, "a worker that dies at once is not replaced at once");
    let wake = scene.machine.orders().wake.unwrap();
    scene.after(wake.0 - scene.now.0 - 1);
    assert_eq!(scene.machine.orders().next, None);
    scene.after(1);
    assert_eq!(scene.machine.orders().next, Some(WorkerOrder::Claim(Epoch(3))), "it is tried again");
    scene.claim_next();
    scene.prepare_next();
    scene.old_says_moved();
    scene.lose_worker();
    scene.take_assignment();
    scene.announce(10);
    assert_eq!(scene.machine.moves_to(), None, "its successor was not told to go");
}

#[test]
fn twenty_moves_in_a_row_count_as_no_loss() {
    let mut scene = Scene::live();
    for msn in 8..28 {
        scene.say(Input::Move);
        scene.claim_next();
        scene.prepare_next();
        let next = scene.next_epoch().unwrap();
        scene.old_says_moved();
        scene.next_has_media(next);
        scene.old_closes();
        scene.take_assignment();
        scene.announce(msn);
        assert!(matches!(scene.move_end(), Some(MoveEnd::Moved { stepped_in: false, .. })));
        assert!(!scene.machine.status(None).without_replay);
        scene.after(100);
    }
    assert_eq!((scene.epoch(), scene.phase()), (Epoch(21), Phase::Live));
}
