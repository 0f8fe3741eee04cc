//! `PUT /api/admin/users/:id/ban` and `DELETE /api/admin/users/:id/ban`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;

use crate::administration::{self, Actor, PersonForAdmins};
use crate::app::{Accounts, Streams};
use crate::auth::Admin;
use crate::client::Client;
use crate::departures::Departure;
use crate::error::Error;
use crate::json::CheckedOrDefault;
use crate::people::FormerPerson;
use crate::stream::{End, order_end};
use crate::text::BanReason;

#[derive(Default, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Ban {
    /// For other admins.
    #[garde(dive)]
    reason: Option<BanReason>,
}

/// Bans somebody: nothing of theirs goes on. Again with another reason changes that.
pub(crate) async fn ban(
    State(accounts): State<Arc<Accounts>>,
    State(streams): State<Arc<Streams>>,
    Admin(admin): Admin,
    client: Client,
    FormerPerson(person): FormerPerson,
    CheckedOrDefault(Ban { reason }): CheckedOrDefault<Ban>,
) -> Result<Json<PersonForAdmins>, Error> {
    let reason = reason.as_ref().map(BanReason::as_str).filter(|reason| !reason.is_empty());
    let mut tx = accounts.database.begin().await?;
    let running = administration::ban(&mut tx, Actor::admin(admin, &client), person, reason).await?;
    tx.commit().await?;
    accounts.departures.announce(Departure::PersonBanned { user: person }).await;
    if let Some(stream) = running {
        order_end(&streams, stream, End::Banned).await?;
    }
    Ok(Json(PersonForAdmins::find(&accounts.database, person).await?))
}

/// Ends a ban. Who was banned logs in anew, and has the same stream key.
pub(crate) async fn unban(
    State(accounts): State<Arc<Accounts>>,
    Admin(admin): Admin,
    client: Client,
    FormerPerson(person): FormerPerson,
) -> Result<Json<PersonForAdmins>, Error> {
    let mut tx = accounts.database.begin().await?;
    administration::unban(&mut tx, Actor::admin(admin, &client), person).await?;
    tx.commit().await?;
    Ok(Json(PersonForAdmins::find(&accounts.database, person).await?))
}
