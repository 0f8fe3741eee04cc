//! Clocks that are set, and restarts.

use super::*;

type Staged = fn() -> Scene;

#[test]
fn a_step_of_the_clock_makes_no_wait_longer_or_shorter() {
    let scenes: [(&str, Staged); 9] = [
        ("pending", Scene::opened),
        ("starting", Scene::starting),
        ("without a worker", || {
            let mut scene = Scene::live();
            scene.lose_worker();
            scene
        }),
        ("awaiting the publisher", || {
            let mut scene = Scene::live();
            scene.lose_worker();
            scene.give_worker();
            scene
        }),
        ("reconnecting", || {
            let mut scene = Scene::live();
            scene.publisher_gone(false);
            scene
        }),
        ("left", || {
            let mut scene = Scene::live();
            scene.publisher_gone(true);
            scene
        }),
        ("back, without media", || {
            let mut scene = Scene::live();
            scene.publisher_gone(false);
            scene.say(Input::PublisherChosen(Generation(2)));
            scene
        }),
        ("ending", || {
            let mut scene = Scene::live();
            scene.say(Input::End(EndReason::EndedByOwner));
            scene
        }),
        ("ended", || {
            let mut scene = Scene::starting();
            scene.say(Input::End(EndReason::EndedByOwner));
            scene
        }),
    ];
    for (phase, scene) in scenes {
        for step in [-3_600_000, 3_600_000, 31_536_000_000] {
            let mut scene = scene();
            let wait = |scene: &Scene| scene.machine.orders().wake.map(|wake| wake.0 - scene.now.0);
            let left = wait(&scene).unwrap_or_else(|| panic!("{phase} waits for nothing"));
            scene.machine.clock_stepped(step);
            scene.now.0 += step;
            scene.say(Input::Tick);
            assert_eq!(wait(&scene), Some(left), "{phase}, {step} ms");
            let before = scene.machine.clone();
            scene.after(left - 1);
            assert_eq!(scene.machine, before, "{phase}, {step} ms: too early");
            scene.after(1);
            assert_ne!(scene.machine, before, "{phase}, {step} ms: too late");
        }
    }
}

#[test]
fn after_a_restart_on_a_clock_that_was_set_a_wait_is_never_longer_than_its_window() {
    for (set_by, left) in
        [(-31_536_000_000, Some(30_000)), (-3_600_000, Some(30_000)), (10_000, Some(20_000))]
    {
        let mut scene = Scene::live();
        scene.publisher_gone(false);
        let stored = serde_json::to_vec(&scene.machine).unwrap();
        scene.machine = serde_json::from_slice(&stored).unwrap();
        scene.after(set_by);
        assert_eq!(scene.machine.orders().wake.map(|wake| wake.0 - scene.now.0), left, "{set_by}");
    }
}

#[test]
fn after_a_restart_with_the_clock_set_back_the_wait_is_no_longer_than_the_window() {
    let mut scene = Scene::live();
    scene.publisher_gone(false);
    scene.now.0 -= 3_600_000;
    scene.say(Input::Tick);
    scene.after(29_999);
    assert_eq!(scene.phase(), Phase::Reconnecting);
    scene.after(1);
    assert_eq!(scene.phase(), Phase::Ending);
}

#[test]
fn after_a_restart_only_what_is_left_of_the_window_is_waited_for() {
    let mut scene = Scene::live();
    scene.publisher_gone(false);
    let stored = serde_json::to_string(&scene.machine).unwrap();
    scene.now.0 += 29_000;
    scene.machine = serde_json::from_str(&stored).unwrap();
    scene.say(Input::Tick);
    assert_eq!(scene.phase(), Phase::Reconnecting);
    scene.after(1_000);
    assert_eq!(scene.phase(), Phase::Ending);
}

#[test]
fn after_a_restart_with_the_clock_set_back_failures_to_relay_are_counted_together_for_no_longer_than_before()
{
    let mut scene = Scene::live();
    for _ in 0..2 {
        scene.say(Input::RelayFailed(Epoch(1)));
    }
    scene.after(-3_600_000);
    scene.after(10_000);
    scene.say(Input::RelayFailed(Epoch(1)));
    assert_eq!(scene.epoch(), Epoch(1), "the first two are long past");
}

#[test]
fn after_a_restart_with_the_clock_set_back_workers_that_served_for_long_are_not_held_against_the_media() {
    let mut scene = Scene::live();
    for msn in 8..12 {
        scene.after(-3_600_000);
        scene.after(11_000);
        scene.lose_worker();
        scene.give_worker();
        scene.publisher_up();
        scene.announce(msn);
    }
    assert_eq!(scene.phase(), Phase::Live);
}

#[test]
fn a_controller_that_takes_over_counts_nothing_together_with_what_is_long_past() {
    let mut scene = Scene::live();
    for _ in 0..2 {
        scene.say(Input::RelayFailed(Epoch(1)));
    }
    scene.say(Input::MediaRefused(Generation(1), "av01".to_owned()));
    scene.now.0 += 3_600_000;
    scene.machine.taken_over(scene.now);
    scene.say(Input::RelayFailed(Epoch(1)));
    scene.say(Input::MediaRefused(Generation(2), "av01".to_owned()));
    assert_eq!((scene.epoch(), scene.phase()), (Epoch(1), Phase::Live));
}

#[test]
fn an_end_before_the_beginning_is_never_reported() {
    let mut scene = Scene::live();
    let started = scene.now;
    scene.now.0 -= 1_000_000;
    scene.say(Input::End(EndReason::EndedByOwner));
    scene.take_assignment();
    scene.say(Input::Finished(Epoch(1)));
    scene.say(Input::Acknowledged(ReportKind::Published));
    assert_eq!(scene.done().unwrap().ended_at, started);
}
