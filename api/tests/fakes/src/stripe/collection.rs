//! How an invoice gets its money: finalised, charged, charged again, given up; and what its subscription makes of that.

use super::AfterRetries;
use super::clock::DAY;
use super::errors::{Answer, StripeError};
use super::payments::{Card, Failure, InvoicePayment, Outcome};
use super::state::{State, new_id};
use super::subscriptions::Ending;

/// Who asked for a payment: only a charge that Stripe makes by itself moves the schedule of retries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    ByStripe,
    BySomebody,
}

impl State {
    /// Opens a draft, and charges nothing yet unless there is nothing to pay.
    pub(crate) fn finalize(&mut self, id: &str) {
        let now = self.now();
        let customer = self.invoices.get(id).customer.clone();
        let balance = self.customers.get(&customer).balance;
        let invoice = self.invoices.get_mut(id);
        invoice.status = "open";
        invoice.finalizes_at = None;
        invoice.finalized_at = Some(now);
        invoice.starting_balance = balance;
        let (due, left) = (invoice.amount_due(), (invoice.total() + balance).min(0));
        let currency = invoice.currency.clone();
        self.customers.get_mut(&customer).balance = left;
        self.number_invoice(id);
        if due > 0 {
            let intent = self.add_intent(&customer, due, &currency);
            self.link(id, &intent);
        }
        self.emit("invoice.finalized", id);
        if due == 0 {
            self.invoice_is_paid(id);
        }
    }

    /// Makes an intent the one that pays an invoice.
    pub(crate) fn link(&mut self, invoice: &str, intent: &str) {
        self.intents.get_mut(intent).invoice = Some(invoice.to_owned());
        self.invoices.get_mut(invoice).intent = Some(intent.to_owned());
        self.invoice_payments.put(InvoicePayment {
            id: new_id("inpay"),
            created: self.now(),
            invoice: invoice.to_owned(),
            intent: intent.to_owned(),
        });
    }

    /// Charges an open invoice because somebody asked for it.
    pub(crate) fn collect(&mut self, id: &str, card: Card) -> Outcome {
        self.attempt(id, card, Asked::BySomebody)
    }

    /// Charges an open invoice because it is time to.
    pub(crate) fn collect_when_due(&mut self, id: &str) {
        let customer = self.invoices.get(id).customer.clone();
        let card = self.customers.get(&customer).card;
        self.attempt(id, card, Asked::ByStripe);
    }

    fn attempt(&mut self, id: &str, card: Card, asked: Asked) -> Outcome {
        let invoice = self.invoices.get_mut(id);
        if invoice.status != "open" {
            return Outcome::Paid;
        }
        let intent = invoice.intent.clone().unwrap();
        // "Any payment attempt counts as the first attempt, and subsequently only automatic retries increment the attempt count."
        if !invoice.attempted || asked == Asked::ByStripe {
            invoice.attempt_count += 1;
        }
        invoice.attempted = true;
        let outcome = self.charge(&intent, card);
        match &outcome {
            Outcome::Paid => self.invoice_is_paid(id),
            Outcome::Declined => {
                self.plan_the_next_attempt(id, asked);
                self.emit("invoice.payment_failed", id);
                self.subscription_is_owed(id);
            }
            Outcome::RequiresAction(_) => {
                self.plan_the_next_attempt(id, asked);
                if asked == Asked::ByStripe {
                    self.emit("invoice.payment_failed", id);
                }
                self.emit("invoice.payment_action_required", id);
                self.subscription_is_owed(id);
            }
            Outcome::Processing(_) => {}
        }
        outcome
    }

    fn plan_the_next_attempt(&mut self, id: &str, asked: Asked) {
        let now = self.now();
        let ours = self.invoices.get(id);
        let subscription = self.subscriptions.get(&ours.subscription);
        // Nothing about retries is documented for a pending update: its 23 hours end before the first of them.
        let pending = subscription.pending.as_ref().is_some_and(|pending| pending.invoice == id);
        let retries = ours.auto_advance && !pending && subscription.is_alive();
        if asked == Asked::BySomebody && ours.next_attempt.is_some() {
            return;
        }
        let days = self.settings.retry_days.get(ours.attempt_count - 1).copied();
        let next = days.filter(|_| retries).map(|days| now + i64::from(days) * DAY);
        let invoice = self.invoices.get_mut(id);
        invoice.next_attempt = next;
        invoice.auto_advance = next.is_some();
    }

    /// What an invoice that was not paid does to its subscription.
    fn subscription_is_owed(&mut self, id: &str) {
        let invoice = self.invoices.get(id);
        let (subscription_id, given_up) = (invoice.subscription.clone(), invoice.next_attempt.is_none());
        let subscription = self.subscriptions.get_mut(&subscription_id);
        let pending = subscription.pending.as_ref().is_some_and(|pending| pending.invoice == id);
        if !subscription.is_alive() || pending {
            return;
        }
        if given_up && self.settings.after_retries == AfterRetries::Cancel {
            self.end_subscription(&subscription_id, Ending::PaymentFailed);
            return;
        }
        let status = match self.settings.after_retries {
            AfterRetries::Unpaid if given_up => "unpaid",
            _ => "past_due",
        };
        if subscription.status != status {
            subscription.status = status;
            self.emit("customer.subscription.updated", &subscription_id);
        }
    }

    pub(crate) fn invoice_is_paid(&mut self, id: &str) {
        let now = self.now();
        let invoice = self.invoices.get_mut(id);
        invoice.status = "paid";
        invoice.amount_paid = invoice.amount_due();
        invoice.attempted = true;
        invoice.next_attempt = None;
        invoice.auto_advance = false;
        invoice.paid_at = Some(now);
        let subscription = invoice.subscription.clone();
        let payment = self.invoice_payments.iter().find(|payment| payment.invoice == id);
        if let Some(payment) = payment.map(|payment| payment.id.clone()) {
            self.emit("invoice_payment.paid", &payment);
        }
        self.emit("invoice.paid", id);
        self.emit("invoice.payment_succeeded", id);
        self.apply_pending_update(&subscription, id);
        self.subscription_is_settled(&subscription);
    }

    /// A subscription that owes nothing any more is active again, unless it is over: paying an old invoice does not revive it.
    fn subscription_is_settled(&mut self, id: &str) {
        let owes = self.invoices.iter().any(|invoice| {
            let pending = self.subscriptions.get(id).pending.as_ref();
            invoice.subscription == id
                && invoice.status == "open"
                && invoice.attempted
                && pending.is_none_or(|pending| pending.invoice != invoice.id)
        });
        let subscription = self.subscriptions.get_mut(id);
        if !owes && ["past_due", "unpaid"].contains(&subscription.status) {
            subscription.status = "active";
            self.emit("customer.subscription.updated", id);
        }
    }

    pub(crate) fn void_invoice(&mut self, id: &str) -> Answer<()> {
        let now = self.now();
        let invoice = self.invoices.find_mut(id)?;
        if invoice.status != "open" {
            let message = "You can only pass in open invoices. This invoice isn't open.";
            return Err(StripeError::invalid(message));
        }
        invoice.status = "void";
        invoice.voided_at = Some(now);
        invoice.next_attempt = None;
        invoice.auto_advance = false;
        let (subscription, intent) = (invoice.subscription.clone(), invoice.intent.clone());
        if let Some(intent) = intent {
            self.intents.get_mut(&intent).status = "canceled";
            self.emit("payment_intent.canceled", &intent);
        }
        self.emit("invoice.voided", id);
        self.drop_pending_update(&subscription, id);
        self.subscription_is_settled(&subscription);
        Ok(())
    }

    /// The card's owner was seen by the bank, or was not.
    pub(crate) fn answer_3ds(&mut self, intent_id: &str, authenticated: bool) -> Answer<Outcome> {
        let intent = self.intents.find(intent_id)?;
        if intent.status != "requires_action" {
            return Err(StripeError::invalid("This payment does not wait for its customer."));
        }
        let (customer, invoice, session) =
            (intent.customer.clone(), intent.invoice.clone(), intent.session.clone());
        if !authenticated {
            self.charge_fails(intent_id, Failure::Authentication);
            if let Some(invoice) = invoice {
                self.emit("invoice.payment_failed", &invoice);
            }
            return Ok(Outcome::Declined);
        }
        // A card whose owner was seen once is set up for later payments, until a test changes it.
        self.customers.get_mut(&customer).card = Card::Ok;
        self.charge_succeeds(intent_id);
        if let Some(invoice) = invoice {
            self.invoice_is_paid(&invoice);
        } else if let Some(session) = session {
            self.complete_session(&session, intent_id);
        }
        Ok(Outcome::Paid)
    }

    /// The result of a delayed payment at the checkout, days later.
    pub(crate) fn settle_delayed(&mut self, session_id: &str, card: Card) -> Answer<()> {
        let session = self.sessions.find_mut(session_id)?;
        if session.status != "complete" || session.payment_status != "unpaid" {
            return Err(StripeError::invalid("This session does not wait for a payment."));
        }
        let invoice = session.invoice.clone().unwrap();
        let intent = self.invoices.get(&invoice).intent.clone().unwrap();
        if self.charge(&intent, card) == Outcome::Paid {
            self.sessions.get_mut(session_id).payment_status = "paid";
            self.invoice_is_paid(&invoice);
            self.emit("checkout.session.async_payment_succeeded", session_id);
        } else {
            self.plan_the_next_attempt(&invoice, Asked::ByStripe);
            self.emit("invoice.payment_failed", &invoice);
            self.subscription_is_owed(&invoice);
            self.emit("checkout.session.async_payment_failed", session_id);
        }
        Ok(())
    }
}
