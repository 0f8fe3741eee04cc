//! What is sold.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a viewer can have of a channel, the lesser first. A higher tier has all that a lower one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// No ads, and chat without the modes that restrict it.
    Basic,
    /// The channel's emotes, and a badge.
    Pro,
    /// Exclusive streams, and a place when the stream is full.
    Premium,
}

impl Tier {
    /// All of them, the lesser first.
    pub const ALL: [Self; 3] = [Self::Basic, Self::Pro, Self::Premium];

    /// The word in JSON, in the database and in metadata at providers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Pro => "pro",
            Self::Premium => "premium",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = UnknownTier;

    fn from_str(word: &str) -> Result<Self, UnknownTier> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == word).ok_or(UnknownTier)
    }
}

/// A word that is no tier's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("there is no such tier: it is basic, pro or premium")]
pub struct UnknownTier;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_known_by_their_words_and_ordered_by_what_they_give() {
        for tier in Tier::ALL {
            assert_eq!(tier.as_str().parse(), Ok(tier));
        }
        assert_eq!("Pro".parse::<Tier>(), Err(UnknownTier));
        assert!(Tier::Basic < Tier::Pro && Tier::Pro < Tier::Premium);
    }
}
