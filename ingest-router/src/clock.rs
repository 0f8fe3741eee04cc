//! The wall clock, as records hold it.

use std::time::{SystemTime, UNIX_EPOCH};

use caudal_livestream::UnixMillis;

/// Now.
pub(crate) fn unix_millis() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
