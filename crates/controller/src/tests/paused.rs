//! A broadcast that has ended, and that somebody wants to stay as it is.

use caudal_livestream::WorkerId;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::StoredState;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_media_of_an_ended_broadcast_stay_for_as_long_as_it_is_paused() {
    for paused in [false, true] {
        let (world, controller, stream) = World::live().await;
        let media = SegmentStore::folder(world.media.path()).unwrap();
        let nowhere = "127.0.0.1:9".parse().unwrap();
        let worker = WorkerAddress { worker: WorkerId::generate(), rtmp: nowhere, http: nowhere };
        let claim = StoredState { stream, epoch: Epoch(1), worker, owner: None, filled: None };
        media.claim(&claim).await.unwrap();
        if paused {
            world.store.pause(Some(stream));
        }
        controller.end(stream, EndReason::EndedByOwner).await.unwrap();
        sleep(Duration::from_mins(19)).await;
        assert_eq!(media.epochs(stream).await.unwrap().is_empty(), !paused);
        assert_eq!(world.store.get(stream).is_none(), !paused);
        world.store.pause(None);
        world.until_forgotten(stream).await;
        assert!(media.epochs(stream).await.unwrap().is_empty());
        controller.close().await;
    }
}
