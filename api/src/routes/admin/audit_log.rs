//! `GET /api/admin/audit-log`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;
use uuid::Uuid;

use crate::administration::{AuditFilter, AuditRecord};
use crate::app::Accounts;
use crate::auth::Admin;
use crate::error::Error;
use crate::json::Query;
use crate::page::{Limit, MAX_CURSOR, Page, decode_cursor};

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Who did it.
    #[garde(skip)]
    actor: Option<Uuid>,
    /// To whom, or to what.
    #[garde(skip)]
    subject: Option<Uuid>,
    /// As in `user.ban`.
    #[garde(length(bytes, max = 32))]
    action: Option<String>,
    #[serde(default)]
    #[garde(dive)]
    limit: Limit,
    #[garde(length(bytes, max = MAX_CURSOR))]
    cursor: Option<String>,
}

/// What admins did, the latest first.
pub(crate) async fn audit_log(
    State(accounts): State<Arc<Accounts>>,
    _: Admin,
    OriginalUri(uri): OriginalUri,
    Query(Wanted { actor, subject, action, limit, cursor }): Query<Wanted>,
) -> Result<Page<AuditRecord>, Error> {
    let before: Option<Uuid> = decode_cursor(cursor.as_deref())?;
    let filter = AuditFilter { actor, subject, action: action.as_deref() };
    let rows = AuditRecord::list(&accounts.database, filter, before, limit.rows()).await?;
    let place = |row: &AuditRecord| row.id;
    Ok(Page::new(rows, limit.items(), &uri, place, |row| row))
}
