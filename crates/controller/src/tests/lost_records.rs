//! A stream that goes on although its record was lost.

use caudal_livestream::WorkerId;
use caudal_livestream::record::WorkerAddress;
use caudal_livestream::state::StoredState;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_stream_whose_record_was_lost_costs_one_worker_and_not_one_for_each_epoch_that_it_had() {
    let world = World::new();
    let media = SegmentStore::folder(world.media.path()).unwrap();
    let record = Record::opened(spec(), world.now());
    let stream = record.stream();
    let nowhere = "127.0.0.1:9".parse().unwrap();
    for epoch in 1..=40 {
        let worker = WorkerAddress { worker: WorkerId::generate(), rtmp: nowhere, http: nowhere };
        let claim = StoredState { stream, epoch: Epoch(epoch), worker, owner: None, filled: None };
        media.claim(&claim).await.unwrap();
    }
    world.cluster.was_claimed(stream, Epoch(40));
    let controller = world.controller().await;
    world.store.write_as_another(record);
    world.until_phase(stream, Phase::Live).await;
    let epochs: Vec<_> = world.cluster.workers().iter().map(|worker| worker.epoch).collect();
    assert_eq!(epochs, [Epoch(1), Epoch(41)]);
    assert_eq!(world.cluster.asked(), [1], "a worker that refused is not asked again");
    controller.close().await;
}
