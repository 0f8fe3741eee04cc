//! Subscriptions: made, listed, changed and ended.

mod cancel;
mod change;
mod checkout;
mod create;
mod list;
mod of_streamer;
mod resume;
mod withdraw;

pub(crate) use cancel::cancel;
pub(crate) use change::change;
pub(crate) use checkout::checkout;
pub(crate) use create::create;
pub(crate) use list::list;
pub(crate) use of_streamer::of_streamer;
pub(crate) use resume::resume;
pub(crate) use withdraw::withdraw;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::error::Error;

/// What the OpenAPI document has of them.
#[derive(utoipa::OpenApi)]
#[openapi(paths(
    create::create,
    list::list,
    of_streamer::of_streamer,
    change::change,
    cancel::cancel,
    resume::resume,
    withdraw::withdraw,
    checkout::checkout,
))]
pub(crate) struct Operations;

/// The subscription, or checkout, that a path names.
#[derive(Clone, Copy, Debug, IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub(crate) struct OwnPath(
    /// By its id.
    pub(crate) Uuid,
);

impl<S: Send + Sync> FromRequestParts<S> for OwnPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|Path(id)| Uuid::try_parse(&id).ok());
        id.map(Self).ok_or(Error::NotFound("this"))
    }
}

type SharedBilling = Arc<crate::app::Billing>;
