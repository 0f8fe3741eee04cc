//! What is told of streams, over a restart.

use super::*;

/// Every line so far, of those who listen from a restart on.
fn lines(notices: &mut broadcast::Receiver<Notice>) -> Vec<String> {
    std::iter::from_fn(|| notices.try_recv().ok()).map(|notice| notice.to_string()).collect()
}

#[tokio::test]
async fn after_a_restart_only_what_changes_is_told() {
    let mut stage = Stage::new().await;
    let (live, worker) = stage.live().await;
    worker.announce_segment();
    let over = stage.open().await;
    let unseen = stage.workers.assigned(over, Epoch(1), AssignmentMode::Live).await;
    stage.directory.end(over, EndReason::EndedByOwner).await.unwrap();
    unseen.end_feed();
    stage.until(over, |s| s.status.phase == Phase::Ended).await;

    stage.restart().await;
    // Nothing has been awaited since, so the streams' tasks have told nothing yet.
    let mut notices = stage.directory.notices();
    let second = stage.workers.assigned(live, Epoch(2), AssignmentMode::Live).await;
    stage.directory.reconnect(live, ingest(2)).await.unwrap();
    second.publisher_up(Generation(2));
    second.announce_segment();
    stage.until(live, |s| s.status.phase == Phase::Live && s.status.worker == Some(second.address())).await;
    assert_eq!(lines(&mut notices), ["ann: goes on with another worker (epoch 2)"]);
    stage.directory.close().await;
}
