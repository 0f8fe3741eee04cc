//! Jobs of a stream that panic.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_job_that_panics_each_time_is_begun_with_pauses_and_the_stream_goes_on_once_it_does_not() {
    let world = World::new();
    world.cluster.breaks_followers.store(true, Ordering::Relaxed);
    let controller = world.controller().await;
    let stream = world.open();
    sleep(Duration::from_secs(40)).await;
    let followed = world.cluster.followed.load(Ordering::Relaxed);
    assert!((4..=9).contains(&followed), "{followed}");
    world.cluster.breaks_followers.store(false, Ordering::Relaxed);
    world.until_phase(stream, Phase::Live).await;
    world.end(controller).await;
}
