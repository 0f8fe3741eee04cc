//! Stripe's API as plain data: what is asked, what the answers mean, and which webhooks are Stripe's.
//!
//! Written for version [`VERSION`]; what later versions add is skipped, and what they leave out is optional here.
//!
//! * `request` – everything that Stripe is asked
//! * `object` – of its answers, the fields that are read
//! * `reading` – all that has to be asked for a snapshot of a subscription, one question after the other
//! * `webhook` – signatures, and which object an event is about

mod object;
mod reading;
mod request;
mod webhook;

pub use object::{
    Charge, CheckoutSession, Created, Dispute, ErrorAnswer, Invoice, InvoicePayment, List, Reference, Refund,
    Schedule, SessionStatus, Subscription, Unreadable, read,
};
pub use reading::{Asked, Fetched, Paid, Reading};
pub use request::{CheckoutOrder, Method, PriceOrder, Request};
pub use webhook::{About, BadSignature, Event, Kind, sign, verify};

/// The newest version whose specification can be had for tests. By its changelog what is asked here holds in the next one too.
pub const VERSION: &str = "2026-08-26.dahlia";

/// The key in metadata under which Stripe keeps the id of our checkout. What has none, or an unknown one, is somebody else's.
pub const CHECKOUT_KEY: &str = "caudal_checkout";
