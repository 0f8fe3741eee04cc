//! `GET /api/admin/users`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;
use uuid::Uuid;

use crate::administration::{PeopleFilter, PersonForAdmins, Role};
use crate::app::Accounts;
use crate::auth::Admin;
use crate::error::Error;
use crate::json::Query;
use crate::names::NormalName;
use crate::page::{Limit, MAX_CURSOR, Page, decode_cursor};
use crate::text::{SearchWords, pattern_of_beginning};

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The beginning of a username, a display name or an address.
    #[garde(dive)]
    q: Option<SearchWords>,
    #[garde(skip)]
    role: Option<Role>,
    #[garde(skip)]
    banned: Option<bool>,
    #[serde(default)]
    #[garde(dive)]
    limit: Limit,
    #[garde(length(bytes, max = MAX_CURSOR))]
    cursor: Option<String>,
}

/// Who has an account, whoever came last first.
pub(crate) async fn users(
    State(accounts): State<Arc<Accounts>>,
    _: Admin,
    OriginalUri(uri): OriginalUri,
    Query(Wanted { q: words, role, banned, limit, cursor }): Query<Wanted>,
) -> Result<Page<PersonForAdmins>, Error> {
    let before: Option<Uuid> = decode_cursor(cursor.as_deref())?;
    let pattern = words.map(|words| pattern_of_beginning(NormalName::of(words.as_str()).as_str()));
    let filter = PeopleFilter { pattern: pattern.as_deref(), role, banned };
    let rows = PersonForAdmins::list(&accounts.database, filter, before, limit.rows()).await?;
    let place = |row: &PersonForAdmins| row.id;
    Ok(Page::new(rows, limit.items(), &uri, place, |row| row))
}
