//! A category's name as addresses have it.

use serde::{Deserialize, Deserializer};
use unicode_normalization::UnicodeNormalization as _;
use utoipa::ToSchema;

/// Small letters and digits of ASCII, with single hyphens between them: `just-chatting`. 64 at most.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(pattern = "^[a-z0-9]+(-[a-z0-9]+)*$", max_length = 64, example = "just-chatting")]
pub(crate) struct Slug(String);

impl Slug {
    /// What is a slug already.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let well_formed = text.split('-').all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        });
        (well_formed && text.len() <= LONGEST).then(|| Self(text.to_owned()))
    }

    /// The slug of a name: accents off, everything else a hyphen. None for a name without a letter or digit of ASCII, which
    /// needs one by hand.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let mut slug = String::new();
        for letter in name.nfkd().filter(|letter| !unicode_normalization::char::is_combining_mark(*letter)) {
            if letter.is_ascii_alphanumeric() {
                slug.push(letter.to_ascii_lowercase());
            } else if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(LONGEST);
        Self::parse(slug.trim_end_matches('-'))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let words = "expected small letters, digits and single hyphens, 64 at most, as in just-chatting";
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(words))
    }
}

/// `categories.slug`.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_becomes_an_address() {
        for (name, slug) in [
            ("Just Chatting", Some("just-chatting")),
            ("Música & Baile", Some("musica-baile")),
            ("  C++ / Rust!  ", Some("c-rust")),
            ("ＦＰＳ", Some("fps")),
            ("日本語", None),
            ("---", None),
        ] {
            assert_eq!(Slug::of_name(name).as_ref().map(Slug::as_str), slug, "{name}");
        }
    }

    #[test]
    fn only_what_is_well_formed_is_a_slug() {
        for wrong in ["", "-", "a-", "-a", "a--b", "A", "ñ", "a b", "a_b", "a\0", &"x".repeat(65)] {
            assert_eq!(Slug::parse(wrong), None, "{wrong}");
        }
        for right in ["a", "just-chatting", "2d", &"x".repeat(64)] {
            assert!(Slug::parse(right).is_some(), "{right}");
        }
    }

    proptest! {
        #[test]
        fn what_is_made_of_any_name_is_a_slug(name in any::<String>()) {
            if let Some(slug) = Slug::of_name(&name) {
                prop_assert_eq!(Slug::parse(slug.as_str()), Some(slug.clone()));
                prop_assert_eq!(Slug::of_name(slug.as_str()), Some(slug));
            }
        }
    }
}
