//! What can be wrong with what people and programs send.

use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;

/// Why a body or a query was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum InputError {
    /// Not JSON, or no proper query.
    #[error("{0}")]
    Malformed(String),
    /// Well-formed, and not acceptable.
    #[error("some fields are not acceptable")]
    Invalid(Vec<FieldError>),
    /// Unique, and somebody else has it.
    #[error("{}", .0.detail)]
    Taken(FieldError),
    /// Not JSON by its own word.
    #[error("the body must be application/json")]
    UnsupportedMediaType,
    /// Larger than any request needs to be.
    #[error("the body is too large")]
    TooLarge,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// RFC 6901, into the request's body; `?name` for a query parameter.
    pub(crate) pointer: String,
    /// For a program.
    #[schema(value_type = String)]
    pub(crate) code: &'static str,
    /// For a person.
    pub(crate) detail: String,
}

impl FieldError {
    pub(crate) fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}
