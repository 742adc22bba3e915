//! The OpenAPI document: it tells of every route, and every route that it tells of is there.

use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Map, Value};

use crate::fake::Fixture;

async fn document() -> Value {
    let answer =
        Fixture::new().send_with("GET", "/admin/v1/openapi.json", "", &[("authorization", "")]).await;
    assert_eq!(answer.status, StatusCode::OK, "the document is no secret");
    assert_eq!(answer.header("content-type"), "application/vnd.oai.openapi+json;version=3.1");
    answer.json()
}

/// Path, method and operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Map<String, Value>)> {
    let paths = document["paths"].as_object().unwrap();
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            assert!(["get", "put", "post", "patch", "delete"].contains(&method.as_str()), "{path}: {method}");
            operations.push((path.as_str(), method.as_str(), operation.as_object().unwrap()));
        }
    }
    operations
}

/// Every value under a `$ref` anywhere.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(target) if name == "$ref" => found.push(target),
                    value => references(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn operations_are_told_apart_and_explained() {
    let document = document().await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(document["security"][0]["adminToken"], serde_json::json!([]));
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "two operations are called {id}");
        let summary = operation["summary"].as_str().unwrap();
        assert!(summary.ends_with('.') && !summary.contains('\n'), "{method} {path}: {summary}");
        let tag = &operation["tags"][0];
        assert!(document["tags"].as_array().unwrap().iter().any(|known| known["name"] == *tag), "{tag}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
        for (status, response) in responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
            let shared = response["$ref"].as_str().map(|reference| reference.trim_start_matches('#'));
            let response = shared.map_or(response, |pointer| document.pointer(pointer).unwrap());
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}");
        }
        let parameters = operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut names = BTreeSet::new();
        for parameter in &parameters {
            let name = parameter["name"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{method} {path} has {name} twice");
            assert!(
                !parameter["description"].as_str().unwrap_or_default().is_empty(),
                "{method} {path}: {name}"
            );
        }
        let variables = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        for variable in variables {
            assert!(parameters.iter().any(|one| one["name"] == variable && one["in"] == "path"), "{path}");
        }
        assert_eq!(names.contains("Idempotency-Key"), method == "post", "{method} {path}");
    }
    assert!(ids.len() > 40, "{}", ids.len());
}

#[tokio::test]
async fn references_lead_somewhere_and_schemas_are_explained() {
    let document = document().await;
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema["description"].is_string(), "{name} says nothing of itself");
    }
}

/// `docs/openapi.json` is for whoever has no server at hand. `ROLLCALL_WRITE_DOCS=1 cargo test -p gateway openapi` writes it.
#[tokio::test]
async fn the_document_in_docs_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let document = serde_json::to_string_pretty(&document().await).unwrap() + "\n";
    if std::env::var_os("ROLLCALL_WRITE_DOCS").is_some() {
        std::fs::write(path, &document).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == document, "docs/openapi.json is of another time: see this test's comment");
}

/// A route that is not there answers 404 with this text, whatever the method.
#[tokio::test]
async fn every_operation_answers() {
    let document = document().await;
    let fixture = Fixture::new();
    for (path, method, operation) in operations(&document) {
        let uri = path
            .replace("{tenant}", "contoso")
            .replace("{urn}", "urn:x")
            .replace("{team}", "sales")
            .replace("{", "")
            .replace("}", "");
        let body = example(&document, operation).map_or_else(String::new, |example| example.to_string());
        let answer = fixture.send(&method.to_uppercase(), &format!("/admin/v1{uri}"), &body).await;
        assert_ne!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
        assert!(!answer.body.contains("no such endpoint"), "{method} {path}: {}", answer.body);
        assert!(!answer.status.is_server_error(), "{method} {path}: {}", answer.body);
        // What the examples say fits what the handlers read.
        assert!(!answer.body.contains("does not fit"), "{method} {path}: {}", answer.body);
    }
}

#[tokio::test]
async fn every_body_has_an_example() {
    let document = document().await;
    for (path, method, operation) in operations(&document) {
        if operation.contains_key("requestBody") {
            assert!(example(&document, operation).is_some(), "{method} {path}");
        }
    }
}

/// The example of an operation's body, or of the schema that it is of.
fn example(document: &Value, operation: &Map<String, Value>) -> Option<Value> {
    let content = operation.get("requestBody")?["content"].as_object()?.values().next()?;
    if let Some(example) = content.get("example") {
        return Some(example.clone());
    }
    let reference = content["schema"]["$ref"].as_str()?.strip_prefix('#')?;
    let schema = document.pointer(reference)?;
    schema.get("example").or_else(|| schema.get("examples")?.get(0)).cloned()
}
