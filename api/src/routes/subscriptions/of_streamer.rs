//! `GET /api/subscriptions/streamer/:streamerId`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use caudal_billing::Tier;
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;

use super::SharedBilling;
use crate::app::Accounts;
use crate::auth::Caller;
use crate::billing::{self, SubscriberView};
use crate::error::Error;
use crate::json::Query;
use crate::page::{Limit, MAX_CURSOR, Page, Paging};
use crate::people::{KnownPerson, PeopleError};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// `basic`, `pro` or `premium` alone.
    #[garde(skip)]
    #[param(value_type = Option<String>)]
    tier: Option<Tier>,
    /// Rows of a page.
    #[serde(default)]
    #[garde(dive)]
    #[param(inline)]
    limit: Limit,
    /// Where the page begins: as the last one's `Link` has it.
    #[garde(length(bytes, max = MAX_CURSOR))]
    #[param(max_length = 256)]
    cursor: Option<String>,
}

/// Who subscribes to the caller's channel, the latest first.
#[utoipa::path(
    get, path = "/api/subscriptions/streamer/{id}", security(("owner" = [])),
    params(KnownPerson, Wanted),
    responses(
        (status = 200, body = Vec<SubscriberView>),
        (status = 404, description = "not_found"),
        (status = 501, description = "billing_disabled"),
    ),
)]
pub(crate) async fn of_streamer(
    State(billing): State<SharedBilling>,
    State(accounts): State<Arc<Accounts>>,
    caller: Caller,
    person: KnownPerson,
    OriginalUri(uri): OriginalUri,
    Query(wanted): Query<Wanted>,
) -> Result<Page<SubscriberView>, Error> {
    if person.0 != caller.user && !caller.is_admin(&accounts).await? {
        return Err(PeopleError::NotYou.into());
    }
    let Wanted { tier, limit, cursor } = wanted;
    billing::of_streamer(&billing, person.0, tier, &uri, &Paging { limit, cursor }).await
}
