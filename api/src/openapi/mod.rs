//! The REST api described for programs, in OpenAPI 3.1, and for people, as a page.
//!
//! Each handler says in `#[utoipa::path(…)]` what is its own: parameters, bodies, who may, and the codes that it alone refuses
//! with. Types say what they take and answer by `ToSchema`. What all operations have in common is added here. How an
//! annotation is written: `API-DESIGN.md`.
//!
//! * `operation` – an annotation, completed: who may, every refusal, headers, names
//! * `problems` – every code, the status it comes with, and what it means
//! * `headers` – headers of requests and answers
//! * `example` – a value of a schema
//! * `page` – the document as HTML
//! * `served` – both as they are sent

#![expect(clippy::indexing_slicing, reason = "what a JSON document of ours lacks is null")]

mod example;
mod headers;
mod operation;
mod page;
mod problems;
mod served;

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;
use utoipa::{OpenApi as _, PartialSchema as _, ToSchema as _};

pub(crate) use headers::{IfMatch, IfNoneMatch};
#[cfg(test)]
pub(crate) use problems::meaning_of;
pub(crate) use served::Documentation;

use crate::exchange::ProblemWithId;
use crate::input::FieldError;
use crate::routes::{
    admin, auth, billing, categories, chat, documentation, event_subscriptions, notifications, search,
    streams, subscriptions, users,
};

/// Operations of one noun.
struct Noun {
    /// The tag, and the beginning of each `operationId`.
    name: &'static str,
    words: &'static str,
    operations: OpenApi,
}

/// All nouns, in the order in which the page has them.
fn nouns() -> [Noun; 12] {
    let noun = |name, words, operations| Noun { name, words, operations };
    [
        noun("auth", "Accounts, sessions and stream keys.", auth::Operations::openapi()),
        noun("streams", "What is live, was live, or is prepared.", streams::Operations::openapi()),
        noun("users", "Channels, following and blocking.", users::Operations::openapi()),
        noun("categories", "What streams are about.", categories::Operations::openapi()),
        noun("search", "Channels, live streams and categories at once.", search::Operations::openapi()),
        noun("chat", CHAT, chat::Operations::openapi()),
        noun("notifications", NOTIFICATIONS, notifications::Operations::openapi()),
        noun("subscriptions", SUBSCRIPTIONS, subscriptions::Operations::openapi()),
        noun(
            "billing",
            "What channels sell, what was paid, and what streamers are owed.",
            billing::Operations::openapi(),
        ),
        noun("webhooks", WEBHOOKS, event_subscriptions::Operations::openapi()),
        noun("admin", "For those who run the server.", admin::Operations::openapi()),
        noun("documentation", "What the api says of itself.", documentation::Operations::openapi()),
    ]
}

/// The OpenAPI document.
pub fn document() -> Value {
    let (mut tags, mut paths, mut schemas) = (Vec::new(), Map::new(), Map::new());
    for Noun { name, words, operations } in nouns() {
        tags.push(json!({ "name": name, "description": words }));
        // It cannot fail for what has text as keys.
        let mut part = serde_json::to_value(operations).unwrap_or_default();
        for (path, methods) in taken(&mut part["paths"]) {
            let all = paths.entry(path).or_insert_with(|| json!({}));
            let Value::Object(methods) = methods else { continue };
            for (method, mut operation) in methods {
                operation::complete(name, &mut operation);
                all[&method] = operation;
            }
        }
        schemas.extend(taken(&mut part["components"]["schemas"]));
    }
    join_parts(&mut schemas);
    for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        if let Some(body) = operation.get_mut("requestBody").and_then(|body| body.pointer_mut(JSON_CONTENT)) {
            // No body is what may be absent, not the word `null`.
            body["schema"] = example::not_null(&body["schema"]).clone();
            body["example"] = example::of(&body["schema"], &schemas);
        }
    }
    let read = read_schemas(&paths, &schemas);
    nothing_is_left_out(&mut schemas, &read);
    for (name, schema) in
        [(ProblemWithId::name(), ProblemWithId::schema()), (FieldError::name(), FieldError::schema())]
    {
        schemas.insert(name.into_owned(), serde_json::to_value(schema).unwrap_or_default());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Caudal",
            "summary": "Live streaming on a server of one's own.",
            "description": DESCRIPTION,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache 2.0", "identifier": "Apache-2.0" },
        },
        // Wherever the document itself came from.
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": problems::shared(),
            "headers": headers::components(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `accessToken` that registering, logging in or refreshing answered. Good for an hour.",
                },
            },
        },
    })
}

/// What serde flattens is described in parts, and is one object.
fn join_parts(schemas: &mut Map<String, Value>) {
    for schema in schemas.values_mut().filter_map(Value::as_object_mut) {
        let Some(Value::Array(parts)) = schema.remove("allOf") else { continue };
        let mut all = Map::new();
        for mut part in parts {
            all.extend(taken(&mut part["properties"]));
        }
        schema.insert("type".into(), "object".into());
        schema.insert("properties".into(), all.into());
    }
}

/// Answers have all of their fields, null where there is nothing to say. What is read may leave out what may be null.
fn nothing_is_left_out(schemas: &mut Map<String, Value>, read: &[String]) {
    for (_, schema) in schemas.iter_mut().filter(|(name, _)| !read.contains(name)) {
        let Some(fields) = schema["properties"].as_object() else { continue };
        schema["required"] = fields.keys().cloned().collect();
    }
}

/// The schemas of what requests have in their bodies.
fn read_schemas(paths: &Map<String, Value>, schemas: &Map<String, Value>) -> Vec<String> {
    let operations = paths.values().filter_map(Value::as_object).flat_map(Map::values);
    let mut names = Vec::new();
    for operation in operations {
        example::add_names(&operation["requestBody"], schemas, &mut names);
    }
    names
}

fn taken(value: &mut Value) -> Map<String, Value> {
    match value.take() {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// In a request's body.
const JSON_CONTENT: &str = "/content/application~1json";

const CHAT: &str = "What is said beside a stream. As it happens it comes over a WebSocket, `/ws/chat/{id}`: see \
                    docs/realtime.md of the source.";

const NOTIFICATIONS: &str = "What somebody is told: who is live, who follows them. As it happens it comes over a WebSocket, \
                             `/ws/notifications`: see docs/realtime.md of the source.";

const SUBSCRIPTIONS: &str =
    "Having a tier of a channel, by the month. Where nothing is sold each answer is `501 billing_disabled`.";

const WEBHOOKS: &str = "Servers that are told what happens in a channel, by signed requests: see docs/webhooks.md of the source.";

const DESCRIPTION: &str = "Bodies are JSON, read strictly: a field that does not exist is `422 invalid`, a query parameter that \
does not exist `400 malformed`. Ids are UUIDs, times RFC 3339 in UTC.\n\n\
Lists are arrays. While there is more, `Link` has the address of the next page: follow it as it stands.\n\n\
Errors are `application/problem+json` (RFC 9457). Programs read `code`, people read `detail`.\n\n\
Every answer has `X-Request-Id`, which the server's log has too, and `RateLimit`, which says how much may still be asked.";

#[cfg(test)]
mod tests;
