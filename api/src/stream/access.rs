//! Who may watch a stream, as the column `streams.access` has it.

use caudal_livestream::admission::Access;

/// [`Access`] in the database's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredAccess(pub(crate) Access);

impl StoredAccess {
    /// What nobody has said anything about.
    pub(crate) const DEFAULT: Self = Self(Access::Public);

    pub(crate) fn as_str(self) -> &'static str {
        match self.0 {
            Access::Public => PUBLIC,
            Access::Premium => PREMIUM,
        }
    }

    /// Whether anybody may watch, without a token.
    pub(crate) fn is_open_to_all(self) -> bool {
        self.0 == Access::Public
    }
}

impl From<String> for StoredAccess {
    /// The column holds no other word than these two (`streams_access_known`). Should a later version's database have one,
    /// this one must not open what is gated there.
    fn from(word: String) -> Self {
        Self(if word == PUBLIC { Access::Public } else { Access::Premium })
    }
}

const PUBLIC: &str = "public";
const PREMIUM: &str = "premium";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_called_public_is_open_to_all() {
        for access in [Access::Public, Access::Premium] {
            let stored = StoredAccess(access);
            assert_eq!(StoredAccess::from(stored.as_str().to_owned()), stored);
        }
        for (word, open) in [("public", true), ("premium", false), ("subscribers", false), ("", false)] {
            assert_eq!(StoredAccess::from(word.to_owned()).is_open_to_all(), open, "{word}");
        }
    }
}
