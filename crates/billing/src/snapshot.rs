//! What a provider says of one subscription, in our words.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::money::Minor;
use crate::tier::Tier;

/// All that a provider knew of a subscription when it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Where it stands.
    pub phase: Phase,
    /// What was paid for it, in any order, each once. What was asked for and not paid is not among them.
    pub payments: Vec<Payment>,
    /// What it is going to be from the next renewal on, where that is another tier.
    pub pending_tier: Option<Tier>,
}

/// Where a subscription stands with its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is going to be renewed.
    Live,
    /// The last renewal could not be charged, and is going to be tried again.
    PastDue,
    /// It is not going to be renewed, and is over then. Where that is later than what was paid for, the present period has yet to be paid.
    Ending(DateTime<Utc>),
    /// It is over there, since then, and nothing is charged any more.
    Ended(DateTime<Utc>),
}

/// The id that a provider gave a payment, unique with that provider.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PaymentId(pub String);

/// Money that came, for a time of a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// By which it is known.
    pub id: PaymentId,
    /// What was paid for: the highest tier among the paid lines.
    pub tier: Tier,
    /// From when it was paid for.
    pub from: DateTime<Utc>,
    /// Until when.
    pub to: DateTime<Utc>,
    /// When the money came.
    pub paid_at: DateTime<Utc>,
    /// How much. Zero where a voucher paid.
    pub amount: Minor,
    /// How much of it went back.
    pub refunded: Minor,
    /// When the last of it went back; none while something is left.
    pub refunded_at: Option<DateTime<Utc>>,
    /// Whether the payer's bank takes it back.
    pub dispute: Option<Dispute>,
}

/// A payer's bank wants the money back, or wanted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dispute {
    /// When it was opened. The money is away from then on.
    pub since: DateTime<Utc>,
    /// What came of it.
    pub outcome: DisputeOutcome,
}

/// What came of a dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisputeOutcome {
    /// Nobody has decided yet.
    Open,
    /// The money is back here.
    Won,
    /// It is gone.
    Lost,
}

impl Payment {
    /// Since when its money is gone for good, if it is.
    pub(crate) fn dead_since(&self) -> Option<DateTime<Utc>> {
        let lost = self.dispute.filter(|dispute| dispute.outcome == DisputeOutcome::Lost);
        [lost.map(|dispute| dispute.since), self.refunded_at].into_iter().flatten().min()
    }

    /// Since when nobody knows whether its money comes back, if that is so.
    pub(crate) fn disputed_since(&self) -> Option<DateTime<Utc>> {
        self.dispute.filter(|dispute| dispute.outcome == DisputeOutcome::Open).map(|dispute| dispute.since)
    }

    /// Whether its money is here.
    pub(crate) fn stands(&self) -> bool {
        self.dead_since().is_none() && self.disputed_since().is_none()
    }

    /// Until when it entitles to anything: to the end of what was paid for, unless the money went away before.
    pub(crate) fn good_until(&self) -> DateTime<Utc> {
        [self.dead_since(), self.disputed_since()].into_iter().flatten().fold(self.to, DateTime::min)
    }
}
