//! Bodies and queries: read strictly, checked by their own rules, and refused by field.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use garde::Validate;
use garde::error::Path;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::error::Error;
use crate::input::{FieldError, InputError};

/// A JSON body that passed its own rules.
pub(crate) struct Checked<T>(pub(crate) T);

impl<S, T> FromRequest<S> for Checked<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        if !says_json(request.headers()) {
            return Err(InputError::UnsupportedMediaType.into());
        }
        let body = Bytes::from_request(request, state).await.map_err(unreadable)?;
        Ok(Self(parse(&body)?))
    }
}

/// The same where no body at all stands for the default.
pub(crate) struct CheckedOrDefault<T>(pub(crate) T);

impl<S, T> FromRequest<S> for CheckedOrDefault<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Default + Validate<Context = ()>,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let json = says_json(request.headers());
        let body = Bytes::from_request(request, state).await.map_err(unreadable)?;
        match (body.is_empty(), json) {
            (true, _) => Ok(Self(T::default())),
            (false, true) => Ok(Self(parse(&body)?)),
            (false, false) => Err(InputError::UnsupportedMediaType.into()),
        }
    }
}

/// A body of a signed internal request: one of our own types, which says itself what it is.
pub(crate) struct Internal<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Internal<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let body = Bytes::from_request(request, state).await.map_err(unreadable)?;
        Ok(Self(serde_json::from_slice(&body).map_err(|error| InputError::Malformed(words_of(&error)))?))
    }
}

/// A field of a change. `#[serde(default)]` makes what is absent stay as it is.
#[derive(Default)]
pub(crate) enum Patch<T> {
    /// Absent.
    #[default]
    Keep,
    /// Null takes the value away.
    Clear,
    Set(T),
}

impl<T> Patch<T> {
    pub(crate) fn is_change(&self) -> bool {
        !matches!(self, Self::Keep)
    }

    /// The new value, where there is one.
    pub(crate) fn value(&self) -> Option<&T> {
        if let Self::Set(value) = self { Some(value) } else { None }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::deserialize(deserializer)?;
        Ok(value.map_or(Self::Clear, Self::Set))
    }
}

impl<T: Validate<Context = ()>> Validate for Patch<T> {
    type Context = ();

    fn validate_into(&self, context: &(), parent: &mut dyn FnMut() -> Path, report: &mut garde::Report) {
        if let Self::Set(value) = self {
            value.validate_into(context, parent, report);
        }
    }
}

/// A query string that passed its own rules.
pub(crate) struct Query<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let query: T = read_query(&parts.uri)?;
        query.validate().map_err(|report| InputError::Invalid(field_errors(&report, "?")))?;
        Ok(Self(query))
    }
}

pub(crate) fn read_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, InputError> {
    use axum::extract::Query as Form;
    let malformed = |rejection: QueryRejection| InputError::Malformed(rejection.body_text());
    let Form(pairs) = Form::<Vec<(String, String)>>::try_from_uri(uri).map_err(malformed)?;
    // Percent-encoded bytes that are no UTF-8 have become replacement characters by now.
    let unkeepable = pairs.iter().find(|(_, value)| value.contains([NUL, char::REPLACEMENT_CHARACTER]));
    if let Some((name, value)) = unkeepable {
        let words = if value.contains(NUL) { CONTAINS_NUL } else { "is not UTF-8 text" };
        return Err(InputError::Invalid(vec![FieldError::new(format!("?{name}"), "invalid", words)]));
    }
    Form::try_from_uri(uri).map(|Form(query)| query).map_err(malformed)
}

pub(crate) fn parse<T: DeserializeOwned + Validate<Context = ()>>(body: &[u8]) -> Result<T, InputError> {
    refuse_nul(body)?;
    refuse_list(body)?;
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value: T = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let inner = error.inner();
        if inner.classify() == serde_json::error::Category::Data {
            InputError::Invalid(vec![FieldError::new(
                pointer_to(error.path()),
                "wrong_shape",
                words_of(inner),
            )])
        } else {
            InputError::Malformed(format!("the body is not JSON: {inner}"))
        }
    })?;
    reader.end().map_err(|error| InputError::Malformed(format!("the body is not JSON: {error}")))?;
    value.validate().map_err(|report| InputError::Invalid(field_errors(&report, "/")))?;
    Ok(value)
}

/// NUL is the one character that JSON can carry and PostgreSQL's text cannot, whichever field it is in.
fn refuse_nul(body: &[u8]) -> Result<(), InputError> {
    // JSON can write it in one way only. Most bodies end the search here.
    if !body.windows(ESCAPED_NUL.len()).any(|window| window == ESCAPED_NUL) {
        return Ok(());
    }
    // What is no JSON is refused by whoever reads it next.
    let found = serde_json::from_slice(body).ok().and_then(|body| pointer_to_nul(&body, ""));
    found.map_or(Ok(()), |pointer| {
        Err(InputError::Invalid(vec![FieldError::new(pointer, "invalid", CONTAINS_NUL)]))
    })
}

/// serde reads a struct from a list too, its fields by their order, of which no document says anything.
fn refuse_list(body: &[u8]) -> Result<(), InputError> {
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(InputError::Invalid(vec![FieldError::new("", "wrong_shape", IS_LIST)]));
    }
    Ok(())
}

/// As deep as serde_json reads, 128 levels.
fn pointer_to_nul(value: &Value, at: &str) -> Option<String> {
    match value {
        Value::String(text) => text.contains(NUL).then(|| at.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| pointer_to_nul(item, &format!("{at}/{index}")))
        }
        Value::Object(fields) => {
            fields.iter().find_map(|(key, value)| pointer_to_nul(value, &format!("{at}/{}", escaped(key))))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// A key as part of a pointer (RFC 6901 §3).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// serde's words without the position, which says nothing to whoever sent one line, and without the names of our types.
pub(crate) fn words_of(error: &serde_json::Error) -> String {
    let words = error.to_string();
    without_rust_names(words.split(" at line ").next().unwrap_or(&words))
}

fn without_rust_names(words: &str) -> String {
    let mut words = words.split(" of untagged enum ").next().unwrap_or(words).to_owned();
    for (rust, wire) in EXPECTED {
        let expected = format!("expected {rust} ");
        if let Some((before, behind)) = words.split_once(&expected) {
            let behind = behind.trim_start_matches(|character: char| {
                character.is_alphanumeric() || matches!(character, '_' | ':' | '<' | '>')
            });
            words = format!("{before}expected {wire}{behind}");
        }
    }
    words
}

/// What serde calls things, and what they are in JSON.
const EXPECTED: &[(&str, &str)] = &[
    ("adjacently tagged enum", "an object"),
    ("internally tagged enum", "an object"),
    ("struct variant", "an object"),
    ("tuple variant", "a list"),
    ("newtype variant", "a value"),
    ("unit variant", "a text"),
    ("tuple struct", "a list"),
    ("newtype struct", "a value"),
    ("unit struct", "null"),
    ("struct", "an object"),
    ("enum", "a text"),
];

/// What is wrong with the fields of something, in one line, under the names that they have in JSON.
pub(crate) fn words_of_fields(report: &garde::Report) -> String {
    let faults = field_errors(report, "").into_iter();
    faults.map(|fault| format!("{}: {}", fault.pointer, fault.detail)).collect::<Vec<_>>().join("; ")
}

fn pointer_to(path: &serde_path_to_error::Path) -> String {
    use std::fmt::Write as _;

    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        // Writing to a text cannot fail.
        let _ = match segment {
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Map { key } => write!(pointer, "/{}", escaped(key)),
            Segment::Enum { variant } => write!(pointer, "/{variant}"),
            Segment::Unknown => Ok(()),
        };
    }
    pointer
}

fn field_errors(report: &garde::Report, prefix: &str) -> Vec<FieldError> {
    let errors = report.iter();
    errors
        .map(|(path, error)| {
            FieldError::new(
                format!("{prefix}{}", camel_case(path)),
                code_of(error.message()),
                error.message(),
            )
        })
        .collect()
}

/// garde names fields as Rust does: `category_ids[0]` is `categoryIds/0`.
fn camel_case(path: &Path) -> String {
    let mut out = String::new();
    let mut upper = false;
    for character in path.to_string().chars() {
        match character {
            '_' => upper = true,
            '.' | '[' => out.push('/'),
            ']' => {}
            _ if upper => {
                out.extend(character.to_uppercase());
                upper = false;
            }
            _ => out.push(character),
        }
    }
    out
}

/// garde's errors are words only.
fn code_of(message: &str) -> &'static str {
    if message.contains("length is lower than") || message.contains("is empty") {
        "too_short"
    } else if message.contains("length is greater than") {
        "too_long"
    } else {
        "invalid"
    }
}

fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of map_err")]
fn unreadable(rejection: BytesRejection) -> InputError {
    if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        InputError::TooLarge
    } else {
        InputError::Malformed("the body could not be read".into())
    }
}

const NUL: char = '\0';
const ESCAPED_NUL: &[u8] = br"\u0000";
const CONTAINS_NUL: &str = "contains the character U+0000";
const IS_LIST: &str = "is a list, not an object";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_json_name_no_types_of_ours() {
        for (words, kept) in [
            (
                "invalid type: integer `7`, expected struct variant Request::SendMessage",
                "invalid type: integer `7`, expected an object",
            ),
            ("invalid type: null, expected struct Wanted", "invalid type: null, expected an object"),
            (
                "invalid length 1, expected struct Position with 2 elements",
                "invalid length 1, expected an object with 2 elements",
            ),
            ("data did not match any variant of untagged enum Id", "data did not match any variant"),
            ("invalid type: map, expected a string", "invalid type: map, expected a string"),
        ] {
            assert_eq!(without_rust_names(words), kept);
        }
    }
}
