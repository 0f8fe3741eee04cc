//! Pages of a list: bare arrays, and `Link: <…>; rel="next"` while there is more.
//!
//! A cursor is where the last page ended, in the list's own order; what it says is nobody's business but ours, so it is
//! base64url and may change with any version.

use axum::http::{HeaderValue, Uri, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::database::storable;
use crate::input::{FieldError, InputError};

/// How many rows a page shows: `?limit`.
#[derive(Clone, Copy, Deserialize, Validate, ToSchema)]
#[schema(minimum = 1, maximum = 100, default = 20)]
#[serde(transparent)]
#[garde(transparent)]
pub(crate) struct Limit(#[garde(range(min = 1, max = MAX_LIMIT))] u32);

impl Limit {
    pub(crate) fn items(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// For lists of what is short.
    pub(crate) fn fifty() -> Self {
        Self(50)
    }

    /// What to ask the database for: one more tells whether there is another page.
    pub(crate) fn rows(self) -> i64 {
        i64::from(self.0) + 1
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

/// The query of a list that is neither filtered nor sorted.
#[derive(Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// Rows of a page.
    #[serde(default)]
    #[garde(dive)]
    #[param(inline)]
    pub(crate) limit: Limit,
    /// Where the page begins: as the last one's `Link` has it.
    #[garde(length(bytes, max = MAX_CURSOR))]
    #[param(max_length = 256)]
    pub(crate) cursor: Option<String>,
}

/// Where a page of a list by time ended, in microseconds since 1970: the database's own precision.
#[derive(Serialize, Deserialize)]
pub(crate) struct ByTime {
    at: i64,
    id: Uuid,
}

impl ByTime {
    pub(crate) fn new(at: DateTime<Utc>, id: Uuid) -> Self {
        Self { at: at.timestamp_micros(), id }
    }

    /// The place that a cursor names, in two halves for a query.
    pub(crate) fn after(cursor: Option<&str>) -> Result<(Option<DateTime<Utc>>, Option<Uuid>), InputError> {
        let Some(place) = decode_cursor::<Self>(cursor)? else { return Ok((None, None)) };
        // No list of ours has said anything else.
        let at = DateTime::from_timestamp_micros(place.at).filter(storable).ok_or_else(no_cursor)?;
        Ok((Some(at), Some(place.id)))
    }
}

/// Where a list's next page begins.
pub(crate) fn decode_cursor<C: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<C>, InputError> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    place.map(Some).ok_or_else(no_cursor)
}

/// For a cursor that no page of this list gave.
pub(crate) fn no_cursor() -> InputError {
    let words = "this is no cursor of this list; begin again without it";
    InputError::Invalid(vec![FieldError::new("?cursor", "invalid", words)])
}

/// One page of a list.
pub(crate) struct Page<T> {
    items: Vec<T>,
    next: Option<HeaderValue>,
}

impl<T: Serialize> Page<T> {
    /// From `limit + 1` rows, the one more telling whether there is another page; `place` says where a row lies.
    pub(crate) fn new<R, C: Serialize>(
        mut rows: Vec<R>,
        limit: usize,
        uri: &Uri,
        place: impl Fn(&R) -> C,
        item: impl FnMut(R) -> T,
    ) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = if more { rows.last().map(place) } else { None };
        let next = last.and_then(|place| next_link(uri, &place));
        Self { items: rows.into_iter().map(item).collect(), next }
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        let link = self.next.map(|next| (header::LINK, next));
        (AppendHeaders(link), axum::Json(self.items)).into_response()
    }
}

/// Relative, so that it holds behind any proxy: the same query with another cursor.
fn next_link<C: Serialize>(uri: &Uri, place: &C) -> Option<HeaderValue> {
    let cursor = URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).ok()?);
    let mut query: String = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="))
        .flat_map(|pair| [pair, "&"])
        .collect();
    query.push_str("cursor=");
    query.push_str(&cursor);
    HeaderValue::try_from(format!("<{}?{query}>; rel=\"next\"", uri.path())).ok()
}

/// Rows of a page when nothing is said, and at most.
const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;
/// Bytes of a cursor; ours have half of that.
pub(crate) const MAX_CURSOR: usize = 256;
