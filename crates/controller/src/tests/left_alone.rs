//! What lies in storage without a record, and stays.

use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::{FilledState, Ownership, StoredState};
use caudal_livestream::timeline::Timeline;
use caudal_livestream::{InstallationId, MediaDuration, Msn, WorkerId};

use super::*;

/// A broadcast that is over.
fn state(stream: StreamId, record: bool) -> StoredState {
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let timeline = Timeline {
        stream,
        epoch: Epoch(1),
        target_duration: 2,
        part_hold_back: MediaDuration::from_millis(600),
        first_msn: Msn(7),
        tracks: Vec::new(),
        captions: Vec::new(),
        ended: true,
    };
    StoredState {
        stream,
        epoch: Epoch(1),
        worker: WorkerAddress { worker: WorkerId::generate(), rtmp: nowhere, http: nowhere },
        owner: Some(Ownership { installation: InstallationId::of(&signing_key(9).verifying_key()), record }),
        filled: Some(FilledState { timeline, clock: None, closed: false }),
    }
}

#[tokio::test(start_paused = true)]
async fn what_one_controller_of_a_process_has_looked_at_and_left_the_next_one_does_not_read_again() {
    let mut world = World::new();
    let media = SegmentStore::folder(world.media.path()).unwrap();
    let stream = StreamId::generate();
    media.claim(&state(stream, true)).await.unwrap();
    let sweep = async |world: &World| {
        let controller = world.controller().await;
        sleep(Duration::from_mins(5)).await;
        controller.close().await;
        media.streams().await.unwrap()
    };
    assert_eq!(sweep(&world).await, [stream], "a recording");
    // By what is written there now it would go.
    std::fs::remove_dir_all(world.media.path().join(format!("live/{stream}"))).unwrap();
    media.claim(&state(stream, false)).await.unwrap();
    assert_eq!(sweep(&world).await, [stream]);
    // Another process reads it.
    world.left_alone = LeftAlone::default();
    assert_eq!(sweep(&world).await, []);
}
