//! A controller that hears no worker any more.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_controller_that_loses_all_workers_at_once_and_reaches_no_other_says_so_before_a_broadcast_ends() {
    let (world, controller, stream) = World::live().await;
    for _ in 0..2 {
        let another = world.open();
        world.until_phase(another, Phase::Live).await;
    }
    let unconnected = NotAssigned::Unconnected("no route to host".to_owned());
    world.cluster.nobody_gets_ready(unconnected);
    let begun = Instant::now();
    for worker in world.cluster.alive() {
        worker.cut_off.cancel();
    }
    controller.cut_off().await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_ne!(world.store.get(stream).unwrap().machine.phase(), Phase::Failed);
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_hears_as_many_of_its_workers_goes_on() {
    let (world, controller, _) = World::live().await;
    for _ in 0..5 {
        let another = world.open();
        world.until_phase(another, Phase::Live).await;
    }
    world.cluster.nobody_gets_ready(NotAssigned::Unconnected("no route to host".to_owned()));
    for worker in world.cluster.alive().into_iter().skip(3) {
        worker.cut_off.cancel();
    }
    assert_eq!(tokio::time::timeout(Duration::from_mins(1), controller.cut_off()).await.ok(), None);
    world.end(controller).await;
}
