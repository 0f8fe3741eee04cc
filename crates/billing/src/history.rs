//! Which payments count, and whether it is over. All of it follows from when things happened, not from when we heard of them.

use chrono::{DateTime, TimeDelta, Utc};

use crate::snapshot::{Payment, Phase, Snapshot};

/// What a subscription's payments come to.
pub(crate) struct History<'a> {
    /// Those that bought something, in the order in which they came.
    pub(crate) accepted: Vec<&'a Payment>,
    /// Those that came when there was nothing left to renew. They go back.
    pub(crate) surplus: Vec<&'a Payment>,
    /// Until when the accepted ones reach, whatever became of their money.
    pub(crate) paid_to: Option<DateTime<Utc>>,
    /// It must not be renewed any more: money was taken back, or is disputed.
    pub(crate) closing: bool,
    /// It was over before now, whatever is the case now.
    pub(crate) over: bool,
}

/// Something that happened, in the order in which it counts where times are equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    Paid,
    Disputed,
    Died,
}

impl<'a> History<'a> {
    /// Walks through what happened. What was paid by `accepted_before` is accepted whatever `grace` is today: an operator who shortens it
    /// takes nothing away.
    pub(crate) fn of(
        snapshot: &'a Snapshot,
        grace: TimeDelta,
        accepted_before: Option<DateTime<Utc>>,
    ) -> Self {
        let mut facts: Vec<(DateTime<Utc>, Fact, &Payment)> = Vec::new();
        for payment in &snapshot.payments {
            facts.push((payment.paid_at, Fact::Paid, payment));
            facts.extend(payment.dispute.map(|dispute| (dispute.since, Fact::Disputed, payment)));
            facts.extend(payment.dead_since().map(|since| (since, Fact::Died, payment)));
        }
        facts.sort_by(|a, b| (a.0, a.1, &a.2.id).cmp(&(b.0, b.1, &b.2.id)));

        let mut history =
            Self { accepted: Vec::new(), surplus: Vec::new(), paid_to: None, closing: false, over: false };
        for (at, fact, payment) in facts {
            let known = accepted_before.is_some_and(|before| payment.paid_at <= before);
            match fact {
                Fact::Paid => {
                    let late = history.paid_to.is_some_and(|to| at > last_chance(to, grace, snapshot.phase));
                    if known || !(late || history.closing || history.over) {
                        history.accept(payment);
                    } else {
                        history.over |= late;
                        history.surplus.push(payment);
                    }
                }
                Fact::Disputed if history.has(payment) => history.closing = true,
                Fact::Died if history.has(payment) => {
                    history.closing |= at < payment.to;
                    history.over |= !history.covers(at, grace, snapshot.phase);
                }
                Fact::Disputed | Fact::Died => {}
            }
        }
        history
    }

    /// Whether something that was paid for holds at `at`, or may hold again after a dispute, or is about to be renewed.
    pub(crate) fn covers(&self, at: DateTime<Utc>, grace: TimeDelta, phase: Phase) -> bool {
        self.accepted.iter().any(|payment| {
            let alive = payment.dead_since().is_none_or(|since| since > at);
            let renewable =
                Some(payment.to) == self.paid_to && payment.disputed_since().is_none() && !self.closing;
            alive && (at < payment.to || renewable && at < last_chance(payment.to, grace, phase))
        })
    }

    fn accept(&mut self, payment: &'a Payment) {
        self.paid_to = self.paid_to.max(Some(payment.to));
        self.accepted.push(payment);
    }

    fn has(&self, payment: &Payment) -> bool {
        self.accepted.iter().any(|accepted| accepted.id == payment.id)
    }
}

/// Until when a renewal of what is paid until `paid_to` can come. None comes once the subscription is over at its provider.
pub(crate) fn last_chance(paid_to: DateTime<Utc>, grace: TimeDelta, phase: Phase) -> DateTime<Utc> {
    let late = paid_to.checked_add_signed(grace).unwrap_or(paid_to);
    match phase {
        Phase::Live | Phase::PastDue => late,
        Phase::Ending(at) | Phase::Ended(at) => late.min(paid_to.max(at)),
    }
}
