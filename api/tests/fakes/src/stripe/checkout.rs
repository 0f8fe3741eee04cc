//! Checkout sessions: a page where a person pays, and the subscription that begins when they did.

use serde_json::{Value, json};

use super::clock::{HOUR, MINUTE};
use super::errors::{Answer, StripeError};
use super::invoices::Line;
use super::payments::{Card, Outcome};
use super::routes::{Call, Route};
use super::shelf::{Metadata, Stored};
use super::state::{State, new_id};

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    created: i64,
    pub(crate) customer: String,
    pub(crate) price: String,
    client_reference_id: Option<String>,
    success_url: String,
    pub(crate) cancel_url: Option<String>,
    pub(crate) expires_at: i64,
    metadata: Metadata,
    subscription_metadata: Metadata,
    automatic_tax: bool,
    billing_address_collection: Option<&'static str>,
    terms_of_service: Option<&'static str>,
    locale: Option<String>,
    pub(crate) status: &'static str,
    pub(crate) payment_status: &'static str,
    pub(crate) subscription: Option<String>,
    pub(crate) invoice: Option<String>,
    /// The payment that its page tries, again and again until one succeeds.
    intent: Option<String>,
}

impl Session {
    /// Where the person goes once they paid.
    pub(crate) fn after_payment(&self) -> String {
        self.success_url.replace("{CHECKOUT_SESSION_ID}", &self.id)
    }
}

impl Stored for Session {
    const KIND: &'static str = "checkout.session";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, state: &State) -> Value {
        let price = state.prices.get(&self.price);
        let consent = self.terms_of_service.map(|terms| {
            json!({ "terms_of_service": terms, "promotions": null, "payment_method_reuse_agreement": null })
        });
        json!({
            "id": self.id,
            "object": "checkout.session",
            "amount_subtotal": price.amount,
            "amount_total": price.amount,
            "automatic_tax": { "enabled": self.automatic_tax, "liability": null, "status": null },
            "billing_address_collection": self.billing_address_collection,
            "cancel_url": self.cancel_url,
            "client_reference_id": self.client_reference_id,
            "consent": null,
            "consent_collection": consent,
            "created": self.created,
            "currency": price.currency,
            "customer": self.customer,
            "customer_details": { "email": state.customers.get(&self.customer).email },
            "customer_email": null,
            "expires_at": self.expires_at,
            "invoice": self.invoice,
            "livemode": false,
            "locale": self.locale,
            "metadata": self.metadata,
            "mode": "subscription",
            "payment_intent": null,
            "payment_status": self.payment_status,
            "status": self.status,
            "subscription": self.subscription,
            "success_url": self.success_url,
            "ui_mode": "hosted_page",
            "url": (self.status == "open").then(|| format!("{}/pay/{}", state.base, self.id)),
        })
    }
}

impl State {
    pub(crate) fn expire_session(&mut self, id: &str) {
        let session = self.sessions.get_mut(id);
        session.status = "expired";
        // What its page began to pay can no longer be confirmed.
        if let Some(intent) = session.intent.clone() {
            self.intents.get_mut(&intent).status = "canceled";
            self.emit("payment_intent.canceled", &intent);
        }
        self.emit("checkout.session.expired", id);
    }

    /// A person presses the button.
    pub(crate) fn pay_session(&mut self, id: &str, card: Card) -> Answer<Outcome> {
        let session = self.open_session(id)?;
        let (customer, price, intent) =
            (session.customer.clone(), session.price.clone(), session.intent.clone());
        let price = self.prices.get(&price);
        let (amount, currency) = (price.amount, price.currency.clone());
        if amount == 0 {
            self.begin_subscription(id, None, "no_payment_required");
            return Ok(Outcome::Paid);
        }
        let intent = intent.unwrap_or_else(|| self.add_intent(&customer, amount, &currency));
        self.intents.get_mut(&intent).session = Some(id.to_owned());
        self.sessions.get_mut(id).intent = Some(intent.clone());
        let outcome = self.charge(&intent, card);
        match outcome {
            Outcome::Paid => {
                self.customers.get_mut(&customer).card = card;
                self.complete_session(id, &intent);
            }
            Outcome::Processing(_) => self.begin_subscription(id, Some(&intent), "unpaid"),
            Outcome::Declined | Outcome::RequiresAction(_) => {}
        }
        Ok(outcome)
    }

    /// Its payment succeeded.
    pub(crate) fn complete_session(&mut self, id: &str, intent: &str) {
        self.begin_subscription(id, Some(intent), "paid");
    }

    /// Only now is there a subscription: before Basil it was there, incomplete, from the session's creation on.
    fn begin_subscription(&mut self, id: &str, intent: Option<&str>, payment_status: &'static str) {
        let session = self.sessions.get(id);
        let (customer, price) = (session.customer.clone(), session.price.clone());
        let metadata = session.subscription_metadata.clone();
        let subscription = self.add_subscription(&customer, &price, metadata);
        let invoice = self.first_invoice(&subscription, intent);
        let session = self.sessions.get_mut(id);
        session.status = "complete";
        session.payment_status = payment_status;
        session.subscription = Some(subscription.clone());
        session.invoice = Some(invoice.clone());
        self.emit("customer.subscription.created", &subscription);
        if payment_status != "unpaid" {
            self.invoice_is_paid(&invoice);
        }
        self.emit("checkout.session.completed", id);
    }

    /// The invoice of a subscription's first month, finalised and not yet paid.
    pub(crate) fn first_invoice(&mut self, subscription: &str, intent: Option<&str>) -> String {
        let now = self.now();
        let begun = self.subscriptions.get(subscription);
        let (start, end) = begun.period();
        let price = self.prices.get(&begun.price);
        let line = Line { price: price.id.clone(), amount: price.amount, proration: false, start, end };
        let id = self.draft_invoice(subscription, "subscription_create", vec![line], (now, now), None);
        self.number_invoice(&id);
        let invoice = self.invoices.get_mut(&id);
        invoice.status = "open";
        invoice.finalized_at = Some(now);
        invoice.attempted = true;
        invoice.attempt_count = 1;
        if let Some(intent) = intent {
            self.link(&id, intent);
        }
        self.emit("invoice.finalized", &id);
        id
    }

    pub(crate) fn open_session(&self, id: &str) -> Answer<&Session> {
        let session = self.sessions.find(id)?;
        if session.status == "open" {
            return Ok(session);
        }
        Err(StripeError::invalid(format!(
            "Only Checkout Sessions with a status in [\"open\"] can be expired or paid. This Checkout Session has a status of `{}`.",
            session.status
        )))
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: "/v1/checkout/sessions",
        takes: &[
            "mode",
            "ui_mode",
            "customer",
            "customer_update[address]",
            "customer_update[name]",
            "line_items[][price]",
            "line_items[][quantity]",
            "client_reference_id",
            "success_url",
            "cancel_url",
            "expires_at",
            "metadata[*]",
            "subscription_data[metadata][*]",
            "subscription_data[description]",
            "automatic_tax[enabled]",
            "billing_address_collection",
            "consent_collection[terms_of_service]",
            "custom_text[submit][message]",
            "custom_text[terms_of_service_acceptance][message]",
            "locale",
        ],
        act: create,
    },
    Route {
        method: "GET",
        path: "/v1/checkout/sessions/{id}",
        takes: &[],
        act: |state, call| Ok(state.sessions.find(call.id)?.json(state)),
    },
    Route {
        method: "GET",
        path: "/v1/checkout/sessions",
        takes: &["customer", "subscription", "status", "limit"],
        act: list,
    },
    Route {
        method: "POST",
        path: "/v1/checkout/sessions/{id}/expire",
        takes: &[],
        act: |state, call| {
            state.open_session(call.id)?;
            state.expire_session(call.id);
            state.object(call.id)
        },
    },
];

fn create(state: &mut State, call: &Call<'_>) -> Answer {
    let params = call.params;
    if params.choice("mode", &["subscription"])?.is_none() {
        return Err(StripeError::missing_parameter("mode"));
    }
    params.choice("ui_mode", &["hosted_page"])?;
    params.choice("customer_update[address]", &["auto", "never"])?;
    let customer = params.required("customer")?;
    let customer = state.customers.find(customer).map_err(|error| error.named_by("customer"))?.id.clone();
    if params.count("line_items") != 1 {
        return Err(StripeError::invalid("This fake's sessions have one item.").param("line_items"));
    }
    if params.int("line_items[0][quantity]")?.is_none_or(|quantity| quantity != 1) {
        let message = "This fake sells one of everything: line_items[0][quantity] must be 1.";
        return Err(StripeError::invalid(message).param("line_items[0][quantity]"));
    }
    let price = state.sellable_price(params.required("line_items[0][price]")?)?.id.clone();
    let now = state.now();
    let expires_at = params.int("expires_at")?.unwrap_or(now + 24 * HOUR);
    if !(now + 30 * MINUTE..=now + 24 * HOUR).contains(&expires_at) {
        let message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation.";
        return Err(StripeError::invalid(message).param("expires_at"));
    }
    let client_reference_id = params.text("client_reference_id");
    if client_reference_id.is_some_and(|id| id.len() > 200) {
        let message = "Invalid string: must be at most 200 characters";
        return Err(StripeError::invalid(message).param("client_reference_id"));
    }
    for name in ["success_url", "cancel_url"] {
        let url = if name == "success_url" { Some(params.required(name)?) } else { params.text(name) };
        if url.is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            let message = "Not a valid URL";
            return Err(StripeError::invalid(message).code("url_invalid").param(name));
        }
    }
    let session = Session {
        id: new_id("cs_test"),
        created: now,
        customer,
        price,
        client_reference_id: client_reference_id.map(str::to_owned),
        success_url: params.required("success_url")?.to_owned(),
        cancel_url: params.text("cancel_url").map(str::to_owned),
        expires_at,
        metadata: params.metadata("metadata")?,
        subscription_metadata: params.metadata("subscription_data[metadata]")?,
        automatic_tax: params.flag("automatic_tax[enabled]")?.unwrap_or(false),
        billing_address_collection: params.choice("billing_address_collection", &["auto", "required"])?,
        terms_of_service: params.choice("consent_collection[terms_of_service]", &["none", "required"])?,
        locale: params.text("locale").map(str::to_owned),
        status: "open",
        payment_status: "unpaid",
        subscription: None,
        invoice: None,
        intent: None,
    };
    let id = session.id.clone();
    state.sessions.put(session);
    state.object(&id)
}

fn list(state: &mut State, call: &Call<'_>) -> Answer {
    let params = call.params;
    let (customer, subscription) = (params.text("customer"), params.text("subscription"));
    let status = params.choice("status", &["open", "complete", "expired"])?;
    state.sessions.page(state, params, "/v1/checkout/sessions", |session| {
        customer.is_none_or(|customer| session.customer == customer)
            && subscription.is_none_or(|id| session.subscription.as_deref() == Some(id))
            && status.is_none_or(|status| session.status == status)
    })
}
