//! Machines that are gone, pods that do not come up, and people who touch pods.

use super::*;

fn is_leaving(world: &World, name: &str) -> bool {
    world.pod(name).is_some_and(|pod| pod["metadata"]["deletionTimestamp"].is_string())
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_somebody_takes_out_of_its_pool_serves_on_and_is_ended_like_any_other() {
    let world = World::new();
    let worker = world.warm(0);
    world.claim(1).await.unwrap();
    world.server.change(KIND, "w-default-0", |pod| {
        pod["metadata"]["labels"].as_object_mut().unwrap().remove("caudal.dev/pool");
    });
    let exited = tokio::spawn(world.workers.exited(worker));
    sleep(Duration::from_secs(60)).await;
    assert!(!exited.is_finished(), "its process runs");
    assert_eq!(world.pods.claimed().len(), 1, "it is moved off a node that is emptied");
    let released = tokio::spawn(world.workers.release(worker));
    sleep(Duration::from_secs(1)).await;
    assert!(is_leaving(&world, "w-default-0"));
    world.server.vanish(KIND, "w-default-0");
    assert_eq!((released.await.unwrap(), exited.await.unwrap()), (Presence::Gone, Presence::Gone));
    // Without any label of ours, nobody knows of it more than that it is there.
    let world = World::new();
    let worker = world.warm(0);
    world.claim(1).await.unwrap();
    world.server.change(KIND, "w-default-0", |pod| pod["metadata"]["labels"] = json!({}));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.workers.exited(worker).await, Presence::Unknown);
    world.server.vanish(KIND, "w-default-0");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.workers.exited(worker).await, Presence::Gone);
}
