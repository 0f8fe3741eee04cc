//! What no body may be, for every operation that the OpenAPI document gives one: unknown fields, lists, floods, pits.

use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::authorization::rows::{self, Caller, Row};
use crate::authorization::world::World;
use crate::contract::DOCUMENT;
use crate::openapi::operations;
use crate::running::{Answer, Running, send};
use crate::shop::{fake_stripe, sells};
use crate::smtp_server::SmtpServer;

/// What somebody might try to set who has read the database's schema. Operations that have such a field keep it.
const UNKNOWN: [&str; 14] = [
    "role",
    "isAdmin",
    "is_admin",
    "admin",
    "userId",
    "user_id",
    "id",
    "bannedAt",
    "emailVerified",
    "isLive",
    "viewerCount",
    "passwordHash",
    "streamKey",
    "__proto__",
];

struct Body {
    row: Row,
    /// As the document has it.
    example: Value,
    fields: Vec<String>,
}

/// Every operation with a body.
fn bodies() -> Vec<Body> {
    let rows = rows::all();
    let described = operations().filter_map(|(_, _, operation)| {
        let content = operation["requestBody"]["content"].as_object()?;
        let kinds: Vec<&str> = content.keys().map(String::as_str).collect();
        // Pictures have no fields, and tests of their own.
        if kinds == ["image/jpeg", "image/png", "image/webp"] {
            return None;
        }
        assert_eq!(kinds, ["application/json"], "a body that this does not know");
        let body = &content["application/json"];
        let id = operation["operationId"].as_str().unwrap();
        let row = rows.iter().find(|row| row.operation == id)?.clone();
        let name = body["schema"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let fields = DOCUMENT["components"]["schemas"][name]["properties"].as_object().unwrap();
        Some(Body { row, example: body["example"].clone(), fields: fields.keys().cloned().collect() })
    });
    described.collect()
}

/// Sends each body in the name of whom the operation is for.
async fn each(refuses: impl AsyncFn(&Body, &dyn Fn() -> RequestBuilder)) {
    let (stripe, mail) = (fake_stripe().await, SmtpServer::start().await);
    let api = Running::start_with(|config| sells(config, &stripe, &mail)).await;
    let template = api.register("template").await;
    let bodies = bodies();
    assert!(bodies.len() >= 24, "{} operations with a body", bodies.len());
    for body in bodies {
        let world = World::new(&template).await;
        let caller = if body.row.auth.word() == "admin" { Caller::Admin } else { Caller::Owner };
        let request = world.request(&body.row.bare(), caller).await;
        refuses(&body, &|| request.try_clone().unwrap()).await;
    }
}

fn is_refused(body: &Body, what: &str, answer: &Answer, refusals: &[(u16, &str)]) {
    assert!(refusals.contains(&answer.refusal()), "{}, {what}: {}", body.row.call, answer.json);
}

#[tokio::test]
async fn nobody_sets_what_is_not_theirs_to_set() {
    each(async |body, request| {
        for field in UNKNOWN.iter().filter(|field| !body.fields.iter().any(|own| own == *field)) {
            for value in [json!("admin"), json!(true), Value::Null] {
                let mut sent = body.example.clone();
                sent[*field] = value;
                let answer = send(request().json(&sent)).await;
                is_refused(body, field, &answer, &[(422, "invalid")]);
                let pointer = answer.json["errors"][0]["pointer"].as_str().unwrap();
                assert!(
                    pointer.ends_with(field) || answer.json.to_string().contains(field),
                    "{}",
                    answer.json
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_is_an_object_and_nothing_else() {
    each(async |body, request| {
        let values: Vec<&Value> = body.example.as_object().unwrap().values().collect();
        let absent = vec![Value::Null; body.fields.len()];
        for wrong in [
            json!(values),
            json!(absent),
            json!([body.example]),
            json!([]),
            json!("text"),
            json!(1),
            json!(true),
        ] {
            let answer = send(request().json(&wrong)).await;
            is_refused(body, &wrong.to_string(), &answer, &[(422, "invalid")]);
        }
        let answer = send(request().body(body.example.to_string())).await;
        is_refused(body, "without a type", &answer, &[(415, "unsupported_media_type")]);
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
            let answer = send(request().header(CONTENT_TYPE, kind).body(body.example.to_string())).await;
            is_refused(body, kind, &answer, &[(415, "unsupported_media_type")]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_too_large_or_too_deep_is_refused_before_it_is_understood() {
    each(async |body, request| {
        let send = |text: String| send(request().header(CONTENT_TYPE, "application/json").body(text));
        let answer = send(format!("{{\"flood\": \"{}\"}}", "x".repeat(70_000))).await;
        is_refused(body, "a flood", &answer, &[(413, "too_large")]);
        // In a field of its own, in an unknown one, and around everything; closed and not.
        let known = body.fields.first().unwrap();
        for (open, close) in [("[", "]"), ("{\"x\":", "}")] {
            let pit = open.repeat(9_000);
            let bottom = format!("{pit}1{}", close.repeat(9_000));
            for text in [
                format!("{{\"{known}\": {bottom}}}"),
                format!("{{\"{known}\": {pit}"),
                format!("{{\"unknown\": {bottom}}}"),
                bottom.clone(),
                pit.clone(),
            ] {
                let answer = send(text).await;
                is_refused(body, "a pit", &answer, &[(400, "malformed"), (422, "invalid")]);
            }
        }
    })
    .await;
}
