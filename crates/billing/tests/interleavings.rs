//! A made-up provider, its events in any order and number, workers that die anywhere, against what the provider says in the end.
//!
//! The way of a sync (wanted, claimed, fetched, applied behind a fence) is a model here of what the api does in SQL.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what goes wrong in a test should end it"
)]

use std::collections::{BTreeMap, BTreeSet};

use caudal_billing::{
    Claim, Dispute, DisputeOutcome, Fee, Folded, Minor, Order, Payment, PaymentId, Phase, Row, Rules,
    Snapshot, Status, Tier, fold, owed,
};
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

const RULES: Rules = Rules { grace: TimeDelta::days(11) };

/// One subscription at a provider.
#[derive(Clone)]
struct Subscription {
    snapshot: Snapshot,
    /// Until when its last invoice reaches, paid or not.
    billed_to: DateTime<Utc>,
    tier: Tier,
    next_id: u32,
}

/// Our side: rows, and what is known of syncs and orders.
#[derive(Default)]
struct Ours {
    rows: BTreeMap<usize, Row>,
    syncs: BTreeMap<usize, Sync>,
    events: BTreeSet<u32>,
    /// Each is carried out once: the table has a unique key.
    orders: BTreeMap<(usize, Option<PaymentId>), Order>,
    done: BTreeSet<(usize, Option<PaymentId>)>,
    ledger: BTreeMap<PaymentId, Minor>,
    begun: Vec<usize>,
}

#[derive(Clone, Copy, Default)]
struct Sync {
    wanted: u32,
    done: u32,
    claim: u32,
    leased_until: Option<DateTime<Utc>>,
}

/// A worker between two steps, of which it may not survive any.
enum Worker {
    Idle,
    Claimed { of: usize, claim: u32, wanted: u32 },
    Fetched { of: usize, claim: u32, wanted: u32, asked_at: DateTime<Utc>, snapshot: Snapshot },
}

struct World {
    rng: SmallRng,
    now: DateTime<Utc>,
    provider: Vec<Subscription>,
    undelivered: Vec<(u32, usize)>,
    delivered: Vec<(u32, usize)>,
    next_event: u32,
    ours: Ours,
    workers: [Worker; 2],
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed),
            now: DateTime::UNIX_EPOCH + TimeDelta::days(20_000),
            provider: Vec::new(),
            undelivered: Vec::new(),
            delivered: Vec::new(),
            next_event: 0,
            ours: Ours::default(),
            workers: [Worker::Idle, Worker::Idle],
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn say(&mut self, of: usize) {
        self.undelivered.push((self.next_event, of));
        self.next_event += 1;
    }

    /// Something happens at the provider.
    fn happens(&mut self) {
        // Providers' times are of whole seconds, and people take longer.
        self.now += TimeDelta::seconds(1);
        if self.provider.len() < 2 && (self.provider.is_empty() || self.chance(5)) {
            let tier = Tier::ALL[self.rng.random_range(0..3)];
            let mut new = Subscription {
                snapshot: Snapshot { phase: Phase::Live, payments: Vec::new(), pending_tier: None },
                billed_to: self.now,
                tier,
                next_id: 0,
            };
            new.bill(self.provider.len(), self.now, tier, Minor(500));
            self.provider.push(new);
            return self.say(self.provider.len() - 1);
        }
        let of = self.rng.random_range(0..self.provider.len());
        let (now, what) = (self.now, self.rng.random_range(0..12));
        let tier = Tier::ALL[self.rng.random_range(0..3)];
        let sub = &mut self.provider[of];
        let ended = matches!(sub.snapshot.phase, Phase::Ended(_));
        match what {
            // The provider begins a period when its time has come, and charges for it later.
            0 if sub.snapshot.phase == Phase::Live => {
                let due = if now < sub.billed_to { 0 } else { 30 };
                sub.snapshot.phase = Phase::Ending(sub.billed_to + TimeDelta::days(due));
            }
            1 if matches!(sub.snapshot.phase, Phase::Ending(at) if now < at) => {
                sub.snapshot.phase = Phase::Live;
            }
            2 if !ended => sub.snapshot.phase = Phase::Ended(now),
            3 if tier > sub.tier && sub.snapshot.phase == Phase::Live && now < sub.billed_to => {
                let to = sub.billed_to;
                sub.pay(of, now, now, to, tier, Minor(300));
                (sub.tier, sub.snapshot.pending_tier) = (tier, None);
            }
            4 if tier < sub.tier && sub.snapshot.phase == Phase::Live => {
                sub.snapshot.pending_tier = Some(tier);
            }
            5..=8 => {
                let Some(payment) = sub.snapshot.payments.last_mut() else { return };
                match (what, payment.dispute) {
                    (5, None) if payment.refunded == Minor::ZERO => payment.refunded = Minor(100),
                    (6, None) if payment.refunded < payment.amount => payment.give_back(now),
                    (7, None) if payment.refunded == Minor::ZERO => {
                        payment.dispute = Some(Dispute { since: now, outcome: DisputeOutcome::Open });
                    }
                    (8, Some(Dispute { since, outcome: DisputeOutcome::Open })) => {
                        let outcome =
                            if tier == Tier::Basic { DisputeOutcome::Won } else { DisputeOutcome::Lost };
                        payment.dispute = Some(Dispute { since, outcome });
                    }
                    _ => return,
                }
            }
            _ => return,
        }
        self.say(of);
    }

    /// Time goes by, and with it what is due at the provider.
    fn passes(&mut self, time: TimeDelta) {
        self.now += time;
        let (now, pays) = (self.now, self.chance(60));
        for of in 0..self.provider.len() {
            let sub = &mut self.provider[of];
            if now < sub.billed_to {
                continue;
            }
            match sub.snapshot.phase {
                Phase::Ending(at) if at <= now => sub.snapshot.phase = Phase::Ended(at),
                Phase::Live | Phase::PastDue | Phase::Ending(_) if pays => {
                    let tier = sub.snapshot.pending_tier.take().unwrap_or(sub.tier);
                    sub.bill(of, now, tier, Minor(500));
                }
                Phase::Live => sub.snapshot.phase = Phase::PastDue,
                Phase::PastDue if now > sub.billed_to + TimeDelta::days(20) => {
                    sub.snapshot.phase = Phase::Ended(now);
                }
                Phase::PastDue | Phase::Ending(_) | Phase::Ended(_) => continue,
            }
            self.say(of);
        }
    }

    /// An event comes, or comes again, or never.
    fn arrives(&mut self) {
        if !self.undelivered.is_empty() {
            let at = self.rng.random_range(0..self.undelivered.len());
            let event = self.undelivered.swap_remove(at);
            if self.chance(20) {
                return;
            }
            self.delivered.push(event);
            self.hear(event);
        }
        if !self.delivered.is_empty() && self.chance(20) {
            let again = self.delivered[self.rng.random_range(0..self.delivered.len())];
            self.hear(again);
        }
    }

    fn hear(&mut self, (event, of): (u32, usize)) {
        if self.ours.events.insert(event) {
            self.ours.syncs.entry(of).or_default().wanted += 1;
        }
    }

    /// One of two workers takes its next step, or dies before it.
    fn works(&mut self, at: usize) {
        if self.chance(10) {
            self.workers[at] = Worker::Idle;
            return;
        }
        self.workers[at] = match std::mem::replace(&mut self.workers[at], Worker::Idle) {
            Worker::Idle => {
                let now = self.now;
                let due = |sync: &Sync| {
                    sync.wanted > sync.done && sync.leased_until.is_none_or(|until| until < now)
                };
                match self.ours.syncs.iter_mut().find(|(_, sync)| due(sync)) {
                    Some((of, sync)) => {
                        sync.claim += 1;
                        sync.leased_until = Some(now + TimeDelta::minutes(1));
                        Worker::Claimed { of: *of, claim: sync.claim, wanted: sync.wanted }
                    }
                    None => Worker::Idle,
                }
            }
            Worker::Claimed { of, claim, wanted } => Worker::Fetched {
                of,
                claim,
                wanted,
                asked_at: self.now,
                snapshot: self.provider[of].snapshot.clone(),
            },
            Worker::Fetched { of, claim, wanted, asked_at, snapshot } => {
                self.apply(of, claim, wanted, asked_at, &snapshot);
                Worker::Idle
            }
        };
    }

    /// One transaction, behind its fence.
    fn apply(&mut self, of: usize, claim: u32, wanted: u32, now: DateTime<Utc>, snapshot: &Snapshot) {
        let sync = self.ours.syncs.get_mut(&of).unwrap();
        if sync.claim != claim {
            return;
        }
        (sync.done, sync.leased_until) = (wanted, None);
        let before = self.ours.rows.get(&of).cloned();
        let Folded { row, orders, surplus } = fold(before.as_ref(), snapshot, self.claim_of(of), RULES, now);
        for payment in &snapshot.payments {
            let counts = !surplus.contains(&payment.id);
            let owed = if counts { owed(payment, Fee::of_percent(20).unwrap()) } else { Minor::ZERO };
            self.ours.ledger.insert(payment.id.clone(), owed);
        }
        if let Some(row) = row {
            Self::check_step(before.as_ref(), &row, snapshot, now);
            if before.is_none() && row.status != Status::Expired {
                self.ours.begun.push(of);
            }
            self.ours.rows.insert(of, row);
        }
        for order in orders {
            let key = match &order {
                Order::Cancel => (of, None),
                Order::Refund(payment) => (of, Some(payment.clone())),
            };
            self.ours.orders.entry(key).or_insert(order);
        }
    }

    fn claim_of(&self, of: usize) -> Claim {
        let taken = self.ours.rows.iter().any(|(other, row)| *other != of && row.status != Status::Expired);
        let mine = self.ours.rows.get(&of).is_some_and(|row| row.accepted_through.is_some());
        let never = self.ours.rows.get(&of).is_some_and(|row| row.accepted_through.is_none());
        if never || taken && !mine { Claim::Surplus } else { Claim::First }
    }

    /// What holds between a row and the one before it.
    fn check_step(before: Option<&Row>, row: &Row, snapshot: &Snapshot, now: DateTime<Utc>) {
        if let Some(tier) = row.entitled(now) {
            let stands = |payment: &Payment| {
                payment.refunded < payment.amount
                    && payment.dispute.is_none_or(|dispute| dispute.outcome == DisputeOutcome::Won)
                    && now < payment.to + RULES.grace
            };
            let paid = snapshot.payments.iter().any(|payment| payment.tier >= tier && stands(payment));
            assert!(paid, "is entitled and has not paid: {row:?} {snapshot:?}");
        }
        let Some(before) = before else { return };
        if before.status == Status::Expired {
            assert_eq!(row, before, "came back");
        }
        let taken_back = snapshot
            .payments
            .iter()
            .any(|payment| payment.refunded_at.is_some() || payment.dispute.is_some());
        assert!(row.expires_at >= before.expires_at || taken_back, "lost what it had paid for");
    }

    /// The provider carries an order out, at most once however often it is asked.
    fn obeys(&mut self) {
        let Some((key, order)) = self.ours.orders.iter().find(|(key, _)| !self.ours.done.contains(key))
        else {
            return;
        };
        let (key, order, now) = (key.clone(), order.clone(), self.now);
        // It is done there, and we die before we hear of it: asked again under the same key, it is not done twice.
        if self.chance(80) {
            self.ours.done.insert(key.clone());
        }
        let of = key.0;
        let sub = &mut self.provider[of];
        match order {
            Order::Cancel if !matches!(sub.snapshot.phase, Phase::Ended(_)) => {
                sub.snapshot.phase = Phase::Ended(now);
            }
            Order::Refund(payment) => {
                let payment = sub.snapshot.payments.iter_mut().find(|known| known.id == payment).unwrap();
                if payment.dispute.is_some_and(|dispute| dispute.outcome != DisputeOutcome::Won) {
                    // Refused. If the dispute is won it is going to be ordered again.
                    self.ours.orders.remove(&key);
                    return;
                }
                if payment.refunded < payment.amount {
                    payment.give_back(now);
                }
            }
            Order::Cancel => return,
        }
        self.say(of);
    }

    /// Everything that was lost is found, and all of it is worked off.
    fn reconcile(&mut self) {
        self.undelivered.clear();
        self.workers = [Worker::Idle, Worker::Idle];
        for _ in 0..20 {
            for of in 0..self.provider.len() {
                let (snapshot, sync) =
                    (self.provider[of].snapshot.clone(), self.ours.syncs.entry(of).or_default());
                sync.claim += 1;
                sync.wanted += 1;
                let (claim, wanted) = (sync.claim, sync.wanted);
                self.apply(of, claim, wanted, self.now, &snapshot);
            }
            if self.ours.orders.keys().all(|key| self.ours.done.contains(key)) {
                break;
            }
            self.obeys();
        }
        for of in 0..self.provider.len() {
            let (snapshot, sync) =
                (self.provider[of].snapshot.clone(), self.ours.syncs.get_mut(&of).unwrap());
            sync.claim += 1;
            let (claim, wanted) = (sync.claim, sync.wanted);
            self.apply(of, claim, wanted, self.now, &snapshot);
        }
    }

    fn check_end(&self) {
        let live: Vec<_> = self.ours.rows.iter().filter(|(_, row)| row.status != Status::Expired).collect();
        assert!(live.len() <= 1, "two at once");
        for (of, sub) in self.provider.iter().enumerate() {
            for payment in &sub.snapshot.payments {
                assert!(payment.refunded <= payment.amount, "given back twice");
            }
            let begun = self.ours.begun.iter().filter(|begun| **begun == of).count();
            assert!(begun <= 1, "{of} began {begun} times");
            let Some(row) = self.ours.rows.get(&of) else {
                assert!(sub.snapshot.payments.is_empty());
                continue;
            };
            if row.accepted_through.is_none() {
                // It came second: all that was paid for it is on its way back.
                let kept = sub
                    .snapshot
                    .payments
                    .iter()
                    .any(|payment| payment.refunded < payment.amount && payment.dispute.is_none());
                assert!(!kept, "{of} came second, and its money was kept");
                continue;
            }
            let expected = fold(None, &sub.snapshot, Claim::First, RULES, self.now).row.unwrap();
            assert_eq!(row.status, expected.status, "{of}: {row:?} {:?}", sub.snapshot);
            if row.status != Status::Expired {
                assert_eq!(*row, expected);
            }
        }
    }
}

impl Subscription {
    fn bill(&mut self, of: usize, now: DateTime<Utc>, tier: Tier, amount: Minor) {
        let from = self.billed_to;
        self.billed_to = from.max(now - TimeDelta::days(29)) + TimeDelta::days(30);
        self.tier = tier;
        if self.snapshot.phase == Phase::PastDue {
            self.snapshot.phase = Phase::Live;
        }
        self.pay(of, now, from, self.billed_to, tier, amount);
    }

    fn pay(
        &mut self,
        of: usize,
        now: DateTime<Utc>,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        tier: Tier,
        amount: Minor,
    ) {
        let id = PaymentId(format!("{of}/{}", self.next_id));
        self.next_id += 1;
        let (refunded, refunded_at, dispute) = (Minor::ZERO, None, None);
        self.snapshot.payments.push(Payment {
            id,
            tier,
            from,
            to,
            paid_at: now,
            amount,
            refunded,
            refunded_at,
            dispute,
        });
    }
}

trait GiveBack {
    fn give_back(&mut self, now: DateTime<Utc>);
}

impl GiveBack for Payment {
    fn give_back(&mut self, now: DateTime<Utc>) {
        (self.refunded, self.refunded_at) = (self.amount, Some(now));
    }
}

#[test]
fn whatever_is_lost_doubled_late_or_killed_the_row_is_what_the_provider_says() {
    for seed in 0..INTERLEAVINGS {
        let outcome = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..60 {
                match world.rng.random_range(0..12) {
                    0 | 1 => world.happens(),
                    2 => {
                        let hours = world.rng.random_range(1..240);
                        world.passes(TimeDelta::hours(hours));
                    }
                    3 => world.passes(TimeDelta::minutes(2)),
                    4 | 5 => world.arrives(),
                    6 => world.obeys(),
                    step => world.works(step % 2),
                }
            }
            world.reconcile();
            world.check_end();
        });
        assert!(outcome.is_ok(), "with seed {seed}");
    }
}

/// What `research` asks for; some seconds.
const INTERLEAVINGS: u64 = 100_000;
