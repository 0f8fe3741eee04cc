//! A wall clock that is set while streams run.

use super::fake_store::Trouble;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forward_as_somebody_else_changes_the_spec_lets_no_wait_pass() {
    let (world, controller, stream) = World::live().await;
    world.cluster.alive()[0].says_of_publisher(|state| state.up = false);
    world.until_phase(stream, Phase::Reconnecting).await;
    world.wall_set_by_ms.store(3_600_000, Ordering::Relaxed);
    world.store.trouble_at(world.store.writes(), Trouble::SpecChanged);
    controller.drop_publisher(stream, "too loud".to_owned()).await.unwrap();
    let record = world.store.get(stream).unwrap();
    assert_eq!(record.machine.phase(), Phase::Reconnecting);
    let spec = record.spec.unwrap();
    assert_eq!((spec.title.as_str(), spec.drop.is_some()), ("Another day", true));
    let left = record.machine.status(None).deadline.unwrap().0 - world.now().0;
    assert!((20_000..=30_000).contains(&left), "{left} ms of the window are left");
    world.end(controller).await;
}
