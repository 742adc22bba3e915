//! What a hostile client sends costs it more than it costs us, and is answered with a short error.

mod common;

use std::sync::Arc;

use common::{GROUP, USER, ZEEG, object, patch, patched, request, take_members, user};
use scim::filter::Filter;
use scim::patch::PatchRequest;
use scim::path::Path;
use scim::resource::create;
use scim::schema::{Budget, ResourceType, Schema};
use scim::{Dialect, ErrorKind, Limits};
use serde_json::{Value, json};

#[test]
fn a_value_is_not_copied_into_thousands_of_elements() {
    let emails: Vec<Value> =
        (0..10_000).map(|index| json!({ "value": format!("{index}@x"), "type": "work" })).collect();
    let current = json!({ "userName": "a", "emails": emails });
    let large = "x".repeat(1_000_000); // ten gigabytes, were it copied
    for (path, value) in [
        ("emails[type eq \"work\"]", json!({ "display": large })),
        ("emails.display", json!(large)),
        ("emails[type eq \"work\"].display", json!(large)),
    ] {
        for op in ["add", "replace"] {
            let operations = json!([{ "op": op, "path": path, "value": value }]);
            assert_eq!(
                patch(&Dialect::RFC, &current, operations).unwrap_err().kind,
                ErrorKind::TooMany,
                "{path}"
            );
        }
    }
    let small =
        patch(&Dialect::RFC, &current, json!([{ "op": "add", "path": "emails.display", "value": "x" }]));
    assert!(small.unwrap().changed);
}

#[test]
fn a_large_element_is_not_folded_thousands_of_times() {
    let current =
        json!({ "userName": "a", "emails": [{ "type": "work", "display": "X".repeat(1_000_000) }] });
    let operation = json!({ "op": "replace", "path": "emails[display eq \"x\" or type eq \"work\"].value", "value": "x" });
    let operations = Value::Array(vec![operation; 5_000]);
    assert_eq!(patch(&Dialect::RFC, &current, operations).unwrap_err().kind, ErrorKind::TooMany);
}

#[test]
fn a_large_neighbour_is_not_copied_by_every_operation() {
    // 3 MB times 5,000: the test would take minutes.
    let current = json!({ "userName": "a", "name": { "formatted": "x".repeat(3_000_000) } });
    let operation = json!({ "op": "replace", "path": "name.givenName", "value": "x" });
    let outcome = patch(&Dialect::RFC, &current, Value::Array(vec![operation; 5_000])).unwrap();
    assert_eq!(outcome.changed_paths, ["name.givenName"]);
}

#[test]
fn errors_do_not_echo_megabytes() {
    let long = format!("a{}", "b".repeat(1_000_000));
    let limits = Limits::DEFAULT;
    let operation = |op: &str, path: &str| {
        PatchRequest::parse(&request(json!([{ "op": op, "path": path, "value": 1 }])), &Dialect::RFC, &limits)
            .unwrap_err()
    };
    let body = json!({ "schemas": [USER], "userName": "a", long.clone(): 1 });
    let schemas = json!({ "schemas": [USER, long], "userName": "a" });
    for error in [
        operation(&long, "title"),
        operation("add", &long),
        Path::parse(&"a".repeat(8_000), &limits).unwrap().resolve(&user(), &Dialect::RFC).unwrap_err(),
        Filter::parse(&long, &limits).unwrap_err(),
        scim::sort::resolve(&long, &user()).unwrap_err(),
        create(&user(), &Dialect::RFC, &body).unwrap_err(),
        create(&user(), &Dialect::RFC, &schemas).unwrap_err(),
    ] {
        let json = error.to_json().to_string();
        assert!(json.len() < 2_500, "{json}");
    }
    // And the end, which says what is wrong, is not what is cut.
    let wrong = Path::parse(&format!("{} x", "a".repeat(8_000)), &limits).unwrap_err();
    assert!(wrong.detail.contains("at character 8002: expected"), "{}", wrong.detail);
}

#[test]
fn warnings_have_an_end() {
    let unknown: serde_json::Map<String, Value> =
        (0..50_000).map(|index| (format!("x{index}"), json!(1))).collect();
    let mut body = unknown;
    body.insert("userName".into(), "a".into());
    let created = create(&user(), &Dialect::ENTRA, &Value::Object(body)).unwrap();
    assert_eq!(created.warnings.len(), 100);
}

#[test]
fn a_list_does_not_become_a_query_without_end() {
    let list: Vec<Value> = (0..1_000).map(|index| json!({ "type": format!("t{index}") })).collect();
    let remove = |value: Value| {
        take_members(&Dialect::ENTRA, json!([{ "op": "remove", "path": "members", "value": value }]))
    };
    assert_eq!(remove(list.into()).unwrap_err().kind, ErrorKind::TooMany);
    let ids: Vec<Value> = (0..1_000).map(|index| json!({ "value": format!("u{index}") })).collect();
    assert_eq!(remove(ids.into()).unwrap().0.len(), 1, "ids are no query");
}

#[test]
fn many_elements_are_added_in_linear_time() {
    let schema = json!({ "id": "urn:example:2.0:User", "attributes": [
        { "name": "box", "type": "complex", "subAttributes": [{ "name": "items", "multiValued": true }] },
    ] });
    let schema = Schema::parse(&schema, &Budget::default()).unwrap();
    let rt = ResourceType::user().with_extension(Arc::new(schema), false);
    let items = |from: usize| -> Value { (from..from + 200_000).map(|item| item.to_string()).collect() };
    let current = json!({ "userName": "a", "urn:example:2.0:User": { "box": { "items": items(0) } } });
    let operations =
        json!([{ "op": "add", "path": "urn:example:2.0:User:box.items", "value": items(100_000) }]);
    let request = PatchRequest::parse(&request(operations), &Dialect::RFC, &Limits::DEFAULT).unwrap();
    let outcome = scim::patch::apply(&rt, &Dialect::RFC, &object(current), &request).unwrap();
    assert_eq!(outcome.resource["urn:example:2.0:User"]["box"]["items"].as_array().unwrap().len(), 300_000);
}

#[test]
fn an_element_of_a_simple_list_stays_simple() {
    // Found by the fuzzer: the element became a list.
    let current = json!({ "userName": "a", ZEEG: { "tags": ["a", "b"] } });
    let path = format!("{ZEEG}:tags[value eq \"a\"]");
    for dialect in Dialect::ALL {
        for op in ["add", "replace"] {
            let after = patched(dialect, &current, json!([{ "op": op, "path": path, "value": "c" }]));
            assert_eq!(after[ZEEG]["tags"], json!(["c", "b"]), "{op} in {dialect:?}");
        }
    }
    let error =
        patch(&Dialect::RFC, &current, json!([{ "op": "add", "path": path, "value": ["c"] }])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidValue);
}

#[test]
fn an_element_is_added_to_by_filter_in_every_dialect() {
    let current = json!({ "userName": "a", "emails": [{ "type": "work", "value": "a@x" }] });
    let operations =
        json!([{ "op": "add", "path": "emails[type eq \"work\"]", "value": { "display": "A" } }]);
    for dialect in Dialect::ALL {
        let after = patched(dialect, &current, operations.clone());
        assert_eq!(
            after["emails"],
            json!([{ "type": "work", "value": "a@x", "display": "A" }]),
            "{dialect:?}"
        );
    }
}

#[test]
fn an_extension_that_a_patch_begins_has_what_it_requires() {
    let schema = json!({ "id": "urn:example:2.0:User", "attributes": [
        { "name": "badge", "required": true }, { "name": "floor", "type": "integer" },
    ] });
    let schema = Schema::parse(&schema, &Budget::default()).unwrap();
    let rt = ResourceType::user().with_extension(Arc::new(schema), false);
    let apply = |current: &Value, operations: Value| {
        let request = PatchRequest::parse(&request(operations), &Dialect::RFC, &Limits::DEFAULT).unwrap();
        scim::patch::apply(&rt, &Dialect::RFC, &object(current.clone()), &request)
    };
    let floor = json!({ "op": "add", "path": "urn:example:2.0:User:floor", "value": 3 });
    let badge = json!({ "op": "add", "path": "urn:example:2.0:User:badge", "value": "B7" });
    let without = json!({ "userName": "a" });
    let error = apply(&without, json!([floor])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidValue);
    assert!(error.detail.contains("badge: required"), "{}", error.detail);
    assert!(apply(&without, json!([floor, badge])).unwrap().changed);
    // The schema was tightened after this one was stored: it is not stuck.
    let older = json!({ "userName": "a", "urn:example:2.0:User": { "floor": 1 } });
    assert!(apply(&older, json!([floor])).unwrap().changed);
}

#[test]
fn what_is_in_a_group_is_checked_in_every_case_of_the_key() {
    let group = ResourceType::group();
    let body = json!({ "schemas": [GROUP], "DISPLAYNAME": "g", "MEMBERS": [{ "VALUE": "u1" }] });
    let mut created = create(&group, &Dialect::RFC, &body).unwrap().resource;
    let members = scim::resource::take_members(&group, &mut created).unwrap().unwrap();
    assert_eq!((members.len(), members[0].value.as_str()), (1, "u1"));
}
