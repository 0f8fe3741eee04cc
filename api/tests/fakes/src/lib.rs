//! Payment providers that a test can steer: a fake of Stripe's API, version 2026-08-26.dahlia.
//!
//! # What it does not prove
//!
//! The fake is ours. It was written from Stripe's documentation by the same people who wrote the client, so a misunderstanding can
//! be in both, and every test is green. It proves that our code survives what the fake can do: refusals, declines, lost and doubled
//! events, connections that end before or after the effect. Only a run against a Stripe sandbox proves how Stripe behaves.
//!
//! It is narrower than Stripe: one item a subscription, monthly prices, cards only, no tax, no Connect, no coupons, no trials. A
//! parameter that it does not know is refused even where Stripe would take it, so that no request passes here unnoticed.
//! Where Stripe's documentation leaves a question open, the code says so at that place.

#![allow(
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what goes wrong in a fake should end it"
)]

pub mod stripe;
