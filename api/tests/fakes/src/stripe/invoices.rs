//! Invoices: what they say, and the requests about them. How they are collected is in `collection.rs`.

use serde_json::{Value, json};

use super::clock::date;
use super::errors::{Answer, StripeError};
use super::payments::{Card, Outcome};
use super::routes::{Call, Route};
use super::shelf::{Metadata, Stored};
use super::state::{State, new_id};

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) price: String,
    /// Negative where something that was paid for is not used.
    pub(crate) amount: i64,
    pub(crate) proration: bool,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

#[derive(Debug)]
pub(crate) struct Invoice {
    pub(crate) id: String,
    created: i64,
    number: Option<String>,
    pub(crate) customer: String,
    pub(crate) subscription: String,
    /// The subscription's metadata at the invoice's creation.
    metadata: Metadata,
    item: String,
    pub(crate) reason: &'static str,
    pub(crate) status: &'static str,
    pub(crate) lines: Vec<Line>,
    pub(crate) currency: String,
    period: (i64, i64),
    pub(crate) starting_balance: i64,
    pub(crate) amount_paid: i64,
    pub(crate) attempt_count: usize,
    pub(crate) attempted: bool,
    pub(crate) auto_advance: bool,
    pub(crate) next_attempt: Option<i64>,
    /// Of a draft: when Stripe finalises it without being asked.
    pub(crate) finalizes_at: Option<i64>,
    pub(crate) finalized_at: Option<i64>,
    pub(crate) paid_at: Option<i64>,
    pub(crate) voided_at: Option<i64>,
    pub(crate) intent: Option<String>,
}

impl Invoice {
    pub(crate) fn total(&self) -> i64 {
        self.lines.iter().map(|line| line.amount).sum()
    }

    /// The total, with what the customer owes or is owed.
    pub(crate) fn amount_due(&self) -> i64 {
        (self.total() + self.starting_balance).max(0)
    }

    fn line(&self, state: &State, index: usize, line: &Line) -> Value {
        let price = state.prices.get(&line.price);
        let name = &state.products.get(&price.product).name;
        let day = date(line.start).format("%-d %b %Y");
        let description = match (line.proration, line.amount < 0) {
            (false, _) => format!("1 × {name}"),
            (true, true) => format!("Unused time on {name} after {day}"),
            (true, false) => format!("Remaining time on {name} after {day}"),
        };
        json!({
            "id": format!("il_{index}{}", &self.id[3..]),
            "object": "line_item",
            "amount": line.amount,
            "currency": self.currency,
            "description": description,
            "discountable": !line.proration,
            "discounts": [],
            "invoice": self.id,
            "livemode": false,
            "metadata": {},
            "parent": {
                "type": "subscription_item_details",
                "invoice_item_details": null,
                "subscription_item_details": {
                    "invoice_item": line.proration.then(|| format!("ii_{index}{}", &self.id[3..])),
                    "proration": line.proration,
                    "proration_details": { "credited_items": null },
                    "subscription": self.subscription,
                    "subscription_item": self.item,
                },
            },
            "period": { "start": line.start, "end": line.end },
            "pricing": {
                "type": "price_details",
                "price_details": { "price": line.price, "product": price.product },
                "unit_amount_decimal": line.amount.to_string(),
            },
            "quantity": 1,
            "subtotal": line.amount,
            "taxes": [],
        })
    }
}

impl Stored for Invoice {
    const KIND: &'static str = "invoice";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, state: &State) -> Value {
        let lines: Vec<_> =
            self.lines.iter().enumerate().map(|(index, line)| self.line(state, index, line)).collect();
        let finalized = self.status != "draft";
        let (total, due) = (self.total(), self.amount_due());
        json!({
            "id": self.id,
            "object": "invoice",
            "amount_due": due,
            "amount_overpaid": 0,
            "amount_paid": self.amount_paid,
            "amount_remaining": due - self.amount_paid,
            "attempt_count": self.attempt_count,
            "attempted": self.attempted,
            "auto_advance": self.auto_advance,
            "automatic_tax": { "enabled": false, "liability": null, "status": null },
            "automatically_finalizes_at": self.finalizes_at,
            "billing_reason": self.reason,
            "collection_method": "charge_automatically",
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "customer_email": state.customers.get(&self.customer).email,
            "due_date": null,
            "effective_at": self.finalized_at,
            "ending_balance": finalized.then(|| (total + self.starting_balance).min(0)),
            "hosted_invoice_url": finalized.then(|| format!("{}/invoice/{}", state.base, self.id)),
            "invoice_pdf": finalized.then(|| format!("{}/invoice/{}/pdf", state.base, self.id)),
            "lines": {
                "object": "list",
                "data": lines,
                "has_more": false,
                "total_count": self.lines.len(),
                "url": format!("/v1/invoices/{}/lines", self.id),
            },
            "livemode": false,
            "metadata": {},
            "next_payment_attempt": self.next_attempt.or(self.finalizes_at),
            "number": self.number,
            "parent": {
                "type": "subscription_details",
                "quote_details": null,
                "subscription_details": { "metadata": self.metadata, "subscription": self.subscription },
            },
            "period_start": self.period.0,
            "period_end": self.period.1,
            "starting_balance": self.starting_balance,
            "status": self.status,
            "status_transitions": {
                "finalized_at": self.finalized_at,
                "marked_uncollectible_at": null,
                "paid_at": self.paid_at,
                "voided_at": self.voided_at,
            },
            "subtotal": total,
            "total": total,
            "total_taxes": [],
        })
    }
}

impl State {
    pub(crate) fn draft_invoice(
        &mut self,
        subscription: &str,
        reason: &'static str,
        lines: Vec<Line>,
        period: (i64, i64),
        finalizes_at: Option<i64>,
    ) -> String {
        let (id, created) = (new_id("in"), self.now());
        let subscription = self.subscriptions.get_mut(subscription);
        subscription.latest_invoice = Some(id.clone());
        self.invoices.put(Invoice {
            id: id.clone(),
            created,
            number: None,
            customer: subscription.customer.clone(),
            subscription: subscription.id.clone(),
            metadata: subscription.metadata.clone(),
            item: subscription.item.clone(),
            reason,
            status: "draft",
            currency: self.prices.get(&subscription.price).currency.clone(),
            lines,
            period,
            starting_balance: 0,
            amount_paid: 0,
            attempt_count: 0,
            attempted: false,
            auto_advance: true,
            next_attempt: None,
            finalizes_at,
            finalized_at: None,
            paid_at: None,
            voided_at: None,
            intent: None,
        });
        self.emit("invoice.created", &id);
        id
    }

    pub(crate) fn number_invoice(&mut self, id: &str) {
        let finalized = self.invoices.iter().filter(|invoice| invoice.number.is_some()).count();
        self.invoices.get_mut(id).number = Some(format!("FAKE-{:04}", finalized + 1));
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/v1/invoices/{id}",
        takes: &[],
        act: |state, call| Ok(state.invoices.find(call.id)?.json(state)),
    },
    Route {
        method: "GET",
        path: "/v1/invoices",
        takes: &["customer", "subscription", "status", "limit"],
        act: list,
    },
    Route { method: "POST", path: "/v1/invoices/{id}/pay", takes: &["off_session"], act: pay },
    Route { method: "POST", path: "/v1/invoices/{id}/void", takes: &[], act: void },
];

fn list(state: &mut State, call: &Call<'_>) -> Answer {
    let params = call.params;
    let (customer, subscription) = (params.text("customer"), params.text("subscription"));
    let status = params.choice("status", &["draft", "open", "paid", "uncollectible", "void"])?;
    state.invoices.page(state, params, "/v1/invoices", |invoice| {
        customer.is_none_or(|customer| invoice.customer == customer)
            && subscription.is_none_or(|subscription| invoice.subscription == subscription)
            && status.is_none_or(|status| invoice.status == status)
    })
}

fn pay(state: &mut State, call: &Call<'_>) -> Answer {
    call.params.flag("off_session")?;
    match state.pay_invoice(call.id, None)? {
        Outcome::Declined => {
            let intent = state.invoices.get(call.id).intent.clone().unwrap();
            Err(state.card_error(&intent))
        }
        Outcome::RequiresAction(intent) => {
            let message =
                "Payment for this invoice requires additional user action before it can be completed.";
            let intent = state.object(&intent)?;
            Err(StripeError::card("invoice_payment_intent_requires_action", None, message, intent))
        }
        Outcome::Paid | Outcome::Processing(_) => state.object(call.id),
    }
}

impl State {
    /// Somebody pays it now, with the customer's card or another one.
    pub(crate) fn pay_invoice(&mut self, id: &str, card: Option<Card>) -> Answer<Outcome> {
        if card == Some(Card::Delayed) {
            return Err(StripeError::invalid("Only the checkout takes a delayed payment."));
        }
        let invoice = self.invoices.find(id)?;
        let (status, customer) = (invoice.status, invoice.customer.clone());
        match status {
            "paid" => return Err(StripeError::invalid("Invoice is already paid")),
            "void" => return Err(StripeError::invalid("A void invoice cannot be paid")),
            "draft" => self.finalize(id),
            _ => {}
        }
        if self.invoices.get(id).status == "paid" {
            return Ok(Outcome::Paid);
        }
        let outcome = self.collect(id, card.unwrap_or(self.customers.get(&customer).card));
        if let (Some(card), Outcome::Paid) = (card, &outcome) {
            self.customers.get_mut(&customer).card = card;
        }
        Ok(outcome)
    }
}

fn void(state: &mut State, call: &Call<'_>) -> Answer {
    state.void_invoice(call.id)?;
    state.object(call.id)
}
