//! `GET /api/subscriptions/:userId`

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts, OriginalUri, State};
use axum::http::request::Parts;
use utoipa::IntoParams;
use uuid::Uuid;

use super::SharedBilling;
use crate::app::Accounts;
use crate::auth::Caller;
use crate::billing::{SubscriptionView, of_user};
use crate::error::Error;
use crate::json::Query;
use crate::page::{Page, Paging};
use crate::people::{FormerPerson, PeopleError};

/// Whose subscriptions somebody may see: their own, and an admin everybody's.
#[derive(IntoParams)]
#[into_params(names("id"), parameter_in = Path)]
pub(crate) struct Subscriber(
    /// Oneself, by id, as `@name` or as `me`.
    #[param(value_type = String, example = "me")]
    Uuid,
);

impl<S> FromRequestParts<S> for Subscriber
where
    S: Send + Sync,
    Arc<Accounts>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let caller = Caller::from_request_parts(parts, state).await?;
        if parts.uri.path().ends_with("/me") {
            return Ok(Self(caller.user));
        }
        let FormerPerson(person) = FormerPerson::from_request_parts(parts, state).await?;
        if person != caller.user && !caller.is_admin(&Arc::<Accounts>::from_ref(state)).await? {
            return Err(PeopleError::NotYou.into());
        }
        Ok(Self(person))
    }
}

/// The caller's subscriptions, the latest first, with those that are over.
#[utoipa::path(
    get, path = "/api/subscriptions/{id}", security(("owner" = [])),
    params(Subscriber, Paging),
    responses(
        (status = 200, body = Vec<SubscriptionView>),
        (status = 404, description = "not_found"),
        (status = 501, description = "billing_disabled"),
    ),
)]
pub(crate) async fn list(
    State(billing): State<SharedBilling>,
    subscriber: Subscriber,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<Page<SubscriptionView>, Error> {
    of_user(&billing, subscriber.0, &uri, &paging).await
}
