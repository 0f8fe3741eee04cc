//! What routers measure of a stream's publishers, and write beside its record.

use caudal_livestream::lifecycle::ReportOrder;

use super::fake_store::Trouble;
use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_measured_between_a_write_and_its_lost_answer_is_in_the_hints_for_the_next_broadcast() {
    let (world, controller, stream) = World::live().await;
    world.store.trouble_at(world.store.writes(), Trouble::AnswerLostAndMeasured);
    controller.drop_publisher(stream, "enough".to_owned()).await.unwrap();
    controller.end(stream, EndReason::EndedByOwner).await.unwrap();
    let told = || {
        world.cluster.told(stream).into_iter().find_map(|report| match report {
            ReportOrder::Done(done) => Some(done),
            ReportOrder::Published(_) => None,
        })
    };
    world.until(stream, "told", |_| told().is_some()).await;
    let hints = told().unwrap().hints.unwrap();
    assert_eq!(Some(hints.keyframe_ms), FakeStore::MEASURED.keyframe_interval_ms);
    assert_eq!(hints.fps_milli, FakeStore::MEASURED.fps_milli);
    world.end(controller).await;
}
