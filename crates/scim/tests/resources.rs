//! POST and PUT bodies against the schema.

mod common;

use common::{ENTERPRISE, USER, ZEEG, object, user};
use scim::resource::{create, replace};
use scim::{Dialect, ErrorKind};
use serde_json::{Value, json};

fn refused(dialect: &Dialect, body: Value) -> (ErrorKind, String) {
    let error = create(&user(), dialect, &body).expect_err("the body is refused");
    (error.kind, error.detail)
}

#[test]
fn names_come_back_in_the_schemas_spelling() {
    let body = json!({
        "SCHEMAS": [USER.to_lowercase(), ENTERPRISE.to_uppercase()],
        "USERNAME": "a", "Name": { "GIVENNAME": "G" }, "EMAILS": [{ "VALUE": "x", "Primary": true }],
        ENTERPRISE.to_uppercase(): { "Manager": { "VALUE": "m" } },
    });
    assert_eq!(
        Value::Object(create(&user(), &Dialect::RFC, &body).unwrap().resource),
        json!({
            "schemas": [USER, ENTERPRISE],
            "userName": "a", "name": { "givenName": "G" }, "emails": [{ "value": "x", "primary": true }],
            ENTERPRISE: { "manager": { "value": "m" } },
        })
    );
}

#[test]
fn read_only_is_ignored_and_nothing_is_absent() {
    let body = json!({
        "schemas": [USER, ZEEG], "id": "x", "meta": { "created": "now" }, "groups": [{ "value": "g" }], "userName": "a",
        "title": null, "emails": [], "name": {}, "ims": [{}, null], ZEEG: { "seen": "x" },
    });
    let decoded = create(&user(), &Dialect::RFC, &body).unwrap();
    assert_eq!(Value::Object(decoded.resource), json!({ "schemas": [USER], "userName": "a" }));
}

#[test]
fn secrets_come_apart() {
    let decoded =
        create(&user(), &Dialect::ENTRA, &json!({ "userName": "a", "password": "p", ZEEG: { "pin": "1" } }))
            .unwrap();
    assert_eq!(Value::Object(decoded.resource), json!({ "schemas": [USER], "userName": "a" }));
    assert_eq!(Value::Object(decoded.secrets), json!({ "password": "p", format!("{ZEEG}:pin"): "1" }));
}

#[test]
fn refusals() {
    let cases = [
        (json!([]), ErrorKind::InvalidSyntax, "expected a JSON object: a User"),
        (json!({}), ErrorKind::InvalidSyntax, "schemas: missing"),
        (
            json!({ "schemas": "x", "userName": "a" }),
            ErrorKind::InvalidSyntax,
            "schemas: expected an array of URNs",
        ),
        (
            json!({ "schemas": [ENTERPRISE], "userName": "a" }),
            ErrorKind::InvalidSyntax,
            "schemas: urn:ietf:params:scim:schemas:core:2.0:User is not listed",
        ),
        (
            json!({ "schemas": [USER, "urn:x:y"], "userName": "a" }),
            ErrorKind::InvalidSyntax,
            "schemas: \"urn:x:y\" is not a schema of User",
        ),
        (
            json!({ "schemas": [USER], "userName": "a", ENTERPRISE: { "department": "x" } }),
            ErrorKind::InvalidSyntax,
            "schemas: urn:ietf:params:scim:schemas:extension:enterprise:2.0:User is used and not listed",
        ),
        (json!({ "schemas": [USER] }), ErrorKind::InvalidValue, "userName: required, and missing or empty"),
        (
            json!({ "schemas": [USER], "userName": "" }),
            ErrorKind::InvalidValue,
            "userName: required, and missing or empty",
        ),
        (
            json!({ "schemas": [USER], "userName": null }),
            ErrorKind::InvalidValue,
            "userName: required, and missing or empty",
        ),
        (
            json!({ "schemas": [USER], "userName": "a", "foo": 1 }),
            ErrorKind::InvalidSyntax,
            "foo: no such attribute in the schema",
        ),
        (
            json!({ "schemas": [USER], "userName": "a", "USERNAME": "b" }),
            ErrorKind::InvalidSyntax,
            "userName: given twice",
        ),
        (
            json!({ "schemas": [USER], "userName": "a", "name": { "givenName": "a", "GIVENNAME": "b" } }),
            ErrorKind::InvalidSyntax,
            "name.givenName: given twice",
        ),
        (
            json!({ "schemas": [USER], "userName": "a", ENTERPRISE: 7 }),
            ErrorKind::InvalidValue,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User: expected an object",
        ),
        (
            json!({ "schemas": [USER], "userName": "a", "emails": [{ "primary": true, "value": "a" }, { "primary": true, "value": "b" }] }),
            ErrorKind::InvalidValue,
            "emails: primary can be true for one element only",
        ),
    ];
    for (body, kind, expected) in cases {
        let (actual, detail) = refused(&Dialect::RFC, body);
        assert_eq!(actual, kind, "{detail}");
        assert!(detail.starts_with(expected), "{detail}");
    }
    assert_eq!(refused(&Dialect::ENTRA, json!({ "userName": "" })).0, ErrorKind::InvalidValue);
}

#[test]
fn required_of_extensions() {
    let schema = json!({ "id": "urn:x:scim:2.0:User", "attributes": [{ "name": "must", "required": true }, { "name": "may" }] });
    let schema = scim::schema::Schema::parse(&schema, &scim::schema::Budget::default()).unwrap();
    let optional = user().with_extension(schema.clone().into(), false);
    let required = user().with_extension(schema.into(), true);
    let without = json!({ "userName": "a" });
    let half = json!({ "userName": "a", "urn:x:scim:2.0:User": { "may": "x" } });
    assert!(create(&optional, &Dialect::ENTRA, &without).is_ok());
    assert!(
        create(&required, &Dialect::ENTRA, &without)
            .unwrap_err()
            .detail
            .contains("this extension is required")
    );
    assert!(create(&optional, &Dialect::ENTRA, &half).unwrap_err().detail.contains("must: required"));
}

#[test]
fn put_replaces_and_keeps_what_it_cannot_change() {
    let current = object(json!({
        "schemas": [USER, ZEEG], "userName": "a", "title": "T", "name": { "givenName": "G" },
        ZEEG: { "badge": "7", "seen": "yesterday", "role": "admin" },
    }));
    let put = |body: Value| replace(&user(), &Dialect::ENTRA, &current, &body);
    assert_eq!(
        Value::Object(put(json!({ "userName": "b", ZEEG: { "seen": "now" } })).unwrap().resource),
        json!({ "schemas": [USER, ZEEG], "userName": "b", ZEEG: { "badge": "7", "seen": "yesterday" } })
    );
    assert!(put(json!({ "userName": "b", ZEEG: { "badge": "7" } })).is_ok());
    let error = put(json!({ "userName": "b", ZEEG: { "badge": "8" } })).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Mutability);
    assert_eq!(error.attribute, Some(format!("{ZEEG}:badge")));
}

#[test]
fn values_rest_as_they_came() {
    let body = json!({ "userName": "ÄnnA@X ", "externalId": "AbC", "profileUrl": "HTTP://x/%20", ZEEG: { "hired": "2011-05-13T06:42:34+02:00" } });
    let stored = create(&user(), &Dialect::ENTRA, &body).unwrap().resource;
    for (key, value) in body.as_object().unwrap() {
        assert_eq!(&stored[key], value);
    }
}
