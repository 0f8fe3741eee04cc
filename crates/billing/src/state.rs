//! From what a provider says to our row, and to what the provider is to be told.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::history::{History, last_chance};
use crate::money::Minor;
use crate::snapshot::{Payment, PaymentId, Phase, Snapshot};
use crate::tier::Tier;

/// A subscription as our table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it stands, in the three words that clients know.
    pub status: Status,
    /// What it entitles to as long as it does; what it last did, afterwards.
    pub tier: Tier,
    /// Until when that is paid for, or was. Falls only when money went back.
    pub expires_at: DateTime<Utc>,
    /// Until when it entitles although a renewal has not come yet.
    pub grace_until: Option<DateTime<Utc>>,
    /// What it is from the next renewal on, where that is another tier.
    pub pending_tier: Option<Tier>,
    /// A renewal was tried and failed.
    pub past_due: bool,
    /// A bank has money of it.
    pub disputed: bool,
    /// When the last payment came that bought something.
    pub accepted_through: Option<DateTime<Utc>>,
}

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is renewed.
    Active,
    /// It is not renewed, and entitles until its end, or after a dispute that is won.
    Cancelled,
    /// It entitles to nothing, and never will again.
    Expired,
}

/// Whether there was room for a subscription when it came: a viewer has one of a channel at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the viewer's subscription of this channel.
    First,
    /// Another one is. Two tabs, or two providers, were paid in.
    Surplus,
}

/// What the operator has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// For how long a subscription entitles whose renewal is late.
    pub grace: TimeDelta,
}

/// What follows from a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded {
    /// None while nothing was paid.
    pub row: Option<Row>,
    /// Of the snapshot's payments those that bought nothing.
    pub surplus: Vec<PaymentId>,
    /// What the provider is to be told. The same again until it has happened there: whoever carries it out does each once.
    pub orders: Vec<Order>,
}

/// Something that a provider is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// End it at once, and charge nothing any more.
    Cancel,
    /// Give back whatever is left of a payment by the time.
    Refund(PaymentId),
}

/// What a subscription is, from all that its provider says of it. `before` is our row so far: what is over stays over, and what was accepted
/// stays accepted. `asked_at` is when the provider was asked: by the time that its answer is written down a renewal may have come of which the
/// answer knows nothing.
pub fn fold(
    before: Option<&Row>,
    snapshot: &Snapshot,
    claim: Claim,
    rules: Rules,
    asked_at: DateTime<Utc>,
) -> Folded {
    let accepted_before = before.and_then(|row| row.accepted_through);
    let nothing_left = claim == Claim::Surplus || before.is_some_and(|row| row.status == Status::Expired);
    if nothing_left {
        let is_surplus = |payment: &&Payment| accepted_before.is_none_or(|before| payment.paid_at > before);
        let surplus: Vec<&Payment> = snapshot.payments.iter().filter(is_surplus).collect();
        let row = before.cloned().or_else(|| never_begun(&surplus));
        return Folded { row, orders: orders(snapshot.phase, true, &surplus), surplus: ids(&surplus) };
    }
    let history = History::of(snapshot, rules.grace, accepted_before);
    let over = history.over || !history.covers(asked_at, rules.grace, snapshot.phase);
    let row = row_of(before, &history, snapshot, over, rules, asked_at);
    // One that nobody has paid yet may still be: only what had begun can be over.
    let stop = row.is_some() && (over || history.closing);
    Folded { row, orders: orders(snapshot.phase, stop, &history.surplus), surplus: ids(&history.surplus) }
}

impl Row {
    /// What it entitles to at `now`.
    pub fn entitled(&self, now: DateTime<Utc>) -> Option<Tier> {
        let until = self.grace_until.map_or(self.expires_at, |grace| grace.max(self.expires_at));
        (self.status != Status::Expired && now < until).then_some(self.tier)
    }
}

fn row_of(
    before: Option<&Row>,
    history: &History<'_>,
    snapshot: &Snapshot,
    over: bool,
    rules: Rules,
    now: DateTime<Utc>,
) -> Option<Row> {
    let (accepted, paid_to) = (&history.accepted, history.paid_to?);
    let last = accepted.iter().filter(|payment| payment.to == paid_to).max_by_key(|payment| payment.tier)?;
    let holds =
        |payment: &&&Payment| payment.stands() && payment.from <= now + CLOCKS_DIFFER && now < payment.to;
    let best = accepted.iter().filter(holds).map(|payment| payment.tier).max();
    let renewed = matches!(snapshot.phase, Phase::Live | Phase::PastDue) && !history.closing && !over;
    let renewable = !history.closing && !over && last.stands();
    let grace_until =
        Some(last_chance(paid_to, rules.grace, snapshot.phase)).filter(|until| renewable && *until > paid_to);
    let tier = match best {
        Some(tier) => tier,
        None if over => before.map_or(last.tier, |row| row.tier),
        None => last.tier,
    };
    Some(Row {
        status: match (over, renewed) {
            (true, _) => Status::Expired,
            (false, true) => Status::Active,
            (false, false) => Status::Cancelled,
        },
        tier,
        expires_at: accepted.iter().map(|payment| payment.good_until()).max()?,
        grace_until,
        pending_tier: snapshot.pending_tier.filter(|pending| renewed && *pending != tier),
        past_due: renewed && snapshot.phase == Phase::PastDue,
        disputed: accepted.iter().any(|payment| payment.disputed_since().is_some()),
        accepted_through: accepted.iter().map(|payment| payment.paid_at).max(),
    })
}

/// So that it is on record what came and went back.
fn never_begun(surplus: &[&Payment]) -> Option<Row> {
    let first = surplus.iter().min_by_key(|payment| payment.paid_at)?;
    Some(Row {
        status: Status::Expired,
        tier: first.tier,
        expires_at: first.paid_at,
        grace_until: None,
        pending_tier: None,
        past_due: false,
        disputed: false,
        accepted_through: None,
    })
}

fn orders(phase: Phase, stop: bool, surplus: &[&Payment]) -> Vec<Order> {
    let cancel = (stop && !matches!(phase, Phase::Ended(_))).then_some(Order::Cancel);
    // What a bank has cannot be given back, and what it took is given back already.
    let refunds = surplus.iter().filter(|payment| payment.stands() && payment.amount > Minor::ZERO);
    cancel.into_iter().chain(refunds.map(|payment| Order::Refund(payment.id.clone()))).collect()
}

fn ids(payments: &[&Payment]) -> Vec<PaymentId> {
    payments.iter().map(|payment| payment.id.clone()).collect()
}

impl Status {
    /// The word in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        [Self::Active, Self::Cancelled, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or(UnknownStatus)
    }
}

/// A word that is no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("there is no such status: it is active, cancelled or expired")]
pub struct UnknownStatus;

/// A provider's clock may be ahead of ours by no more than this.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(10);

#[cfg(test)]
mod tests;
