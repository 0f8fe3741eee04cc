//! All that has to be asked for a snapshot of a subscription. No I/O: whoever drives it asks what [`Reading::next`] says, and hands the answers in.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::CHECKOUT_KEY;
use super::object::{
    Charge, Dispute, Invoice, Line, List, Refund, Schedule, Subscription, Unreadable, read, time,
};
use super::request::Request;
use crate::money::Minor;
use crate::snapshot::{self, DisputeOutcome, Payment, PaymentId, Phase, Snapshot};
use crate::tier::Tier;

/// A snapshot that is being asked for.
#[derive(Debug)]
pub struct Reading {
    next: VecDeque<Question>,
    subscription: Option<Subscription>,
    schedule: Option<Schedule>,
    invoices: Vec<Invoice>,
    charges: HashMap<String, Charge>,
    refunds: HashMap<String, Vec<Refund>>,
    disputes: HashMap<String, Vec<Dispute>>,
    pages: u32,
}

#[derive(Clone, Debug)]
enum Question {
    Subscription(String),
    Schedule(String),
    Invoices(String, Option<String>),
    Charges(String, Option<String>),
    Refunds(String),
    Disputes(String),
}

/// What comes next.
#[derive(Debug)]
pub enum Asked {
    /// This is to be asked, and the answer handed in by [`Reading::take`].
    Ask(Request),
    /// Nothing more. None where nothing was handed in.
    Done(Option<Box<Fetched>>),
}

/// What Stripe says of a subscription. Which of its prices is which tier, only our tables know.
#[derive(Debug)]
pub struct Fetched {
    /// Our checkout, of which it came; none is somebody else's.
    pub checkout: Option<Uuid>,
    /// Whether money moves.
    pub livemode: bool,
    /// Who pays.
    pub customer: String,
    /// Where it stands.
    pub phase: Phase,
    /// The provider's own word for that.
    pub status: String,
    /// What was paid, with the prices that were paid.
    pub paid: Vec<Paid>,
    /// The present item and its price, and the period that it runs for, in seconds since 1970.
    pub item: Option<(String, String, (i64, i64))>,
    /// The schedule that is going to change it.
    pub schedule: Option<String>,
    /// The price from the next renewal on, where that is another one.
    pub next_price: Option<String>,
    /// A change of price waits for its payment.
    pub change_is_pending: bool,
    /// Where what has not been paid can be paid.
    pub pay_url: Option<String>,
}

/// A paid invoice.
#[derive(Debug)]
pub struct Paid {
    /// `in_…`.
    pub invoice: String,
    /// What the money came by, and goes back by: `pi_…`. None where there was nothing to pay.
    pub intent: Option<String>,
    /// For the payer.
    pub receipt_url: Option<String>,
    /// `eur`.
    pub currency: String,
    lines: Vec<(String, DateTime<Utc>, DateTime<Utc>)>,
    at: DateTime<Utc>,
    amount: Minor,
    refunded: Minor,
    refunded_at: Option<DateTime<Utc>>,
    dispute: Option<snapshot::Dispute>,
}

impl Reading {
    /// Of the subscription with this id.
    pub fn of(subscription: &str) -> Self {
        Self {
            next: VecDeque::from([Question::Subscription(subscription.to_owned())]),
            subscription: None,
            schedule: None,
            invoices: Vec::new(),
            charges: HashMap::new(),
            refunds: HashMap::new(),
            disputes: HashMap::new(),
            pages: 0,
        }
    }

    /// What is to be asked now; the same until the answer was handed in.
    pub fn next(&self) -> Asked {
        match self.next.front() {
            Some(question) => Asked::Ask(match question {
                Question::Subscription(id) => Request::subscription(id),
                Question::Schedule(id) => Request::read_schedule(id),
                Question::Invoices(id, after) => Request::invoices(id, after.as_deref()),
                Question::Charges(customer, after) => Request::charges(customer, after.as_deref()),
                Question::Refunds(intent) => Request::refunds(intent),
                Question::Disputes(intent) => Request::disputes(intent),
            }),
            None => Asked::Done(self.fetched().map(Box::new)),
        }
    }

    /// The answer to what [`Reading::next`] said.
    ///
    /// # Errors
    /// When it is something else.
    pub fn take(&mut self, answer: &[u8]) -> Result<(), Unreadable> {
        let Some(question) = self.next.pop_front() else { return Ok(()) };
        match question {
            Question::Subscription(id) => {
                let subscription: Subscription = read(answer)?;
                // Of somebody else's nothing more is asked.
                if subscription.metadata.contains_key(CHECKOUT_KEY) {
                    let schedule = subscription.schedule.as_ref().map(|schedule| schedule.id().to_owned());
                    self.next.extend(schedule.map(Question::Schedule));
                    self.next.push_back(Question::Invoices(id, None));
                }
                self.subscription = Some(subscription);
            }
            Question::Schedule(_) => self.schedule = Some(read(answer)?),
            Question::Invoices(id, _) => {
                let List { data, has_more } = read::<List<Invoice>>(answer)?;
                let last = data.last().map(|invoice| invoice.id.clone());
                self.invoices.extend(data);
                if let Some(last) = last.filter(|_| has_more) {
                    self.turn()?;
                    self.next.push_front(Question::Invoices(id, Some(last)));
                } else if self.invoices.iter().any(|invoice| invoice.amount_paid > 0) {
                    let customer = self.subscription.as_ref().map(|known| known.customer.id().to_owned());
                    self.next.extend(customer.map(|customer| Question::Charges(customer, None)));
                }
            }
            Question::Charges(customer, _) => {
                let List { data, has_more } = read::<List<Charge>>(answer)?;
                let last = data.last().map(|charge| (charge.id.clone(), charge.created));
                self.keep_charges(data);
                // What was charged before it began is of other subscriptions.
                let since = self.subscription.as_ref().map_or(0, |known| known.created);
                if let Some((last, _)) = last.filter(|(_, created)| has_more && *created >= since) {
                    self.turn()?;
                    self.next.push_front(Question::Charges(customer, Some(last)));
                }
            }
            Question::Refunds(intent) => {
                drop(self.refunds.insert(intent, read::<List<Refund>>(answer)?.data));
            }
            Question::Disputes(intent) => {
                drop(self.disputes.insert(intent, read::<List<Dispute>>(answer)?.data));
            }
        }
        Ok(())
    }

    fn keep_charges(&mut self, charges: Vec<Charge>) {
        let ours: Vec<String> = self.invoices.iter().filter_map(intent_of).collect();
        for charge in charges {
            let Some(intent) = charge.payment_intent.as_ref().map(|intent| intent.id().to_owned()) else {
                continue;
            };
            let went_through = charge.status.as_deref().is_none_or(|status| status == "succeeded");
            if !went_through || !ours.contains(&intent) {
                continue;
            }
            if charge.amount_refunded > 0 {
                self.next.push_back(Question::Refunds(intent.clone()));
            }
            if charge.disputed {
                self.next.push_back(Question::Disputes(intent.clone()));
            }
            self.charges.insert(intent, charge);
        }
    }

    /// Lists are read to their ends: half of one would be taken for all that was paid and went back.
    fn turn(&mut self) -> Result<(), Unreadable> {
        self.pages += 1;
        if self.pages < MOST_PAGES {
            Ok(())
        } else {
            Err(Unreadable(serde::de::Error::custom("a list without an end")))
        }
    }

    fn fetched(&self) -> Option<Fetched> {
        let subscription = self.subscription.as_ref()?;
        let item = subscription.items.data.first();
        let checkout = subscription.metadata.get(CHECKOUT_KEY).and_then(|id| id.parse().ok());
        let unpaid = self.invoices.iter().find(|invoice| invoice.status.as_deref() == Some("open"));
        Some(Fetched {
            checkout,
            livemode: subscription.livemode,
            customer: subscription.customer.id().to_owned(),
            phase: phase(subscription),
            status: subscription.status.clone(),
            paid: self.invoices.iter().filter_map(|invoice| self.paid(invoice)).collect(),
            item: item.map(|item| {
                let period = (item.current_period_start.unwrap_or(0), item.current_period_end.unwrap_or(0));
                (item.id.clone(), item.price.id.clone(), period)
            }),
            schedule: subscription.schedule.as_ref().map(|schedule| schedule.id().to_owned()),
            next_price: self.next_price(item.map(|item| item.price.id.as_str())),
            change_is_pending: subscription.pending_update.as_ref().is_some_and(|update| !update.is_null()),
            pay_url: unpaid.and_then(|invoice| invoice.hosted_invoice_url.clone()),
        })
    }

    fn paid(&self, invoice: &Invoice) -> Option<Paid> {
        if invoice.status.as_deref() != Some("paid") {
            return None;
        }
        let paid_at =
            invoice.status_transitions.as_ref().and_then(|known| known.paid_at).unwrap_or(invoice.created);
        let intent = intent_of(invoice);
        let of_intent = |known: &String| Some(known) == intent.as_ref();
        let amount = Minor(invoice.amount_paid);
        let (refunded, refunded_at) = intent
            .as_ref()
            .and_then(|intent| self.refunds.get(intent))
            .map_or((Minor::ZERO, None), |all| gone_back(all, amount));
        Some(Paid {
            invoice: invoice.id.clone(),
            receipt_url: intent.as_ref().and_then(|intent| self.charges.get(intent)?.receipt_url.clone()),
            currency: invoice.currency.clone(),
            lines: invoice.lines.data.iter().filter_map(bought).collect(),
            at: time(paid_at)?,
            amount,
            refunded,
            refunded_at,
            dispute: self
                .disputes
                .iter()
                .find(|(known, _)| of_intent(known))
                .and_then(|(_, all)| disputed(all)),
            intent,
        })
    }

    fn next_price(&self, present: Option<&str>) -> Option<String> {
        let schedule = self
            .schedule
            .as_ref()
            .filter(|known| known.status == "active" || known.status == "not_started")?;
        let last = schedule.phases.iter().max_by_key(|phase| phase.start_date)?;
        let price = last.items.first()?.price.id();
        (Some(price) != present).then(|| price.to_owned())
    }
}

impl Fetched {
    /// In our words, by what each price is. Lines of prices that are not ours buy nothing.
    pub fn snapshot(&self, tier_of: impl Fn(&str) -> Option<Tier>) -> Snapshot {
        Snapshot {
            phase: self.phase,
            payments: self.paid.iter().filter_map(|paid| paid.payment(&tier_of)).collect(),
            pending_tier: self.next_price.as_deref().and_then(tier_of),
        }
    }
}

impl Paid {
    fn payment(&self, tier_of: impl Fn(&str) -> Option<Tier>) -> Option<Payment> {
        let lines = self.lines.iter().filter_map(|(price, from, to)| Some((tier_of(price)?, *from, *to)));
        let (tier, from, to) = lines.max_by_key(|(tier, _, to)| (*tier, *to))?;
        Some(Payment {
            id: PaymentId(self.invoice.clone()),
            tier,
            from,
            to,
            paid_at: self.at,
            amount: self.amount,
            refunded: self.refunded,
            refunded_at: self.refunded_at,
            dispute: self.dispute,
        })
    }
}

/// A word that this version does not know grants nothing more than a late renewal does.
fn phase(subscription: &Subscription) -> Phase {
    let at = |seconds: Option<i64>| seconds.and_then(time);
    match subscription.status.as_str() {
        "canceled" | "incomplete_expired" => {
            let ended = at(subscription.ended_at).or_else(|| at(subscription.canceled_at));
            Phase::Ended(ended.or_else(|| time(subscription.created)).unwrap_or(DateTime::UNIX_EPOCH))
        }
        "active" | "trialing" | "incomplete" => {
            let period_end = subscription.items.data.iter().filter_map(|item| item.current_period_end).max();
            let ends = subscription.cancel_at.or(period_end.filter(|_| subscription.cancel_at_period_end));
            at(ends).map_or(Phase::Live, Phase::Ending)
        }
        _ => Phase::PastDue,
    }
}

/// A line that buys something; what is given back for what was not used does not.
fn bought(line: &Line) -> Option<(String, DateTime<Utc>, DateTime<Utc>)> {
    let price = line.pricing.as_ref()?.price_details.as_ref()?.price.as_ref()?.id();
    (line.amount >= 0).then_some(())?;
    Some((price.to_owned(), time(line.period.start)?, time(line.period.end)?))
}

fn intent_of(invoice: &Invoice) -> Option<String> {
    let payments = invoice.payments.as_ref()?.data.iter();
    let mut paid = payments.filter(|payment| payment.status.as_deref().is_none_or(|status| status == "paid"));
    Some(paid.find_map(|payment| payment.payment.as_ref()?.payment_intent.as_ref())?.id().to_owned())
}

/// How much went back, and when the last of `amount` did.
fn gone_back(refunds: &[Refund], amount: Minor) -> (Minor, Option<DateTime<Utc>>) {
    let mut done: Vec<_> =
        refunds.iter().filter(|refund| refund.status.as_deref() == Some("succeeded")).collect();
    done.sort_by_key(|refund| refund.created);
    let (mut sum, mut all_since) = (Minor::ZERO, None);
    for refund in done {
        sum = sum.plus(Minor(refund.amount));
        if sum >= amount && all_since.is_none() {
            all_since = time(refund.created);
        }
    }
    (sum.min(amount), all_since)
}

/// A warning is no dispute: the money is still here.
fn disputed(disputes: &[Dispute]) -> Option<snapshot::Dispute> {
    let real = disputes.iter().filter(|dispute| !dispute.status.starts_with("warning_"));
    let latest = real.max_by_key(|dispute| dispute.created)?;
    let outcome = match latest.status.as_str() {
        "won" => DisputeOutcome::Won,
        "lost" => DisputeOutcome::Lost,
        _ => DisputeOutcome::Open,
    };
    Some(snapshot::Dispute { since: time(latest.created)?, outcome })
}

/// A hundred objects each: more than a viewer of twenty channels has in ten years.
const MOST_PAGES: u32 = 30;

#[cfg(test)]
mod tests;
