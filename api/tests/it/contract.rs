//! What the OpenAPI document promises, held against every answer that any test gets from the api: `running::send` calls
//! [`check`]. An answer that is not described, or not as described, fails the test that got it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use jsonschema::Validator;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Request};
use serde_json::{Value, json};

use crate::running::Answer;

/// What was asked, as far as the document says something about it.
pub(crate) struct Asked {
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    body: Option<Value>,
}

impl Asked {
    pub(crate) fn of(request: &Request) -> Self {
        let body = request.body().and_then(reqwest::Body::as_bytes);
        Self {
            method: request.method().clone(),
            path: request.url().path().to_owned(),
            query: request.url().query_pairs().into_owned().collect(),
            body: body.and_then(|body| serde_json::from_slice(body).ok()),
        }
    }
}

/// Fails where an answer is not as the document says.
pub(crate) fn check(asked: &Asked, answer: &Answer) {
    if !asked.path.starts_with("/api/") || asked.method == Method::OPTIONS {
        return;
    }
    let status = answer.status.as_u16();
    // Of the listener, before the api sees a request: headers that are too long.
    if status == 431 {
        return;
    }
    let Some((name, operation)) = operation_of(asked) else {
        assert!(
            status >= 400,
            "{} {} answered {status} and is not in the OpenAPI document: its handler needs #[utoipa::path(…)] \
             (api/API-DESIGN.md)",
            asked.method,
            asked.path
        );
        return matches("Problem", &json!({ "$ref": "#/components/schemas/Problem" }), &answer.json);
    };
    let response = &operation["responses"][status.to_string()];
    assert!(
        response.is_object(),
        "{name} answered {status} {}, which its #[utoipa::path] does not have (api/API-DESIGN.md)",
        answer.json
    );
    let response = referred(response);
    check_headers(&name, status, response, answer);
    if asked.method != Method::HEAD {
        check_body(&name, status, response, answer);
    }
    if answer.status.is_success() {
        check_request(&name, operation, asked);
    }
}

fn check_headers(name: &str, status: u16, response: &Value, answer: &Answer) {
    let described: Vec<String> =
        response["headers"].as_object().unwrap().keys().map(|header| header.to_ascii_lowercase()).collect();
    for header in &described {
        // Of the last page, of a browser without a cookie, of what failed before it was counted.
        let may_be_absent = matches!(header.as_str(), "link" | "set-cookie")
            // Of somebody who may talk again later.
            || (status, header.as_str()) == (403, "retry-after")
            || status >= 500 && header.starts_with("ratelimit");
        assert!(may_be_absent || answer.headers.contains_key(header), "{name}: {status} without {header}");
    }
    for header in ["etag", "link", "location", "retry-after", "set-cookie", "www-authenticate"] {
        let known = described.iter().any(|known| known == header);
        assert!(known || !answer.headers.contains_key(header), "{name}: {status} has {header}, undescribed");
    }
}

fn check_body(name: &str, status: u16, response: &Value, answer: &Answer) {
    if answer.json.is_null() {
        return assert!(response["content"].is_null(), "{name}: {status} without a body");
    }
    let kind = answer.headers[CONTENT_TYPE].to_str().unwrap().split(';').next().unwrap();
    let content = &response["content"][kind];
    assert!(content.is_object(), "{name}: {status} is {kind}, undescribed: {}", answer.json);
    if kind.ends_with("json") {
        let mut schema = content["schema"].clone();
        if kind == "application/problem+json" {
            schema["unevaluatedProperties"] = false.into();
        }
        matches(&format!("{name}: {status}"), &schema, &answer.json);
    }
}

/// What was accepted had to be acceptable by the document.
fn check_request(name: &str, operation: &Value, asked: &Asked) {
    let body = &operation["requestBody"]["content"]["application/json"]["schema"];
    if let Some(sent) = asked.body.as_ref().filter(|_| body.is_object()) {
        matches(&format!("{name}, what was sent"), body, sent);
    }
    for (key, value) in &asked.query {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let known = parameters.filter(|known| known["in"] == "query").find(|known| known["name"] == *key);
        let known = known.unwrap_or_else(|| panic!("{name}: ?{key} is not described"));
        let value = match known["schema"]["type"].as_str() {
            Some("integer" | "boolean") => serde_json::from_str(value).unwrap(),
            _ => Value::from(value.as_str()),
        };
        matches(&format!("{name}, ?{key}"), &known["schema"], &value);
    }
}

/// The operation that a request is for, with its name.
fn operation_of(asked: &Asked) -> Option<(String, &'static Value)> {
    let method = asked.method.as_str().to_ascii_lowercase();
    let method = if asked.method == Method::HEAD { "get" } else { method.as_str() };
    let wanted: Vec<&str> = asked.path.split('/').collect();
    let fits = |path: &&String| {
        let parts: Vec<&str> = path.split('/').collect();
        let same =
            |(part, wanted): (&&str, &&str)| part == wanted || part.starts_with('{') && !wanted.is_empty();
        parts.len() == wanted.len() && parts.iter().zip(&wanted).all(same)
    };
    // What is written out goes before what stands for anything.
    let path =
        DOCUMENT["paths"].as_object()?.keys().filter(fits).min_by_key(|path| path.matches('{').count())?;
    let operation = DOCUMENT["paths"][path].get(method)?;
    Some((format!("{} {path}", asked.method), operation))
}

fn referred(response: &'static Value) -> &'static Value {
    let name = response["$ref"].as_str().and_then(|to| to.strip_prefix("#/components/responses/"));
    name.map_or(response, |name| &DOCUMENT["components"]["responses"][name])
}

/// Fails unless the schema, of this document, takes the value.
pub(crate) fn matches(what: &str, schema: &Value, value: &Value) {
    let validator = validator(schema);
    let wrong: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{what} is not as the OpenAPI document says:\n{}\n{value:#}", wrong.join("\n"));
}

fn validator(schema: &Value) -> Arc<Validator> {
    let mut known = KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let validator = known.entry(schema.to_string()).or_insert_with(|| {
        let whole = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "allOf": [schema],
            "components": { "schemas": *STRICT },
        });
        Arc::new(jsonschema::options().should_validate_formats(true).build(&whole).unwrap())
    });
    Arc::clone(validator)
}

pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(caudal_api::openapi_document);

/// The document's schemas, of objects that have no other fields than those described. Programs must not rely on that: later
/// versions have more.
static STRICT: LazyLock<Value> = LazyLock::new(|| {
    let mut schemas = DOCUMENT["components"]["schemas"].clone();
    for schema in schemas.as_object_mut().unwrap().values_mut() {
        if schema["properties"].is_object() {
            schema["additionalProperties"] = false.into();
        }
    }
    schemas
});

/// By schema: hundreds of answers have the same.
static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
