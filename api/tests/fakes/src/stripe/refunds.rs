//! Money that goes back.

use serde_json::{Value, json};

use super::errors::{Answer, StripeError};
use super::routes::{Call, Route};
use super::shelf::{Metadata, Stored};
use super::state::{State, new_id};

#[derive(Debug)]
pub(crate) struct Refund {
    id: String,
    created: i64,
    charge: String,
    intent: String,
    amount: i64,
    currency: String,
    reason: Option<&'static str>,
    metadata: Metadata,
    status: &'static str,
}

impl Stored for Refund {
    const KIND: &'static str = "refund";

    fn id(&self) -> &str {
        &self.id
    }

    fn created(&self) -> i64 {
        self.created
    }

    fn json(&self, _: &State) -> Value {
        let failed = self.status == "failed";
        json!({
            "id": self.id,
            "object": "refund",
            "amount": self.amount,
            "balance_transaction": format!("txn_{}", &self.id[3..]),
            "charge": self.charge,
            "created": self.created,
            "currency": self.currency,
            "failure_reason": failed.then_some("expired_or_canceled_card"),
            "metadata": self.metadata,
            "payment_intent": self.intent,
            "reason": self.reason,
            "receipt_number": null,
            "status": self.status,
        })
    }
}

impl State {
    /// Gives back a part of a charge, or what is left of it. `of` is a charge or a payment intent.
    pub(crate) fn refund(
        &mut self,
        of: &str,
        amount: Option<i64>,
        reason: Option<&'static str>,
        metadata: Metadata,
    ) -> Answer<String> {
        let charge = self.charge_of(of)?;
        let (charge_id, intent, currency) =
            (charge.id.clone(), charge.intent.clone(), charge.currency.clone());
        let left = charge.amount - charge.amount_refunded;
        if charge.status != "succeeded" {
            return Err(StripeError::invalid("This charge did not succeed.").param("charge"));
        }
        if self.is_charged_back(&charge_id) {
            let message = format!("Charge {charge_id} has been charged back; cannot issue a refund.");
            return Err(StripeError::invalid(message).code("charge_disputed"));
        }
        if left == 0 {
            let message = format!("Charge {charge_id} has already been refunded.");
            return Err(StripeError::invalid(message).code("charge_already_refunded"));
        }
        let amount = amount.unwrap_or(left);
        if amount <= 0 {
            return Err(StripeError::invalid("Invalid positive integer").param("amount"));
        }
        if amount > left {
            // Answers that people quote have no `code` here.
            let message =
                format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({left})");
            return Err(StripeError::invalid(message).param("amount"));
        }
        let id = new_id("re");
        self.refunds.put(Refund {
            id: id.clone(),
            created: self.now(),
            charge: charge_id.clone(),
            intent,
            amount,
            currency,
            reason,
            metadata,
            status: "succeeded",
        });
        self.charges.get_mut(&charge_id).amount_refunded += amount;
        self.emit("refund.created", &id);
        self.emit("charge.refunded", &charge_id);
        // Stripe sends it too, once the bank's reference is known.
        self.emit("refund.updated", &id);
        Ok(id)
    }

    /// The bank sends the money back days later, for example because the card's account was closed.
    pub(crate) fn fail_refund(&mut self, id: &str) -> Answer<()> {
        let refund = self.refunds.find_mut(id)?;
        if refund.status == "failed" {
            return Err(StripeError::invalid("The refund has failed already."));
        }
        refund.status = "failed";
        let (charge, amount) = (refund.charge.clone(), refund.amount);
        // Stripe's documentation says that the money is back on the account's balance, not what the charge shows: we take it that
        // the charge is as it was before.
        self.charges.get_mut(&charge).amount_refunded -= amount;
        self.emit("refund.updated", id);
        self.emit("refund.failed", id);
        self.emit("charge.updated", &charge);
        Ok(())
    }
}

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: "/v1/refunds",
        takes: &["charge", "payment_intent", "amount", "reason", "metadata[*]"],
        act: create,
    },
    Route {
        method: "GET",
        path: "/v1/refunds/{id}",
        takes: &[],
        act: |state, call| Ok(state.refunds.find(call.id)?.json(state)),
    },
    Route {
        method: "GET",
        path: "/v1/refunds",
        takes: &["charge", "payment_intent", "limit"],
        act: |state, call| {
            let (charge, intent) = (call.params.text("charge"), call.params.text("payment_intent"));
            state.refunds.page(state, call.params, "/v1/refunds", |refund| {
                charge.is_none_or(|charge| refund.charge == charge)
                    && intent.is_none_or(|intent| refund.intent == intent)
            })
        },
    },
];

fn create(state: &mut State, call: &Call<'_>) -> Answer {
    let params = call.params;
    let ((Some(of), None) | (None, Some(of))) = (params.text("charge"), params.text("payment_intent")) else {
        let message = "One of the following params should be provided: payment_intent or charge.";
        return Err(StripeError::invalid(message).code("parameter_missing"));
    };
    let reason = params.choice("reason", &["duplicate", "fraudulent", "requested_by_customer"])?;
    let (amount, metadata) = (params.int("amount")?, params.metadata("metadata")?);
    let id = state.refund(of, amount, reason, metadata)?;
    state.object(&id)
}
