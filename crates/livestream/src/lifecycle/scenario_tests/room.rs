//! When there is no worker to be had, and when another controller takes over.

use super::*;

impl Scene {
    /// There is no room for a worker for so many seconds.
    fn without_room(&mut self, seconds: u32) {
        for _ in 0..seconds {
            let epoch = self.epoch();
            self.say(Input::NoCapacity(epoch));
            self.after(1_000);
        }
    }
}

#[test]
fn a_start_fails_after_ten_seconds_without_room_and_a_stream_that_ran_keeps_its_minute() {
    let mut starting = Scene::opened();
    starting.without_room(9);
    assert_eq!(starting.phase(), Phase::Pending);
    starting.without_room(1);
    assert_eq!((starting.phase(), starting.done().unwrap().reason), (Phase::Failed, EndReason::NoCapacity));

    let mut late = Scene::opened();
    late.without_room(9);
    let epoch = late.epoch();
    late.say(Input::WorkerComing(epoch));
    late.after(40_000);
    assert_eq!(late.phase(), Phase::Pending, "there was room in time");
    late.without_room(9);
    assert_eq!(late.phase(), Phase::Pending, "the ten seconds begin anew");

    let mut live = Scene::live();
    live.lose_worker();
    live.without_room(59);
    assert_eq!(live.phase(), Phase::Live);
    live.without_room(1);
    assert_eq!(live.machine.end_reason(), Some(EndReason::WorkersLost));
}

#[test]
fn a_stream_says_why_it_has_no_worker_and_ends_in_these_words() {
    let no_worker = |scene: &mut Scene, words: &str| {
        let epoch = scene.epoch();
        scene.say(Input::NoWorker(epoch, words.to_owned()));
    };
    let reason = |scene: &Scene| scene.machine.status(None).reason;
    let mut scene = Scene::opened();
    assert_eq!(reason(&scene).as_deref(), Some("waiting for a worker"));
    no_worker(&mut scene, "there is no WorkerPool hd");
    assert_eq!(reason(&scene).as_deref(), Some("waiting for a worker: there is no WorkerPool hd"));
    scene.say(Input::NoWorker(Epoch(2), "another's".to_owned()));
    assert_eq!(scene.machine.status(None).no_worker.as_deref(), Some("there is no WorkerPool hd"));
    let mut found = Scene { machine: scene.machine.clone(), now: scene.now };
    found.give_worker();
    assert_eq!((reason(&found), found.machine.status(None).no_worker), (None, None));
    scene.after(60_000);
    assert_eq!(scene.done().unwrap().reason, EndReason::NoCapacity);
    assert_eq!(
        reason(&scene).as_deref(),
        Some("the platform had no worker for it: there is no WorkerPool hd")
    );

    let mut live = Scene::live();
    live.lose_worker();
    no_worker(&mut live, &"é".repeat(2_000));
    assert!(reason(&live).unwrap().len() < 600, "an Event takes no more");
    no_worker(&mut live, "no node has room");
    live.after(60_000);
    assert_eq!(reason(&live).as_deref(), Some("its workers kept failing: no node has room"));
    live.give_worker();
    assert_eq!(
        reason(&live).as_deref(),
        Some("its workers kept failing: no node has room"),
        "it closes the playlists"
    );
    // Who ends it for another reason is not told what it lacked besides.
    let mut ended = Scene::opened();
    no_worker(&mut ended, "no node has room");
    ended.say(Input::End(EndReason::EndedByOwner));
    assert_eq!(reason(&ended), Some(EndReason::EndedByOwner.to_string()));
}

#[test]
fn a_stream_that_finds_no_room_is_not_stored_each_time_that_this_is_said() {
    let mut scene = Scene::opened();
    let mut states = Vec::new();
    for _ in 0..9 {
        scene.without_room(1);
        states.push(scene.machine.clone());
    }
    states.dedup();
    assert!(states.len() <= 4, "{}", states.len());
}

#[test]
fn room_that_is_found_in_time_ends_the_wait_for_it_however_slow_the_worker_is() {
    let mut scene = Scene::opened();
    scene.without_room(6);
    // A worker is on its way: nobody says any more that there is none.
    scene.after(30_000);
    assert_eq!(scene.phase(), Phase::Pending);
    scene.without_room(9);
    assert_eq!(scene.phase(), Phase::Pending, "that is a new wait");
    scene.give_worker();
    scene.after(10_000);
    assert_eq!(scene.phase(), Phase::Starting);
}

#[test]
fn a_claim_that_is_answered_twice_does_not_end_the_worker() {
    let mut scene = Scene::starting();
    let worker = scene.worker().unwrap();
    scene.say(Input::WorkerClaimed(Epoch(1), worker));
    assert_eq!((scene.worker(), scene.machine.orders().release), (Some(worker), Vec::new()));
}

#[test]
fn nothing_runs_out_within_five_seconds_of_a_take_over() {
    let lost = || {
        let mut scene = Scene::live();
        scene.publisher_gone(false);
        scene
    };
    let shut_down = || {
        let mut scene = Scene::live();
        scene.say(Input::End(EndReason::Shutdown));
        scene
    };
    for (what, mut scene) in [("a start", Scene::starting()), ("a return", lost()), ("an end", shut_down())] {
        scene.now.0 += 100_000;
        let now = scene.now;
        scene.machine.taken_over(now);
        let phase = scene.phase();
        scene.after(4_999);
        assert_eq!(scene.phase(), phase, "{what}");
        scene.after(1);
        assert!(scene.phase().is_over(), "{what}");
        assert_ne!(scene.phase(), phase, "{what}");
    }
}

#[test]
fn a_take_over_leaves_longer_waits_as_they_are() {
    let mut scene = Scene::live();
    scene.publisher_gone(false);
    scene.after(10_000);
    let before = scene.machine.clone();
    let now = scene.now;
    scene.machine.taken_over(now);
    assert_eq!(scene.machine, before);
}
