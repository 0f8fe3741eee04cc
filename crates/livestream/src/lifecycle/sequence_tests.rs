//! What must hold whatever happens, in whatever order, with crashes and a clock that is turned.

use std::collections::HashMap;
use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;
use crate::record::Phase;
use crate::{MediaTime, Msn, SessionId};

/// Something that the world does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// The controller carries out its order about a worker, if there is one, and it succeeds.
    ObeyWorkerOrder,
    /// The worker does not take its assignment.
    RefuseAssignment,
    PublisherUp,
    PublisherGone {
        explicit: bool,
    },
    PublisherChosen,
    /// Nothing of the publisher's can be played, by the worker's word or the router's.
    Unplayable {
        by_worker: bool,
    },
    Announce {
        whole: bool,
    },
    /// A worker that was replaced while it closes says how far it was, or that it has closed.
    LastWord {
        closed: bool,
    },
    /// Something about the worker of this many epochs ago; mostly the current one.
    LoseWorker {
        age: u32,
        restarted: bool,
    },
    RelayFailed,
    FeedEnd,
    Released,
    End(EndReason),
    KeyRevoked,
    /// The api takes the report that it is offered.
    ApiAnswers,
    /// Time goes on, or the clock is turned.
    Clock(i64),
    /// The controller dies and starts again from what it stored; an act that was not stored did not happen.
    Restart,
    /// It dies after it stored what it was told and before it acted on it: nothing but the store is left.
    ClaimThenCrash,
    Move,
    /// The same as `ObeyWorkerOrder`, of the worker of a move.
    ObeyNextOrder,
    /// The router switches to the next worker, by the word of the old one or of the next one.
    Switch {
        by_old: bool,
    },
    NextAnnounces,
    LoseNext,
    NextUnreachable,
    /// The worker is told to go.
    Leave,
    /// It ends without having handed over.
    Leaves {
        explicit: bool,
    },
    /// What was claimed for a move that was given up is gone.
    Withdrawn,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => Just(Act::ObeyWorkerOrder),
        1 => Just(Act::RefuseAssignment),
        4 => Just(Act::PublisherUp),
        2 => any::<bool>().prop_map(|explicit| Act::PublisherGone { explicit }),
        1 => Just(Act::PublisherChosen),
        1 => any::<bool>().prop_map(|by_worker| Act::Unplayable { by_worker }),
        4 => any::<bool>().prop_map(|whole| Act::Announce { whole }),
        2 => any::<bool>().prop_map(|closed| Act::LastWord { closed }),
        2 => (0..3_u32, any::<bool>()).prop_map(|(age, restarted)| Act::LoseWorker { age, restarted }),
        1 => Just(Act::RelayFailed),
        1 => Just(Act::FeedEnd),
        2 => Just(Act::Released),
        1 => prop_oneof![Just(EndReason::EndedByOwner), Just(EndReason::Shutdown)].prop_map(Act::End),
        1 => Just(Act::KeyRevoked),
        3 => Just(Act::ApiAnswers),
        4 => prop_oneof![0..2_000_i64, 0..70_000_i64, -3_600_000..3_600_000_i64].prop_map(Act::Clock),
        2 => Just(Act::Restart),
        1 => Just(Act::ClaimThenCrash),
        3 => Just(Act::Move),
        4 => Just(Act::ObeyNextOrder),
        2 => any::<bool>().prop_map(|by_old| Act::Switch { by_old }),
        1 => Just(Act::NextAnnounces),
        1 => Just(Act::LoseNext),
        1 => Just(Act::NextUnreachable),
        1 => Just(Act::Leave),
        1 => any::<bool>().prop_map(|explicit| Act::Leaves { explicit }),
        1 => Just(Act::Withdrawn),
    ]
}

/// The world around one machine, which notes every breach of what was promised.
#[derive(Clone)]
pub(super) struct World {
    pub(super) machine: Lifecycle,
    pub(super) now: UnixMillis,
    /// Who was ever sent an assignment of each epoch.
    assigned: HashMap<Epoch, WorkerId>,
    acknowledged: Vec<ReportKind>,
    generation: Generation,
    msn: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let now = UnixMillis(10_000_000);
        let machine = Lifecycle::new(StreamId(uuid::Uuid::nil()), 30_000, Generation(1), now);
        let (assigned, acknowledged) = (HashMap::new(), Vec::new());
        Self { machine, now, assigned, acknowledged, generation: Generation(1), msn: 7 }
    }

    pub(super) fn say(&mut self, input: Input) {
        let phase = self.machine.phase();
        let (epoch, floor) = (self.machine.epoch(), self.machine.floor());
        let cause = format!("{input:?}");
        self.machine.handle(self.now, input);
        let orders = self.machine.orders();
        let is_assigned =
            |order| matches!(order, Some(WorkerOrder::Assign { epoch, .. }) if epoch == self.machine.epoch());
        assert!(
            orders.follow_parting.is_none() || !is_assigned(orders.worker),
            "{cause} did not wait for the last word"
        );
        assert!(self.machine.epoch() >= epoch, "an epoch was taken back by {cause}");
        assert!(self.machine.floor().map(|f| (f.msn, f.media_end)) >= floor.map(|f| (f.msn, f.media_end)));
        let next = self.machine.phase();
        assert!(!phase.is_over() || next >= phase, "{phase:?} became {next:?} by {cause}");
    }

    fn obey_worker_order(&mut self) {
        self.obey(self.machine.orders().worker);
    }

    fn obey(&mut self, order: Option<WorkerOrder>) {
        match order {
            Some(WorkerOrder::Claim(epoch)) => self.say(Input::WorkerClaimed(epoch, address())),
            Some(WorkerOrder::Assign { epoch, worker, mode }) => {
                let first = *self.assigned.entry(epoch).or_insert(worker.worker);
                assert_eq!(first, worker.worker, "two workers were assigned epoch {epoch}");
                self.say(Input::AssignmentTaken(epoch, mode));
            }
            None => {}
        }
    }

    /// Epochs that wait for a worker.
    fn claims(&self) -> Vec<Epoch> {
        let orders = self.machine.orders();
        let claims = [orders.worker, orders.next].into_iter().flatten();
        claims
            .filter_map(|order| match order {
                WorkerOrder::Claim(epoch) => Some(epoch),
                WorkerOrder::Assign { .. } => None,
            })
            .collect()
    }

    fn api_answers(&mut self) {
        if let Some(report) = self.machine.orders().report {
            assert!(!self.acknowledged.contains(&report.kind()), "{:?} was asked for again", report.kind());
            assert!(!self.acknowledged.contains(&ReportKind::Done), "something after done");
            if let ReportOrder::Done(done) = &report {
                assert_eq!(done.published, self.acknowledged.contains(&ReportKind::Published));
                assert!(done.started_at.is_none_or(|started| started <= done.ended_at));
            }
            self.acknowledged.push(report.kind());
            self.say(Input::Acknowledged(report.kind()));
        }
    }

    pub(super) fn act(&mut self, act: &Act) {
        let epoch = self.machine.epoch();
        match act {
            Act::ObeyWorkerOrder => self.obey_worker_order(),
            Act::RefuseAssignment => {
                if let Some(WorkerOrder::Assign { epoch, worker, .. }) = self.machine.orders().worker {
                    // It may have taken it all the same.
                    assert_eq!(*self.assigned.entry(epoch).or_insert(worker.worker), worker.worker);
                    self.say(Input::WorkerLost(epoch, Evidence::NotAssigned));
                }
            }
            Act::PublisherUp => self.publisher(true, false),
            Act::PublisherGone { explicit } => self.publisher(false, *explicit),
            Act::Unplayable { by_worker } => self.unplayable(*by_worker),
            Act::PublisherChosen => {
                self.generation = self.generation.next();
                self.say(Input::PublisherChosen(self.generation));
            }
            Act::Announce { whole } => self.announce(epoch, *whole),
            Act::LastWord { closed } => {
                if let Some((epoch, _)) = self.machine.orders().follow_parting {
                    if *closed {
                        self.say(Input::WorkerLost(epoch, Evidence::Closed));
                    } else {
                        self.announce(epoch, true);
                        assert_eq!(self.machine.floor().map(|floor| floor.msn), Some(Msn(self.msn)));
                    }
                }
            }
            Act::LoseWorker { age, restarted } => {
                let evidence =
                    if *restarted { Evidence::ControllerRestarted } else { Evidence::ProcessEnded };
                self.say(Input::WorkerLost(Epoch(epoch.0.saturating_sub(*age)), evidence));
            }
            Act::RelayFailed => self.say(Input::RelayFailed(epoch)),
            Act::FeedEnd => self.say(Input::Finished(epoch)),
            Act::Released => {
                if let Some(worker) = self.machine.orders().release.first() {
                    self.say(Input::Released(worker.worker));
                }
            }
            Act::End(reason) => self.say(Input::End(*reason)),
            Act::KeyRevoked => self.say(Input::KeyRevoked),
            Act::ApiAnswers => self.api_answers(),
            Act::Clock(by) => {
                self.now.0 += by;
                self.say(Input::Tick);
            }
            Act::Restart => self.restart(),
            Act::Move => self.say(Input::Move),
            Act::ObeyNextOrder => self.obey(self.machine.orders().next),
            Act::Switch { by_old } => self.switch(*by_old),
            Act::NextAnnounces => {
                if let Some((epoch, _)) = self.machine.orders().follow_next {
                    self.announce(epoch, true);
                }
            }
            Act::LoseNext => {
                if let Some(epoch) = self.machine.moves_to() {
                    self.say(Input::WorkerLost(epoch, Evidence::ProcessEnded));
                }
            }
            Act::NextUnreachable => {
                if let Some((epoch, _)) = self.machine.orders().follow_next {
                    self.say(Input::RelayFailed(epoch));
                }
            }
            Act::Leave => {
                let state = InputState { up: true, leaving: true, ..self.input() };
                self.say(Input::Publisher(epoch, state));
            }
            Act::Leaves { explicit } => {
                let state = InputState { leaving: true, explicit: *explicit, ..self.input() };
                self.say(Input::Publisher(epoch, state));
            }
            Act::Withdrawn => {
                if let Some(epoch) = self.machine.orders().withdraw.first() {
                    self.say(Input::Withdrawn(*epoch));
                }
            }
            Act::ClaimThenCrash => {
                if let Some(WorkerOrder::Claim(epoch)) = self.machine.orders().worker {
                    let stored = self.machine.clone();
                    // Claimed, and never recorded: it must not have been assigned.
                    self.machine.handle(self.now, Input::WorkerClaimed(epoch, address()));
                    self.machine = stored;
                }
            }
        }
    }

    fn announce(&mut self, epoch: Epoch, whole: bool) {
        self.msn += u64::from(whole);
        let media_end = MediaTime(i64::try_from(self.msn).unwrap() * 2_000_000);
        let floor = Floor { msn: Msn(self.msn), discontinuity: 0, media_end, epoch: None };
        self.say(Input::Announced(epoch, floor));
    }

    fn switch(&mut self, by_old: bool) {
        let epoch = self.machine.epoch();
        let input = self.input();
        if by_old {
            self.say(Input::Publisher(epoch, InputState { moved: true, ..input }));
        } else if let Some((epoch, _)) = self.machine.orders().follow_next {
            self.say(Input::Publisher(epoch, InputState { up: true, silent_ms: Some(0), ..input }));
        }
    }

    fn input(&self) -> InputState {
        let (session, generation) = (Some(SessionId(uuid::Uuid::nil())), self.generation);
        InputState { session, generation, ..InputState::default() }
    }

    fn publisher(&mut self, up: bool, explicit: bool) {
        let state = InputState { up, explicit, ..self.input() };
        self.say(Input::Publisher(self.machine.epoch(), state));
    }

    /// Wherever it was.
    fn nobody_publishes(&mut self) {
        self.publisher(false, false);
        if let Some((epoch, _)) = self.machine.orders().follow_next {
            self.say(Input::Publisher(epoch, self.input()));
        }
    }

    fn unplayable(&mut self, by_worker: bool) {
        let (generation, words) = (self.generation, "no keyframe came".to_owned());
        if !by_worker {
            return self.say(Input::MediaRefused(generation, words));
        }
        let state = InputState { generation, up: true, unplayable: Some(words), ..InputState::default() };
        self.say(Input::Publisher(self.machine.epoch(), state));
    }

    /// What is stored is all there is, and it gives the same orders.
    fn restart(&mut self) {
        let stored = serde_json::to_vec(&self.machine).unwrap();
        let restored: Lifecycle = serde_json::from_slice(&stored).unwrap();
        assert_eq!(restored, self.machine);
        assert_eq!(restored.orders(), self.machine.orders());
        self.machine = restored;
    }
}

fn address() -> WorkerAddress {
    let socket = SocketAddr::from(([127, 0, 0, 1], 1));
    WorkerAddress { worker: WorkerId::generate(), rtmp: socket, http: socket }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_promises_hold(acts in prop::collection::vec(act(), 0..80), workers_come in any::<bool>()) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
        }
        // From here on nobody publishes. Workers may or may not come; the api answers; deadlines pass when they are due.
        world.nobody_publishes();
        for _ in 0..200 {
            if workers_come {
                world.obey_worker_order();
            }
            world.api_answers();
            for worker in world.machine.orders().release {
                world.say(Input::Released(worker.worker));
            }
            let orders = world.machine.orders();
            if orders.forget {
                break;
            }
            if let Some(wake) = orders.wake {
                world.now = UnixMillis(wake.0.max(world.now.0));
                world.say(Input::Tick);
            }
        }
        prop_assert!(world.machine.orders().forget, "it never ended: {:?}", world.machine);
        prop_assert!(matches!(world.machine.phase(), Phase::Ended | Phase::Failed));
        prop_assert_eq!(world.acknowledged.last(), Some(&ReportKind::Done));
        prop_assert!(world.machine.orders().report.is_none());
    }

    #[test]
    fn a_clock_that_is_set_at_any_point_changes_nothing(
        acts in prop::collection::vec((act(), -86_400_000..86_400_000_i64), 0..60),
    ) {
        let mut steady = World::new();
        let mut set = World::new();
        let mut set_by = 0;
        for (act, step) in &acts {
            let act = match act {
                Act::Restart | Act::ObeyWorkerOrder | Act::ObeyNextOrder | Act::ClaimThenCrash => continue,
                Act::Clock(by) => Act::Clock(by.abs()),
                act => act.clone(),
            };
            // The same workers in both: an address is a random number.
            for epoch in steady.claims() {
                let worker = address();
                steady.say(Input::WorkerClaimed(epoch, worker));
                set.say(Input::WorkerClaimed(epoch, worker));
            }
            set.machine.clock_stepped(*step);
            set.now.0 += step;
            set_by += step;
            for world in [&mut steady, &mut set] {
                world.obey_worker_order();
                world.obey(world.machine.orders().next);
                world.act(&act);
            }
            let (expected, found) = (steady.machine.orders(), set.machine.orders());
            prop_assert_eq!(set.machine.phase(), steady.machine.phase());
            prop_assert_eq!(set.machine.end_reason(), steady.machine.end_reason());
            prop_assert_eq!(found.wake.map(|wake| wake.0 - set_by), expected.wake.map(|wake| wake.0));
            prop_assert_eq!((found.worker, found.follow, found.release), (expected.worker, expected.follow, expected.release));
            prop_assert_eq!((found.next, found.follow_next), (expected.next, expected.follow_next));
            prop_assert_eq!(found.withdraw, expected.withdraw);
            prop_assert_eq!((found.remove_media, found.forget), (expected.remove_media, expected.forget));
        }
    }

    #[test]
    fn a_restart_at_any_point_changes_nothing(acts in prop::collection::vec(act(), 0..60)) {
        // The same workers in both: an address is a random number.
        let mut steady = World::new();
        let mut restarted = World::new();
        let itself =
            |act: &&Act| !matches!(act, Act::Restart | Act::ObeyWorkerOrder | Act::ObeyNextOrder | Act::ClaimThenCrash);
        for act in acts.iter().filter(itself) {
            for epoch in steady.claims() {
                let worker = address();
                steady.say(Input::WorkerClaimed(epoch, worker));
                restarted.say(Input::WorkerClaimed(epoch, worker));
            }
            for world in [&mut steady, &mut restarted] {
                world.obey_worker_order();
                world.obey(world.machine.orders().next);
            }
            steady.act(act);
            restarted.act(act);
            restarted.restart();
            prop_assert_eq!(&steady.machine, &restarted.machine);
        }
    }
}
