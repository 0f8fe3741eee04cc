//! Numbers and identities that cross processes.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new one, ordered by the time of its making (UUIDv7).
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    };
}

identity! {
    /// One broadcast: a row in `streams`, a storage prefix, a `LiveStream`. Never reused.
    StreamId
}
impl StreamId {
    /// When it was made, by the clock of the api that made it; none of an id that does not say.
    pub fn made_at(self) -> Option<UnixMillis> {
        let (seconds, nanoseconds) = self.0.get_timestamp()?.to_unix();
        let millis = seconds.checked_mul(1000)?.checked_add(u64::from(nanoseconds) / 1_000_000)?;
        i64::try_from(millis).ok().map(UnixMillis)
    }
}

identity! {
    /// One publisher connection at the router.
    SessionId
}
identity! {
    /// One transcoder worker process.
    WorkerId
}
identity! {
    /// One edge process, from its start to its end.
    EdgeId
}
/// One installation, by its controller's public key: the first 16 bytes of the key's SHA-256, in hex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstallationId([u8; 16]);

impl InstallationId {
    /// The installation whose controller signs with the private half of `controller`.
    pub fn of(controller: &VerifyingKey) -> Self {
        let hash: [u8; 32] = Sha256::digest(controller.as_bytes()).into();
        let mut id = [0; 16];
        id.iter_mut().zip(hash).for_each(|(byte, hashed)| *byte = hashed);
        Self(id)
    }
}

impl TryFrom<String> for InstallationId {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id)?;
        Ok(Self(id))
    }
}

impl From<InstallationId> for String {
    fn from(id: InstallationId) -> Self {
        hex::encode(id.0)
    }
}

number! {
    /// One worker's assignment to a stream, and nothing else. Each replacement counts one up.
    Epoch(u32)
}
number! {
    /// How often the publisher of a stream has been decided; a takeover or a return counts one up.
    Generation(u32)
}
number! {
    /// Media sequence number of a segment (RFC 8216bis §4.4.3.2), the same instant in every rendition.
    Msn(u64)
}
number! {
    /// Number of a part within one rendition and epoch, running on across segments.
    PartNumber(u64)
}
number! {
    /// Milliseconds since 1970 by the clock of the process that wrote it.
    UnixMillis(i64)
}
number! {
    /// A position on a stream's own timeline, in microseconds. The first frame of a broadcast lies at ten seconds,
    /// so that a negative offset never makes it negative.
    MediaTime(i64)
}
number! {
    /// A length of media, in microseconds.
    MediaDuration(u64)
}

impl Epoch {
    /// The epoch of the worker that replaces this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Generation {
    /// The generation of the publisher that comes after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Msn {
    /// The segment after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl MediaTime {
    /// The instant `by` later.
    #[must_use]
    pub fn plus(self, by: MediaDuration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.0).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> MediaDuration {
        MediaDuration(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl MediaDuration {
    /// From whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// From whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// In seconds, as playlists write it.
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "exact below 2^53 µs, 285 years")]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1_000_000.0
    }
}
