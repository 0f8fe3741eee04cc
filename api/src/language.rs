//! Languages that streams are in, as BCP 47 writes them.

use icu_locale_core::LanguageIdentifier;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

/// A language with its script and region, in its usual spelling: `es`, `pt-BR`, `zh-Hant`.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(pattern = "^[A-Za-z]{2,8}(-[A-Za-z0-9]{2,8})*$", example = "pt-BR")]
pub(crate) struct LanguageTag(String);

impl LanguageTag {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let known = LanguageIdentifier::try_from_str(text).ok()?;
        // What a stream is in has a language, and of what else there may be only what tells two apart.
        (!known.language.is_unknown() && known.variants.is_empty()).then(|| Self(known.to_string()))
    }
}

impl<'de> Deserialize<'de> for LanguageTag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected a language as in es or pt-BR"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_written_in_one_way() {
        for (written, tag) in [
            ("es", Some("es")),
            ("ES-mx", Some("es-MX")),
            ("pt-br", Some("pt-BR")),
            ("pt_BR", None),
            ("zh-hant-tw", Some("zh-Hant-TW")),
            ("", None),
            ("und", None),
            ("spanish language", None),
            ("de-1996", None),
            ("es-", None),
            ("es%", None),
            ("日本", None),
        ] {
            let parsed = LanguageTag::parse(written);
            assert_eq!(parsed.as_ref().map(LanguageTag::as_str), tag, "{written}");
        }
    }
}
