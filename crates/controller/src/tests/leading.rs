//! What a controller owes its streams while stores, workers and other controllers come and go.

use std::sync::atomic::AtomicBool;

use caudal_livestream::lifecycle::ReportOrder;
use tokio::time::timeout;

use super::fake_cluster::by_epoch;
use super::*;

#[tokio::test(start_paused = true)]
async fn a_worker_that_serves_is_heard_again_by_the_next_controller_and_keeps_its_epoch() {
    let (world, first, stream) = World::live().await;
    first.close().await;
    sleep(Duration::from_secs(20)).await;
    let before = world.store.get(stream).unwrap().machine.floor().unwrap();
    let second = world.controller().await;
    let further = |record: &Record| record.machine.floor().unwrap().msn.0 > before.msn.0 + 5;
    let record = world.until(stream, "further", further).await;
    assert_eq!((record.machine.phase(), record.machine.epoch()), (Phase::Live, Epoch(1)));
    assert_eq!(world.cluster.alive().len(), 1);
    assert_eq!(world.cluster.alive()[0].assignments().len(), 1);
    world.end(second).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_claimed_and_not_stored_is_claimed_again() {
    let world = World::new();
    let stream = world.open();
    // Dies between the claim and its record.
    world.store.trouble_at(0, fake_store::Trouble::CrashBefore);
    let first = world.controller().await;
    world.store.crashed().await;
    first.close().await;
    assert_eq!(world.cluster.workers().len(), 1);
    let second = world.controller().await;
    world.until_phase(stream, Phase::Live).await;
    assert_eq!(world.cluster.workers().len(), 1, "the same one");
    assert_eq!(by_epoch(&world.cluster, stream).len(), 1);
    world.end(second).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_claimed_for_a_stream_that_ended_meanwhile_is_withdrawn() {
    let world = World::new();
    let stream = world.open();
    world.store.trouble_at(0, fake_store::Trouble::CrashBefore);
    let first = world.controller().await;
    world.store.crashed().await;
    first.close().await;
    assert_eq!(world.cluster.alive().len(), 1);
    // While nobody leads.
    world.store.change_spec(stream, |spec| spec.desired_state = DesiredState::Ended);
    let second = world.controller().await;
    world.until_phase(stream, Phase::Ended).await;
    sleep(Duration::from_secs(1)).await;
    assert!(world.cluster.alive().is_empty(), "nobody would ever end it");
    second.close().await;
}

fn full() -> ClaimError {
    ClaimError::NoCapacity("all are taken".to_owned())
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_waits_for_is_stored_within_a_moment_and_once_and_its_end_says_the_same() {
    let (why, after) = ("there is no WorkerPool hd", "the image cannot be pulled");
    let world = World::new();
    world.cluster.no_worker(Some(ClaimError::Unavailable(why.to_owned())));
    let controller = world.controller().await;
    let stream = world.open();
    let said = |world: &World| world.store.get(stream).unwrap().machine.status(None).reason.unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(said(&world), format!("waiting for a worker: {why}"));
    let writes = world.store.writes();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(world.store.writes(), writes, "nothing changes");
    world.cluster.no_worker(Some(ClaimError::Unavailable(after.to_owned())));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(said(&world), format!("waiting for a worker: {after}"));
    assert_eq!(world.store.writes(), writes + 1);
    world.until_phase(stream, Phase::Failed).await;
    assert_eq!(said(&world), format!("the platform had no worker for it: {after}"));
    assert!(matches!(
        world.cluster.told(stream).as_slice(),
        [ReportOrder::Done(done)] if done.reason == EndReason::NoCapacity && done.detail.is_none()
    ));
    controller.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_wrote_over_is_stored_again_and_once() {
    let (world, controller, stream) = World::live().await;
    let before = world.store.get(stream).unwrap().machine.epoch();
    for shown in [Shown::Otherwise, Shown::NotYet] {
        sleep(Duration::from_secs(5)).await;
        let writes = world.store.writes();
        world.store.show(stream, shown);
        sleep(Duration::from_millis(900)).await;
        let again = world.store.writes() - writes;
        assert!((1..=3).contains(&again), "{again} writes of {shown:?}");
        let machine = world.store.get(stream).unwrap().machine;
        assert_eq!((machine.phase(), machine.epoch()), (Phase::Live, before));
    }
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_lost_its_worker_says_what_its_next_one_waits_for_and_what_it_ended_of() {
    let (world, controller, stream) = World::live().await;
    world.cluster.no_worker(Some(full()));
    world.cluster.kill_all();
    sleep(Duration::from_secs(6)).await;
    let status = || world.store.get(stream).unwrap().machine.status(None);
    assert_eq!(
        (status().phase, status().reason.as_deref()),
        (Phase::Live, Some("waiting for a worker: all are taken"))
    );
    world.until(stream, "ending", |record| record.machine.end_reason().is_some()).await;
    assert_eq!(status().reason.as_deref(), Some("its workers kept failing: all are taken"));
    controller.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_fails_after_ten_seconds_without_room_for_a_worker() {
    let world = World::new();
    world.cluster.no_worker(Some(full()));
    let controller = world.controller().await;
    let begun = Instant::now();
    let stream = world.open();
    world.until_phase(stream, Phase::Failed).await;
    assert!((10..12).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(
        world.cluster.told(stream).as_slice(),
        [ReportOrder::Done(done)] if done.reason == EndReason::NoCapacity && !done.published
    ));
    controller.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_outlives_workers_that_are_unavailable_and_room_that_comes_in_time() {
    for error in [ClaimError::Unavailable("away".to_owned()), full()] {
        let world = World::new();
        let wait = if error == full() { 8 } else { 40 };
        world.cluster.no_worker(Some(error));
        let controller = world.controller().await;
        let stream = world.open();
        sleep(Duration::from_secs(wait)).await;
        world.cluster.no_worker(None);
        world.until_phase(stream, Phase::Live).await;
        world.end(controller).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_runs_keeps_its_recovery_time_when_there_is_no_room_for_its_next_worker() {
    let (world, controller, stream) = World::live().await;
    world.cluster.no_worker(Some(full()));
    world.cluster.kill_all();
    sleep(Duration::from_secs(50)).await;
    assert_eq!(world.store.get(stream).unwrap().machine.phase(), Phase::Live);
    world.cluster.no_worker(None);
    world.until(stream, "on a second worker", |r| r.machine.status(None).worker.is_some()).await;
    sleep(Duration::from_secs(30)).await;
    let machine = world.store.get(stream).unwrap().machine;
    assert_eq!((machine.phase(), machine.epoch()), (Phase::Live, Epoch(2)));
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_out_within_five_seconds_of_taking_a_stream_over() {
    let world = World::new();
    world.cluster.no_worker(Some(ClaimError::Unavailable("away".to_owned())));
    let first = world.controller().await;
    let stream = world.open();
    sleep(Duration::from_secs(1)).await;
    first.close().await;
    // The minute that it may take to start passes while nobody leads.
    sleep(Duration::from_mins(2)).await;
    let second = world.controller().await;
    sleep(Duration::from_millis(4_900)).await;
    assert_eq!(world.store.get(stream).unwrap().machine.phase(), Phase::Pending);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(world.store.get(stream).unwrap().machine.phase(), Phase::Failed);
    second.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_store_refuses_does_not_hold_up_the_news_of_another() {
    let world = World::new();
    let controller = world.controller().await;
    let refused = world.open();
    world.store.refuse(refused);
    // More changes than anything that waits for the first stream could hold.
    for number in 0..100 {
        world.store.change_spec(refused, |spec| spec.title = format!("title {number}"));
        tokio::task::yield_now().await;
    }
    let other = world.open();
    world.until_phase(other, Phase::Live).await;
    world.store.change_spec(other, |spec| spec.desired_state = DesiredState::Ended);
    world.until_phase(other, Phase::Ended).await;
    let claimed = world.cluster.workers().into_iter().find(|worker| worker.stream == refused).unwrap();
    assert_eq!(claimed.assignments(), [], "nobody has stored that it is this stream's");
    controller.close().await;
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_nothing_is_ordered_and_nobody_is_lost() {
    let (world, controller, stream) = World::live().await;
    world.store.away(true);
    sleep(Duration::from_mins(3)).await;
    assert_eq!(world.cluster.workers().len(), 1);
    world.store.away(false);
    sleep(Duration::from_secs(30)).await;
    let machine = world.store.get(stream).unwrap().machine;
    assert_eq!((machine.phase(), machine.epoch()), (Phase::Live, Epoch(1)));
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn workers_that_are_not_known_yet_are_not_taken_to_be_gone() {
    let (world, first, stream) = World::live().await;
    first.close().await;
    world.cluster.forgetful(true);
    let second = world.controller().await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(world.store.get(stream).unwrap().machine.epoch(), Epoch(1));
    world.store.change_spec(stream, |spec| spec.desired_state = DesiredState::Ended);
    world.until_phase(stream, Phase::Ended).await;
    sleep(Duration::from_secs(30)).await;
    let releasing = world.store.get(stream).unwrap().machine.orders().release;
    assert_eq!(releasing.len(), 1, "whether it has ended is not known");
    world.cluster.forgetful(false);
    world.until(stream, "released", |record| record.machine.orders().release.is_empty()).await;
    assert!(world.cluster.alive().is_empty());
    second.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_unknown_stream_is_recorded_and_reported_also_when_a_router_opens_it_at_that_moment() {
    let world = World::new();
    let controller = world.controller().await;
    let unknown = StreamId::generate();
    controller.end(unknown, EndReason::EndedByOwner).await.unwrap();
    assert_eq!(world.store.get(unknown).unwrap().machine.phase(), Phase::Ended);
    sleep(Duration::from_secs(1)).await;
    assert!(matches!(
        world.cluster.told(unknown).as_slice(),
        [ReportOrder::Done(done)] if done.reason == EndReason::EndedByOwner && !done.published
    ));

    let raced = spec();
    let stream = raced.stream;
    let ended = controller.end(stream, EndReason::EndedByOwner);
    world.store.write_as_another(Record::opened(raced, world.now()));
    ended.await.unwrap();
    assert!(world.until_phase(stream, Phase::Ended).await.spec.is_some(), "the router's record");
    controller.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_somebody_removes_takes_its_workers_with_it() {
    let (world, controller, stream) = World::live().await;
    world.store.remove_as_another(stream);
    sleep(Duration::from_secs(1)).await;
    assert!(world.cluster.alive().is_empty());
    assert!(!controller.knows(stream));
    assert_eq!(world.store.get(stream), None, "it is never created anew");
    assert_eq!(world.cluster.lost(), [stream], "it never ended, which is told once");
    controller.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_somebody_removes_after_the_end_is_not_told_as_lost() {
    let (world, controller, stream) = World::live().await;
    controller.end(stream, EndReason::EndedByOwner).await.unwrap();
    world.until_phase(stream, Phase::Ended).await;
    world.store.remove_as_another(stream);
    sleep(Duration::from_secs(1)).await;
    assert!(!controller.knows(stream));
    assert_eq!(world.cluster.lost(), []);
    controller.close().await;
}

#[tokio::test(start_paused = true)]
async fn news_that_is_older_than_what_the_controller_wrote_is_not_gone_back_to() {
    let world = World::new();
    let controller = world.controller().await;
    let stream = world.open();
    let opened = world.store.stored(stream);
    world.until_phase(stream, Phase::Live).await;
    world.store.tell(opened);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(world.cluster.phases_shown(stream), [Phase::Pending, Phase::Starting, Phase::Live]);
    assert_eq!(world.cluster.alive()[0].assignments().len(), 1, "nothing is ordered anew");
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_router_writes_of_its_publisher_reaches_the_lifecycle() {
    let (world, controller, stream) = World::live().await;
    world.store.change_spec(stream, |spec| spec.ingest = ingest(2));
    world.until(stream, "of the second publisher", |r| r.machine.generation() == Generation(2)).await;
    world.store.change_spec(stream, |spec| spec.key_revoked = true);
    let record = world.until(stream, "ended", |r| r.machine.phase() == Phase::Ended).await;
    assert_eq!(record.machine.end_reason(), Some(EndReason::KeyRotated));
    controller.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_being_created_is_recorded_only_once_the_store_has_it() {
    let world = World::new();
    let controller = world.controller().await;
    world.store.away(true);
    let record = Record::opened(spec(), world.now());
    let stream = record.stream();
    let created = controller.create(record).unwrap();
    assert!(timeout(Duration::from_secs(2), controller.recorded(stream)).await.is_err());
    world.store.away(false);
    controller.recorded(stream).await.unwrap();
    assert!(world.store.get(stream).is_some());
    created.await.unwrap();
    assert_eq!(controller.recorded(StreamId::generate()).await, Err(Refusal::Unknown));
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_overtaken_again_and_again_is_tried_with_pauses_and_the_controller_closes() {
    let (world, controller, stream) = World::live().await;
    world.store.stick(Some(stream));
    let writes = world.store.writes();
    let refused = controller.end(stream, EndReason::EndedByOwner).await.unwrap_err();
    assert!(matches!(refused, Refusal::Unavailable(_)), "{refused}");
    sleep(Duration::from_mins(1)).await;
    let tries = world.store.writes() - writes;
    assert!((10..=40).contains(&tries), "{tries}");
    world.store.stick(None);
    world.until_phase(stream, Phase::Ended).await;
    let stuck = world.open();
    world.until_phase(stuck, Phase::Live).await;
    world.store.stick(Some(stuck));
    let _ = controller.end(stuck, EndReason::EndedByOwner).await;
    let closed = tokio::time::timeout(Duration::from_secs(1), controller.close()).await;
    assert!(closed.is_ok(), "it hears of its end in a pause too");
    world.cluster.kill_all();
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_said_to_whoever_drives_the_streams() {
    let mut world = World::new();
    let is_broken = Arc::new(AtomicBool::new(false));
    let (wall, broken) = (Arc::clone(&world.wall), Arc::clone(&is_broken));
    world.wall = Arc::new(move || {
        assert!(!broken.load(Ordering::Relaxed), "the clock is broken");
        wall()
    });
    let controller = world.controller().await;
    let stream = world.open();
    world.until_phase(stream, Phase::Live).await;
    assert!(timeout(Duration::from_mins(1), controller.broken()).await.is_err());
    is_broken.store(true, Ordering::Relaxed);
    controller.broken().await;
    is_broken.store(false, Ordering::Relaxed);
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_that_began_while_nobody_led_has_as_long_to_start_as_any_other() {
    for leads_already in [false, true] {
        let world = World::new();
        world.cluster.no_worker(Some(ClaimError::Unavailable("its image is pulled".to_owned())));
        let spec = spec();
        let stream = spec.stream;
        let record = Record::opened(spec, UnixMillis(world.now().0 - 100_000));
        let controller = if leads_already {
            let controller = world.controller().await;
            world.store.create_as_another(record);
            controller
        } else {
            world.store.create_as_another(record);
            world.controller().await
        };
        sleep(Duration::from_secs(8)).await;
        world.cluster.no_worker(None);
        world.until_phase(stream, Phase::Live).await;
        world.end(controller).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_broadcast_that_nobody_has_stored_is_stored_with_its_worker_whatever_its_router_writes_meanwhile() {
    let world = World::new();
    world.cluster.answers_no_claim(true);
    let controller = world.controller().await;
    let spec = spec();
    let stream = spec.stream;
    let created = || Record::opened(spec.clone(), UnixMillis(world.now().0 - 700));
    world.store.create_as_another(created());
    sleep(Duration::from_millis(300)).await;
    world.store.create_as_another(created());
    sleep(Duration::from_millis(300)).await;
    assert_eq!(world.store.writes(), 0);
    assert!(world.store.get(stream).is_some());
    world.end(controller).await;
}
