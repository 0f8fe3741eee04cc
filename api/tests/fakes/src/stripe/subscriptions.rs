//! Subscriptions: what they say, how they end, and the requests about them.

use serde::Deserialize;
use serde_json::{Value, json};

use super::clock::months_after;
use super::errors::{Answer, StripeError};
use super::invoices::Line;
use super::price_changes::{Incomplete, Proration};
use super::routes::{Call, Route};
use super::shelf::{Metadata, Stored};
use super::state::{State, new_id};

#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) id: String,
    created: i64,
    /// Its only item.
    pub(crate) item: String,
    pub(crate) customer: String,
    pub(crate) price: String,
    pub(crate) metadata: Metadata,
    pub(crate) status: &'static str,
    /// Periods are counted in calendar months from here.
    anchor: i64,
    pub(crate) cycle: u32,
    cancel_at_period_end: bool,
    pub(crate) cancel_at: Option<i64>,
    canceled_at: Option<i64>,
    ended_at: Option<i64>,
    ending: Option<Ending>,
    comment: Option<String>,
    pub(crate) latest_invoice: Option<String>,
    pub(crate) schedule: Option<String>,
    pub(crate) pending: Option<PendingUpdate>,
    /// Prorations that the next invoice takes up.
    pub(crate) unbilled: Vec<Line>,
}

/// A price that begins when its invoice is paid.
#[derive(Debug)]
pub(crate) struct PendingUpdate {
    pub(crate) price: String,
    pub(crate) invoice: String,
    pub(crate) expires_at: i64,
    /// Whether the first attempt to pay is over: until then nobody sees it.
    pub(crate) waits: bool,
}

/// Why a subscription ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Requested,
    PaymentFailed,
}

/// When somebody at the dashboard, or the customer in the portal, ends a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cancel {
    /// At once, without money back.
    Now,
    /// `cancel_at_period_end` is true.
    AtPeriodEnd,
    /// Only `cancel_at` is set, to the same instant: the portal does so where the billing mode is flexible.
    AtDate,
    /// Takes the cancellation back.
    Never,
}

impl Subscription {
    /// The present period's start and end.
    pub(crate) fn period(&self) -> (i64, i64) {
        (months_after(self.anchor, self.cycle), months_after(self.anchor, self.cycle + 1))
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.status != "canceled"
    }

    fn item_json(&self, state: &State, price: &str) -> Value {
        let (start, end) = self.period();
        json!({
            "id": self.item,
            "object": "subscription_item",
            "created": self.created,
            "current_period_end": end,
            "current_period_start": start,
            "discounts": [],
            "metadata": {},
            "price": state.prices.get(price).json(state),
            "quantity": 1,
            "subscription": self.id,
            "tax_rates": [],
        })
    }
}

impl Stored for Subscription {
    const KIND: &'static str = "subscription";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, state: &State) -> Value {
        let pending = self.pending.as_ref().filter(|pending| pending.waits).map(|pending| {
            json!({
                "billing_cycle_anchor": null,
                "expires_at": pending.expires_at,
                "subscription_items": [self.item_json(state, &pending.price)],
                "trial_end": null,
                "trial_from_plan": null,
            })
        });
        let reason = self.ending.map(|ending| match ending {
            Ending::Requested => "cancellation_requested",
            Ending::PaymentFailed => "payment_failed",
        });
        json!({
            "id": self.id,
            "object": "subscription",
            "automatic_tax": { "enabled": false, "liability": null, "disabled_reason": null },
            "billing_cycle_anchor": self.anchor,
            "billing_mode": { "type": "flexible", "flexible": { "proration_discounts": "included" } },
            "cancel_at": self.cancel_at,
            "cancel_at_period_end": self.cancel_at_period_end,
            "canceled_at": self.canceled_at,
            "cancellation_details": { "comment": self.comment, "feedback": null, "reason": reason },
            "collection_method": "charge_automatically",
            "created": self.created,
            "currency": state.prices.get(&self.price).currency,
            "customer": self.customer,
            "default_payment_method": null,
            "description": null,
            "discounts": [],
            "ended_at": self.ended_at,
            "items": {
                "object": "list",
                "data": [self.item_json(state, &self.price)],
                "has_more": false,
                "total_count": 1,
                "url": format!("/v1/subscription_items?subscription={}", self.id),
            },
            "latest_invoice": self.latest_invoice,
            "livemode": false,
            "metadata": self.metadata,
            "pause_collection": null,
            "pending_setup_intent": null,
            "pending_update": pending,
            "schedule": self.schedule,
            "start_date": self.created,
            "status": self.status,
            "test_clock": null,
            "trial_end": null,
            "trial_start": null,
        })
    }
}

impl State {
    /// A new subscription whose first period begins now. Its invoice is somebody else's matter.
    pub(crate) fn add_subscription(&mut self, customer: &str, price: &str, metadata: Metadata) -> String {
        let (id, now) = (new_id("sub"), self.now());
        self.subscriptions.put(Subscription {
            id: id.clone(),
            created: now,
            item: new_id("si"),
            customer: customer.to_owned(),
            price: price.to_owned(),
            metadata,
            status: "active",
            anchor: now,
            cycle: 0,
            cancel_at_period_end: false,
            cancel_at: None,
            canceled_at: None,
            ended_at: None,
            ending: None,
            comment: None,
            latest_invoice: None,
            schedule: None,
            pending: None,
            unbilled: Vec::new(),
        });
        id
    }

    pub(crate) fn end_subscription(&mut self, id: &str, ending: Ending) {
        let now = self.now();
        self.expire_pending_update(id);
        let subscription = self.subscriptions.get_mut(id);
        subscription.status = "canceled";
        subscription.canceled_at = subscription.canceled_at.or(Some(now));
        subscription.ended_at = Some(now);
        subscription.ending = subscription.ending.or(Some(ending));
        subscription.unbilled.clear();
        if let Some(schedule) = subscription.schedule.clone() {
            self.cancel_schedule(&schedule);
        }
        // Stripe stops to collect what is open. A person can still pay it on its page.
        for invoice in self.invoices.iter_mut().filter(|invoice| invoice.subscription == id) {
            invoice.next_attempt = None;
            invoice.finalizes_at = None;
            invoice.auto_advance = false;
        }
        self.emit("customer.subscription.deleted", id);
    }

    /// What somebody does at the dashboard or in the portal.
    pub(crate) fn cancel(&mut self, id: &str, cancel: Cancel) -> Answer<()> {
        let subscription = self.subscriptions.find(id)?;
        if !subscription.is_alive() {
            return Err(StripeError::no_such("subscription", id));
        }
        let end = subscription.period().1;
        match cancel {
            Cancel::Now => self.end_subscription(id, Ending::Requested),
            Cancel::AtPeriodEnd => self.plan_the_end(id, Some(end), true),
            Cancel::AtDate => self.plan_the_end(id, Some(end), false),
            Cancel::Never => self.plan_the_end(id, None, false),
        }
        if cancel != Cancel::Now {
            self.emit("customer.subscription.updated", id);
        }
        Ok(())
    }

    fn plan_the_end(&mut self, id: &str, at: Option<i64>, at_period_end: bool) {
        let now = self.now();
        let subscription = self.subscriptions.get_mut(id);
        subscription.cancel_at_period_end = at_period_end;
        subscription.cancel_at = at;
        subscription.canceled_at = at.map(|_| now);
        subscription.ending = at.map(|_| Ending::Requested);
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/v1/subscriptions/{id}",
        takes: &[],
        act: |state, call| Ok(state.subscriptions.find(call.id)?.json(state)),
    },
    Route {
        method: "GET",
        path: "/v1/subscriptions",
        takes: &["customer", "price", "status", "limit"],
        act: list,
    },
    Route {
        method: "POST",
        path: "/v1/subscriptions/{id}",
        takes: &[
            "cancel_at",
            "cancel_at_period_end",
            "items[][id]",
            "items[][price]",
            "metadata[*]",
            "payment_behavior",
            "proration_behavior",
        ],
        act: update,
    },
    Route {
        method: "DELETE",
        path: "/v1/subscriptions/{id}",
        takes: &["prorate", "invoice_now", "cancellation_details[comment]", "cancellation_details[feedback]"],
        act: delete,
    },
];

fn list(state: &mut State, call: &Call<'_>) -> Answer {
    let params = call.params;
    let (customer, price, status) = (params.text("customer"), params.text("price"), params.text("status"));
    state.subscriptions.page(state, params, "/v1/subscriptions", |subscription| {
        customer.is_none_or(|customer| subscription.customer == customer)
            && price.is_none_or(|price| subscription.price == price)
            && match status {
                None => subscription.is_alive(),
                Some("all") => true,
                Some("ended") => !subscription.is_alive(),
                Some(status) => subscription.status == status,
            }
    })
}

fn update(state: &mut State, call: &Call<'_>) -> Answer {
    let (id, params) = (call.id, call.params);
    let subscription = state.subscriptions.find(id)?;
    let is_only = |known: &[&str]| params.names().all(|name| known.contains(&name));
    if !subscription.is_alive() && !is_only(&["metadata", "expand"]) {
        let message = "A canceled subscription can only update its cancellation_details and metadata.";
        return Err(StripeError::invalid(message));
    }
    let incomplete = Incomplete::of(params.choice("payment_behavior", Incomplete::NAMES)?);
    let proration = Proration::of(params.choice("proration_behavior", Proration::NAMES)?);
    let supported = ["expand", "items", "payment_behavior", "proration_behavior"];
    if incomplete == Incomplete::Pending && !is_only(&supported) {
        let message = "When passing `payment_behavior` equal to `pending_if_incomplete`, you can only pass supported parameters: expand, items, payment_behavior, proration_behavior.";
        return Err(StripeError::invalid(message).param("payment_behavior"));
    }
    let ends = params.flag("cancel_at_period_end")?;
    if let (Some(schedule), true) = (&subscription.schedule, ends.is_some() || params.has("cancel_at")) {
        let message = format!(
            "The subscription is managed by the subscription schedule `{schedule}`, and updating any cancelation behavior directly is not allowed. Please update the schedule instead."
        );
        return Err(StripeError::invalid(message));
    }
    if ends.is_some() && params.has("cancel_at") {
        let message = "You may only specify one of these parameters: cancel_at, cancel_at_period_end.";
        return Err(StripeError::invalid(message));
    }
    let price = new_price(state, subscription, call)?;
    let mut metadata = subscription.metadata.clone();
    params.merge_metadata("metadata", &mut metadata)?;
    let end = subscription.period().1;
    let at = match params.text("cancel_at") {
        Some("min_period_end" | "max_period_end") => Some(end),
        _ => params.int("cancel_at")?,
    };

    state.subscriptions.get_mut(id).metadata = metadata;
    match (ends, params.has("cancel_at")) {
        (Some(true), _) => state.plan_the_end(id, Some(end), true),
        // Whether Stripe also takes back a `cancel_at` that was set by itself is not documented: here it stays.
        (Some(false), _) if state.subscriptions.get(id).cancel_at_period_end => {
            state.plan_the_end(id, None, false);
        }
        (None, true) => state.plan_the_end(id, at, false),
        _ => {}
    }
    match price {
        Some(price) => state.change_price(id, &price, proration, incomplete)?,
        None => state.emit("customer.subscription.updated", id),
    }
    state.object(id)
}

/// The price that `items` asks for, if it is another one.
fn new_price(state: &State, subscription: &Subscription, call: &Call<'_>) -> Answer<Option<String>> {
    let params = call.params;
    if !params.has("items") {
        return Ok(None);
    }
    // Stripe adds a second item where the first one's id is left out, and bills both.
    if params.count("items") != 1 || params.text("items[0][id]") != Some(subscription.item.as_str()) {
        let message = "This fake's subscriptions have one item: name it as items[0][id].";
        return Err(StripeError::invalid(message).param("items"));
    }
    let price = params.text("items[0][price]").filter(|price| *price != subscription.price);
    let Some(price) = price else { return Ok(None) };
    let price = state.sellable_price(price)?;
    if price.currency != state.prices.get(&subscription.price).currency {
        let message = "The price's currency is not the subscription's.";
        return Err(StripeError::invalid(message).param("items[0][price]"));
    }
    Ok(Some(price.id.clone()))
}

fn delete(state: &mut State, call: &Call<'_>) -> Answer {
    let (id, params) = (call.id, call.params);
    if !state.subscriptions.find(id)?.is_alive() {
        return Err(StripeError::no_such("subscription", id));
    }
    let (prorate, invoice_now) = (params.flag("prorate")?, params.flag("invoice_now")?);
    let comment = params.text("cancellation_details[comment]").map(str::to_owned);
    state.subscriptions.get_mut(id).comment = comment;
    let mut lines = std::mem::take(&mut state.subscriptions.get_mut(id).unbilled);
    if prorate == Some(true) {
        lines.extend(state.credit_line(id));
    }
    if invoice_now == Some(true) && !lines.is_empty() {
        let now = state.now();
        let invoice = state.draft_invoice(id, "subscription_update", lines, (now, now), None);
        state.finalize(&invoice);
        if state.invoices.get(&invoice).status == "open" {
            state.collect_when_due(&invoice);
        }
    }
    state.end_subscription(id, Ending::Requested);
    state.object(id)
}
