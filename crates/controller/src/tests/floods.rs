//! A worker that says more than anybody can have to say.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_decide_whether_it_has_a_publisher_is_written_of_at_a_pace() {
    let (world, controller, stream) = World::live().await;
    let worker = world.cluster.workers().remove(0);
    let before = world.store.writes();
    // A hundred times a second, for five seconds.
    for n in 0..500 {
        worker.says_of_publisher(|state| state.up = n % 2 == 0);
        sleep(Duration::from_millis(10)).await;
    }
    let written = world.store.writes() - before;
    assert!(written < 30, "{written}");
    // Its last word is heard.
    world.until_phase(stream, Phase::Reconnecting).await;
    worker.says_of_publisher(|_| {});
    world.until_phase(stream, Phase::Live).await;
    world.end(controller).await;
}
