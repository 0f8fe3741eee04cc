//! Names that become parts of paths and URLs: parsed once, never joined as text.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What a name must look like.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("a name is 1 to 32 of a-z, 0-9 and '-', beginning with a letter or digit")]
pub struct InvalidName;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as it stands in paths, URLs and playlists.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
                let starts = text.bytes().next().is_some_and(plain);
                let fits = text.len() <= 32 && text.bytes().all(|b| plain(b) || b == b'-');
                if starts && fits { Ok(Self(text.into())) } else { Err(InvalidName) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A rendition of a stream: `source`, `audio`, `720p`, … The folder it is stored under.
    RenditionName
}
name! {
    /// The short hash of an initialization segment's bytes, as in `init-{hash}.mp4`.
    InitHash
}
