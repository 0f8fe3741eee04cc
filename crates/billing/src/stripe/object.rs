//! Of Stripe's objects, the fields that are read. What may be missing in some version is optional, and an unknown word is no error.
//! Times are seconds since 1970; amounts are in the currency's smallest unit.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// An answer that is not what was asked for.
#[derive(Debug, Error)]
#[error("Stripe's answer cannot be read: {0}")]
pub struct Unreadable(#[from] pub(super) serde_json::Error);

/// Reads an answer.
///
/// # Errors
/// When it is something else.
pub fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Unreadable> {
    Ok(serde_json::from_slice(answer)?)
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub struct List<T> {
    /// What is on it.
    pub data: Vec<T>,
    /// There is another page behind it.
    #[serde(default)]
    pub has_more: bool,
}

/// What was made, of which only the name matters.
#[derive(Debug, Deserialize)]
pub struct Created {
    /// By which Stripe knows it.
    pub id: String,
    /// Where people go, of what is a page.
    pub url: Option<String>,
}

/// A page on which somebody pays.
#[derive(Debug, Deserialize)]
pub struct CheckoutSession {
    /// `cs_…`.
    pub id: String,
    /// Where it is, while it is open.
    pub url: Option<String>,
    /// Whether it was paid on.
    pub status: SessionStatus,
    /// What came of it.
    pub subscription: Option<Reference>,
    /// With our checkout, if it is ours.
    #[serde(default)]
    pub metadata: HashMap<String, String>,
}

/// What became of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// It can be paid on.
    Open,
    /// Somebody went through with it. It may not have been paid yet.
    Complete,
    /// It cannot be paid on any more.
    Expired,
    /// What later versions know.
    #[serde(other)]
    Other,
}

/// The id of an object, wherever Stripe puts the object itself in its place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Reference {
    /// As usual.
    Id(String),
    /// Expanded.
    Object {
        /// Its id.
        id: String,
    },
}

impl Reference {
    /// By which it is known.
    pub fn id(&self) -> &str {
        match self {
            Self::Id(id) | Self::Object { id } => id,
        }
    }
}

/// A subscription.
#[derive(Debug, Deserialize)]
pub struct Subscription {
    /// `sub_…`.
    pub id: String,
    /// False for objects of Stripe's test mode.
    #[serde(default)]
    pub livemode: bool,
    /// `active`, `past_due`, …
    pub status: String,
    /// Who pays.
    pub customer: Reference,
    /// When it was made.
    pub created: i64,
    /// It is not renewed.
    #[serde(default)]
    pub cancel_at_period_end: bool,
    /// When it is going to be over.
    pub cancel_at: Option<i64>,
    /// When somebody cancelled it.
    pub canceled_at: Option<i64>,
    /// When it was over.
    pub ended_at: Option<i64>,
    /// With our checkout, if it is ours.
    #[serde(default)]
    pub metadata: HashMap<String, String>,
    /// What is charged for.
    pub items: List<Item>,
    /// What is going to change it.
    pub schedule: Option<Reference>,
    /// A change that has not been paid for.
    pub pending_update: Option<serde_json::Value>,
}

/// What a subscription charges for.
#[derive(Debug, Deserialize)]
pub struct Item {
    /// `si_…`.
    pub id: String,
    /// What it costs.
    pub price: Price,
    /// From when on it was charged for last.
    pub current_period_start: Option<i64>,
    /// Until when it was charged for last.
    pub current_period_end: Option<i64>,
}

/// A price.
#[derive(Debug, Deserialize)]
pub struct Price {
    /// `price_…`.
    pub id: String,
}

/// A schedule.
#[derive(Debug, Deserialize)]
pub struct Schedule {
    /// `active`, `not_started`, …
    pub status: String,
    /// What it does one after the other.
    pub phases: Vec<SchedulePhase>,
}

/// A part of a schedule.
#[derive(Debug, Deserialize)]
pub struct SchedulePhase {
    /// From when on.
    pub start_date: i64,
    /// At which prices.
    pub items: Vec<SchedulePrice>,
}

/// A price of such a part.
#[derive(Debug, Deserialize)]
pub struct SchedulePrice {
    /// `price_…`.
    pub price: Reference,
}

/// An invoice.
#[derive(Debug, Deserialize)]
pub struct Invoice {
    /// `in_…`.
    pub id: String,
    /// `draft`, `open`, `paid`, `void`, `uncollectible`.
    pub status: Option<String>,
    /// When it was made.
    #[serde(default)]
    pub created: i64,
    /// How much came.
    #[serde(default)]
    pub amount_paid: i64,
    /// `eur`.
    pub currency: String,
    /// What for.
    pub lines: List<Line>,
    /// What it is of.
    pub parent: Option<InvoiceParent>,
    /// When what happened to it.
    pub status_transitions: Option<Transitions>,
    /// Where it can be paid.
    pub hosted_invoice_url: Option<String>,
    /// By what it was paid, where that was asked for.
    pub payments: Option<List<InvoicePayment>>,
}

/// What an invoice is of.
#[derive(Debug, Deserialize)]
pub struct InvoiceParent {
    /// A subscription, as a rule.
    pub subscription_details: Option<SubscriptionDetails>,
}

/// The subscription that an invoice is of.
#[derive(Debug, Deserialize)]
pub struct SubscriptionDetails {
    /// `sub_…`.
    pub subscription: Option<Reference>,
}

/// When what happened to an invoice.
#[derive(Debug, Deserialize)]
pub struct Transitions {
    /// It was paid.
    pub paid_at: Option<i64>,
}

/// A line of an invoice.
#[derive(Debug, Deserialize)]
pub struct Line {
    /// Below zero for what was not used of something else.
    pub amount: i64,
    /// The time that the line pays for.
    pub period: Period,
    /// The price that it is a line of.
    pub pricing: Option<Pricing>,
}

/// For when something is paid.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Period {
    /// When it begins.
    pub start: i64,
    /// When it is over.
    pub end: i64,
}

/// For what something is paid.
#[derive(Debug, Deserialize)]
pub struct Pricing {
    /// At which price.
    pub price_details: Option<PriceDetails>,
}

/// At which price something is paid.
#[derive(Debug, Deserialize)]
pub struct PriceDetails {
    /// `price_…`.
    pub price: Option<Reference>,
}

/// By what an invoice was paid.
#[derive(Debug, Deserialize)]
pub struct InvoicePayment {
    /// Which invoice.
    pub invoice: Option<Reference>,
    /// `paid`, …
    pub status: Option<String>,
    /// The payment intent; absent for other kinds of payment.
    pub payment: Option<PaymentOf>,
}

/// A payment intent, as a rule.
#[derive(Debug, Deserialize)]
pub struct PaymentOf {
    /// `pi_…`.
    pub payment_intent: Option<Reference>,
}

/// What a card was charged.
#[derive(Debug, Deserialize)]
pub struct Charge {
    /// `ch_…`.
    pub id: String,
    /// `pi_…`.
    pub payment_intent: Option<Reference>,
    /// Whether it went through.
    pub status: Option<String>,
    /// When.
    #[serde(default)]
    pub created: i64,
    /// How much of it went back, or is about to.
    #[serde(default)]
    pub amount_refunded: i64,
    /// Whether a bank took it back.
    #[serde(default)]
    pub disputed: bool,
    /// For the payer.
    pub receipt_url: Option<String>,
}

/// What went back.
#[derive(Debug, Deserialize)]
pub struct Refund {
    /// Of what.
    pub payment_intent: Option<Reference>,
    /// How much.
    pub amount: i64,
    /// `succeeded`, `pending`, `failed`, …
    pub status: Option<String>,
    /// When.
    pub created: i64,
}

/// A bank that wants the money back.
#[derive(Debug, Deserialize)]
pub struct Dispute {
    /// Of what.
    pub payment_intent: Option<Reference>,
    /// `needs_response`, `under_review`, `won`, `lost`, `warning_…`.
    pub status: String,
    /// When.
    pub created: i64,
}

/// Why Stripe did not do something.
#[derive(Debug, Default, Deserialize)]
pub struct ErrorAnswer {
    /// What is wrong.
    #[serde(default)]
    pub error: ErrorDetail,
}

/// What is wrong.
#[derive(Debug, Default, Deserialize)]
pub struct ErrorDetail {
    /// `card_error`, `invalid_request_error`, …
    #[serde(default)]
    pub r#type: String,
    /// `resource_missing`, `charge_already_refunded`, …
    pub code: Option<String>,
    /// For developers.
    pub message: Option<String>,
}

/// A time of Stripe's; none where it is beyond every calendar.
pub(super) fn time(seconds: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds, 0)
}
