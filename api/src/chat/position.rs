//! Where in a room something happened.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A place in a room's order: the number `offset` in `epoch`. Offsets of an epoch follow each other without gaps, from 1;
/// a later epoch is a larger number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Milliseconds since 1970, when the counter began.
    pub(crate) epoch: i64,
    pub(crate) offset: i64,
}

impl Position {
    /// Epochs stay below: half of what every program reads exactly in JSON, and thousands of years from any clock, however wrong.
    pub(crate) const MOST_EPOCH: i64 = 1 << 52;

    /// Before the first event of an epoch.
    pub(crate) fn beginning(epoch: i64) -> Self {
        Self { epoch, offset: 0 }
    }

    /// Behind all that an epoch can have.
    pub(crate) fn end(epoch: i64) -> Self {
        Self { epoch, offset: i64::MAX }
    }

    pub(crate) fn next(self) -> Self {
        Self { offset: self.offset.saturating_add(1), ..self }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.offset)
    }
}

/// As [`fmt::Display`] writes it.
impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (epoch, offset) = text.split_once('.').ok_or(())?;
        let number = |text: &str| text.parse().ok().filter(|number: &i64| *number >= 0).ok_or(());
        Ok(Self { epoch: number(epoch)?, offset: number(offset)? })
    }
}
