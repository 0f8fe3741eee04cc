//! Subscriptions that people pay for: what a payment provider says of one, and what follows from that. No I/O and no clock.
//!
//! A provider is asked for the *whole* of a subscription after each of its events, never told by the event, so the order, number and content of
//! events do not matter. What it says is a [`Snapshot`]; [`fold`] turns that into our row. The snapshot carries the times of what happened, so the
//! row does not depend on when we looked either: a process that was away for a day ends with the row that it would have had.
//!
//! * `tier` – what is sold; `money` – amounts, and what of them is the platform's
//! * `snapshot` – what a provider says, in our words
//! * `history` – which payments count, and when a subscription was over
//! * `state` – from there to the row, and to what the provider is to be told
//! * `ledger` – what a streamer is owed for a payment
//! * `stripe` – Stripe's requests and answers as plain data
//!
//! Knows nothing of people, HTTP or databases.

mod history;
mod ledger;
mod money;
mod snapshot;
mod state;
pub mod stripe;
mod tier;

pub use ledger::owed;
pub use money::{Currency, Fee, InvalidCurrency, InvalidFee, Minor};
pub use snapshot::{Dispute, DisputeOutcome, Payment, PaymentId, Phase, Snapshot};
pub use state::{Claim, Folded, Order, Row, Rules, Status, UnknownStatus, fold};
pub use tier::{Tier, UnknownTier};
