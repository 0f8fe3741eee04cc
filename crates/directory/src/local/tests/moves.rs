//! Moves of a stream, as an administrator asks for them.

use caudal_controller::MoveError;
use caudal_livestream::lifecycle::{MoveFailure, MoveRefusal};

use super::*;

/// Asks for a move, and gives the next worker once it is ready.
async fn begun(
    stage: &Stage,
    stream: StreamId,
    epoch: Epoch,
) -> (tokio::task::JoinHandle<Result<Moved, MoveError>>, FakeWorker) {
    let directory = Arc::clone(&stage.directory);
    let moving = tokio::spawn(async move { directory.move_stream(stream).await });
    let next = stage.workers.assigned(stream, epoch, AssignmentMode::Prepare).await;
    let address = next.address();
    stage.until(stream, |s| s.status.next.is_some_and(|next| next.address == address)).await;
    (moving, next)
}

/// The router switches from one worker to the other.
fn switch(old: &FakeWorker, next: &FakeWorker) {
    old.publisher_moved(Generation(1));
    next.publisher_heard(Generation(1));
}

#[tokio::test]
async fn a_stream_is_on_another_worker_once_that_has_announced_media() {
    let stage = Stage::new().await;
    let (stream, old) = stage.live().await;
    let (moving, next) = begun(&stage, stream, Epoch(2)).await;
    let record = stage.directory.get(stream).unwrap();
    assert_eq!((record.status.epoch, record.status.worker), (Epoch(1), Some(old.address())));

    let again = stage.directory.move_stream(stream).await;
    assert_eq!(again, Err(MoveError::Refused(MoveRefusal::UnderWay(Epoch(2)))));

    switch(&old, &next);
    old.close();
    let record = stage.until(stream, |s| s.status.epoch == Epoch(2)).await;
    assert_eq!((record.status.worker, record.status.next), (Some(next.address()), None));
    next.until_told(AssignmentMode::Live).await;
    let floor = next.assignments().last().unwrap().floor;
    assert_eq!(floor.map(|floor| floor.msn), Some(Msn(7)), "where the old one ended");
    assert!(!moving.is_finished());
    next.announce_segment();
    let moved = timeout(PATIENCE, moving).await.unwrap().unwrap().unwrap();
    assert_eq!((moved.from, moved.to), (old.address().worker, next.address().worker));
    assert_eq!((moved.epoch, moved.stepped_in, moved.lost_ms), (Epoch(2), false, Some(40)));
    old.until_released().await;
    assert_eq!(stage.directory.get(stream).unwrap().status.phase, Phase::Live);
}

#[tokio::test]
async fn an_administrator_hears_when_the_next_worker_stepped_in_or_died() {
    let stage = Stage::new().await;
    let (stream, old) = stage.live().await;
    let (moving, next) = begun(&stage, stream, Epoch(2)).await;
    next.kill();
    let failed = timeout(PATIENCE, moving).await.unwrap().unwrap();
    assert_eq!(failed, Err(MoveError::Failed(MoveFailure::NextWorkerLost)));
    assert_eq!(stage.directory.get(stream).unwrap().status.worker, Some(old.address()));

    let (moving, next) = begun(&stage, stream, Epoch(3)).await;
    old.kill();
    next.until_told(AssignmentMode::Live).await;
    next.publisher_up(Generation(1));
    next.announce_segment();
    let moved = timeout(PATIENCE, moving).await.unwrap().unwrap().unwrap();
    assert!(moved.stepped_in);

    let old = next;
    let (moving, next) = begun(&stage, stream, Epoch(4)).await;
    switch(&old, &next);
    old.kill();
    next.until_told(AssignmentMode::Live).await;
    next.announce_segment();
    let moved = timeout(PATIENCE, moving).await.unwrap().unwrap().unwrap();
    assert!(moved.stepped_in, "killed behind the switch, before it had closed");

    assert_eq!(stage.directory.move_stream(StreamId::generate()).await, Err(MoveError::Unknown));
}

#[tokio::test]
async fn a_platform_that_is_killed_in_the_middle_goes_on_with_a_new_worker_under_a_new_epoch() {
    let mut stage = Stage::new().await;
    let (stream, _old) = stage.live().await;
    let (moving, _next) = begun(&stage, stream, Epoch(2)).await;
    moving.abort();
    stage.restart().await;
    let third = stage.workers.assigned(stream, Epoch(3), AssignmentMode::Live).await;
    third.publisher_up(Generation(1));
    third.announce_segment();
    stage.until(stream, |s| s.status.phase == Phase::Live && s.status.epoch == Epoch(3)).await;
}
