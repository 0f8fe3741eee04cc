//! Headers of requests and of answers, described once.

use serde_json::{Map, Value, json};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, Required};

/// For what is not sent again to whoever has it.
pub(crate) struct IfNoneMatch;

/// For what must not have been changed meanwhile.
pub(crate) struct IfMatch;

impl IntoParams for IfNoneMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter("If-None-Match", "An `ETag` of earlier: the answer is `304` while it is still so.")]
    }
}

impl IntoParams for IfMatch {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![parameter(
            "If-Match",
            "The `ETag` that the change was made from: refused when somebody else was faster.",
        )]
    }
}

fn parameter(name: &str, words: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(words))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

/// A reference to each header of `names`.
pub(super) fn references<'a>(names: impl IntoIterator<Item = &'a str>) -> Map<String, Value> {
    let reference = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
    names.into_iter().map(|name| (name.to_owned(), reference(name))).collect()
}

/// `components.headers`.
pub(super) fn components() -> Map<String, Value> {
    let header = |(name, words): (&str, &str)| {
        let kind = if name == "Retry-After" { "integer" } else { "string" };
        (name.to_owned(), json!({ "description": words, "schema": { "type": kind } }))
    };
    ANSWERED.into_iter().map(header).collect()
}

/// In the answer to every request.
pub(super) const ALWAYS: [&str; 3] = ["X-Request-Id", "RateLimit", "RateLimit-Policy"];

const ANSWERED: [(&str, &str); 9] = [
    ("ETag", "Names this version, for `If-None-Match` and `If-Match`."),
    ("Link", "`<…>; rel=\"next\"`: the next page. Absent on the last one."),
    ("Location", "Where what was made is."),
    (
        "RateLimit",
        "How many requests are left (`r`) and in how many seconds there are more (`t`), of the emptiest counter.",
    ),
    ("RateLimit-Policy", "How many requests (`q`) there may be in how many seconds (`w`)."),
    ("Retry-After", "In how many seconds to try again."),
    ("Set-Cookie", "For browsers: the refresh token, or its removal; the number of a viewer."),
    ("WWW-Authenticate", "`Bearer`."),
    ("X-Request-Id", "This request, in the server's log."),
];
