//! `GET /api/admin/invitations`, `POST /api/admin/invitations` and `DELETE /api/admin/invitations/:id`

use std::sync::Arc;

use axum::Json;
use axum::extract::{OriginalUri, Path, State};
use axum::http::StatusCode;
use chrono::TimeDelta;
use garde::Validate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::administration::Actor;
use crate::app::Accounts;
use crate::auth::Admin;
use crate::client::Client;
use crate::error::Error;
use crate::json::{Checked, Query};
use crate::page::{Page, Paging, decode_cursor};
use crate::registration::{self, Invitation, InvitationToken, NewInvitation};
use crate::text::InvitationNote;

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Registrations that it is good for.
    #[serde(default = "one")]
    #[garde(range(min = 1, max = 100))]
    uses: i32,
    #[serde(default = "a_week")]
    #[garde(range(min = 1, max = 365))]
    days: i64,
    /// Whom it is for.
    #[garde(dive)]
    note: Option<InvitationNote>,
}

/// With the token, which is shown this once.
#[derive(Serialize)]
pub(crate) struct Made {
    #[serde(flatten)]
    invitation: Invitation,
    token: InvitationToken,
}

/// Those that have not expired, the latest first.
pub(crate) async fn invitations(
    State(accounts): State<Arc<Accounts>>,
    _: Admin,
    OriginalUri(uri): OriginalUri,
    Query(paging): Query<Paging>,
) -> Result<Page<Invitation>, Error> {
    let before: Option<Uuid> = decode_cursor(paging.cursor.as_deref())?;
    let rows = Invitation::list(&accounts.database, before, paging.limit.rows()).await?;
    let place = |row: &Invitation| row.id;
    Ok(Page::new(rows, paging.limit.items(), &uri, place, |row| row))
}

/// Makes one.
pub(crate) async fn invite(
    State(accounts): State<Arc<Accounts>>,
    Admin(admin): Admin,
    client: Client,
    Checked(wanted): Checked<Wanted>,
) -> Result<(StatusCode, Json<Made>), Error> {
    let note = wanted.note.as_ref().map(InvitationNote::as_str).filter(|note| !note.is_empty());
    let new = NewInvitation { note, uses: wanted.uses, lasts: TimeDelta::days(wanted.days) };
    let mut tx = accounts.database.begin().await?;
    let (invitation, token) = new.make(&mut tx, Actor::admin(admin, &client)).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Json(Made { invitation, token })))
}

/// Takes one back.
pub(crate) async fn remove_invitation(
    State(accounts): State<Arc<Accounts>>,
    Admin(admin): Admin,
    client: Client,
    Path(named): Path<String>,
) -> Result<StatusCode, Error> {
    let id = Uuid::try_parse(&named).map_err(|_| Error::NotFound("this invitation"))?;
    let mut tx = accounts.database.begin().await?;
    registration::remove(&mut tx, Actor::admin(admin, &client), id).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn one() -> i32 {
    1
}

fn a_week() -> i64 {
    7
}
