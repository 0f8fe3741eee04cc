//! The fake of Stripe, tested for what is easy to get wrong in it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what goes wrong in a test should end it"
)]

#[path = "stripe/checkouts.rs"]
mod checkouts;
#[path = "stripe/deliveries.rs"]
mod deliveries;
#[path = "stripe/money_back.rs"]
mod money_back;
#[path = "stripe/renewals.rs"]
mod renewals;
#[path = "stripe/requests.rs"]
mod requests;
#[path = "stripe/shop.rs"]
mod shop;
#[path = "stripe/upgrades.rs"]
mod upgrades;
