//! `GET /api/users/:id/plans`

use axum::Json;
use axum::extract::State;

use super::SharedBilling;
use crate::auth::MaybeCaller;
use crate::billing::{OfferView, note_offer, offer_of};
use crate::error::Error;
use crate::people::KnownPerson;

/// What can be had of a channel, and what of it the caller has.
#[utoipa::path(
    get, path = "/api/users/{id}/plans", security((), ("user" = [])),
    params(KnownPerson),
    responses(
        (status = 200, body = OfferView),
        (status = 404, description = "not_found"),
    ),
)]
pub(crate) async fn offer(
    State(billing): State<SharedBilling>,
    MaybeCaller(caller): MaybeCaller,
    person: KnownPerson,
) -> Result<Json<OfferView>, Error> {
    let offer = offer_of(&billing, person.0, caller).await?;
    if let Some(caller) = caller.filter(|caller| offer.is_to(caller.user)) {
        note_offer(&billing.database, caller.user).await;
    }
    Ok(Json(offer))
}
