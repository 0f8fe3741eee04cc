//! Why somebody gets no subscription, or not what they want done with one.

use caudal_billing::stripe::BadSignature;
use thiserror::Error;

use crate::error::RETRY_SECONDS;

/// Why somebody gets no subscription, or not what they want done with one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum BillingError {
    #[error("this server sells nothing")]
    Disabled,
    #[error("you have a subscription of this channel; change its tier instead")]
    AlreadySubscribed,
    #[error("the payment was declined; your subscription is as it was")]
    PaymentFailed,
    #[error("this subscription is over")]
    Over,
    #[error("the time in which it can be withdrawn from is over; you can cancel it")]
    WithdrawalOver,
    #[error("something about this subscription waits: complete its payment, or resume it, first")]
    ChangePending,
    #[error(
        "the payment provider did not answer; look at your subscriptions before you try again in {RETRY_SECONDS} s"
    )]
    ProviderAway,
    #[error("this is no event of the provider: {0}")]
    NotSigned(BadSignature),
}
