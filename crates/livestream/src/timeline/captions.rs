//! Closed captions that travel inside the pictures.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::bounded_list::bounded;

/// A channel of captions. Its text form is what HLS calls it in `INSTREAM-ID` (RFC 8216bis §4.4.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CaptionChannel {
    /// CEA-608, `CC1` to `CC4`.
    Cea608(u8),
    /// A CEA-708 service, `SERVICE1` to `SERVICE63`.
    Cea708(u8),
}

/// A text that names no channel.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("no caption channel {0}")]
pub struct UnknownCaptionChannel(String);

impl fmt::Display for CaptionChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cea608(number) => write!(f, "CC{number}"),
            Self::Cea708(number) => write!(f, "SERVICE{number}"),
        }
    }
}

impl FromStr for CaptionChannel {
    type Err = UnknownCaptionChannel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbered = |prefix, most: u8| {
            let number = text.strip_prefix(prefix)?.parse().ok()?;
            (1..=most).contains(&number).then_some(number)
        };
        let channel = numbered("CC", 4).map(Self::Cea608);
        channel
            .or_else(|| numbered("SERVICE", 63).map(Self::Cea708))
            .filter(|channel| channel.to_string() == text)
            .ok_or_else(|| UnknownCaptionChannel(text.to_owned()))
    }
}

impl TryFrom<String> for CaptionChannel {
    type Error = UnknownCaptionChannel;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<CaptionChannel> for String {
    fn from(channel: CaptionChannel) -> Self {
        channel.to_string()
    }
}

/// Those of a list of channels that are known.
pub(super) fn known<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<CaptionChannel>, D::Error> {
    bounded(from, MAX_CHANNELS, |name: String| Ok::<_, Infallible>(name.parse().ok()))
}

/// All channels that there can be.
pub(super) const MAX_CHANNELS: usize = 4 + 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_written_and_read_as_playlists_name_them() {
        for text in ["CC1", "CC4", "SERVICE1", "SERVICE63"] {
            assert_eq!(text.parse::<CaptionChannel>().unwrap().to_string(), text);
        }
        for text in ["CC0", "CC5", "CC01", "CC+1", "SERVICE0", "SERVICE64", "cc1", "CC", ""] {
            assert_eq!(text.parse::<CaptionChannel>(), Err(UnknownCaptionChannel(text.to_owned())));
        }
    }
}
