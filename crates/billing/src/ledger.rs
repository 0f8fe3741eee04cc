//! What a streamer is owed.

use crate::money::{Fee, Minor};
use crate::snapshot::Payment;

/// What a streamer is owed for a payment that counts, as it stands: nothing while a bank has the money. A ledger writes down what
/// that is more or less than it has written for the payment before, so that writing twice writes nothing twice.
pub fn owed(payment: &Payment, fee: Fee) -> Minor {
    if !payment.stands() {
        return Minor::ZERO;
    }
    let left = payment.amount.minus(payment.refunded).max(Minor::ZERO);
    left.minus(fee.of(left))
}
