//! Lists of people, by when they were followed or blocked: the latest first.

use axum::http::Uri;
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::account::Streamer;
use crate::page::{ByTime, Page};

/// One row of a list.
pub(crate) struct ListedPerson {
    pub(crate) id: Uuid,
    pub(crate) username: String,
    pub(crate) display_name: Option<String>,
    pub(crate) avatar: Option<String>,
    pub(crate) since: DateTime<Utc>,
}

/// Somebody in a list, and since when.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Person {
    user: Streamer,
    since: DateTime<Utc>,
}

/// A page of such a list.
pub(crate) type People = Page<Person>;

impl People {
    /// From `limit + 1` rows.
    pub(crate) fn of(rows: Vec<ListedPerson>, limit: usize, uri: &Uri) -> Self {
        let place = |row: &ListedPerson| ByTime::new(row.since, row.id);
        Self::new(rows, limit, uri, place, |row| Person {
            user: Streamer {
                id: row.id,
                username: row.username,
                display_name: row.display_name,
                avatar: row.avatar,
            },
            since: row.since,
        })
    }
}
