//! All that the fake knows. Nothing here waits for anything: whoever holds the state has the whole of it.

use serde_json::{Value, json};

use super::Settings;
use super::checkout::Session;
use super::clock::Clock;
use super::customers::{Customer, PortalSession};
use super::delivery::Post;
use super::disputes::Dispute;
use super::endpoints::Endpoint;
use super::errors::{Answer, StripeError};
use super::events::Event;
use super::faults::Faults;
use super::form::Params;
use super::idempotency::Keys;
use super::invoices::Invoice;
use super::payments::{Charge, InvoicePayment, PaymentIntent};
use super::prices::{Price, Product};
use super::refunds::Refund;
use super::schedules::Schedule;
use super::server::Recorded;
use super::shelf::{Shelf, Stored};
use super::subscriptions::Subscription;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    /// Where the fake listens: its pages' addresses begin with it.
    pub(crate) base: String,
    pub(crate) clock: Clock,

    pub(crate) customers: Shelf<Customer>,
    pub(crate) portal_sessions: Shelf<PortalSession>,
    pub(crate) products: Shelf<Product>,
    pub(crate) prices: Shelf<Price>,
    pub(crate) sessions: Shelf<Session>,
    pub(crate) subscriptions: Shelf<Subscription>,
    pub(crate) schedules: Shelf<Schedule>,
    pub(crate) invoices: Shelf<Invoice>,
    pub(crate) invoice_payments: Shelf<InvoicePayment>,
    pub(crate) intents: Shelf<PaymentIntent>,
    pub(crate) charges: Shelf<Charge>,
    pub(crate) refunds: Shelf<Refund>,
    pub(crate) disputes: Shelf<Dispute>,
    pub(crate) endpoints: Shelf<Endpoint>,
    pub(crate) events: Shelf<Event>,

    pub(crate) keys: Keys,
    pub(crate) faults: Faults,
    pub(crate) requests: Vec<Recorded>,
    pub(crate) post: Post,
}

impl State {
    pub(crate) fn now(&self) -> i64 {
        self.clock.now()
    }

    /// Any object as the API answers it.
    pub(crate) fn object(&self, id: &str) -> Answer {
        fn of<T: Stored>(state: &State, shelf: &Shelf<T>, id: &str) -> Answer {
            shelf.find(id).map(|object| object.json(state))
        }
        let (prefix, _) = id.rsplit_once('_').unwrap_or_default();
        match prefix {
            "cus" => of(self, &self.customers, id),
            "bps" => of(self, &self.portal_sessions, id),
            "prod" => of(self, &self.products, id),
            "price" => of(self, &self.prices, id),
            "cs_test" => of(self, &self.sessions, id),
            "sub" => of(self, &self.subscriptions, id),
            "sub_sched" => of(self, &self.schedules, id),
            "in" => of(self, &self.invoices, id),
            "inpay" => of(self, &self.invoice_payments, id),
            "pi" => of(self, &self.intents, id),
            "ch" => of(self, &self.charges, id),
            "re" => of(self, &self.refunds, id),
            "du" => of(self, &self.disputes, id),
            "we" => of(self, &self.endpoints, id),
            "evt" => of(self, &self.events, id),
            _ => Err(StripeError::no_such("object", id)),
        }
    }

    /// Every object of a kind, the oldest first: `customers`, `checkout_sessions`, `subscriptions` and so on.
    pub(crate) fn objects(&self, kind: &str) -> Option<Vec<Value>> {
        fn all<T: Stored>(state: &State, shelf: &Shelf<T>) -> Vec<Value> {
            shelf.iter().map(|object| object.json(state)).collect()
        }
        Some(match kind {
            "customers" => all(self, &self.customers),
            "products" => all(self, &self.products),
            "prices" => all(self, &self.prices),
            "checkout_sessions" => all(self, &self.sessions),
            "subscriptions" => all(self, &self.subscriptions),
            "subscription_schedules" => all(self, &self.schedules),
            "invoices" => all(self, &self.invoices),
            "invoice_payments" => all(self, &self.invoice_payments),
            "payment_intents" => all(self, &self.intents),
            "charges" => all(self, &self.charges),
            "refunds" => all(self, &self.refunds),
            "disputes" => all(self, &self.disputes),
            "webhook_endpoints" => all(self, &self.endpoints),
            "events" => all(self, &self.events),
            _ => return None,
        })
    }

    /// Puts objects in the place of their ids where `expand[]` names them.
    pub(crate) fn expand(&self, mut answer: Value, params: &Params) -> Answer {
        for path in params.list("expand") {
            let names: Vec<_> = path.split('.').collect();
            if names.len() > 4 {
                let message = "You cannot expand more than 4 levels of a property.";
                return Err(StripeError::invalid(message).param("expand"));
            }
            if !self.expand_at(&mut answer, &names) {
                let message = format!("This property cannot be expanded ({path}).");
                return Err(StripeError::invalid(message).param("expand"));
            }
        }
        Ok(answer)
    }

    fn expand_at(&self, at: &mut Value, names: &[&str]) -> bool {
        let Some((name, rest)) = names.split_first() else { return true };
        if let Some(entries) = at.as_array_mut() {
            return entries.iter_mut().all(|entry| self.expand_at(entry, names));
        }
        if at.is_null() {
            return true;
        }
        // A list in an object that is there only for those who ask for it.
        if *name == "payments" && at["object"] == "invoice" && at.get("payments").is_none() {
            let invoice = at["id"].as_str().unwrap();
            let payments = self.invoice_payments.iter().filter(|payment| payment.invoice == invoice);
            let data: Vec<_> = payments.map(|payment| payment.json(self)).collect();
            at["payments"] =
                json!({ "object": "list", "has_more": false, "url": "/v1/invoice_payments", "data": data });
        }
        let Some(child) = at.get_mut(*name) else { return false };
        if let Some(id) = child.as_str() {
            if !EXPANDABLE.contains(name) {
                return false;
            }
            let Ok(object) = self.object(id) else { return false };
            *child = object;
        } else if rest.is_empty() && child.is_object() && *name != "payments" {
            // Another path expanded it already.
            return EXPANDABLE.contains(name);
        }
        self.expand_at(child, rest)
    }
}

/// `cus_` and 24 hexadecimal digits, for example.
pub(crate) fn new_id(prefix: &str) -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{prefix}_{}", &random[..24])
}

/// Properties that hold an id, and an object for those who ask.
const EXPANDABLE: &[&str] = &[
    "charge",
    "customer",
    "invoice",
    "latest_charge",
    "latest_invoice",
    "payment_intent",
    "product",
    "schedule",
    "subscription",
];
