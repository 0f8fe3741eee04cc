//! What the metrics say of streams that begin, are moved, lose their workers and end.

use prometheus::{Registry, TextEncoder};

use super::*;

/// What one line of the text says; none where there is no such line.
fn said(registry: &Registry, line: &str) -> Option<String> {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    value.map(str::to_owned)
}

fn count(registry: &Registry, line: &str) -> u64 {
    said(registry, &format!("caudal_controller_{line}")).map_or(0, |count| count.parse().unwrap())
}

fn seconds(registry: &Registry, line: &str) -> f64 {
    said(registry, &format!("caudal_controller_{line}")).map_or(0.0, |seconds| seconds.parse().unwrap())
}

/// Streams by phase, those of no stream left out.
fn phases(registry: &Registry) -> Vec<(&'static str, u64)> {
    let all = ["pending", "starting", "live", "reconnecting", "ending", "ended", "failed"].map(|phase| {
        let line = format!("caudal_controller_streams{{phase=\"{phase}\"}}");
        let streams = said(registry, &line).unwrap_or_else(|| panic!("{phase} says nothing"));
        (phase, streams.parse().unwrap())
    });
    all.into_iter().filter(|(_, streams)| *streams > 0).collect()
}

impl World {
    /// A router creates a stream whose id was made now.
    fn open_now(&self) -> StreamId {
        let mut spec = spec();
        let millis = u64::try_from(self.now().0).unwrap();
        spec.stream =
            format!("{:08x}-{:04x}-7000-8000-000000000001", millis >> 16, millis & 0xffff).parse().unwrap();
        let stream = spec.stream;
        self.store.write_as_another(Record::opened(spec, self.now()));
        stream
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_counted_in_the_phase_that_it_is_in_and_not_at_all_once_nobody_drives_it() {
    let (world, controller, stream) = World::live().await;
    let registry = world.registry.clone();
    assert_eq!(phases(&registry), [("live", 1)]);
    controller.end(stream, EndReason::EndedByOwner).await.unwrap();
    world.until_phase(stream, Phase::Ended).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(phases(&registry), [("ended", 1)]);
    world.until_forgotten(stream).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(phases(&registry), []);

    // Another controller may lead then.
    let other = world.open();
    world.until_phase(other, Phase::Live).await;
    assert_eq!(phases(&registry), [("live", 1)]);
    controller.close().await;
    assert_eq!(phases(&registry), []);
    let next = world.controller().await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(phases(&registry), [("live", 1)]);
    world.end(next).await;
}

#[tokio::test(start_paused = true)]
async fn the_way_from_admission_to_the_first_part_is_measured_once() {
    let world = World::new();
    let controller = world.controller().await;
    let stream = world.open_now();
    world.until_phase(stream, Phase::Live).await;
    sleep(Duration::from_secs(20)).await;
    let registry = &world.registry;
    assert_eq!(count(registry, "first_part_seconds_count"), 1);
    let first_part = seconds(registry, "first_part_seconds_sum");
    assert!((0.02..2.0).contains(&first_part), "{first_part} s, of which the claim takes 0.02");
    // The next worker's first part is no stream's first one.
    controller.move_stream(stream).await.unwrap();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(count(registry, "first_part_seconds_count"), 1);
    assert_eq!(count(registry, "first_segment_seconds_count"), 1);
    assert!(seconds(registry, "first_segment_seconds_sum") >= first_part);
    world.end(controller).await;
}

#[tokio::test(start_paused = true)]
async fn claims_are_measured_from_the_wish_to_the_assignment_and_each_epoch_has_a_reason() {
    let (world, controller, stream) = World::live().await;
    let registry = world.registry.clone();
    assert_eq!(count(&registry, "claim_duration_seconds_count{start=\"warm\"}"), 1);
    let took = seconds(&registry, "claim_duration_seconds_sum{start=\"warm\"}");
    assert!((0.02..1.0).contains(&took), "{took}");
    assert_eq!(count(&registry, "epochs_begun_total{reason=\"first\"}"), 1);

    controller.move_stream(stream).await.unwrap();
    assert_eq!(count(&registry, "epochs_begun_total{reason=\"move\"}"), 1);
    assert_eq!(count(&registry, "claim_duration_seconds_count{start=\"cold\"}"), 1);

    // Somebody waits for a worker that is not to be had yet.
    world.cluster.no_worker(Some(ClaimError::Unavailable("none now".to_owned())));
    world.cluster.kill_all();
    sleep(Duration::from_secs(6)).await;
    assert_eq!(count(&registry, "queue_depth{queue=\"claims\"}"), 1);
    world.cluster.no_worker(None);
    world.until(stream, "live again", |record| record.machine.orders().worker.is_none()).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(count(&registry, "queue_depth{queue=\"claims\"}"), 0);
    let lost = ["process_ended", "closed", "feed_silent"];
    let lost = lost.map(|reason| count(&registry, &format!("epochs_begun_total{{reason=\"{reason}\"}}")));
    assert_eq!(lost.iter().sum::<u64>(), 1, "{lost:?}");
    assert_eq!(count(&registry, "claim_duration_seconds_count{start=\"cold\"}"), 2);
    let waited = seconds(&registry, "claim_duration_seconds_sum{start=\"cold\"}");
    assert!((3.0..9.0).contains(&waited), "{waited} s, of which nobody had a worker for five");
    world.end(controller).await;
    for queue in ["streams", "claims", "releases", "reports"] {
        assert_eq!(count(&registry, &format!("queue_depth{{queue=\"{queue}\"}}")), 0, "{queue}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_hears_is_measured_until_it_is_stored_by_what_came_of_it() {
    let (world, controller, stream) = World::live().await;
    let stored =
        || count(&world.registry, "reconcile_duration_seconds_count{kind=\"stream\",outcome=\"changed\"}");
    let before = stored();
    assert!(before > 1, "{before}");
    controller.drop_publisher(stream, "enough".to_owned()).await.unwrap();
    assert!(stored() > before);
    world.end(controller).await;
}
