//! A subscription gets another price: prorations, their invoice, and the update that waits for it to be paid.

use super::clock::HOUR;
use super::errors::{Answer, StripeError};
use super::invoices::Line;
use super::payments::Card;
use super::state::State;
use super::subscriptions::PendingUpdate;

/// What becomes of the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proration {
    /// The next invoice has it.
    Later,
    /// An invoice of its own.
    Now,
    Never,
}

/// What becomes of the change where its invoice is not paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incomplete {
    /// It is made all the same, and the subscription is past due.
    Allowed,
    /// It is made, and the invoice is left for somebody to pay.
    Left,
    /// It is refused.
    Refused,
    /// It waits.
    Pending,
}

impl Proration {
    pub(crate) const NAMES: &[&'static str] = &["create_prorations", "always_invoice", "none"];

    pub(crate) fn of(name: Option<&str>) -> Self {
        match name {
            Some("always_invoice") => Self::Now,
            Some("none") => Self::Never,
            _ => Self::Later,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Later => "create_prorations",
            Self::Now => "always_invoice",
            Self::Never => "none",
        }
    }
}

impl Incomplete {
    pub(crate) const NAMES: &[&'static str] =
        &["allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"];

    pub(crate) fn of(name: Option<&str>) -> Self {
        match name {
            Some("default_incomplete") => Self::Left,
            Some("error_if_incomplete") => Self::Refused,
            Some("pending_if_incomplete") => Self::Pending,
            _ => Self::Allowed,
        }
    }
}

impl State {
    pub(crate) fn change_price(
        &mut self,
        id: &str,
        price: &str,
        proration: Proration,
        incomplete: Incomplete,
    ) -> Answer<()> {
        // Stripe drops an update that waits when another one comes.
        self.expire_pending_update(id);
        let lines: Vec<_> = match proration {
            Proration::Never => Vec::new(),
            Proration::Now | Proration::Later => {
                self.credit_line(id).into_iter().chain(self.rest_line(id, price)).collect()
            }
        };
        if proration != Proration::Now || lines.is_empty() {
            let subscription = self.subscriptions.get_mut(id);
            subscription.unbilled.extend(lines);
            price.clone_into(&mut subscription.price);
            self.emit("customer.subscription.updated", id);
            return Ok(());
        }
        let customer = self.subscriptions.get(id).customer.clone();
        let card = self.customers.get(&customer).card;
        let total: i64 = lines.iter().map(|line| line.amount).sum();
        if incomplete == Incomplete::Refused && total > 0 && card != Card::Ok {
            let message = "Your card was declined.";
            let code = Some("insufficient_funds");
            return Err(StripeError::card("card_declined", code, message, serde_json::Value::Null));
        }
        let now = self.now();
        let invoice = self.draft_invoice(id, "subscription_update", lines, (now, now), None);
        let subscription = self.subscriptions.get_mut(id);
        if incomplete == Incomplete::Pending {
            let expires_at = (now + PENDING).min(subscription.period().1);
            subscription.pending = Some(PendingUpdate {
                price: price.to_owned(),
                invoice: invoice.clone(),
                expires_at,
                waits: false,
            });
        } else {
            price.clone_into(&mut subscription.price);
        }
        self.finalize(&invoice);
        if self.invoices.get(&invoice).status == "open" && incomplete != Incomplete::Left {
            self.collect(&invoice, card);
        }
        if let Some(pending) = &mut self.subscriptions.get_mut(id).pending {
            pending.waits = true;
        }
        self.emit("customer.subscription.updated", id);
        Ok(())
    }

    /// What is left of the present price in the present period, to be given back.
    pub(crate) fn credit_line(&self, id: &str) -> Option<Line> {
        let subscription = self.subscriptions.get(id);
        self.rest_line(id, &subscription.price).map(|line| Line { amount: -line.amount, ..line })
    }

    /// What a price costs for the rest of the period, to the second.
    fn rest_line(&self, id: &str, price: &str) -> Option<Line> {
        let (start, end) = self.subscriptions.get(id).period();
        let now = self.now();
        let amount = part_of(self.prices.get(price).amount, end - now, end - start);
        (end > now).then(|| Line { price: price.to_owned(), amount, proration: true, start: now, end })
    }

    /// The invoice that a change waited for is paid.
    pub(crate) fn apply_pending_update(&mut self, id: &str, invoice: &str) {
        let subscription = self.subscriptions.get_mut(id);
        let Some(pending) = subscription.pending.take_if(|pending| pending.invoice == invoice) else {
            return;
        };
        subscription.price = pending.price;
        if pending.waits {
            self.emit("customer.subscription.updated", id);
            self.emit("customer.subscription.pending_update_applied", id);
        }
    }

    /// Nobody paid in time, or the subscription goes another way: the invoice is voided, and the change forgotten with it.
    pub(crate) fn expire_pending_update(&mut self, id: &str) {
        let pending = self.subscriptions.get(id).pending.as_ref();
        if let Some(invoice) = pending.map(|pending| pending.invoice.clone()) {
            // A pending update's invoice is open: a paid one applies it, a void one forgets it.
            self.void_invoice(&invoice).unwrap();
        }
    }

    /// The invoice that a change waited for is void.
    pub(crate) fn drop_pending_update(&mut self, id: &str, invoice: &str) {
        let subscription = self.subscriptions.get_mut(id);
        if subscription.pending.take_if(|pending| pending.invoice == invoice).is_some() {
            self.emit("customer.subscription.updated", id);
            self.emit("customer.subscription.pending_update_expired", id);
        }
    }
}

/// `amount` × `part` ÷ `whole`, rounded half up.
fn part_of(amount: i64, part: i64, whole: i64) -> i64 {
    let doubled = 2 * i128::from(amount) * i128::from(part) + i128::from(whole);
    i64::try_from(doubled / (2 * i128::from(whole))).unwrap()
}

/// Stripe discards an update that nobody pays for after 23 hours, or at the end of the period where that is earlier.
const PENDING: i64 = 23 * HOUR;
