//! `GET /api/admin/audit-log`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::administration::{AuditFilter, AuditRecord};
use crate::app::Accounts;
use crate::auth::Admin;
use crate::error::Error;
use crate::json::Query;
use crate::page::{Limit, MAX_CURSOR, Page, decode_cursor};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Who did it.
    #[garde(skip)]
    actor: Option<Uuid>,
    /// To whom, or to what.
    #[garde(skip)]
    subject: Option<Uuid>,
    /// As in `user.ban`.
    #[garde(length(bytes, max = 32))]
    #[param(max_length = 32, example = "user.ban")]
    action: Option<String>,
    /// Done then or later.
    #[garde(skip)]
    since: Option<DateTime<Utc>>,
    /// Done before then.
    #[garde(skip)]
    until: Option<DateTime<Utc>>,
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

/// What admins did, the latest first.
#[utoipa::path(
    get, path = "/api/admin/audit-log", security(("admin" = [])),
    params(Wanted),
    responses((status = 200, body = Vec<AuditRecord>)),
)]
pub(crate) async fn audit_log(
    State(accounts): State<Arc<Accounts>>,
    _: Admin,
    OriginalUri(uri): OriginalUri,
    Query(Wanted { actor, subject, action, since, until, limit, cursor }): Query<Wanted>,
) -> Result<Page<AuditRecord>, Error> {
    let before: Option<Uuid> = decode_cursor(cursor.as_deref())?;
    let filter = AuditFilter { actor, subject, action: action.as_deref(), since, until };
    let rows = AuditRecord::list(&accounts.database, filter, before, limit.rows()).await?;
    let place = |row: &AuditRecord| row.id;
    Ok(Page::new(rows, limit.items(), &uri, place, |row| row))
}
