use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap();
        methods.iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

#[test]
fn every_annotation_says_who_may() {
    for (name, operation) in operations(&document()) {
        assert!(
            operation["x-caudal-auth"].is_string(),
            "{name} needs security(()), security((), (\"user\" = [])), or (\"user\"|\"owner\"|\"moderator\"|\"admin\" = []): API-DESIGN.md"
        );
    }
}

#[test]
fn every_code_of_an_annotation_is_known_and_comes_with_its_status() {
    for Noun { operations: described, .. } in nouns() {
        let described = serde_json::to_value(described).unwrap();
        for (name, operation) in operations(&described) {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let status: u16 = status.parse().unwrap();
                if status < 400 {
                    continue;
                }
                for code in response["description"].as_str().unwrap().split(", ") {
                    assert!(
                        problems::meaning_of(status, code).is_some(),
                        "{name}: {status} {code:?} is not in openapi/problems.rs"
                    );
                }
            }
        }
    }
}

/// Later ones would silently take the place of earlier ones.
#[test]
fn no_two_types_have_one_name() {
    let mut known = BTreeMap::new();
    for Noun { name, operations, .. } in nouns() {
        let described = serde_json::to_value(operations).unwrap();
        for (schema, described) in described["components"]["schemas"].as_object().into_iter().flatten() {
            let (other, earlier) = known.entry(schema.clone()).or_insert((name, described.clone()));
            assert_eq!(earlier, described, "{schema} of {name} and of {other}: use #[schema(as = …)]");
        }
    }
}

#[test]
fn no_two_operations_have_one_id() {
    let document = document();
    let mut known = BTreeMap::new();
    for (name, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert_eq!(known.insert(id, name.clone()), None, "{id} of {name}");
    }
}

#[test]
fn every_operation_says_what_it_does_in_a_sentence() {
    let document = document();
    for (name, operation) in operations(&document) {
        let summary = operation["summary"].as_str().unwrap();
        assert!(!summary.is_empty() && !summary.contains('\n'), "{name}: {summary:?}");
    }
    let text = document.to_string();
    let link = text.find("[`").and_then(|at| text.get(at..at + 60));
    assert_eq!(link, None, "links of rustdoc lead nowhere here");
}

#[test]
fn an_annotation_that_names_nobody_is_completed_without_them() {
    let mut silent = json!({ "operationId": "show", "summary": "One. And\nmore.", "responses": {} });
    operation::complete("streams", &mut silent);
    assert_eq!(silent["operationId"], "streamsShow");
    assert_eq!((&silent["summary"], &silent["description"]), (&json!("One"), &json!("And more.")));
    assert!(silent["x-caudal-auth"].is_null() && silent["responses"]["401"].is_null());
    assert_eq!(silent["responses"]["429"]["$ref"], "#/components/responses/RateLimited");
}

#[test]
fn the_page_shows_text_as_text() {
    let mut document = document();
    document["info"]["description"] = "<script>`<b>`</script>".into();
    let page = page::render(&document, "http://localhost:3000");
    assert!(page.contains("&lt;script&gt;<code>&lt;b&gt;</code>"), "{page}");
    assert!(!page.contains("<script") && !page.contains("https://cdn") && !page.contains("style=\""));
}
