//! `GET /api/admin/users`

use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use garde::Validate;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::administration::{PeopleFilter, PersonForAdmins, Role};
use crate::app::Accounts;
use crate::auth::Admin;
use crate::error::Error;
use crate::json::Query;
use crate::names::NormalName;
use crate::page::{Limit, MAX_CURSOR, Page, decode_cursor};
use crate::text::{SearchWords, pattern_of_beginning};

#[derive(Deserialize, Validate, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// The beginning of a username, a display name or an address.
    #[garde(dive)]
    #[param(inline)]
    q: Option<SearchWords>,
    /// Of that role alone.
    #[garde(skip)]
    #[param(inline)]
    role: Option<Role>,
    /// Who is banned alone, or who is not.
    #[garde(skip)]
    banned: Option<bool>,
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

/// Who has an account, whoever came last first.
#[utoipa::path(
    get, path = "/api/admin/users", security(("admin" = [])),
    params(Wanted),
    responses((status = 200, body = Vec<PersonForAdmins>)),
)]
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
