//! The OpenAPI document and its page. That answers are as it says: `contract`.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use uuid::Uuid;

use crate::contract::{self, DOCUMENT};
use crate::running::{Running, send};

/// Method and path of every operation, with what it is.
pub(crate) fn operations() -> impl Iterator<Item = (Method, &'static str, &'static Value)> {
    DOCUMENT["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| {
            (method.to_uppercase().parse().unwrap(), path.as_str(), operation)
        })
    })
}

/// An address that a pattern has; nothing is there.
fn address(pattern: &str) -> String {
    let part = |part: &str| match part {
        "{slug}" => "no-such-category".to_owned(),
        part if part.starts_with('{') => Uuid::nil().to_string(),
        part => part.to_owned(),
    };
    pattern.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn the_document_stays_as_it_is() {
    let api = Running::start().await;
    let served = api.get("/api/openapi.json").await;
    assert_eq!(served.json, *DOCUMENT);
    insta::with_settings!({ sort_maps => true }, { insta::assert_json_snapshot!(served.json) });
}

#[test]
fn the_document_is_openapi_3_1() {
    // https://spec.openapis.org/oas/3.1/schema/2022-10-07
    let official: Value = serde_json::from_str(include_str!("openapi-3.1.schema.json")).unwrap();
    let validator = jsonschema::options().build(&official).unwrap();
    let wrong: Vec<_> =
        validator.iter_errors(&DOCUMENT).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, all: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                all.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|field| references(field, all));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, all)),
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    references(&DOCUMENT, &mut all);
    assert!(!all.is_empty());
    for reference in all {
        let found = reference.strip_prefix('#').and_then(|pointer| DOCUMENT.pointer(pointer));
        assert!(found.is_some(), "{reference} leads nowhere; a type in a query needs #[param(inline)]");
    }
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let api = Running::start().await;
    let mut answered = BTreeSet::new();
    for path in caudal_api::rest_paths() {
        // A method that no route has.
        let answer = send(api.request(Method::TRACE, &address(&path))).await;
        let methods = answer.header("allow").split(',').filter(|method| *method != "HEAD");
        answered.extend(methods.map(|method| format!("{method} {path}")));
    }
    let described: BTreeSet<_> = operations().map(|(method, path, _)| format!("{method} {path}")).collect();
    let (silent, gone): (Vec<_>, Vec<_>) =
        (answered.difference(&described).collect(), described.difference(&answered).collect());
    assert!(
        silent.is_empty() && gone.is_empty(),
        "not in the OpenAPI document: {silent:?}. Their handlers need #[utoipa::path(…)] and a line in `Operations` of \
         routes/<noun>/mod.rs (api/API-DESIGN.md).\nIn the document and not served: {gone:?}"
    );
}

#[tokio::test]
async fn whoever_is_not_logged_in_or_no_admin_is_told_so_where_the_document_says_it() {
    let api = Running::start().await;
    let ana = api.register("ana").await;
    for (method, path, operation) in operations() {
        let stranger = send(api.request(method.clone(), &address(path))).await;
        let name = format!("{method} {path}");
        let auth = operation["x-caudal-auth"].as_str().unwrap();
        let turned_away = stranger.refusal() == (401, "unauthenticated");
        assert_eq!(turned_away, auth != "anonymous", "{name}, for {auth}: {}", stranger.json);
        if auth == "admin" {
            let user = send(ana.request(method, &address(path))).await;
            assert_eq!(user.refusal(), (403, "forbidden"), "{name}: {}", user.json);
        }
    }
}

#[test]
fn every_example_of_a_body_is_one() {
    let mut bodies = 0;
    for (method, path, operation) in operations() {
        let body = &operation["requestBody"]["content"]["application/json"];
        if body.is_object() {
            contract::matches(&format!("the example of {method} {path}"), &body["schema"], &body["example"]);
            bodies += 1;
        }
    }
    assert!(bodies > 0);
}

#[tokio::test]
async fn the_document_and_its_page_are_sent_once_to_whoever_keeps_them() {
    let api = Running::start().await;
    for path in ["/api/openapi.json", "/api/docs"] {
        let first = api.get(path).await;
        assert_eq!(first.status, StatusCode::OK);
        assert_eq!(first.header("cache-control"), "public, no-cache");
        let again = send(api.request(Method::GET, path).header("if-none-match", first.header("etag"))).await;
        assert_eq!((again.status.as_u16(), again.header("etag")), (304, first.header("etag")), "{path}");
        assert_ne!(first.header("ratelimit"), "", "{path} is not counted");
    }
}

#[tokio::test]
async fn the_page_has_every_operation_and_runs_nothing() {
    let api = Running::start().await;
    let page = api.get("/api/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let html = page.json.as_str().unwrap();
    for (_, path, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(
            html.contains(&format!("<div id=\"{id}\">")) && html.contains(&format!("href=\"#{id}\"")),
            "{id}"
        );
        assert!(html.contains(path), "{path}");
    }
    for elsewhere in ["<script", "<link", " src=", " style=", "onclick"] {
        assert!(!html.contains(elsewhere), "{elsewhere}");
    }
    // A link into the page leads somewhere.
    for link in html.split("href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(html.contains(&format!(" id=\"{link}\"")), "#{link}");
    }
}
