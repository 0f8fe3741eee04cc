//! What Stripe is asked.

use std::fmt::Display;

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::CHECKOUT_KEY;
use crate::money::{Currency, Minor};

/// One request, without whom it goes to and by whose key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where, from `/v1` on, without the query.
    pub path: String,
    /// The query of a `GET`, the form of anything else.
    pub fields: Vec<(String, String)>,
    /// Under which a second try does nothing a second time, for a day.
    pub idempotency_key: Option<String>,
}

/// A request's method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes or changes.
    Post,
    /// Ends.
    Delete,
}

/// A price that viewers can pay each month.
#[derive(Clone, Debug)]
pub struct PriceOrder<'a> {
    /// Our plan, which names the price at Stripe.
    pub plan: Uuid,
    /// How many prices there have been of it.
    pub number: usize,
    /// What stands on invoices: "caudal.example: Pro, ana".
    pub product: &'a str,
    /// How much, tax included.
    pub amount: Minor,
    /// Of what.
    pub currency: Currency,
}

/// A page at Stripe on which somebody pays.
#[derive(Clone, Debug)]
pub struct CheckoutOrder<'a> {
    /// Ours, which comes back in the metadata.
    pub checkout: Uuid,
    /// Who pays, as Stripe knows them.
    pub customer: &'a str,
    /// What for.
    pub price: &'a str,
    /// Where the browser goes afterwards, paid or not: our page asks what became of it.
    pub return_url: &'a str,
    /// Until when it can be paid, in seconds since 1970.
    pub expires_at: i64,
    /// Whether Stripe works out the tax that is in the price.
    pub automatic_tax: bool,
}

impl Request {
    /// A customer, once for each person and address; another one where Stripe does not know that any more (`anew`).
    pub fn create_customer(user: Uuid, email: &str, anew: bool) -> Self {
        // A key goes with one body.
        let address = hex::encode(Sha256::digest(email.as_bytes()));
        Self::post("/v1/customers")
            .with("email", email)
            .with("metadata[caudal_user]", user)
            .once(format!("customer-{user}-{address}-{}", u8::from(anew)))
    }

    /// A product and its price, once for each plan.
    pub fn create_price(order: &PriceOrder<'_>) -> Self {
        Self::post("/v1/prices")
            .with("currency", order.currency.to_lowercase())
            .with("unit_amount", order.amount.0)
            .with("recurring[interval]", "month")
            .with("tax_behavior", "inclusive")
            .with("product_data[name]", order.product)
            .with("metadata[caudal_plan]", order.plan)
            .once(format!("price-{}-{}", order.plan, order.number))
    }

    /// A page on which somebody pays.
    pub fn open_checkout(order: &CheckoutOrder<'_>) -> Self {
        let request = Self::post("/v1/checkout/sessions")
            .with("mode", "subscription")
            .with("ui_mode", "hosted_page")
            .with("customer", order.customer)
            .with("line_items[0][price]", order.price)
            .with("line_items[0][quantity]", 1)
            .with("client_reference_id", order.checkout)
            .with(format!("metadata[{CHECKOUT_KEY}]"), order.checkout)
            .with(format!("subscription_data[metadata][{CHECKOUT_KEY}]"), order.checkout)
            .with("success_url", order.return_url)
            .with("cancel_url", order.return_url)
            .with("expires_at", order.expires_at)
            .with("locale", "auto");
        let request = if order.automatic_tax {
            request.with("automatic_tax[enabled]", true).with("customer_update[address]", "auto")
        } else {
            request
        };
        // A key goes with one body.
        request.once(format!("checkout-{}-{}-{}", order.checkout, order.customer, order.price))
    }

    /// What became of such a page.
    pub fn checkout(session: &str) -> Self {
        Self::get(format!("/v1/checkout/sessions/{session}"))
    }

    /// Closes such a page, if nobody has paid on it.
    pub fn expire_checkout(session: &str) -> Self {
        Self::post(format!("/v1/checkout/sessions/{session}/expire"))
    }

    /// A subscription as it stands.
    pub fn subscription(id: &str) -> Self {
        Self::get(format!("/v1/subscriptions/{id}"))
    }

    /// All subscriptions of the account that were made since a time in seconds since 1970, the latest first.
    pub fn subscriptions_since(created: i64, after: Option<&str>) -> Self {
        let request = Self::get("/v1/subscriptions")
            .with("status", "all")
            .with("limit", 100)
            .with("created[gte]", created);
        request.with_some("starting_after", after)
    }

    /// Ends a subscription at once.
    pub fn cancel_now(id: &str, key: Uuid) -> Self {
        Self { method: Method::Delete, ..Self::post(format!("/v1/subscriptions/{id}")) }.once(key.to_string())
    }

    /// Whether a subscription is renewed when what was paid for is over.
    pub fn set_renewal(id: &str, renews: bool) -> Self {
        Self::post(format!("/v1/subscriptions/{id}")).with("cancel_at_period_end", !renews)
    }

    /// Another price, now. Until the difference is paid the old one holds (`pending_if_incomplete`; by Stripe's default the new one would hold
    /// though it was never paid for), and with that Stripe takes no other change in the same request.
    pub fn upgrade(id: &str, item: &str, price: &str, key: Uuid) -> Self {
        Self::post(format!("/v1/subscriptions/{id}"))
            .with("items[0][id]", item)
            .with("items[0][price]", price)
            .with("proration_behavior", "always_invoice")
            .with("payment_behavior", "pending_if_incomplete")
            .once(key.to_string())
    }

    /// A schedule that begins with what a subscription is now.
    pub fn schedule(id: &str, key: Uuid) -> Self {
        Self::post("/v1/subscription_schedules").with("from_subscription", id).once(format!("schedule-{key}"))
    }

    /// Another price from the end of the present period on.
    pub fn schedule_price(schedule: &str, (from, to): (i64, i64), now: &str, later: &str, key: Uuid) -> Self {
        Self::post(format!("/v1/subscription_schedules/{schedule}"))
            .with("end_behavior", "release")
            .with("proration_behavior", "none")
            .with("phases[0][start_date]", from)
            .with("phases[0][end_date]", to)
            .with("phases[0][items][0][price]", now)
            .with("phases[0][items][0][quantity]", 1)
            .with("phases[1][items][0][price]", later)
            .with("phases[1][items][0][quantity]", 1)
            .with("phases[1][duration][interval]", "month")
            .with("phases[1][duration][interval_count]", 1)
            .once(format!("phases-{key}"))
    }

    /// A schedule as it stands.
    pub fn read_schedule(id: &str) -> Self {
        Self::get(format!("/v1/subscription_schedules/{id}"))
    }

    /// Lets a subscription go on as it is.
    pub fn release_schedule(id: &str) -> Self {
        Self::post(format!("/v1/subscription_schedules/{id}/release"))
    }

    /// A subscription's invoices with their payments, the latest first.
    pub fn invoices(subscription: &str, after: Option<&str>) -> Self {
        let request = Self::get("/v1/invoices")
            .with("subscription", subscription)
            .with("limit", 100)
            .with("expand[]", "data.payments");
        request.with_some("starting_after", after)
    }

    /// An invoice.
    pub fn invoice(id: &str) -> Self {
        Self::get(format!("/v1/invoices/{id}"))
    }

    /// The invoices that a payment paid.
    pub fn invoices_of_payment(intent: &str) -> Self {
        Self::get("/v1/invoice_payments")
            .with("payment[type]", "payment_intent")
            .with("payment[payment_intent]", intent)
            .with("limit", 10)
    }

    /// All that a customer was charged, the latest first.
    pub fn charges(customer: &str, after: Option<&str>) -> Self {
        Self::get("/v1/charges")
            .with("customer", customer)
            .with("limit", 100)
            .with_some("starting_after", after)
    }

    /// A charge.
    pub fn charge(id: &str) -> Self {
        Self::get(format!("/v1/charges/{id}"))
    }

    /// A refund.
    pub fn refund(id: &str) -> Self {
        Self::get(format!("/v1/refunds/{id}"))
    }

    /// What of a payment went back.
    pub fn refunds(intent: &str) -> Self {
        Self::get("/v1/refunds").with("payment_intent", intent).with("limit", 100)
    }

    /// A dispute.
    pub fn dispute(id: &str) -> Self {
        Self::get(format!("/v1/disputes/{id}"))
    }

    /// The disputes about a payment.
    pub fn disputes(intent: &str) -> Self {
        Self::get("/v1/disputes").with("payment_intent", intent).with("limit", 10)
    }

    /// Gives back what is left of a payment.
    pub fn give_back(intent: &str, key: Uuid) -> Self {
        Self::post("/v1/refunds").with("payment_intent", intent).once(key.to_string())
    }

    fn get(path: impl Into<String>) -> Self {
        Self { method: Method::Get, path: path.into(), fields: Vec::new(), idempotency_key: None }
    }

    fn post(path: impl Into<String>) -> Self {
        Self { method: Method::Post, ..Self::get(path) }
    }

    fn with(mut self, name: impl Into<String>, value: impl Display) -> Self {
        self.fields.push((name.into(), value.to_string()));
        self
    }

    fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    fn once(self, key: String) -> Self {
        Self { idempotency_key: Some(key), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_says_nothing_that_stripe_does_not_take_beside_pending_if_incomplete() {
        let names: Vec<_> = Request::upgrade("sub_1", "si_1", "price_1", Uuid::nil())
            .fields
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["items[0][id]", "items[0][price]", "proration_behavior", "payment_behavior"]);
    }

    #[test]
    fn what_makes_something_is_asked_under_a_key_that_a_second_try_has_too() {
        let order = PriceOrder {
            plan: Uuid::from_u128(7),
            number: 0,
            product: "Pro",
            amount: Minor(999),
            currency: "EUR".parse().unwrap(),
        };
        assert_eq!(Request::create_price(&order), Request::create_price(&order));
        assert!(Request::create_price(&order).idempotency_key.is_some());
        assert!(Request::give_back("pi_1", Uuid::nil()).idempotency_key.is_some());
    }
}
