//! Payment intents, the charges that are their attempts, and what they pay for.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::errors::{Answer, StripeError};
use super::routes::{Call, Route};
use super::shelf::Stored;
use super::state::{State, new_id};

/// What a card does when it is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Card {
    /// It pays.
    Ok,
    /// `card_declined`, for `insufficient_funds`.
    Declined,
    /// The bank wants to see its owner first, at every payment until one of them was authenticated.
    #[serde(rename = "requires_3ds")]
    Requires3ds,
    /// At the checkout only: a method such as a debit, whose result is known days later.
    Delayed,
}

/// How a payment went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The money is there.
    Paid,
    /// It is not, and will not be without another attempt.
    Declined,
    /// It waits for the card's owner on the page of this payment intent.
    RequiresAction(String),
    /// It will be known later.
    Processing(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    InsufficientFunds,
    Authentication,
}

impl Failure {
    fn code(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "card_declined",
            Self::Authentication => "payment_intent_authentication_failure",
        }
    }

    fn decline_code(self) -> Option<&'static str> {
        (self == Self::InsufficientFunds).then_some("insufficient_funds")
    }

    fn message(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "Your card has insufficient funds.",
            Self::Authentication => "The provided payment method has failed authentication.",
        }
    }
}

#[derive(Debug)]
pub(crate) struct PaymentIntent {
    pub(crate) id: String,
    created: i64,
    pub(crate) amount: i64,
    pub(crate) currency: String,
    pub(crate) customer: String,
    pub(crate) status: &'static str,
    /// What it pays for. Neither is in the API's answers any more.
    pub(crate) invoice: Option<String>,
    pub(crate) session: Option<String>,
    pub(crate) latest_charge: Option<String>,
    failure: Option<Failure>,
}

impl Stored for PaymentIntent {
    const KIND: &'static str = "payment_intent";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, state: &State) -> Value {
        let next_action = (self.status == "requires_action").then(|| {
            let url = format!("{}/3ds/{}", state.base, self.id);
            json!({ "type": "redirect_to_url", "redirect_to_url": { "url": url, "return_url": null } })
        });
        let error = self.failure.map(|failure| {
            json!({
                "type": "card_error",
                "code": failure.code(),
                "decline_code": failure.decline_code(),
                "message": failure.message(),
            })
        });
        json!({
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_received": if self.status == "succeeded" { self.amount } else { 0 },
            "canceled_at": null,
            "capture_method": "automatic",
            "client_secret": format!("{}_secret_fake", self.id),
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "last_payment_error": error,
            "latest_charge": self.latest_charge,
            "livemode": false,
            "metadata": {},
            "next_action": next_action,
            "status": self.status,
        })
    }
}

#[derive(Debug)]
pub(crate) struct Charge {
    pub(crate) id: String,
    created: i64,
    pub(crate) intent: String,
    pub(crate) amount: i64,
    pub(crate) amount_refunded: i64,
    pub(crate) currency: String,
    customer: String,
    /// It stays when the dispute was won, as Stripe's does.
    pub(crate) disputed: bool,
    pub(crate) status: &'static str,
    failure: Option<Failure>,
}

impl Stored for Charge {
    const KIND: &'static str = "charge";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, state: &State) -> Value {
        let paid = self.status == "succeeded";
        json!({
            "id": self.id,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": if paid { self.amount } else { 0 },
            "amount_refunded": self.amount_refunded,
            "balance_transaction": paid.then(|| format!("txn_{}", &self.id[3..])),
            "captured": paid,
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "disputed": self.disputed,
            "failure_code": self.failure.map(Failure::code),
            "failure_message": self.failure.map(Failure::message),
            "livemode": false,
            "metadata": {},
            "paid": paid,
            "payment_intent": self.intent,
            "payment_method_details": { "type": "card", "card": { "brand": "visa", "last4": "4242" } },
            "receipt_url": paid.then(|| format!("{}/receipt/{}", state.base, self.id)),
            "refunded": self.amount_refunded == self.amount,
            "status": self.status,
        })
    }
}

#[derive(Debug)]
pub(crate) struct InvoicePayment {
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) invoice: String,
    pub(crate) intent: String,
}

impl Stored for InvoicePayment {
    const KIND: &'static str = "invoice_payment";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, state: &State) -> Value {
        let invoice = state.invoices.get(&self.invoice);
        let intent = state.intents.get(&self.intent);
        let (status, paid) = match invoice.status {
            "paid" => ("paid", Some(intent.amount)),
            "void" => ("canceled", None),
            _ => ("open", None),
        };
        json!({
            "id": self.id,
            "object": "invoice_payment",
            "amount_paid": paid,
            "amount_requested": intent.amount,
            "created": self.created,
            "currency": intent.currency,
            "invoice": self.invoice,
            "is_default": true,
            "livemode": false,
            "payment": { "type": "payment_intent", "payment_intent": self.intent },
            "status": status,
            "status_transitions": { "canceled_at": invoice.voided_at, "paid_at": invoice.paid_at },
        })
    }
}

impl State {
    pub(crate) fn add_intent(&mut self, customer: &str, amount: i64, currency: &str) -> String {
        let id = new_id("pi");
        self.intents.put(PaymentIntent {
            id: id.clone(),
            created: self.now(),
            amount,
            currency: currency.to_owned(),
            customer: customer.to_owned(),
            status: "requires_payment_method",
            invoice: None,
            session: None,
            latest_charge: None,
            failure: None,
        });
        self.emit("payment_intent.created", &id);
        id
    }

    /// Charges a card. What is paid for learns of it from whoever calls.
    pub(crate) fn charge(&mut self, intent: &str, card: Card) -> Outcome {
        match card {
            Card::Ok => {
                self.charge_succeeds(intent);
                Outcome::Paid
            }
            Card::Declined => {
                self.charge_fails(intent, Failure::InsufficientFunds);
                Outcome::Declined
            }
            Card::Requires3ds => {
                let asked = self.intents.get_mut(intent);
                asked.status = "requires_action";
                asked.failure = None;
                self.emit("payment_intent.requires_action", intent);
                Outcome::RequiresAction(intent.to_owned())
            }
            Card::Delayed => {
                self.intents.get_mut(intent).status = "processing";
                self.emit("payment_intent.processing", intent);
                Outcome::Processing(intent.to_owned())
            }
        }
    }

    pub(crate) fn charge_succeeds(&mut self, intent: &str) {
        let charge = self.add_charge(intent, "succeeded", None);
        let paid = self.intents.get_mut(intent);
        paid.status = "succeeded";
        paid.failure = None;
        self.emit("charge.succeeded", &charge);
        self.emit("payment_intent.succeeded", intent);
    }

    pub(crate) fn charge_fails(&mut self, intent: &str, failure: Failure) {
        // A bank that could not see the card's owner was never asked for money.
        if failure == Failure::InsufficientFunds {
            let charge = self.add_charge(intent, "failed", Some(failure));
            self.emit("charge.failed", &charge);
        }
        let refused = self.intents.get_mut(intent);
        refused.status = "requires_payment_method";
        refused.failure = Some(failure);
        self.emit("payment_intent.payment_failed", intent);
    }

    fn add_charge(&mut self, intent: &str, status: &'static str, failure: Option<Failure>) -> String {
        let created = self.now();
        let intent = self.intents.get_mut(intent);
        let charge = Charge {
            id: new_id("ch"),
            created,
            intent: intent.id.clone(),
            amount: intent.amount,
            amount_refunded: 0,
            currency: intent.currency.clone(),
            customer: intent.customer.clone(),
            disputed: false,
            status,
            failure,
        };
        let id = charge.id.clone();
        intent.latest_charge = Some(id.clone());
        self.charges.put(charge);
        id
    }

    /// The charge that a request names by itself or by its payment intent.
    pub(crate) fn charge_of(&self, id: &str) -> Answer<&Charge> {
        if id.starts_with("ch_") {
            return self.charges.find(id).map_err(|error| error.named_by("charge"));
        }
        let intent = self.intents.find(id).map_err(|error| error.named_by("payment_intent"))?;
        let charge = intent.latest_charge.as_deref().map(|charge| self.charges.get(charge));
        charge.filter(|charge| charge.status == "succeeded").ok_or_else(|| {
            let message = "This PaymentIntent does not have a successful charge to refund.";
            StripeError::invalid(message).param("payment_intent")
        })
    }

    /// 402, with the intent as it stands.
    pub(crate) fn card_error(&self, intent: &str) -> StripeError {
        let json = self.intents.get(intent).json(self);
        let failure = self.intents.get(intent).failure.unwrap_or(Failure::InsufficientFunds);
        StripeError::card(failure.code(), failure.decline_code(), failure.message(), json)
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/v1/payment_intents/{id}",
        takes: &[],
        act: |state, call| Ok(state.intents.find(call.id)?.json(state)),
    },
    Route {
        method: "GET",
        path: "/v1/payment_intents",
        takes: &["customer", "limit"],
        act: |state, call| {
            let customer = call.params.text("customer");
            state.intents.page(state, call.params, "/v1/payment_intents", |intent| {
                customer.is_none_or(|customer| intent.customer == customer)
            })
        },
    },
    Route {
        method: "GET",
        path: "/v1/charges/{id}",
        takes: &[],
        act: |state, call| Ok(state.charges.find(call.id)?.json(state)),
    },
    Route {
        method: "GET",
        path: "/v1/charges",
        takes: &["customer", "payment_intent", "limit"],
        act: |state, call| {
            let (customer, intent) = (call.params.text("customer"), call.params.text("payment_intent"));
            state.charges.page(state, call.params, "/v1/charges", |charge| {
                customer.is_none_or(|customer| charge.customer == customer)
                    && intent.is_none_or(|intent| charge.intent == intent)
            })
        },
    },
    Route {
        method: "GET",
        path: "/v1/invoice_payments/{id}",
        takes: &[],
        act: |state, call| Ok(state.invoice_payments.find(call.id)?.json(state)),
    },
    Route {
        method: "GET",
        path: "/v1/invoice_payments",
        takes: &["invoice", "payment[type]", "payment[payment_intent]", "status", "limit"],
        act: list_invoice_payments,
    },
];

fn list_invoice_payments(state: &mut State, call: &Call<'_>) -> Answer {
    let params = call.params;
    let (invoice, intent) = (params.text("invoice"), params.text("payment[payment_intent]"));
    if intent.is_some() && params.choice("payment[type]", &["payment_intent"])?.is_none() {
        return Err(StripeError::missing_parameter("payment[type]"));
    }
    let status = params.choice("status", &["open", "paid", "canceled"])?;
    state.invoice_payments.page(state, params, "/v1/invoice_payments", |payment| {
        invoice.is_none_or(|invoice| payment.invoice == invoice)
            && intent.is_none_or(|intent| payment.intent == intent)
            && status.is_none_or(|status| payment.json(state)["status"] == status)
    })
}
