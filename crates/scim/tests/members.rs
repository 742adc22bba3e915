//! The members of a group, lifted out of a PATCH: every shape of ENTRA.md, section 3.4.

mod common;

use common::take_members;
use scim::filter::Query;
use scim::patch::{Op, SetOp};
use scim::resource::SetMember;
use scim::{Dialect, ErrorKind};
use serde_json::{Value, json};

fn members(ids: &[&str]) -> Vec<SetMember> {
    ids.iter().map(|id| SetMember { value: (*id).into(), kind: None }).collect()
}

fn taken(operations: Value) -> Vec<SetOp> {
    take_members(&Dialect::ENTRA, operations).expect("the operations are good").0
}

#[test]
fn add() {
    let shapes = [
        json!({ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": "u1" }] }),
        json!({ "op": "add", "path": "Members", "value": [{ "value": "u1" }, { "value": "u1" }] }),
        json!({ "op": "Add", "path": "members", "value": "u1" }),
        json!({ "op": "Add", "path": "members", "value": ["u1"] }),
        json!({ "op": "Add", "path": "members", "value": { "value": "u1" } }),
        json!({ "op": "add", "value": { "members": [{ "value": "u1" }] } }),
        json!({ "op": "add", "path": "urn:ietf:params:scim:schemas:core:2.0:Group:members", "value": [{ "value": "u1" }] }),
    ];
    for shape in shapes {
        assert_eq!(taken(json!([shape])), [SetOp::Add(members(&["u1"]))], "{shape}");
    }
    let typed = json!([{ "op": "add", "path": "members", "value": [{ "value": "g", "type": "Group", "display": "x" }] }]);
    assert_eq!(taken(typed), [SetOp::Add(vec![SetMember { value: "g".into(), kind: Some("Group".into()) }])]);
}

#[test]
fn remove() {
    let shapes = [
        json!({ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": "u1" }, { "value": "u2" }] }),
        json!({ "op": "Remove", "path": "members", "value": ["u1", "u2"] }),
        json!({ "op": "remove", "path": "members[value eq \"u1\" or value eq \"u2\"]" }),
        json!({ "op": "remove", "path": "members[value eq \"u1\" or value eq \"u2\"]", "value": [] }),
    ];
    for shape in shapes {
        assert_eq!(taken(json!([shape])), [SetOp::Remove(members(&["u1", "u2"]))], "{shape}");
    }
    assert_eq!(taken(json!([{ "op": "remove", "path": "members" }])), [SetOp::RemoveAll]);
    let by_type = taken(json!([{ "op": "remove", "path": "members[type eq \"Group\"]" }]));
    assert!(
        matches!(&by_type[..], [SetOp::RemoveMatching(Query::Compare { attr, .. })] if attr.segments == ["type"])
    );
}

/// Our own rule: what names nobody must not empty the group.
#[test]
fn remove_of_nobody_removes_nobody() {
    for nobody in [json!([]), json!(null), json!(""), json!([null]), json!([{ "value": "" }])] {
        assert_eq!(taken(json!([{ "op": "Remove", "path": "members", "value": nobody }])), [], "{nobody}");
    }
}

#[test]
fn replace() {
    let shape = json!([{ "op": "replace", "path": "members", "value": [{ "value": "u1" }] }]);
    assert_eq!(taken(shape), [SetOp::Replace(members(&["u1"]))]);
    assert_eq!(taken(json!([{ "op": "replace", "path": "members", "value": [] }])), [SetOp::Replace(vec![])]);
}

#[test]
fn thousands_in_one_operation() {
    let many: Vec<Value> = (0..5_000).map(|n| json!({ "value": format!("u{n}") })).collect();
    let sets = taken(json!([{ "op": "Remove", "path": "members", "value": many }]));
    assert!(matches!(&sets[..], [SetOp::Remove(members)] if members.len() == 5_000));
}

#[test]
fn what_is_not_about_members_stays() {
    let (sets, rest) = take_members(
        &Dialect::ENTRA,
        json!([
            { "op": "Add", "path": "members", "value": [{ "value": "u1" }] },
            { "op": "replace", "value": { "displayName": "New", "members": [{ "value": "u2" }] } },
            { "op": "Remove", "path": "members", "value": [{ "value": "u1" }] },
        ]),
    )
    .unwrap();
    assert_eq!(
        sets,
        [SetOp::Add(members(&["u1"])), SetOp::Replace(members(&["u2"])), SetOp::Remove(members(&["u1"]))]
    );
    assert_eq!((rest.operations.len(), rest.operations[0].op), (1, Op::Replace));
    let current = common::object(json!({ "displayName": "Old" }));
    let outcome =
        scim::patch::apply(&scim::schema::ResourceType::group(), &Dialect::ENTRA, &current, &rest).unwrap();
    assert_eq!(outcome.resource["displayName"], "New");
}

#[test]
fn okta_repeats_the_id() {
    let rename = json!([{ "op": "replace", "value": { "id": "abf4dd94", "displayName": "New" } }]);
    let (sets, rest) = take_members(&Dialect::OKTA, rename.clone()).unwrap();
    assert_eq!((sets.len(), rest.operations.len()), (0, 1));
    let explicit = json!([{ "op": "replace", "path": "id", "value": "abf4dd94" }]);
    for (dialect, operations) in [(Dialect::OKTA, explicit), (Dialect::RFC, rename)] {
        let (_, rest) = take_members(&dialect, operations).unwrap();
        let group = scim::schema::ResourceType::group();
        let error = scim::patch::apply(&group, &dialect, &scim::Map::new(), &rest).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Mutability);
    }
}

#[test]
fn refusals() {
    let cases = [
        (
            Dialect::RFC,
            json!({ "op": "remove", "path": "members", "value": [{ "value": "u1" }] }),
            ErrorKind::InvalidSyntax,
        ),
        (Dialect::RFC, json!({ "op": "add", "path": "members", "value": "u1" }), ErrorKind::InvalidValue),
        (
            Dialect::ENTRA,
            json!({ "op": "add", "path": "members", "value": [{ "display": "x" }, { "type": "User" }] }),
            ErrorKind::InvalidValue,
        ),
        (
            Dialect::ENTRA,
            json!({ "op": "replace", "path": "members[value eq \"u1\"].display", "value": "x" }),
            ErrorKind::Mutability,
        ),
        (
            Dialect::ENTRA,
            json!({ "op": "add", "path": "members[value eq \"u1\"]", "value": { "value": "u2" } }),
            ErrorKind::InvalidPath,
        ),
        (Dialect::ENTRA, json!({ "op": "add", "path": "member", "value": "u1" }), ErrorKind::InvalidPath),
        (
            Dialect::ENTRA,
            json!({ "op": "add", "path": "members", "value": [{ "value": { "id": 7 } }] }),
            ErrorKind::InvalidValue,
        ),
    ];
    for (dialect, operation, kind) in cases {
        let error = take_members(&dialect, json!([operation])).unwrap_err();
        assert_eq!(error.kind, kind, "{operation}: {error}");
        assert!(
            error.detail.starts_with("Operations[0]: members") || kind == ErrorKind::InvalidPath,
            "{error}"
        );
    }
}
