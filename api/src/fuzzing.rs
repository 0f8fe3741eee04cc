//! What the fuzzer runs, as a plain function, so that tests run it too. It asserts what must hold for any bytes.

use axum::http::Uri;
use garde::Validate;
use serde::{Deserialize, Serialize};

use crate::address::TrustedProxies;
use crate::category::Slug;
use crate::chat::moderation::{Term, Terms, has_link};
use crate::input::InputError;
use crate::json;
use crate::language::LanguageTag;
use crate::page::decode_cursor;
use crate::text::{Description, Field, SearchWords, Text, Title};

/// A field of each kind that routes have.
#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Fields {
    #[garde(dive)]
    title: Option<Title>,
    #[garde(dive)]
    description: Option<Description>,
    #[garde(dive)]
    q: Option<SearchWords>,
    #[garde(length(bytes, max = 64))]
    plain_text: Option<String>,
    #[garde(length(max = 10))]
    #[serde(default)]
    ids: Vec<uuid::Uuid>,
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Parameters {
    #[garde(dive)]
    q: Option<SearchWords>,
    #[garde(length(bytes, max = 64))]
    category: Option<String>,
    #[garde(skip)]
    language: Option<LanguageTag>,
    #[garde(range(min = 1, max = 100))]
    limit: Option<u32>,
}

#[derive(Deserialize, Serialize)]
struct Place {
    at: i64,
    id: uuid::Uuid,
}

/// A body, a query and a cursor, all from the same bytes. What is accepted can be kept by PostgreSQL and is accepted
/// unchanged again; what is refused is refused by the client's fault.
pub fn text_input(data: &[u8]) {
    match json::parse::<Fields>(data) {
        Ok(fields) => {
            accepted(fields.title.as_ref());
            accepted(fields.description.as_ref());
            accepted(fields.q.as_ref());
            assert!(!fields.plain_text.is_some_and(|text| text.contains('\0')));
            assert!(fields.ids.len() <= 10);
        }
        Err(error) => refused(&error),
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(uri) = format!("/?{text}").parse::<Uri>() {
        match json::read_query::<Parameters>(&uri) {
            Ok(parameters) => {
                accepted(parameters.q.as_ref());
                if let Some(language) = parameters.language {
                    let tag = language.as_str();
                    assert!(
                        tag.len() <= 35
                            && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                    );
                }
                let unkeepable = ['\0', char::REPLACEMENT_CHARACTER];
                assert!(!parameters.category.is_some_and(|text| text.contains(unkeepable)));
            }
            Err(error) => refused(&error),
        }
    }
    if let Err(error) = decode_cursor::<Place>(Some(text)) {
        refused(&error);
    }
    // Nothing of a list of proxies is lost or invented; this only must not fail.
    let _ = text.parse::<TrustedProxies>();
    if let Some(slug) = Slug::of_name(text) {
        assert_eq!(Slug::parse(slug.as_str()).as_ref(), Some(&slug), "what was made is no slug");
    }
    accepted(Some(&Title::new(text)));
    accepted(Some(&Description::new(text)));
}

/// Terms in lines, and behind an empty line a message that is searched for them. A term is found in itself, unless a star stands for
/// what is not there.
pub fn blocked_terms(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (terms, message) = text.split_once("\n\n").unwrap_or((text, ""));
    let terms: Vec<String> = terms.lines().take(10).map(|term| term.chars().take(64).collect()).collect();
    for term in &terms {
        if Term::parse(term).is_some_and(|term| !term.has_stars()) {
            assert!(Terms::compile(vec![term.clone()]).are_in(term), "{term:?} is not found in itself");
        }
    }
    let _ = Terms::compile(terms).are_in(message);
    assert!(!has_link(text) || !text.is_ascii() || text.contains(['.', ':']), "a link without a mark");
}

fn accepted<F: Field>(text: Option<&Text<F>>) {
    let Some(text) = text.filter(|text| text.validate().is_ok()) else { return };
    let kept = text.as_str();
    assert!(!kept.contains('\0'), "a NUL was accepted");
    assert!(kept.chars().count() <= F::MAX, "too long a text was accepted");
    assert!(kept.len() >= F::MIN, "an empty text was accepted");
    let again = Text::<F>::new(kept);
    assert_eq!(again.as_str(), kept, "what was cleaned is not clean");
    assert!(again.validate().is_ok(), "what was accepted is refused");
}

fn refused(error: &InputError) {
    assert!(matches!(error, InputError::Malformed(_) | InputError::Invalid(_)), "{error:?}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_kept_or_refused(
            text in any::<String>(),
            name in "title|description|q|plainText|ids|other",
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            text_input(serde_json::json!({ name: text }).to_string().as_bytes());
            text_input(text.as_bytes());
            text_input(&bytes);
            blocked_terms(text.as_bytes());
            blocked_terms(&bytes);
        }
    }
}
