//! One stream through start, loss, move and end, with something going wrong at every write.

use caudal_livestream::lifecycle::{LastMove, MoveEnd, ReportOrder};

use super::fake_cluster::by_epoch;
use super::fake_store::Trouble;
use super::*;

/// A stream is opened, its worker dies, the next one is told to go and hands over, its owner ends it; whatever the trouble,
/// the controller is started again when it dies. Returns the number of writes.
async fn a_life(trouble: Option<(u32, Trouble)>) -> u32 {
    let world = World::new();
    if let Some((write, trouble)) = trouble {
        world.store.trouble_at(write, trouble);
    }
    let stream = world.open();
    let happens = async {
        sleep(Duration::from_secs(9)).await;
        world.cluster.kill_all();
        sleep(Duration::from_secs(11)).await;
        world.cluster.leave_all();
        let moved = |record: &Record| {
            matches!(record.machine.last_move(), Some(LastMove { end: MoveEnd::Moved { .. }, .. }))
        };
        world.until(stream, "moved", moved).await;
        sleep(Duration::from_secs(11)).await;
        world.store.change_spec(stream, |spec| spec.desired_state = DesiredState::Ended);
        world.until_forgotten(stream).await;
    };
    let controlled = async {
        loop {
            let controller = world.controller().await;
            world.store.crashed().await;
            controller.close().await;
            sleep(Duration::from_millis(700)).await;
        }
    };
    tokio::select! {
        () = happens => {}
        () = controlled => {}
    }
    let told = world.cluster.told(stream);
    let [ReportOrder::Published(published), ReportOrder::Done(done)] = told.as_slice() else {
        panic!("{trouble:?}: {told:?}");
    };
    assert_eq!(done.started_at, Some(published.started_at), "{trouble:?}");
    assert_eq!((done.published, done.reason), (true, EndReason::EndedByOwner), "{trouble:?}");
    let epochs: Vec<_> = by_epoch(&world.cluster, stream).into_keys().collect();
    assert!(epochs.starts_with(&[Epoch(1), Epoch(2), Epoch(3)]), "{trouble:?}: {epochs:?}");
    let left = world.cluster.alive();
    assert!(left.is_empty(), "{trouble:?}: {} workers are left", left.len());
    world.store.writes()
}

async fn at_every_write(trouble: Trouble) {
    let writes = a_life(None).await;
    assert!(writes > 25, "only {writes} writes: the scenario has lost its substance");
    for write in 0..writes {
        a_life(Some((write, trouble))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_dies_before_any_of_its_writes_is_followed_by_one_that_ends_the_stream_once() {
    at_every_write(Trouble::CrashBefore).await;
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_dies_after_any_of_its_writes_is_followed_by_one_that_ends_the_stream_once() {
    at_every_write(Trouble::CrashAfter).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_changes_nothing() {
    at_every_write(Trouble::AnswerLost).await;
}

#[tokio::test(start_paused = true)]
async fn a_spec_that_changes_under_any_write_is_taken_over_and_the_write_made_again() {
    at_every_write(Trouble::SpecChanged).await;
}

#[tokio::test(start_paused = true)]
async fn another_controller_that_writes_before_any_write_is_gone_on_from() {
    at_every_write(Trouble::MachineChanged).await;
}
