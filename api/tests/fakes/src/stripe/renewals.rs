//! What happens because time passes.

use super::clock::HOUR;
use super::invoices::Line;
use super::state::State;
use super::subscriptions::Ending;

/// In the order in which things happen that are due at the same second: a phase's price is that of the invoice that begins with it,
/// a subscription that ends at the end of its period has no further invoice, and a change that nobody paid for is in none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    SessionExpires(String),
    PendingUpdateExpires(String),
    SubscriptionEnds(String),
    PhaseEnds(String),
    PeriodEnds(String),
    DraftIsFinalized(String),
    PaymentIsRetried(String),
}

impl State {
    /// Makes up for everything that was due since somebody last looked.
    pub(crate) fn catch_up(&mut self) {
        let now = self.now();
        self.run_until(now);
    }

    /// Moves the clock, and makes everything happen in between at its time.
    pub(crate) fn advance(&mut self, seconds: i64) {
        let target = self.now() + seconds;
        self.run_until(target);
        self.clock.move_ahead(seconds);
    }

    fn run_until(&mut self, target: i64) {
        while let Some((at, due)) = self.next_due().filter(|(at, _)| *at <= target) {
            let before = self.clock.hold(Some(at));
            self.carry_out(&due);
            self.clock.hold(before);
        }
    }

    fn next_due(&self) -> Option<(i64, Due)> {
        let sessions = self.sessions.iter().filter(|session| session.status == "open");
        let sessions = sessions.map(|session| (session.expires_at, Due::SessionExpires(session.id.clone())));
        let alive = || self.subscriptions.iter().filter(|subscription| subscription.is_alive());
        let pending = alive().filter_map(|subscription| {
            let pending = subscription.pending.as_ref()?;
            Some((pending.expires_at, Due::PendingUpdateExpires(subscription.id.clone())))
        });
        let ends = alive().filter_map(|subscription| {
            Some((subscription.cancel_at?, Due::SubscriptionEnds(subscription.id.clone())))
        });
        let phases = self
            .schedules
            .iter()
            .filter_map(|schedule| Some((schedule.phase_end()?, Due::PhaseEnds(schedule.id.clone()))));
        let periods =
            alive().map(|subscription| (subscription.period().1, Due::PeriodEnds(subscription.id.clone())));
        let drafts = self
            .invoices
            .iter()
            .filter_map(|invoice| Some((invoice.finalizes_at?, Due::DraftIsFinalized(invoice.id.clone()))));
        let retries = self
            .invoices
            .iter()
            .filter_map(|invoice| Some((invoice.next_attempt?, Due::PaymentIsRetried(invoice.id.clone()))));
        let all = sessions.chain(pending).chain(ends).chain(phases).chain(periods);
        all.chain(drafts).chain(retries).min()
    }

    fn carry_out(&mut self, due: &Due) {
        match due {
            Due::SessionExpires(id) => self.expire_session(id),
            Due::PendingUpdateExpires(id) => self.expire_pending_update(id),
            Due::SubscriptionEnds(id) => self.end_subscription(id, Ending::Requested),
            Due::PhaseEnds(id) => self.next_phase(id),
            Due::PeriodEnds(id) => self.renew(id),
            Due::DraftIsFinalized(id) => {
                self.finalize(id);
                self.collect_when_due(id);
            }
            Due::PaymentIsRetried(id) => self.collect_when_due(id),
        }
    }

    /// The next period begins at once, paid or not. Its invoice is a draft for an hour, and only then is the card charged.
    fn renew(&mut self, id: &str) {
        let subscription = self.subscriptions.get_mut(id);
        let before = subscription.period();
        subscription.cycle += 1;
        let (start, end) = subscription.period();
        let mut lines = std::mem::take(&mut subscription.unbilled);
        let price = subscription.price.clone();
        // An unpaid subscription's invoices stay drafts.
        let finalizes_at = (subscription.status != "unpaid").then_some(start + HOUR);
        let amount = self.prices.get(&price).amount;
        lines.push(Line { price, amount, proration: false, start, end });
        self.draft_invoice(id, "subscription_cycle", lines, before, finalizes_at);
        self.emit("customer.subscription.updated", id);
    }
}
