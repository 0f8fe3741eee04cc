//! What the operator has decided.

use std::time::Duration;

use caudal_billing::{Currency, Fee, Minor, Rules, Tier};
use chrono::TimeDelta;
use secrecy::SecretString;

/// What is sold, and through whom.
#[derive(Clone, Debug)]
pub struct BillingConfig {
    /// Takes cards.
    pub stripe: StripeConfig,
    /// Of all prices.
    pub currency: Currency,
    /// What streamers may ask for a month.
    pub prices: TierPrices,
    /// What the platform keeps.
    pub fee: Fee,
    /// How long a subscription entitles whose renewal is late.
    pub grace: Duration,
    /// How long after the first payment a viewer may withdraw, with all of the money back.
    pub withdrawal: Duration,
    /// Whether Stripe works out the tax that is in the price.
    pub automatic_tax: bool,
}

/// How Stripe is reached.
#[derive(Clone, Debug)]
pub struct StripeConfig {
    /// `sk_…`, or `rk_…` with the rights that docs/operating.md lists.
    pub secret_key: SecretString,
    /// Each `whsec_…`; several while one is changed. None: nothing of Stripe's webhooks is believed, and what has changed is found by asking.
    pub webhook_secrets: Vec<SecretString>,
    /// `https://api.stripe.com`, without a slash at the end.
    pub api_base: String,
}

/// What streamers may ask for each tier.
#[derive(Clone, Copy, Debug)]
pub struct TierPrices {
    /// Of the least.
    pub basic: TierPrice,
    /// Of the middle one.
    pub pro: TierPrice,
    /// Of all.
    pub premium: TierPrice,
}

/// What streamers may ask for a tier, in the currency's smallest unit.
#[derive(Clone, Copy, Debug)]
pub struct TierPrice {
    /// At least.
    pub min: Minor,
    /// At most.
    pub max: Minor,
    /// What is suggested.
    pub usual: Minor,
}

impl TierPrices {
    pub(super) fn of(self, tier: Tier) -> TierPrice {
        match tier {
            Tier::Basic => self.basic,
            Tier::Pro => self.pro,
            Tier::Premium => self.premium,
        }
    }
}

impl BillingConfig {
    pub(super) fn rules(&self) -> Rules {
        // A renewal is charged an hour after its period began, and up to three days later where Stripe waits for somebody.
        Rules { grace: TimeDelta::from_std(self.grace).unwrap_or(TimeDelta::zero()).max(TimeDelta::days(3)) }
    }

    pub(crate) fn withdrawal(&self) -> TimeDelta {
        TimeDelta::from_std(self.withdrawal).unwrap_or(TimeDelta::zero())
    }
}
