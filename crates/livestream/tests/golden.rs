//! The JSON of every message that crosses a process. A difference here is a difference that an older router, worker,
//! edge or api will see: write new files (`CAUDAL_WRITE_GOLDEN=1 cargo test -p caudal-livestream --test golden`) only
//! when they all can take it.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes only #[test] functions for tests here"
)]

mod messages;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use caudal_livestream::admission::{
    Access, AuthorizeRequest, Authorized, DenialCode, Denied, LatencyMode, SecondPublisher, StreamKey,
};
use caudal_livestream::assignment::{Assignment, AssignmentMode, Floor, WorkerReady};
use caudal_livestream::audience::{AudienceReport, MAX_COUNTS, ViewerCount};
use caudal_livestream::credentials::{CredentialsRenewal, WorkerKey};
use caudal_livestream::feed::{self, Event, Frame, InputState, PartAnnounced, SegmentAnnounced};
use caudal_livestream::lifecycle::{Evidence, Input, Lifecycle};
use caudal_livestream::proof::{Signed, SignedAssignment, SignedRenewal};
use caudal_livestream::record::{LiveStream, NextWorker, Phase, Status, WorkerAddress};
use caudal_livestream::report::{Done, EndReason, Published};
use caudal_livestream::router_session::RouterSession;
use caudal_livestream::state::{FilledState, InputClock, Ownership, StoredState};
use caudal_livestream::timeline::{CaptionChannel, Segment, SegmentPhase, TrackMedia, VideoRange};
use caudal_livestream::{EdgeId, Epoch, Generation, InstallationId, MediaTime, Msn, UnixMillis, WorkerId};
use ed25519_dalek::SigningKey;
use messages::{
    address, assignment, floor, golden, hints, input, ladder, media, name, part, segment, session, socket,
    spec, stored, stream, timeline,
};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

#[test]
fn what_router_and_api_say_to_each_other() {
    golden(
        "authorize-request",
        &AuthorizeRequest {
            key: StreamKey::new("live_abc"),
            app: "live".to_owned(),
            remote: Some([192, 0, 2, 7].into()),
            session: session(),
            ended: Some(stream()),
        },
    );
    golden(
        "authorized",
        &Authorized {
            stream: stream(),
            channel: "ann".to_owned(),
            title: "A day by the sea".to_owned(),
            access: Access::Public,
            record: false,
            latency_mode: LatencyMode::Low,
            pool: None,
            ladder: ladder(),
            policy: SecondPublisher::Takeover,
            hints: Some(hints()),
        },
    );
    golden(
        "denied",
        &Denied { code: DenialCode::UnknownKey, message: "This stream key is not known.".to_owned() },
    );
}

#[test]
fn what_the_controller_tells_the_api() {
    let started_at = UnixMillis(1_790_000_000_000);
    golden("published", &Published { stream: stream(), started_at });
    golden(
        "done",
        &Done {
            stream: stream(),
            published: true,
            started_at: Some(started_at),
            ended_at: UnixMillis(1_790_000_600_000),
            reason: EndReason::PublisherLost,
            detail: None,
            hints: Some(hints()),
        },
    );
    golden(
        "done-unplayable",
        &Done {
            stream: stream(),
            published: false,
            started_at: None,
            ended_at: UnixMillis(1_790_000_031_000),
            reason: EndReason::NothingPlayable,
            detail: Some("video came, but no keyframe; no sound came".to_owned()),
            hints: None,
        },
    );
    let reasons = vec![
        EndReason::Unpublished,
        EndReason::PublisherLost,
        EndReason::EndedByOwner,
        EndReason::KeyRotated,
        EndReason::StartTimeout,
        EndReason::NothingPlayable,
        EndReason::WorkersLost,
        EndReason::Shutdown,
        EndReason::NoCapacity,
    ];
    golden("end-reasons", &reasons);
}

#[test]
fn what_a_router_says_of_its_publisher() {
    let session = RouterSession { input: input(), media: Some(media()), asked_to_reconnect: false };
    golden("router-session", &session);
    golden(
        "router-session-asked-to-reconnect",
        &RouterSession { asked_to_reconnect: true, ..session.clone() },
    );
    // Routers of the release before know only the input, and say only that.
    let written = serde_json::to_string(&session).unwrap();
    assert_eq!(serde_json::from_str::<InputState>(&written).unwrap(), session.input);
    let before = serde_json::to_string(&session.input).unwrap();
    assert_eq!(
        serde_json::from_str::<RouterSession>(&before).unwrap(),
        RouterSession { media: None, ..session }
    );
}

#[test]
fn what_an_edge_tells_the_api() {
    let edge = EdgeId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0004));
    let counts = vec![ViewerCount { stream: stream(), viewers: 12 }];
    golden("audience-report", &AudienceReport { edge, sequence: 7, last: false, counts });
    let most = vec![ViewerCount { stream: stream(), viewers: u32::MAX }; MAX_COUNTS];
    let longest = AudienceReport { edge, sequence: u64::MAX, last: false, counts: most };
    assert!(serde_json::to_vec(&longest).unwrap().len() < 64 * 1024, "no internal request may be longer");
}

#[test]
fn a_stream_in_the_directory() {
    let status = Status {
        phase: Phase::Reconnecting,
        deadline: Some(UnixMillis(1_790_000_030_000)),
        epoch: Epoch(2),
        worker: Some(address()),
        next: Some(NextWorker { address: address(), epoch: Epoch(3) }),
        no_worker: None,
        without_replay: true,
        media: Some(media()),
        started_at: Some(UnixMillis(1_790_000_001_000)),
        ended_at: None,
        end_reason: None,
        reason: Some("waiting for the publisher".to_owned()),
    };
    golden("live-stream", &LiveStream { spec: spec(), status });
}

#[test]
fn what_controller_and_worker_say_to_each_other() {
    golden("assignment", &assignment());
    golden(
        "worker-ready",
        &WorkerReady { worker: address().worker, rtmp: socket(41935), http: socket(48080) },
    );
    golden("input", &input());
    let what = "video came, but no keyframe; no sound came".to_owned();
    golden("input-unplayable", &InputState { up: true, unplayable: Some(what), ..input() });
    golden("input-before-any-publisher", &InputState::default());
    golden("input-leaving", &InputState { up: true, leaving: true, ..input() });
    golden("input-behind-a-seam", &InputState { up: true, seam_lost_ms: Some(1_400), ..input() });
    golden("input-moved", &InputState { moved: true, leaving: true, ..input() });

    let key = SigningKey::from_bytes(&[9; 32]);
    // Ed25519 is deterministic, so the signature is part of the contract too.
    let signed = stored("signed-assignment", &SignedAssignment::sign(&assignment(), &key).unwrap());
    let signed: SignedAssignment = serde_json::from_str(&signed).unwrap();
    assert_eq!(signed.verify(&key.verifying_key()).unwrap(), assignment());
    assert!(signed.verify(&SigningKey::from_bytes(&[8; 32]).verifying_key()).is_err());
}

/// Sealing draws randomness, so what is sealed stands here as text.
#[test]
fn what_controller_and_worker_say_to_each_other_of_storage_credentials() {
    let key: WorkerKey = serde_json::from_value(json!({ "key": BASE64.encode([7; 32]) })).unwrap();
    golden("worker-key", &key);
    let sealed = serde_json::from_value(json!("c2VhbGVk")).unwrap();
    golden("assignment-with-credentials", &Assignment { credentials: Some(sealed), ..assignment() });
    let renewal = CredentialsRenewal {
        worker: address().worker,
        stream: stream(),
        epoch: Epoch(2),
        renewed: serde_json::from_value(json!("c2VhbGVk")).unwrap(),
    };
    golden("credentials-renewal", &renewal);
}

/// One key signs both.
#[test]
fn no_signed_order_is_read_as_one_of_the_other_kind() {
    let key = SigningKey::from_bytes(&[9; 32]);
    let sealed = serde_json::from_value(json!("c2VhbGVk")).unwrap();
    let assignment = Assignment { credentials: Some(sealed), ..assignment() };
    let renewal = CredentialsRenewal {
        worker: assignment.worker,
        stream: assignment.stream,
        epoch: assignment.epoch,
        renewed: assignment.credentials.clone().unwrap(),
    };
    let assignment = serde_json::to_string(&Signed::sign(&assignment, &key).unwrap()).unwrap();
    let renewal = serde_json::to_string(&Signed::sign(&renewal, &key).unwrap()).unwrap();
    let taken_for_renewal: SignedRenewal = serde_json::from_str(&assignment).unwrap();
    assert!(taken_for_renewal.verify(&key.verifying_key()).is_err());
    let taken_for_assignment: SignedAssignment = serde_json::from_str(&renewal).unwrap();
    assert!(taken_for_assignment.verify(&key.verifying_key()).is_err());
}

#[test]
fn what_a_worker_leaves_in_storage() {
    let installation = InstallationId::of(&SigningKey::from_bytes(&[9; 32]).verifying_key());
    let owner = Some(Ownership { installation, record: true });
    let claim = StoredState { stream: stream(), epoch: Epoch(2), worker: address(), owner, filled: None };
    golden("state-claim", &claim);
    let clock = InputClock {
        session: session(),
        generation: Generation(2),
        offset: MediaTime(10_000_000),
        wraps: 1,
        last_rtmp: 4_294_967_295,
        date_anchor: UnixMillis(1_789_999_990_000),
    };
    let filled = FilledState { timeline: timeline(), clock: Some(clock), closed: true };
    golden("state-filled", &StoredState { filled: Some(filled), ..claim });
}

/// What an older reader does not know of is left out where there is nothing to say: see `state-filled`.
#[test]
fn what_a_timeline_says_of_hdr_pictures_with_captions() {
    let mut timeline = timeline();
    timeline.captions = vec![CaptionChannel::Cea608(1), CaptionChannel::Cea708(12)];
    for range in [VideoRange::Hlg, VideoRange::Pq] {
        let mut track = timeline.tracks[0].clone();
        track.name = name(if range == VideoRange::Pq { "pq" } else { "hlg" });
        if let TrackMedia::Video { range: said, .. } = &mut track.media {
            *said = range;
        }
        timeline.tracks.push(track);
    }
    golden("timeline-hdr-captions", &timeline);
}

/// A feed's frame: its type and the JSON after it.
#[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
struct FrameOnTheWire {
    r#type: u8,
    body: Option<serde_json::Value>,
}

#[test]
fn what_a_feed_says() {
    frames(
        "feed",
        &[
            Event::Snapshot(Box::new(timeline())),
            Event::Part(PartAnnounced {
                rendition: name("source"),
                msn: Msn(8),
                part: part(),
                opens: Some(Box::new(Segment { phase: SegmentPhase::Open, parts: Vec::new(), ..segment() })),
            }),
            Event::Part(PartAnnounced { rendition: name("source"), msn: Msn(8), part: part(), opens: None }),
            Event::Segment(SegmentAnnounced {
                rendition: name("source"),
                segment: Segment { phase: SegmentPhase::Finished, ..segment() },
                window_start: Msn(7),
                peak_bandwidth: 6_200_000,
                average_bandwidth: 6_000_000,
            }),
            Event::Stored { rendition: name("audio"), msn: Msn(7) },
            Event::Withdrawn { rendition: name("720p") },
            Event::Input(input()),
            Event::End,
            Event::Heartbeat,
        ],
    );
}

#[test]
fn what_a_control_feed_says() {
    frames(
        "feed-control",
        &[
            Event::Floor(Floor { epoch: Some(Epoch(1)), ..floor() }),
            Event::Input(input()),
            Event::Reached(Floor { media_end: MediaTime(16_200_000), epoch: Some(Epoch(2)), ..floor() }),
            Event::End,
            Event::Heartbeat,
        ],
    );
}

/// Each of `events` is a frame of its own, and the file holds their JSON.
fn frames(name: &str, events: &[Event]) {
    let mut frames = Vec::new();
    for event in events {
        let frame = event.encode();
        let (head, body) = frame.split_at(5);
        assert_eq!(u32::from_be_bytes(head[..4].try_into().unwrap()), u32::try_from(body.len() + 1).unwrap());
        let body = (!body.is_empty()).then(|| serde_json::from_slice(body).unwrap());
        frames.push(FrameOnTheWire { r#type: head[4], body });
        let mut buffer = BytesMut::from(&frame[..]);
        assert_eq!(feed::decode(&mut buffer).unwrap(), Some(Frame::Event(event.clone())));
        assert!(buffer.is_empty());
    }
    golden(name, &frames);
}

#[test]
fn what_a_controller_stores_of_a_stream() {
    let now = UnixMillis(1_790_000_000_000);
    let mut machine = Lifecycle::new(stream(), 30_000, Generation(1), now);
    golden("lifecycle-new", &machine);
    machine.handle(now, Input::WorkerClaimed(Epoch(1), address()));
    machine.handle(now, Input::AssignmentTaken(Epoch(1), AssignmentMode::Live));
    machine.handle(now, Input::Announced(Epoch(1), floor()));
    machine.handle(now, Input::Publisher(Epoch(1), InputState { up: true, explicit: false, ..input() }));
    golden("lifecycle-live", &machine);
    machine.handle(now, Input::Publisher(Epoch(1), input()));
    golden("lifecycle-reconnecting", &machine);
    machine.handle(now, Input::End(EndReason::EndedByOwner));
    golden("lifecycle-closing", &machine);
    machine.handle(now, Input::Finished(Epoch(1)));
    golden("lifecycle-over", &machine);
}

#[test]
fn what_a_controller_stores_of_a_stream_that_is_moved() {
    let now = UnixMillis(1_790_000_000_000);
    let mut machine = Lifecycle::new(stream(), 30_000, Generation(1), now);
    let up = InputState { up: true, explicit: false, ..input() };
    machine.handle(now, Input::WorkerClaimed(Epoch(1), address()));
    machine.handle(now, Input::AssignmentTaken(Epoch(1), AssignmentMode::Live));
    machine.handle(now, Input::Announced(Epoch(1), floor()));
    machine.handle(now, Input::Publisher(Epoch(1), InputState { leaving: true, ..up.clone() }));
    // No worker was ready in time. Another move begins, and is nearly done.
    let now = UnixMillis(now.0 + 30_000);
    machine.handle(now, Input::Tick);
    machine.handle(now, Input::Move);
    let now = UnixMillis(now.0 + 3_000);
    machine.handle(now, Input::Tick);
    let next = WorkerAddress {
        worker: WorkerId(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0004)),
        ..address()
    };
    let epoch = machine.moves_to().unwrap();
    machine.handle(now, Input::WorkerClaimed(epoch, next));
    machine.handle(now, Input::AssignmentTaken(epoch, AssignmentMode::Prepare));
    machine.handle(now, Input::RelayFailed(epoch));
    machine.handle(now, Input::Publisher(epoch, InputState { silent_ms: None, ..up }));
    golden("lifecycle-moving", &machine);
    machine.handle(now, Input::Publisher(Epoch(1), InputState { moved: true, ..input() }));
    machine.handle(now, Input::WorkerLost(Epoch(1), Evidence::Closed));
    machine.handle(now, Input::AssignmentTaken(epoch, AssignmentMode::Live));
    machine.handle(now, Input::Announced(epoch, Floor { msn: Msn(10), ..floor() }));
    golden("lifecycle-moved", &machine);
}
