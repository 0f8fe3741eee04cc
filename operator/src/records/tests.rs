//! Records over an API server of this process, with its awkward answers.

use std::time::{Duration, SystemTime};

use caudal_controller::Shown;
use caudal_kubernetes::StoredLifecycle;
use caudal_livestream::assignment::{AssignmentMode, Floor};
use caudal_livestream::lifecycle::{Input, ReportKind};
use caudal_livestream::record::{Phase, Spec, WorkerAddress};
use caudal_livestream::report::EndReason;
use caudal_livestream::{Epoch, MediaTime, Msn};
use serde_json::{Value, json};

use super::*;
use caudal_kubernetes::fake_server::{FakeServer, TIME, Trouble};

const KIND: &str = "livestreams";

struct World {
    server: FakeServer,
    store: LiveStreams,
    stream: StreamId,
    name: String,
}

impl World {
    fn new() -> Self {
        let server = FakeServer::new();
        let stream = StreamId::generate();
        Self { store: store(&server), server, stream, name: names::live_stream(stream) }
    }

    /// A router has created the stream.
    fn opened() -> Self {
        let world = Self::new();
        world.server.create(KIND, resource(&spec(world.stream)));
        world
    }

    async fn only(&self) -> Stored {
        let mut records = self.store.load().await.unwrap();
        assert_eq!(records.len(), 1);
        records.pop().unwrap()
    }

    async fn save(&self, stored: &Stored, durability: Durability) -> Result<Stored, StoreError> {
        let version = self.store.store(&stored.record, &stored.version, durability).await?;
        Ok(Stored { record: stored.record.clone(), version, shown: Shown::AsItIs, media: None })
    }

    fn resource(&self) -> Value {
        self.server.get(KIND, &self.name).unwrap()
    }
}

fn store(server: &FakeServer) -> LiveStreams {
    store_at(server, Duration::ZERO)
}

/// All that is to be collected now. Time stands still while the calls of a collection are made, and goes on only in the pause after it.
async fn collected_once(store: &LiveStreams) {
    let collecting = tokio::time::timeout(Duration::from_secs(1), store.collect(&|_, _| {}));
    collecting.await.expect_err("collecting never ends");
}

/// That long after [`NOW`].
fn store_at(server: &FakeServer, age: Duration) -> LiveStreams {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(NOW.0.unsigned_abs()) + age;
    let settings = RecordSettings {
        namespace: "caudal".to_owned(),
        wall: Arc::new(move || now),
        places: Arc::new(|_| Place { pod: Some("w-1".to_owned()), node: Some("node-1".to_owned()) }),
        playback: Arc::new(|stream| Some(format!("https://example.org/live/{stream}/master.m3u8"))),
    };
    LiveStreams::new(server.client(), settings)
}

fn spec(stream: StreamId) -> Spec {
    Spec { stream, ..caudal_livestream::fixtures::spec() }
}

fn resource(spec: &Spec) -> Value {
    let spec = LiveStreamSpec::of(spec);
    serde_json::to_value(LiveStream::new(&names::live_stream(spec.stream), spec)).unwrap()
}

fn live(record: &mut Record) {
    let worker = WorkerAddress {
        worker: WorkerId::generate(),
        rtmp: "10.1.2.4:1935".parse().unwrap(),
        http: "10.1.2.4:8080".parse().unwrap(),
    };
    record.machine.handle(NOW, Input::WorkerClaimed(Epoch(1), worker));
    record.machine.handle(NOW, Input::AssignmentTaken(Epoch(1), AssignmentMode::Live));
    announce(record, 7);
}

fn announce(record: &mut Record, msn: u64) {
    let media_end = MediaTime(i64::try_from(msn).unwrap() * 2_000_000);
    let floor = Floor { msn: Msn(msn), discontinuity: 0, media_end, epoch: None };
    record.machine.handle(NOW, Input::Announced(Epoch(1), floor));
}

fn over_and_told(record: &mut Record) {
    record.machine.handle(NOW, Input::End(EndReason::EndedByOwner));
    record.machine.handle(NOW, Input::Finished(Epoch(1)));
    record.machine.handle(NOW, Input::Acknowledged(ReportKind::Published));
    record.machine.handle(NOW, Input::Acknowledged(ReportKind::Done));
    assert!(record.machine.is_settled());
}

#[tokio::test]
async fn a_stream_that_a_router_created_reads_the_same_each_time_until_it_is_written() {
    let world = World::opened();
    let first = world.only().await;
    assert_eq!(first.record.machine.phase(), Phase::Pending);
    assert_eq!(world.only().await, first);
    assert_eq!(first.shown, Shown::NotYet);
    assert_eq!(store(&world.server).load().await.unwrap(), [first]);
    assert_eq!(world.server.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_stored_is_read_again_and_shown_to_people_in_the_same_write() {
    let world = World::opened();
    let mut stored = world.only().await;
    live(&mut stored.record);
    let stored = world.save(&stored, Durability::Synced).await.unwrap();
    assert_eq!(
        world.server.writes(),
        [format!("PATCH {KIND}/{}", world.name), format!("PUT {KIND}/{}/status", world.name)],
        "the finalizer, once, and the status"
    );
    let resource = world.resource();
    assert_eq!(resource["metadata"]["finalizers"], json!([names::END_FINALIZER]));
    assert_eq!(resource["status"]["phase"], "Live");
    assert_eq!(resource["status"]["worker"]["pod"], "w-1");
    assert_eq!(resource["status"]["observedGeneration"], 1);
    assert_eq!(store(&world.server).load().await.unwrap(), [stored]);
}

#[tokio::test]
async fn a_phase_that_somebody_wrote_by_hand_is_no_end_and_is_written_over() {
    for held in [true, false] {
        let world = World::opened();
        world.server.change(KIND, &world.name, |resource| {
            resource["metadata"]["finalizers"] = if held { json!([names::END_FINALIZER]) } else { json!([]) };
            resource["status"] = json!({ "phase": "Ended" });
        });
        let mut stored = world.only().await;
        assert_eq!((stored.record.machine.phase(), stored.shown), (Phase::Pending, Shown::NotYet));
        collected_once(&world.store).await;
        live(&mut stored.record);
        world.save(&stored, Durability::Synced).await.unwrap();
        assert_eq!(world.resource()["status"]["phase"], "Live");
        let forge: fn(&mut Value) = |resource| {
            resource["status"]["phase"] = json!("Ended");
            resource["status"]["endedAt"] = json!(TIME);
        };
        world.server.change(KIND, &world.name, forge);
        let later = store_at(&world.server, Duration::from_hours(48));
        let forged = later.load().await.unwrap().pop().unwrap();
        assert_eq!((forged.record.machine.phase(), forged.shown), (Phase::Live, Shown::Otherwise));
        collected_once(&later).await;
        assert_eq!(world.resource()["metadata"]["finalizers"], json!([names::END_FINALIZER]));
        later.store(&forged.record, &forged.version, Durability::Synced).await.unwrap();
        assert_eq!(world.resource()["status"]["phase"], "Live");
        assert_eq!(later.load().await.unwrap()[0].shown, Shown::AsItIs);
    }
}

#[tokio::test]
async fn a_paused_broadcast_says_so_and_one_that_never_was_says_nothing_of_it() {
    let world = World::opened();
    let mut stored = world.only().await;
    live(&mut stored.record);
    world.save(&stored, Durability::Synced).await.unwrap();
    let says = || {
        let conditions = world.resource()["status"]["conditions"].as_array().unwrap().clone();
        let paused = conditions.iter().find(|condition| condition["type"] == "Paused");
        paused.map(|condition| condition["status"].as_str().unwrap().to_owned())
    };
    assert_eq!(says(), None);
    for (value, shown) in [("true", "True"), ("false", "False")] {
        world.server.change(KIND, &world.name, |resource| {
            resource["metadata"]["annotations"][names::PAUSED_ANNOTATION] = json!(value);
        });
        let known = world.only().await;
        assert_eq!(known.shown, Shown::Otherwise, "{value}");
        world.save(&known, Durability::Synced).await.unwrap();
        assert_eq!(says().as_deref(), Some(shown));
        assert_eq!(world.only().await.shown, Shown::AsItIs, "and nothing more is written");
    }
}

#[tokio::test]
async fn a_write_at_an_old_version_gives_the_newer_record_back_and_says_what_is_newer() {
    let world = World::opened();
    let mut stored = world.only().await;
    live(&mut stored.record);
    let stored = world.save(&stored, Durability::Synced).await.unwrap();
    world.server.change(KIND, &world.name, |resource| resource["spec"]["title"] = json!("Another day"));
    let mut ours = stored.clone();
    ours.record.machine.handle(NOW, Input::KeyRevoked);
    let Err(StoreError::Conflict(newer)) = world.save(&ours, Durability::Synced).await else {
        panic!("no conflict")
    };
    assert_eq!(newer.record.machine, stored.record.machine, "only the spec has changed");
    assert_eq!(newer.record.spec.as_ref().unwrap().title, "Another day");
    assert!(newer.version > stored.version);

    // Another operator leads.
    let theirs = store(&world.server);
    let mut of_theirs = theirs.load().await.unwrap().pop().unwrap();
    of_theirs.record.machine.handle(NOW, Input::End(EndReason::EndedByOwner));
    theirs.store(&of_theirs.record, &of_theirs.version, Durability::Synced).await.unwrap();
    ours.version = newer.version;
    let Err(StoreError::Conflict(newer)) = world.save(&ours, Durability::Synced).await else {
        panic!("no conflict")
    };
    assert_eq!(newer.record.machine, of_theirs.record.machine);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_found_by_the_next_one() {
    let world = World::opened();
    let mut stored = world.only().await;
    live(&mut stored.record);
    world.server.trouble("/status", Trouble::AnswerLost);
    assert!(matches!(world.save(&stored, Durability::Synced).await, Err(StoreError::Unavailable(_))));
    let Err(StoreError::Conflict(newer)) = world.save(&stored, Durability::Synced).await else {
        panic!("no conflict")
    };
    assert_eq!(newer.record, stored.record);
}

#[tokio::test(start_paused = true)]
async fn each_awkward_answer_is_told_by_what_can_be_done_about_it() {
    for (trouble, refused) in [
        (Trouble::Answer(500, "InternalError"), false),
        (Trouble::Answer(429, "TooManyRequests"), false),
        (Trouble::Answer(403, "Forbidden"), false),
        (Trouble::Answer(422, "Invalid"), true),
        (Trouble::Silence, false),
    ] {
        let world = World::opened();
        let stored = world.only().await;
        world.server.trouble("PATCH", trouble);
        match world.save(&stored, Durability::Synced).await {
            Err(StoreError::Refused(_)) => assert!(refused),
            Err(StoreError::Unavailable(_)) => assert!(!refused),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_record_that_was_removed_is_gone() {
    let world = World::opened();
    let stored = world.only().await;
    world.server.vanish(KIND, &world.name);
    assert_eq!(
        world.save(&stored, Durability::Synced).await.err().map(|e| e.to_string()).as_deref(),
        Some("the record was removed")
    );
    world.store.remove(world.stream).await.unwrap();
}

#[tokio::test]
async fn an_announced_position_alone_is_not_written_and_not_lost_while_the_operator_runs() {
    let world = World::opened();
    let mut stored = world.only().await;
    live(&mut stored.record);
    let mut stored = world.save(&stored, Durability::Synced).await.unwrap();
    world.server.forget_requests();
    for msn in 8..20 {
        announce(&mut stored.record, msn);
        stored = world.save(&stored, Durability::Lazy).await.unwrap();
    }
    assert_eq!(world.server.writes(), Vec::<String>::new());
    // What a router writes to the spec does not make it another controller's machine.
    world.server.change(KIND, &world.name, |resource| resource["spec"]["title"] = json!("Another day"));
    let mut ended = stored.clone();
    ended.record.machine.handle(NOW, Input::KeyRevoked);
    let Err(StoreError::Conflict(newer)) = world.save(&ended, Durability::Synced).await else {
        panic!("no conflict")
    };
    assert_eq!(newer.record.machine, stored.record.machine);
    // With another transition it is written.
    ended.version = newer.version;
    ended.record.spec.clone_from(&newer.record.spec);
    world.save(&ended, Durability::Synced).await.unwrap();
    assert_eq!(world.resource()["status"]["lifecycle"]["floor"]["msn"], 19);
}

#[tokio::test]
async fn what_the_router_measured_outlives_the_operators_writes() {
    let world = World::opened();
    world.server.change(KIND, &world.name, |resource| {
        resource["status"] =
            json!({ "media": { "bitrate": 6_000_000, "fpsMilli": 30_000, "droppedFrames": 0 } });
    });
    let mut stored = world.only().await;
    live(&mut stored.record);
    world.save(&stored, Durability::Synced).await.unwrap();
    assert_eq!(world.resource()["status"]["media"]["bitrate"], 6_000_000);
}

#[tokio::test]
async fn the_end_of_an_unknown_stream_is_created_as_ended_and_reads_as_that() {
    let world = World::new();
    let ended = Record::ended(world.stream, EndReason::KeyRotated, NOW);
    let version = world.store.create(&ended).await.unwrap();
    assert_eq!(world.resource()["spec"]["desiredState"], "Ended");
    assert_eq!(world.resource()["status"]["phase"], "Ended");
    assert_eq!(
        store(&world.server).load().await.unwrap(),
        [Stored { record: ended.clone(), version, shown: Shown::AsItIs, media: None }]
    );

    // A router was quicker.
    let opened = World::opened();
    let ended = Record::ended(opened.stream, EndReason::KeyRotated, NOW);
    let Err(StoreError::Conflict(theirs)) = opened.store.create(&ended).await else { panic!("no conflict") };
    assert!(theirs.record.spec.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_creation_that_was_cut_off_before_its_status_goes_on_as_an_end() {
    let world = World::new();
    let ended = Record::ended(world.stream, EndReason::KeyRotated, NOW);
    world.server.trouble("/status", Trouble::Silence);
    assert!(matches!(world.store.create(&ended).await, Err(StoreError::Unavailable(_))));
    let found = store(&world.server).load().await.unwrap().pop().unwrap();
    assert_eq!(found.record.machine.end_reason(), Some(EndReason::KeyRotated));
}

#[tokio::test]
async fn a_deletion_ends_the_broadcast_and_takes_the_resource_once_the_api_knows() {
    let world = World::opened();
    let mut stored = world.only().await;
    live(&mut stored.record);
    world.save(&stored, Durability::Synced).await.unwrap();
    world
        .server
        .change(KIND, &world.name, |resource| resource["metadata"]["deletionTimestamp"] = json!(TIME));
    let mut stored = world.only().await;
    assert_eq!(
        stored.record.spec.as_ref().unwrap().desired_state,
        caudal_livestream::record::DesiredState::Ended
    );
    over_and_told(&mut stored.record);
    world.save(&stored, Durability::Synced).await.unwrap();
    assert_eq!(world.server.get(KIND, &world.name), None);
    world.store.remove(world.stream).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_ended_stream_loses_its_finalizer_stays_for_people_and_is_then_collected() {
    let world = World::opened();
    world.server.change(KIND, &world.name, |resource| resource["spec"]["ttlSecondsAfterEnded"] = json!(60));
    let mut stored = world.only().await;
    live(&mut stored.record);
    let mut stored = world.save(&stored, Durability::Synced).await.unwrap();
    over_and_told(&mut stored.record);
    world.save(&stored, Durability::Synced).await.unwrap();
    assert_eq!(world.resource()["metadata"]["finalizers"], json!([]));

    world.store.remove(world.stream).await.unwrap();
    assert_eq!(world.resource()["status"]["lifecycle"], Value::Null);
    assert_eq!(world.resource()["status"]["phase"], "Ended");
    assert_eq!(store(&world.server).load().await.unwrap(), [], "nothing is left to be done for it");

    // Its time is over.
    world.server.change(KIND, &world.name, |resource| resource["spec"]["ttlSecondsAfterEnded"] = json!(0));
    let later = store(&world.server);
    later.load().await.unwrap();
    collected_once(&later).await;
    assert_eq!(world.server.get(KIND, &world.name), None);
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_that_an_operator_died_before_it_took_off_is_taken_off_by_the_next() {
    for deleted in [false, true] {
        let world = World::opened();
        let mut stored = world.only().await;
        live(&mut stored.record);
        let mut stored = world.save(&stored, Durability::Synced).await.unwrap();
        over_and_told(&mut stored.record);
        world.server.trouble("PATCH", Trouble::Silence);
        world.save(&stored, Durability::Synced).await.unwrap();
        assert_eq!(world.resource()["metadata"]["finalizers"], json!([names::END_FINALIZER]));
        if deleted {
            let delete: fn(&mut Value) = |resource| resource["metadata"]["deletionTimestamp"] = json!(TIME);
            world.server.change(KIND, &world.name, delete);
        }
        let next = store(&world.server);
        next.load().await.unwrap();
        collected_once(&next).await;
        let left = world.server.get(KIND, &world.name);
        assert_eq!(left.map(|left| left["metadata"]["finalizers"].clone()), (!deleted).then(|| json!([])));
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_the_api_does_not_acknowledge_holds_a_resource_for_a_day_and_no_longer() {
    let world = World::opened();
    let mut stored = world.only().await;
    live(&mut stored.record);
    let mut stored = world.save(&stored, Durability::Synced).await.unwrap();
    stored.record.machine.handle(NOW, Input::End(EndReason::EndedByOwner));
    stored.record.machine.handle(NOW, Input::Finished(Epoch(1)));
    let stored = world.save(&stored, Durability::Synced).await.unwrap();
    let day = Duration::from_hours(24);
    for (age, held) in [(day.saturating_sub(Duration::from_secs(1)), true), (day, false)] {
        let collecting = store_at(&world.server, age);
        collecting.load().await.unwrap();
        collected_once(&collecting).await;
        let finalizers = world.resource()["metadata"]["finalizers"].clone();
        assert_eq!(finalizers == json!([names::END_FINALIZER]), held, "{age:?}: {finalizers}");
    }
    // The api is told on, and the next write does not hold it again.
    let Err(StoreError::Conflict(mut known)) = world.save(&stored, Durability::Synced).await else {
        panic!()
    };
    assert!(!known.record.machine.is_settled());
    known.record.machine.handle(NOW, Input::Acknowledged(ReportKind::Published));
    world.save(&known, Durability::Synced).await.unwrap();
    assert_eq!(world.resource()["metadata"]["finalizers"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_resource_that_was_deleted_a_day_ago_is_let_go_of_whatever_it_says() {
    let world = World::opened();
    let stored = world.only().await;
    world.save(&stored, Durability::Synced).await.unwrap();
    world
        .server
        .change(KIND, &world.name, |resource| resource["metadata"]["deletionTimestamp"] = json!(TIME));
    let collecting = store_at(&world.server, Duration::from_hours(24));
    collecting.load().await.unwrap();
    collected_once(&collecting).await;
    assert_eq!(world.server.get(KIND, &world.name), None);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_and_was_deleted_a_day_ago_is_let_go_of_with_words() {
    let machine = || StoredLifecycle::of(&Record::opened(spec(StreamId::generate()), NOW).machine).unwrap();
    for (case, lifecycle) in [
        ("no machine", json!({ "version": 1, "stage": 7 })),
        ("of another release", json!({ "version": 9 })),
        ("another stream's", json!(machine())),
        ("not even a record", json!({})),
    ] {
        let world = World::opened();
        world.server.change(KIND, &world.name, |resource| {
            resource["metadata"]["finalizers"] = json!([names::END_FINALIZER]);
            resource["metadata"]["deletionTimestamp"] = json!(TIME);
            resource["status"] = json!({ "phase": "Live", "epoch": 1, "lifecycle": lifecycle });
        });
        let day = Duration::from_hours(24);
        for (age, there) in [(day.saturating_sub(Duration::from_secs(1)), true), (day, false)] {
            let collecting = store_at(&world.server, age);
            assert_eq!(collecting.load().await.unwrap(), [], "{case}");
            let told = Mutex::new(Vec::new());
            let tell = |stream: StreamId, words: &str| told.lock().unwrap().push((stream, words.to_owned()));
            let collecting = tokio::time::timeout(Duration::from_secs(1), collecting.collect(&tell));
            collecting.await.expect_err("collecting never ends");
            assert_eq!(world.server.get(KIND, &world.name).is_some(), there, "{case}, {age:?}");
            let told = told.into_inner().unwrap();
            assert_eq!(told.is_empty(), there, "{case}: {told:?}");
            assert!(
                told.iter()
                    .all(|(stream, words)| *stream == world.stream && words.contains("cannot be read")),
                "{told:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_is_neither_released_nor_removed_before_it_is_paused_no_longer() {
    let world = World::opened();
    let pause = |value: Value| {
        move |resource: &mut Value| resource["metadata"]["annotations"][names::PAUSED_ANNOTATION] = value
    };
    world.server.change(KIND, &world.name, |resource| resource["spec"]["ttlSecondsAfterEnded"] = json!(0));
    world.server.change(KIND, &world.name, pause(json!("true")));
    let mut stored = world.only().await;
    live(&mut stored.record);
    let mut stored = world.save(&stored, Durability::Synced).await.unwrap();
    over_and_told(&mut stored.record);
    world.save(&stored, Durability::Synced).await.unwrap();
    collected_once(&world.store).await;
    let removal = tokio::time::timeout(Duration::from_mins(5), world.store.remove(world.stream));
    assert!(removal.await.is_err(), "it waits");
    assert_eq!(world.resource()["metadata"]["finalizers"], json!([names::END_FINALIZER]));
    world.server.change(KIND, &world.name, pause(json!("false")));
    world.store.load().await.unwrap();
    world.store.remove(world.stream).await.unwrap();
    assert_eq!(world.server.get(KIND, &world.name), None);
}

#[tokio::test]
async fn a_removal_that_somebody_else_writes_into_is_done_all_the_same() {
    let world = World::opened();
    world.server.change(KIND, &world.name, |resource| resource["spec"]["ttlSecondsAfterEnded"] = json!(0));
    let mut stored = world.only().await;
    live(&mut stored.record);
    over_and_told(&mut stored.record);
    world.save(&stored, Durability::Synced).await.unwrap();
    let rename: fn(&mut Value) = |resource| resource["spec"]["title"] = json!("Another day");
    world.server.trouble("DELETE", Trouble::Overtaken(rename));
    world.store.remove(world.stream).await.unwrap();
    assert_eq!(world.server.get(KIND, &world.name), None);
}

#[tokio::test]
async fn a_server_that_was_restored_from_a_backup_is_believed_although_its_versions_are_lower() {
    let world = World::opened();
    for title in ["One", "Two", "Three"] {
        world.server.change(KIND, &world.name, |resource| resource["spec"]["title"] = json!(title));
    }
    let mut stored = world.only().await;
    live(&mut stored.record);
    let mut stored = world.save(&stored, Durability::Synced).await.unwrap();
    world.server.restore(2);
    stored.record.machine.handle(NOW, Input::End(EndReason::EndedByOwner));
    let Err(StoreError::Conflict(there)) = world.save(&stored, Durability::Synced).await else {
        panic!("it has another version")
    };
    assert_eq!((there.version, there.record.machine.phase()), (Version(2), Phase::Live));
    stored.version = there.version;
    let stored = world.save(&stored, Durability::Synced).await.unwrap();
    assert_eq!(world.resource()["status"]["phase"], "Ending");
    // An answer that was overtaken on its way takes nothing back.
    let older = serde_json::from_value(world.resource()).unwrap();
    world.server.change(KIND, &world.name, |resource| resource["spec"]["title"] = json!("Four"));
    let newest = world.only().await;
    world.store.shared.cache().step_back(&older, Some(stored.version));
    assert_eq!(world.store.shared.cache().version(world.stream), Some(newest.version));
}

#[tokio::test]
async fn what_others_change_is_told_and_what_vanished_too() {
    let world = World::opened();
    let mut stored = world.only().await;
    let mut changes = world.store.changes();
    live(&mut stored.record);
    world.save(&stored, Durability::Synced).await.unwrap();
    world.server.change(KIND, &world.name, |resource| resource["spec"]["keyRevoked"] = json!(true));
    let Some(Change::Changed(told)) = changes.next().await else { panic!("nothing was told") };
    assert!(told.record.spec.unwrap().key_revoked, "of our own writes nothing is told");
    assert_eq!(told.record.machine, stored.record.machine);
    let other = StreamId::generate();
    world.server.create(KIND, resource(&spec(other)));
    let Some(Change::Changed(told)) = changes.next().await else { panic!("nothing was told") };
    assert_eq!(told.record.stream(), other);
    world.server.vanish(KIND, &world.name);
    assert_eq!(changes.next().await, Some(Change::Removed(world.stream)));
}

#[tokio::test]
async fn what_was_removed_does_not_come_back_with_news_that_are_late() {
    let world = World::opened();
    world.server.change(KIND, &world.name, |resource| resource["spec"]["ttlSecondsAfterEnded"] = json!(0));
    let mut stored = world.only().await;
    let mut changes = world.store.changes();
    let other = StreamId::generate();
    world.server.create(KIND, resource(&spec(other)));
    let Some(Change::Changed(_)) = changes.next().await else { panic!("nothing was told") };
    // The watch is read no further until all of this is over.
    live(&mut stored.record);
    let mut stored = world.save(&stored, Durability::Synced).await.unwrap();
    over_and_told(&mut stored.record);
    world.save(&stored, Durability::Synced).await.unwrap();
    world.store.remove(world.stream).await.unwrap();
    assert_eq!(changes.next().await, Some(Change::Removed(world.stream)));
}

#[tokio::test]
async fn a_resource_that_cannot_be_understood_keeps_no_other_from_being_read_and_leaves_its_streams_in_doubt()
{
    let world = World::opened();
    assert_eq!(world.store.named().await.unwrap(), HashSet::new());
    let [unparsed, misnamed, newer, mixed_up, mixed_in] = std::array::from_fn(|_| StreamId::generate());

    let mut broken = resource(&spec(unparsed));
    broken["spec"]["stream"] = json!(7);
    world.server.create(KIND, broken);
    let mut of_another = resource(&spec(misnamed));
    of_another["metadata"]["name"] = json!("s-somebody");
    world.server.create(KIND, of_another);
    let mut of_a_later_release = resource(&spec(newer));
    of_a_later_release["status"] = json!({ "phase": "Live", "epoch": 1, "lifecycle": { "version": 9 } });
    world.server.create(KIND, of_a_later_release);
    let mut with_anothers_machine = resource(&spec(mixed_up));
    let machine = StoredLifecycle::of(&Record::opened(spec(mixed_in), NOW).machine).unwrap();
    with_anothers_machine["status"] = json!({ "phase": "Pending", "lifecycle": machine });
    world.server.create(KIND, with_anothers_machine);

    assert_eq!(world.only().await.record.stream(), world.stream);
    let in_doubt = HashSet::from([unparsed, misnamed, newer, mixed_up, mixed_in]);
    assert_eq!(world.store.named().await.unwrap(), in_doubt);
}

#[tokio::test]
async fn which_streams_are_in_doubt_is_not_told_from_a_list_that_the_server_did_not_give() {
    let world = World::opened();
    world.server.trouble("GET", Trouble::Answer(500, "InternalError"));
    assert!(matches!(world.store.named().await, Err(StoreError::Unavailable(_))));
}

/// The server's time of all creations.
const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
