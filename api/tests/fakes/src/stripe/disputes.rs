//! Charges that their owners tell the bank they did not make.

use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::{Answer, StripeError};
use super::routes::Route;
use super::shelf::Stored;
use super::state::{State, new_id};

/// How a dispute begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opening {
    /// The money is gone at once: `needs_response`.
    Chargeback,
    /// The bank only asks, and no money moves: `warning_needs_response`.
    Inquiry,
}

/// Where a dispute goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Evidence was sent, and the bank looks at it: `under_review`, or `warning_under_review`.
    UnderReview,
    /// The money comes back. An inquiry ends as `warning_closed`.
    Won,
    /// It does not.
    Lost,
}

#[derive(Debug)]
pub(crate) struct Dispute {
    id: String,
    created: i64,
    charge: String,
    intent: String,
    amount: i64,
    currency: String,
    status: &'static str,
}

impl Dispute {
    fn is_inquiry(&self) -> bool {
        self.status.starts_with("warning_")
    }
}

impl Stored for Dispute {
    const KIND: &'static str = "dispute";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, _: &State) -> Value {
        json!({
            "id": self.id,
            "object": "dispute",
            "amount": self.amount,
            "balance_transactions": [],
            "charge": self.charge,
            "created": self.created,
            "currency": self.currency,
            "evidence": {},
            "evidence_details": { "due_by": null, "has_evidence": false, "past_due": false },
            "is_charge_refundable": self.is_inquiry(),
            "livemode": false,
            "metadata": {},
            "payment_intent": self.intent,
            "reason": "fraudulent",
            "status": self.status,
        })
    }
}

impl State {
    /// `of` is a charge or a payment intent.
    pub(crate) fn open_dispute(&mut self, of: &str, opening: Opening) -> Answer<String> {
        let charge = self.charge_of(of)?.id.clone();
        if self.disputes.iter().any(|dispute| dispute.charge == charge && !dispute.is_inquiry()) {
            return Err(StripeError::invalid("The charge is disputed already."));
        }
        let created = self.now();
        let disputed = self.charges.get_mut(&charge);
        disputed.disputed = true;
        let dispute = Dispute {
            id: new_id("du"),
            created,
            charge: charge.clone(),
            intent: disputed.intent.clone(),
            amount: disputed.amount - disputed.amount_refunded,
            currency: disputed.currency.clone(),
            status: match opening {
                Opening::Chargeback => "needs_response",
                Opening::Inquiry => "warning_needs_response",
            },
        };
        let id = dispute.id.clone();
        self.disputes.put(dispute);
        self.emit("charge.dispute.created", &id);
        if opening == Opening::Chargeback {
            self.emit("charge.dispute.funds_withdrawn", &id);
        }
        Ok(id)
    }

    pub(crate) fn move_dispute(&mut self, id: &str, verdict: Verdict) -> Answer<()> {
        let dispute = self.disputes.find_mut(id)?;
        if ["won", "lost", "warning_closed"].contains(&dispute.status) {
            return Err(StripeError::invalid("The dispute is closed already."));
        }
        let inquiry = dispute.is_inquiry();
        dispute.status = match (verdict, inquiry) {
            (Verdict::UnderReview, false) => "under_review",
            (Verdict::UnderReview, true) => "warning_under_review",
            (Verdict::Won, false) => "won",
            (Verdict::Won, true) => "warning_closed",
            (Verdict::Lost, _) => "lost",
        };
        match verdict {
            Verdict::UnderReview => self.emit("charge.dispute.updated", id),
            Verdict::Won if !inquiry => {
                self.emit("charge.dispute.funds_reinstated", id);
                self.emit("charge.dispute.closed", id);
            }
            Verdict::Won | Verdict::Lost => self.emit("charge.dispute.closed", id),
        }
        Ok(())
    }

    /// Whether a dispute took the charge's money, or may take it: such a charge cannot be refunded.
    pub(crate) fn is_charged_back(&self, charge: &str) -> bool {
        let takes = |dispute: &Dispute| !dispute.is_inquiry() && dispute.status != "won";
        self.disputes.iter().any(|dispute| dispute.charge == charge && takes(dispute))
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "/v1/disputes/{id}",
        takes: &[],
        act: |state, call| Ok(state.disputes.find(call.id)?.json(state)),
    },
    Route {
        method: "GET",
        path: "/v1/disputes",
        takes: &["charge", "payment_intent", "limit"],
        act: |state, call| {
            let (charge, intent) = (call.params.text("charge"), call.params.text("payment_intent"));
            state.disputes.page(state, call.params, "/v1/disputes", |dispute| {
                charge.is_none_or(|charge| dispute.charge == charge)
                    && intent.is_none_or(|intent| dispute.intent == intent)
            })
        },
    },
];
