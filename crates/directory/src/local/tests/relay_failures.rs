//! A router's evidence against a worker, as the record carries it.

use super::*;

fn failures(session: SessionId, failures: u32) -> RelayFailures {
    RelayFailures { epoch: Epoch(1), session, failures, last_failed_at: UnixMillis(1) }
}

#[tokio::test]
async fn three_failures_lose_a_worker_whether_they_come_in_one_write_or_in_three() {
    for writes in [&[3_u32][..], &[1, 2, 3], &[2, 3]] {
        let stage = Stage::new().await;
        let (stream, _worker) = stage.live().await;
        let session = stage.directory.get(stream).unwrap().spec.ingest.session;
        for count in writes {
            stage.directory.worker_unreachable(stream, failures(session, *count)).await;
        }
        stage.workers.assigned(stream, Epoch(2), AssignmentMode::Live).await;
        let record = stage.directory.get(stream).unwrap();
        assert_eq!(record.spec.ingest.relay, Some(failures(session, 3)), "{writes:?}");
        stage.directory.close().await;
    }
}

#[tokio::test]
async fn what_was_counted_already_or_is_of_a_former_session_counts_for_nothing() {
    let stage = Stage::new().await;
    let (stream, _worker) = stage.live().await;
    let session = stage.directory.get(stream).unwrap().spec.ingest.session;
    for _ in 0..5 {
        stage.directory.worker_unreachable(stream, failures(session, 2)).await;
        stage.directory.worker_unreachable(stream, failures(SessionId::generate(), 9)).await;
    }
    // Commands are taken in order, so all of that has been heard by now.
    let record = stage.directory.reconnect(stream, ingest(2)).await.unwrap();
    assert_eq!((record.status.epoch, record.spec.ingest.relay), (Epoch(1), None));
    let newer = record.spec.ingest.session;
    stage.directory.worker_unreachable(stream, failures(session, 9)).await;
    stage.directory.worker_unreachable(stream, failures(newer, 1)).await;
    // The third of the worker, by whichever publisher.
    stage.workers.assigned(stream, Epoch(2), AssignmentMode::Live).await;
    stage.directory.close().await;
}
