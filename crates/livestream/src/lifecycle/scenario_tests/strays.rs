//! Workers that were claimed behind a broadcast's back.

use super::*;

#[test]
fn a_worker_is_the_broadcasts_while_its_record_has_it_or_asks_for_it_and_no_other_one_is() {
    let stray = WorkerId::generate();
    let may_have = |scene: &Scene, epoch: u32| scene.machine.may_have(Epoch(epoch), stray);
    let knows = |scene: &Scene, worker: WorkerAddress| scene.machine.may_have(Epoch(1), worker.worker);

    let scene = Scene::opened();
    assert_eq!([1, 2].map(|epoch| may_have(&scene, epoch)), [true, true], "its claim has not been answered");

    let mut scene = Scene::live();
    let old = scene.worker().unwrap();
    assert_eq!(
        [1, 2].map(|epoch| may_have(&scene, epoch)),
        [false, true],
        "what is not given out may be, by now"
    );
    assert!(knows(&scene, old));

    scene.announce(9);
    scene.say(Input::Move);
    assert_eq!([1, 2].map(|epoch| may_have(&scene, epoch)), [false, true]);
    scene.claim_next();
    assert_eq!([1, 2].map(|epoch| may_have(&scene, epoch)), [false, false]);
    scene.prepare_next();
    scene.old_says_moved();
    let next = scene.machine.status(None).next.unwrap().address;
    assert!(knows(&scene, old) && knows(&scene, next));
    scene.next_has_media(Epoch(2));
    scene.old_closes();
    assert!(knows(&scene, old) && knows(&scene, next), "the old one is yet to be ended");
    scene.say(Input::Released(old.worker));
    assert!(!knows(&scene, old) && knows(&scene, next));

    // Lost, while it still closes.
    let mut scene = Scene::live();
    let old = scene.worker().unwrap();
    (0..3).for_each(|_| scene.say(Input::RelayFailed(Epoch(1))));
    let next = address();
    scene.say(Input::WorkerClaimed(Epoch(2), next));
    assert!(knows(&scene, old) && knows(&scene, next));
    assert_eq!([1, 2].map(|epoch| may_have(&scene, epoch)), [false, false]);

    // Given up while its worker was being claimed.
    let mut scene = Scene::moving();
    scene.after(30_000);
    assert_eq!(scene.machine.orders().withdraw, [Epoch(2)]);
    assert!(may_have(&scene, 2));
    scene.say(Input::Withdrawn(Epoch(2)));
    assert!(!may_have(&scene, 2));
}
