//! A stream's life, scene by scene.

use std::net::SocketAddr;

use super::*;
use crate::record::Phase;
use crate::{MediaTime, Msn, SessionId};

mod clocks;
mod credentials;
mod last_words;
mod leaving;
mod losses;
mod moves;
mod room;
mod strays;
mod unplayable;

/// A machine, a clock, and a world that does as told when asked to.
struct Scene {
    machine: Lifecycle,
    now: UnixMillis,
}

impl Scene {
    fn opened() -> Self {
        let now = UnixMillis(1_000_000);
        Self { machine: Lifecycle::new(StreamId::generate(), 30_000, Generation(1), now), now }
    }

    /// Its first worker has its assignment.
    fn starting() -> Self {
        let mut scene = Self::opened();
        scene.give_worker();
        scene
    }

    /// It can be watched.
    fn live() -> Self {
        let mut scene = Self::starting();
        scene.publisher_up();
        scene.announce(7);
        scene
    }

    fn say(&mut self, input: Input) {
        self.machine.handle(self.now, input);
    }

    fn after(&mut self, ms: i64) {
        self.now.0 += ms;
        self.say(Input::Tick);
    }

    fn epoch(&self) -> Epoch {
        self.machine.epoch()
    }

    fn worker(&self) -> Option<WorkerAddress> {
        self.machine.orders().follow.map(|(_, worker)| worker)
    }

    fn give_worker(&mut self) {
        let epoch = self.epoch();
        self.say(Input::WorkerClaimed(epoch, address()));
        if let Some((parting, _)) = self.machine.orders().follow_parting {
            self.say(Input::WorkerLost(parting, Evidence::Closed));
        }
        self.take_assignment();
    }

    fn take_assignment(&mut self) {
        let Some(WorkerOrder::Assign { epoch, mode, .. }) = self.machine.orders().worker else {
            panic!("nothing to assign: {:?}", self.machine.orders());
        };
        self.say(Input::AssignmentTaken(epoch, mode));
    }

    fn publisher_up(&mut self) {
        let generation = self.machine.generation();
        self.input(InputState {
            generation,
            up: true,
            session: Some(SessionId::generate()),
            ..InputState::default()
        });
    }

    fn publisher_gone(&mut self, explicit: bool) {
        let generation = self.machine.generation();
        self.input(InputState {
            generation,
            explicit,
            session: Some(SessionId::generate()),
            ..InputState::default()
        });
    }

    fn input(&mut self, state: InputState) {
        let epoch = self.epoch();
        self.say(Input::Publisher(epoch, state));
    }

    fn announce(&mut self, msn: u64) {
        let epoch = self.epoch();
        self.say(Input::Announced(epoch, floor(msn)));
    }

    fn lose_worker(&mut self) {
        let epoch = self.epoch();
        self.say(Input::WorkerLost(epoch, Evidence::ProcessEnded));
    }

    fn phase(&self) -> Phase {
        self.machine.phase()
    }

    fn mode(&self) -> Option<AssignmentMode> {
        match self.machine.orders().worker {
            Some(WorkerOrder::Assign { mode, .. }) => Some(mode),
            _ => None,
        }
    }

    fn done(&self) -> Option<crate::report::Done> {
        match self.machine.orders().report {
            Some(ReportOrder::Done(done)) => Some(done),
            _ => None,
        }
    }
}

fn address() -> WorkerAddress {
    let socket = SocketAddr::from(([127, 0, 0, 1], 1));
    WorkerAddress { worker: WorkerId::generate(), rtmp: socket, http: socket }
}

fn floor(msn: u64) -> Floor {
    let media_end = MediaTime(i64::try_from(msn).unwrap() * 2_000_000);
    Floor { msn: Msn(msn), discontinuity: 0, media_end, epoch: None }
}

#[test]
fn it_goes_from_pending_over_starting_to_live() {
    let mut scene = Scene::opened();
    assert_eq!(scene.phase(), Phase::Pending);
    assert_eq!(scene.machine.orders().worker, Some(WorkerOrder::Claim(Epoch(1))));
    scene.say(Input::WorkerClaimed(Epoch(1), address()));
    assert_eq!(scene.phase(), Phase::Pending);
    assert_eq!(scene.mode(), Some(AssignmentMode::Live));
    assert_eq!(scene.machine.status(None).worker, None, "a worker is shown once it has its assignment");
    scene.take_assignment();
    assert_eq!(scene.phase(), Phase::Starting);
    assert_eq!(scene.machine.orders().worker, None);
    assert_eq!(scene.machine.status(None).worker, scene.worker());
    scene.publisher_up();
    scene.announce(7);
    assert_eq!(scene.phase(), Phase::Live);
    assert!(
        matches!(scene.machine.orders().report, Some(ReportOrder::Published(p)) if p.started_at == scene.now)
    );
    scene.say(Input::Acknowledged(ReportKind::Published));
    assert_eq!(scene.machine.orders().report, None);
}

#[test]
fn starting_fails_after_a_minute_even_if_there_never_was_a_worker() {
    for (mut scene, reason) in
        [(Scene::opened(), EndReason::NoCapacity), (Scene::starting(), EndReason::StartTimeout)]
    {
        scene.after(59_999);
        assert!(!scene.phase().is_over());
        scene.after(1);
        assert_eq!(scene.phase(), Phase::Failed);
        let done = scene.done().unwrap();
        assert_eq!((done.reason, done.published, done.started_at), (reason, false, None));
        assert_eq!(scene.machine.orders().worker, None, "there is no playlist to close");
    }
}

#[test]
fn a_lost_publisher_has_the_window_and_one_that_said_good_bye_five_seconds() {
    for (explicit, window, reason) in
        [(false, 30_000, EndReason::PublisherLost), (true, 5_000, EndReason::Unpublished)]
    {
        let mut scene = Scene::live();
        scene.publisher_gone(explicit);
        assert_eq!(scene.phase(), Phase::Reconnecting);
        assert_eq!(scene.machine.status(None).deadline, Some(UnixMillis(scene.now.0 + window)));
        scene.after(window - 1);
        assert_eq!(scene.phase(), Phase::Reconnecting);
        scene.after(1);
        assert_eq!(scene.phase(), Phase::Ending);
        assert_eq!(scene.machine.end_reason(), Some(reason));
        assert_eq!(scene.mode(), Some(AssignmentMode::Finish), "its own worker closes the playlists");
    }
}

#[test]
fn a_shorter_window_than_five_seconds_holds_after_a_good_bye_too() {
    let now = UnixMillis(0);
    let mut scene = Scene { machine: Lifecycle::new(StreamId::generate(), 2_000, Generation(1), now), now };
    scene.give_worker();
    scene.publisher_up();
    scene.announce(7);
    scene.publisher_gone(true);
    scene.after(2_000);
    assert_eq!(scene.phase(), Phase::Ending);
}

#[test]
fn a_publisher_that_returns_in_the_window_goes_on_with_the_same_worker() {
    let mut scene = Scene::live();
    let worker = scene.worker();
    scene.publisher_gone(false);
    scene.after(29_000);
    scene.say(Input::PublisherChosen(Generation(2)));
    // Let in just before the end, it gets the time to arrive.
    scene.after(3_000);
    assert_eq!(scene.phase(), Phase::Reconnecting);
    scene.publisher_up();
    assert_eq!((scene.phase(), scene.epoch(), scene.worker()), (Phase::Live, Epoch(1), worker));
    scene.after(1_000_000);
    assert_eq!(scene.phase(), Phase::Live);
}

#[test]
fn a_publisher_that_is_let_in_and_never_arrives_does_not_hold_the_stream() {
    let mut scene = Scene::live();
    scene.publisher_gone(false);
    scene.after(29_000);
    scene.say(Input::PublisherChosen(Generation(2)));
    scene.after(5_000);
    assert_eq!(scene.phase(), Phase::Ending);
}

#[test]
fn the_good_bye_of_a_publisher_that_was_replaced_does_not_shorten_the_window() {
    let mut scene = Scene::live();
    scene.say(Input::PublisherChosen(Generation(2)));
    scene.input(InputState {
        generation: Generation(1),
        explicit: true,
        session: Some(SessionId::generate()),
        ..InputState::default()
    });
    scene.after(6_000);
    assert_eq!(scene.phase(), Phase::Reconnecting);
}

#[test]
fn the_end_is_written_said_and_remembered_for_ten_minutes() {
    let mut scene = Scene::live();
    scene.say(Input::Acknowledged(ReportKind::Published));
    scene.say(Input::End(EndReason::EndedByOwner));
    assert_eq!(scene.phase(), Phase::Ending);
    scene.say(Input::End(EndReason::KeyRotated));
    assert_eq!(scene.mode(), Some(AssignmentMode::Finish));
    scene.take_assignment();
    assert_eq!(scene.machine.orders().worker, None);
    scene.announce(12);
    scene.say(Input::Finished(Epoch(1)));
    assert_eq!(scene.phase(), Phase::Ended);
    let done = scene.done().unwrap();
    assert_eq!((done.reason, done.published, done.ended_at), (EndReason::EndedByOwner, true, scene.now));
    assert_eq!(scene.machine.orders().release.len(), 1);
    scene.say(Input::Acknowledged(ReportKind::Done));
    assert_eq!(scene.machine.orders().report, None);
    for leaving in scene.machine.orders().release {
        scene.say(Input::Released(leaving.worker));
    }
    scene.after(599_999);
    assert!(!scene.machine.orders().forget);
    scene.after(1);
    assert!(scene.machine.orders().forget);
}

#[test]
fn an_ended_stream_is_remembered_until_the_api_knows() {
    let mut scene = Scene::starting();
    scene.say(Input::End(EndReason::EndedByOwner));
    scene.after(100_000_000);
    assert!(scene.done().is_some());
    assert!(!scene.machine.orders().forget);
    scene.say(Input::Acknowledged(ReportKind::Done));
    for leaving in scene.machine.orders().release {
        scene.say(Input::Released(leaving.worker));
    }
    assert!(scene.machine.orders().forget);
}

#[test]
fn media_goes_ten_minutes_after_the_end_also_when_the_api_cannot_take_it_down() {
    let mut scene = Scene::live();
    scene.say(Input::End(EndReason::EndedByOwner));
    scene.take_assignment();
    scene.say(Input::Finished(Epoch(1)));
    scene.after(600_000);
    assert!(!scene.machine.orders().remove_media, "the worker may still write");
    for leaving in scene.machine.orders().release {
        scene.say(Input::Released(leaving.worker));
    }
    assert!(scene.machine.orders().remove_media);
    assert!(!scene.machine.orders().forget, "the api does not know yet");
    assert_eq!(scene.machine.orders().wake, None, "there is nothing to wait for but the api");
}

#[test]
fn done_waits_for_published_to_be_acknowledged() {
    let mut scene = Scene::live();
    scene.say(Input::End(EndReason::EndedByOwner));
    scene.take_assignment();
    scene.say(Input::Finished(Epoch(1)));
    assert!(matches!(scene.machine.orders().report, Some(ReportOrder::Published(_))));
    scene.say(Input::Acknowledged(ReportKind::Published));
    assert!(scene.done().is_some());
}

#[test]
fn a_stream_ends_even_when_no_worker_can_write_its_end() {
    let mut scene = Scene::live();
    scene.say(Input::End(EndReason::EndedByOwner));
    scene.lose_worker();
    scene.after(20_000);
    assert_eq!(scene.phase(), Phase::Ended);
    assert_eq!(scene.machine.orders().worker, None);
}

#[test]
fn a_shutdown_does_not_wait_longer_than_three_seconds_even_for_an_end_that_has_begun() {
    let mut scene = Scene::live();
    scene.say(Input::End(EndReason::EndedByOwner));
    scene.after(1_000);
    scene.say(Input::End(EndReason::Shutdown));
    scene.after(3_000);
    assert_eq!(scene.phase(), Phase::Ended);
    assert_eq!(scene.machine.end_reason(), Some(EndReason::EndedByOwner));
}

#[test]
fn a_revoked_key_ends_the_stream() {
    let mut scene = Scene::live();
    scene.say(Input::KeyRevoked);
    assert_eq!(scene.machine.end_reason(), Some(EndReason::KeyRotated));
}

#[test]
fn a_stream_that_nobody_created_is_over_at_once_and_said_to_be() {
    let now = UnixMillis(5);
    let machine = Lifecycle::tombstone(StreamId::generate(), EndReason::EndedByOwner, now);
    assert_eq!(machine.phase(), Phase::Ended);
    assert!(matches!(machine.orders().report, Some(ReportOrder::Done(done)) if !done.published));
    assert_eq!(machine.orders().worker, None);
}

#[test]
fn hints_hold_for_the_longest_that_was_measured() {
    let mut scene = Scene::live();
    let hints = |keyframe_ms, fps_milli| BroadcastHints { keyframe_ms, max_frame_ms: 34, fps_milli };
    scene.say(Input::Measured(hints(4_000, 30_000)));
    scene.say(Input::Measured(hints(2_000, 60_000)));
    scene.say(Input::Acknowledged(ReportKind::Published));
    scene.say(Input::End(EndReason::EndedByOwner));
    scene.take_assignment();
    scene.say(Input::Finished(Epoch(1)));
    assert_eq!(scene.done().unwrap().hints, Some(hints(4_000, 60_000)));
}
