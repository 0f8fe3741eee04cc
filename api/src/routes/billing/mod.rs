//! What channels sell, what was paid, and what streamers are owed.

mod ledger;
mod offer;
mod owed;
mod own_plans;
mod payments;
mod sell;
mod terms;
mod webhook;

pub(crate) use ledger::ledger;
pub(crate) use offer::offer;
pub(crate) use owed::owed;
pub(crate) use own_plans::own_plans;
pub(crate) use payments::payments;
pub(crate) use sell::{sell, stop_selling};
pub(crate) use terms::terms;
pub(crate) use webhook::{MAX_WEBHOOK, stripe_webhook};

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use caudal_billing::Tier;
use utoipa::IntoParams;

use crate::error::Error;

/// What the OpenAPI document has of them.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    terms::terms,
    offer::offer,
    own_plans::own_plans,
    sell::sell,
    sell::stop_selling,
    owed::owed,
    ledger::ledger,
    payments::payments,
))]
pub(crate) struct Operations;

/// The tier that a path names.
#[derive(Clone, Copy, Debug, IntoParams)]
#[into_params(names("tier"), parameter_in = Path)]
pub(crate) struct TierPath(
    /// `basic`, `pro` or `premium`.
    #[param(value_type = String, example = "pro")]
    Tier,
);

impl<S: Send + Sync> FromRequestParts<S> for TierPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let tier = path.ok().and_then(|Path(word)| word.parse().ok());
        tier.map(Self).ok_or(Error::NotFound("this tier"))
    }
}

type SharedBilling = Arc<crate::app::Billing>;
