//! The router's question and the controller's reports: the mission's prePublish, postPublish and donePublish. All are
//! signed and idempotent.

mod authorize;
mod done;
mod owner;
mod published;

pub(crate) use authorize::authorize;
pub(crate) use done::done;
pub(crate) use published::published;

use caudal_livestream::UnixMillis;
use chrono::{DateTime, Utc};

use crate::error::Error;

fn instant(UnixMillis(at): UnixMillis) -> Result<DateTime<Utc>, Error> {
    DateTime::from_timestamp_millis(at).ok_or_else(|| Error::Malformed(format!("{at} is no time")))
}
