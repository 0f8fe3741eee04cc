//! Subscriptions that are paid for.
//!
//! What a provider says of a subscription is asked from the provider, whole, and never read from an event: `caudal_billing` has why, and turns
//! the answer into a row. Here is what surrounds that:
//!
//! ```text
//! webhook ─verify→ webhook_events + billing_syncs + job, one transaction → 200
//! job     claim → ask the provider → fold → subscriptions, payments, ledger, orders, news, if the claim still holds
//! order   ask the provider under the order's id → wanted again
//! hourly  wanted again: every live row, every open checkout, whatever the provider has of ours that no row knows
//! ```
//!
//! * `config` – what the operator has decided; `error` – why somebody gets nothing
//! * `plans` – what streamers sell
//! * `checkout` – somebody is about to pay
//! * `stripe` – asking Stripe
//! * `inbox` – what providers tell; `sync` – looking at what has changed there; `record` – writing it down
//! * `orders` – what providers are to do
//! * `reconcile` – finding what nobody told
//! * `subscription` – rows as people see them, and what their owners do with them; `payments` – what they paid
//! * `ledger` – what streamers are owed
//! * `entitlement` – who has what tier of which channel
//! * `letters` – what subscribers are mailed; `news` – telling a streamer of a subscriber; `conversion` – how many of those who could have subscribed did

mod checkout;
mod config;
mod conversion;
mod entitlement;
mod error;
mod inbox;
mod ledger;
mod letters;
mod news;
mod orders;
mod payments;
mod plans;
mod reconcile;
mod record;
mod stripe;
mod subscription;
mod sync;

pub(crate) use checkout::{CheckoutView, NewCheckout, PaymentMethod, show_checkout};
pub use config::{BillingConfig, StripeConfig, TierPrice, TierPrices};
pub(crate) use conversion::{conversion, forget_old_offers, note_offer};
pub(crate) use entitlement::Subscribed;
pub(crate) use error::BillingError;
pub(crate) use inbox::{forget_old_events, take_webhook};
pub(crate) use ledger::{Owed, csv, owed_to};
pub(crate) use letters::{SubscriptionLetter, mail_subscriber};
pub(crate) use news::new_subscriber;
pub(crate) use orders::carry_out;
pub(crate) use payments::{PaymentView, payments_of};
pub(crate) use plans::{OfferView, PlansOfStreamer, offer_of, plans_of, sell, stop_selling};
pub(crate) use reconcile::{keep, stop_all_of};
pub(crate) use stripe::Stripe;
pub(crate) use subscription::{
    SubscriberView, SubscriptionView, cancel, change_tier, of_streamer, of_user, resume, withdraw,
};
pub(crate) use sync::sync;

use crate::outbox::{self, Attempt, Outcome};

/// For a job that asks somebody who is away: later, and later each time.
fn again(attempt: Attempt, reason: String) -> Outcome {
    let pause = outbox::pause(u32::try_from(attempt.number).unwrap_or(1), rand::random());
    Outcome::Again { pause, reason }
}
