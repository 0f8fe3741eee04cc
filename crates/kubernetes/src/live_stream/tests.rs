//! What stands in a LiveStream is what the platform knows, and the other way round.

use caudal_livestream::admission::{BroadcastHints, LadderRung};
use caudal_livestream::assignment::{AssignmentMode, Floor};
use caudal_livestream::feed::InputState;
use caudal_livestream::lifecycle::{Input, Lifecycle};
use caudal_livestream::record::{DropPublisher, MediaInfo, Phase, RelayFailures, Spec, WorkerAddress};
use caudal_livestream::{MediaTime, Msn, UnixMillis, WorkerId};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::*;

fn spec() -> Spec {
    let session = SessionId::generate();
    Spec {
        stream: StreamId::generate(),
        channel: "ann".to_owned(),
        title: "A day".to_owned(),
        access: Access::Premium,
        pool: Some("big".to_owned()),
        renditions: vec![LadderRung { name: "720p".parse().unwrap(), height: 720, bitrate: 2_800_000 }],
        latency_mode: LatencyMode::Standard,
        reconnect_window_ms: 90_500,
        record: true,
        hints: Some(BroadcastHints { keyframe_ms: 2_000, max_frame_ms: 34, fps_milli: 30_000 }),
        desired_state: DesiredState::Ended,
        end_reason: Some(EndReason::EndedByOwner),
        drop: Some(DropPublisher { session, reason: "no".to_owned() }),
        key_revoked: true,
        ingest: caudal_livestream::record::Ingest {
            session,
            generation: Generation(3),
            router: "http://10.1.2.3:3001".to_owned(),
            key_hash: "ab".to_owned(),
            relay: Some(RelayFailures {
                epoch: Epoch(2),
                session,
                failures: 4,
                last_failed_at: UnixMillis(1_800_000_000_123),
            }),
            refused: Some("vp9 is not supported".to_owned()),
        },
    }
}

#[test]
fn a_spec_loses_nothing_on_its_way_through_a_resource() {
    let mut bare = spec();
    (bare.hints, bare.end_reason, bare.drop) = (None, None, None);
    (bare.ingest.relay, bare.ingest.refused) = (None, None);
    for spec in [spec(), bare] {
        let resource = LiveStreamSpec::of(&spec);
        let json = serde_json::to_string(&resource).unwrap();
        let read: LiveStreamSpec = serde_json::from_str(&json).unwrap();
        assert_eq!(read.to_record(), Ok(spec));
    }
}

#[test]
fn one_that_was_ended_before_it_was_created_has_no_spec_to_speak_of() {
    let resource = LiveStreamSpec::ended(StreamId::generate());
    let json = serde_json::to_string(&resource).unwrap();
    let read: LiveStreamSpec = serde_json::from_str(&json).unwrap();
    assert_eq!(read, resource);
    assert_eq!(read.to_record(), Err(Incomplete));
}

#[test]
fn windows_are_read_as_people_write_them() {
    for (text, millis) in
        [("30s", 30_000), ("2m", 120_000), ("1m30s", 90_000), ("1.5s", 1_500), ("24h", 86_400_000)]
    {
        let window: Duration = text.parse().unwrap();
        assert_eq!(words::duration_ms(window), millis, "{text}");
    }
    assert_eq!(words::duration_ms("-5s".parse().unwrap()), 0);
}

/// A broadcast at a point of its life.
struct Story {
    machine: Lifecycle,
    worker: WorkerAddress,
}

impl Story {
    fn begins() -> Self {
        let worker = WorkerAddress {
            worker: WorkerId::generate(),
            rtmp: "10.1.2.4:1935".parse().unwrap(),
            http: "10.1.2.4:8080".parse().unwrap(),
        };
        Self { machine: Lifecycle::new(StreamId::generate(), 30_000, Generation(1), NOW), worker }
    }

    fn and(mut self, input: Input) -> Self {
        self.machine.handle(NOW, input);
        self
    }

    fn assigned(self) -> Self {
        let worker = self.worker;
        self.and(Input::WorkerClaimed(Epoch(1), worker))
            .and(Input::AssignmentTaken(Epoch(1), AssignmentMode::Live))
    }

    fn live(self) -> Self {
        let floor = Floor { msn: Msn(7), discontinuity: 0, media_end: MediaTime(24_200_000), epoch: None };
        self.assigned().and(Input::Announced(Epoch(1), floor))
    }

    fn publisher_lost(self) -> Self {
        self.live().and(Input::Publisher(Epoch(1), away()))
    }

    fn status(&self) -> LiveStreamStatus {
        self.status_after(None, TIME)
    }

    fn status_after(&self, before: Option<&LiveStreamStatus>, now: &str) -> LiveStreamStatus {
        let place = |_| Place { pod: Some("w-1".to_owned()), node: Some("node-1".to_owned()) };
        LiveStreamStatus::of(&Seen {
            machine: &self.machine,
            generation: Some(3),
            media: None,
            playback: Some("https://example.org/live/x/master.m3u8"),
            place: &place,
            paused: false,
            before,
            now: now.parse::<Timestamp>().unwrap(),
        })
        .unwrap()
    }
}

fn away() -> InputState {
    InputState {
        session: Some(SessionId::generate()),
        generation: Generation(1),
        up: false,
        explicit: false,
        ..InputState::default()
    }
}

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const TIME: &str = "2027-01-15T08:00:00Z";

#[test]
fn each_point_of_a_broadcasts_life_is_told_in_three_conditions() {
    let cases = [
        (
            "created",
            Story::begins(),
            "Pending",
            ["False WaitingForWorker", "False WaitingForWorker", "Unknown Starting"],
        ),
        (
            "assigned",
            Story::begins().assigned(),
            "Starting",
            ["False Starting", "True Assigned", "Unknown Starting"],
        ),
        ("live", Story::begins().live(), "Live", ["True Live", "True Assigned", "True Connected"]),
        (
            "publisher lost",
            Story::begins().publisher_lost(),
            "Reconnecting",
            ["False WaitingForPublisher", "True Assigned", "False WaitingForPublisher"],
        ),
        (
            "worker lost",
            Story::begins()
                .live()
                .and(Input::WorkerLost(Epoch(1), caudal_livestream::lifecycle::Evidence::ProcessEnded)),
            "Live",
            ["True Live", "False WaitingForWorker", "Unknown WaitingForWorker"],
        ),
        (
            "publisher lost before anything could be watched",
            Story::begins().assigned().and(Input::Publisher(Epoch(1), away())),
            "Starting",
            ["False WaitingForPublisher", "True Assigned", "False WaitingForPublisher"],
        ),
        (
            "first worker lost",
            Story::begins()
                .assigned()
                .and(Input::WorkerLost(Epoch(1), caudal_livestream::lifecycle::Evidence::ProcessEnded)),
            "Starting",
            ["False WaitingForWorker", "False WaitingForWorker", "Unknown Starting"],
        ),
        (
            "being closed",
            Story::begins().live().and(Input::End(EndReason::EndedByOwner)),
            "Ending",
            ["False Ending", "True Assigned", "False Ending"],
        ),
        (
            "over",
            Story::begins().live().and(Input::End(EndReason::EndedByOwner)).and(Input::Finished(Epoch(1))),
            "Ended",
            ["False Ended", "False Ended", "False Ended"],
        ),
        (
            "failed",
            Story::begins().and(Input::End(EndReason::NoCapacity)),
            "Failed",
            ["False Failed", "False Failed", "False Failed"],
        ),
    ];
    for (case, story, phase, expected) in cases {
        let status = story.status();
        assert_eq!(format!("{:?}", status.phase), phase, "{case}");
        let told = status.conditions.iter().map(|c| format!("{} {}", c.status, c.reason));
        assert_eq!(told.collect::<Vec<_>>(), expected, "{case}");
        for condition in &status.conditions {
            assert_eq!(condition.observed_generation, Some(3), "{case}");
            assert!(!condition.message.is_empty(), "{case}");
        }
    }
}

#[test]
fn what_a_broadcast_waits_for_is_said_in_its_conditions_and_no_answer_contradicts_another() {
    let why = "there is no WorkerPool hd";
    let message = |status: &LiveStreamStatus, kind: &str| {
        status.conditions.iter().find(|condition| condition.type_ == kind).unwrap().message.clone()
    };
    let pending = Story::begins().and(Input::NoWorker(Epoch(1), why.to_owned())).status();
    assert_eq!(message(&pending, READY), format!("waiting for a worker: {why}"));
    assert_eq!(message(&pending, WORKER_ASSIGNED), format!("looking for a worker for epoch 1: {why}"));
    let lost = Story::begins()
        .live()
        .and(Input::WorkerLost(Epoch(1), caudal_livestream::lifecycle::Evidence::ProcessEnded))
        .and(Input::NoWorker(Epoch(2), why.to_owned()))
        .status();
    assert_eq!(
        message(&lost, READY),
        format!("viewers can watch what there is; waiting for a worker: {why}")
    );
    assert_eq!(message(&lost, WORKER_ASSIGNED), format!("looking for a worker for epoch 2: {why}"));
    assert_eq!(message(&Story::begins().live().status(), READY), "viewers can watch it");
}

#[test]
fn a_status_that_somebody_wrote_over_is_made_to_say_what_the_machine_says() {
    let story = Story::begins().live();
    let mut resource = LiveStream::new("s-any", LiveStreamSpec::of(&spec()));
    resource.status = Some(story.status());
    assert!(resource.shows(&story.machine));
    let before = resource.clone();
    resource.straighten();
    assert_eq!(resource, before, "what is true stays as it is, with what people read besides");
    let status = resource.status.as_mut().unwrap();
    (status.phase, status.worker, status.epoch) = (Phase::Ended, None, Epoch(9));
    assert!(!resource.shows(&story.machine));
    resource.straighten();
    assert!(resource.shows(&story.machine));
    // Of one without a machine an end is believed where nothing is left to be done for it.
    for (held, ended_at, believed) in [(false, true, true), (true, true, false), (false, false, false)] {
        let mut resource = before.clone();
        resource.metadata.finalizers = held.then(|| vec![crate::names::END_FINALIZER.to_owned()]);
        let status = resource.status.as_mut().unwrap();
        (status.phase, status.lifecycle) = (Phase::Ended, None);
        status.ended_at = ended_at.then(|| words::micro_time(NOW));
        resource.straighten();
        assert_eq!(resource.status.unwrap().phase == Phase::Ended, believed, "{held} {ended_at}");
    }
}

#[test]
fn a_condition_keeps_the_time_of_its_last_change_and_the_same_gives_the_same() {
    let first = Story::begins().assigned().status();
    let later = "2027-01-15T08:00:09Z";
    let again = Story::begins().assigned();
    assert_eq!(
        again
            .status_after(Some(&first), later)
            .conditions
            .iter()
            .map(|c| c.last_transition_time.0)
            .collect::<Vec<_>>(),
        [TIME.parse::<Timestamp>().unwrap(); 3],
    );
    let live = Story::begins().live().status_after(Some(&first), later);
    let changed = |kind: &str| {
        let condition = live.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        condition.last_transition_time.0 == later.parse::<Timestamp>().unwrap()
    };
    assert_eq!([changed(READY), changed(WORKER_ASSIGNED), changed(PUBLISHING)], [true, false, true]);
    let story = Story::begins().live();
    let once = story.status();
    assert_eq!(story.status_after(Some(&once), later), once);
}

#[test]
fn what_the_other_roles_read_in_a_status_is_what_the_machine_says() {
    for story in [Story::begins(), Story::begins().live(), Story::begins().publisher_lost()] {
        let media = MediaInfo { bitrate: 6_000_000, connected_at: Some(NOW), ..MediaInfo::default() };
        let mut status = story.status();
        status.media = Some((&media).into());
        let json = serde_json::to_string(&status).unwrap();
        let read: LiveStreamStatus = serde_json::from_str(&json).unwrap();
        assert_eq!(read.to_record(), story.machine.status(Some(media)));
        assert_eq!(read.lifecycle.unwrap().read().unwrap(), story.machine);
    }
}

#[test]
fn what_somebody_wrote_over_and_nobody_can_read_costs_no_broadcast() {
    let story = Story::begins().live();
    let mut resource = LiveStream::new("s-any", LiveStreamSpec::of(&spec()));
    resource.status = Some(story.status());
    for (field, value) in [
        ("worker", json!({ "http": "http://10.1.2.3:80" })),
        ("next", json!({ "epoch": -1 })),
        ("deadline", json!("soon")),
        ("startedAt", json!("2027-02-30T08:00:00Z")),
        ("conditions", json!([{ "type": 1 }])),
        ("phase", json!("Elsewhere")),
    ] {
        let mut json = serde_json::to_value(&resource).unwrap();
        json["status"][field] = value;
        let mut read: LiveStream = serde_json::from_value(json).expect(field);
        read.straighten();
        assert!(read.shows(&story.machine), "{field}");
    }
}

#[test]
fn a_machine_of_another_version_or_none_is_not_gone_on_from() {
    let mut stored = StoredLifecycle::of(&Story::begins().machine).unwrap();
    stored.version = 2;
    assert!(matches!(stored.read(), Err(UnreadableLifecycle::Version(2))));
    let broken: StoredLifecycle = serde_json::from_str(r#"{"version":1,"stage":{"stage":"open"}}"#).unwrap();
    assert!(matches!(broken.read(), Err(UnreadableLifecycle::Json(_))));
}

#[test]
fn an_announced_position_alone_is_no_difference() {
    let story = Story::begins().live();
    let before = StoredLifecycle::of(&story.machine).unwrap();
    let further = Floor { msn: Msn(9), discontinuity: 0, media_end: MediaTime(28_200_000), epoch: None };
    let story = story.and(Input::Announced(Epoch(1), further));
    let after = StoredLifecycle::of(&story.machine).unwrap();
    assert_ne!(before, after);
    assert!(before.differs_in_floor_only(&after));
    let ended = StoredLifecycle::of(&story.and(Input::KeyRevoked).machine).unwrap();
    assert!(!after.differs_in_floor_only(&ended));
}
