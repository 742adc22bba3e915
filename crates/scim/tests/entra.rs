//! Every shape of request that Microsoft Entra ID sends (ENTRA.md, section 3; the section is in the test's comment).

mod common;

use common::{ENTERPRISE, GROUP, USER, ZEEG, object, patch, patched, user};
use scim::resource::{self, SetMember};
use scim::schema::ResourceType;
use scim::{Dialect, ErrorKind};
use serde_json::{Value, json};

const ENTRA: Dialect = Dialect::ENTRA;

fn create(body: Value) -> Value {
    Value::Object(resource::create(&user(), &ENTRA, &body).expect("the user is good").resource)
}

/// 3.1
#[test]
fn create_user() {
    let body = json!({
        "schemas": [USER, ENTERPRISE],
        "externalId": "a.meier", "userName": "a.meier@contoso.com", "active": true, "displayName": "Anna Meier", "title": "Buyer",
        "preferredLanguage": "de-DE", "emails": [{ "primary": true, "type": "work", "value": "a.meier@contoso.com" }],
        "meta": { "resourceType": "User" },
        "name": { "formatted": "Anna Meier", "givenName": "Anna", "familyName": "Meier" },
        "addresses": [{ "type": "work", "locality": "Berlin", "postalCode": "10115", "streetAddress": "A 1", "region": "BE", "country": "DE", "formatted": "R 12" }],
        "phoneNumbers": [{ "type": "work", "value": "+49 30 1" }, { "type": "mobile", "value": "+49 170 1" }, { "type": "fax", "value": "+49 30 2" }],
        "roles": [],
        ENTERPRISE: { "employeeNumber": "77", "department": "Sales", "manager": "8f0c-id-of-manager" },
    });
    let decoded = resource::create(&user(), &ENTRA, &body).unwrap();
    let mut expected = object(body);
    expected.remove("meta");
    expected.remove("roles");
    expected[ENTERPRISE]["manager"] = json!({ "value": "8f0c-id-of-manager" });
    assert_eq!(decoded.resource, expected);
    assert_eq!(decoded.warnings, []);
}

/// 3.1: explicit nulls, booleans as text, an extension that is not listed.
#[test]
fn create_user_as_mappings_make_it() {
    let created = create(json!({
        "schemas": [USER], "userName": "a", "title": null, "emails": null, "name": { "givenName": null },
        "active": "True", "roles": [{ "primary": "True", "type": "WindowsAzureActiveDirectoryRole", "value": "admin" }],
        ZEEG: { "role": "admin", "teams": "[{\"slug\":\"sales\"}]", "floor": "3" },
    }));
    assert_eq!(
        created,
        json!({
            "schemas": [USER, ZEEG], "userName": "a", "active": true,
            "roles": [{ "primary": true, "type": "WindowsAzureActiveDirectoryRole", "value": "admin" }],
            ZEEG: { "role": "admin", "teams": [{ "slug": "sales" }], "floor": 3 },
        })
    );
}

/// 3.1: the manager in every form.
#[test]
fn manager_in_every_form() {
    let forms = [json!("m"), json!({ "value": "m" }), json!([{ "$ref": null, "value": "m" }])];
    for form in forms {
        let created = create(json!({ "schemas": [USER], "userName": "a", ENTERPRISE: { "manager": form } }));
        assert_eq!(created[ENTERPRISE]["manager"], json!({ "value": "m" }));
        let path = format!("{ENTERPRISE}:manager");
        let there = patched(
            &ENTRA,
            &json!({ "userName": "a" }),
            json!([{ "op": "Add", "path": path, "value": form }]),
        );
        assert_eq!(there[ENTERPRISE], json!({ "manager": { "value": "m" } }));
    }
    let current = json!({ "userName": "a", ENTERPRISE: { "manager": { "value": "m", "$ref": "/Users/m" } } });
    let path = format!("{ENTERPRISE}:manager");
    let gone = [
        json!({ "op": "Remove", "path": path }),
        json!({ "op": "Remove", "path": path, "value": "m" }),
        json!({ "op": "remove", "path": format!("{path}[value eq \"m\"]") }),
        json!({ "op": "replace", "path": path, "value": "" }),
        json!({ "op": "replace", "path": path, "value": null }),
        json!({ "op": "replace", "path": path, "value": { "value": "" } }),
        json!({ "op": "replace", "value": { path.clone(): "" } }),
    ];
    for operation in gone {
        assert_eq!(patched(&ENTRA, &current, json!([operation])), json!({ "userName": "a" }), "{operation}");
    }
    let other = patched(&ENTRA, &current, json!([{ "op": "Replace", "path": path, "value": "n" }]));
    assert_eq!(other[ENTERPRISE]["manager"], json!({ "value": "n" }), "the $ref of the old manager is gone");
}

/// 3.2
#[test]
fn patch_without_the_compliance_flag() {
    let current = json!({
        "schemas": [USER], "userName": "a", "active": true,
        "addresses": [{ "type": "work", "postalCode": "10115", "country": "DE" }],
        "phoneNumbers": [{ "type": "work", "value": "+49 30 1" }, { "type": "fax", "value": "+49 30 2" }],
    });
    let outcome = patch(
        &ENTRA,
        &current,
        json!([
            { "op": "Replace", "path": "active", "value": "False" },
            { "op": "Add", "path": "emails[type eq \"work\"].value", "value": "x@contoso.com" },
            { "op": "Replace", "path": "addresses[type eq \"work\"].postalCode", "value": "20095" },
            { "op": "Add", "path": "roles[primary eq \"True\"].value", "value": "buyer" },
            { "op": "Add", "path": "roles[primary eq \"True\"].display", "value": "Buyer" },
            { "op": "Add", "path": format!("{ENTERPRISE}:manager"), "value": "8f0c" },
            { "op": "Replace", "path": format!("{ENTERPRISE}:department"), "value": "IT" },
            { "op": "Remove", "path": "phoneNumbers[type eq \"fax\"].value", "value": "+49 30 2" },
        ]),
    )
    .unwrap();
    assert_eq!(
        Value::Object(outcome.resource),
        json!({
            "schemas": [USER, ENTERPRISE], "userName": "a", "active": false,
            "emails": [{ "type": "work", "value": "x@contoso.com" }],
            "addresses": [{ "type": "work", "postalCode": "20095", "country": "DE" }],
            "roles": [{ "primary": true, "value": "buyer", "display": "Buyer" }],
            "phoneNumbers": [{ "type": "work", "value": "+49 30 1" }],
            ENTERPRISE: { "manager": { "value": "8f0c" }, "department": "IT" },
        })
    );
    assert!(outcome.changed);
    assert_eq!(
        outcome.changed_paths,
        [
            "active".to_owned(),
            "addresses".into(),
            "emails".into(),
            "phoneNumbers".into(),
            "roles".into(),
            format!("{ENTERPRISE}:department"),
            format!("{ENTERPRISE}:manager"),
        ]
    );
}

/// 3.2: several operations for one type build one element; a removal of a value that is not there is fine.
#[test]
fn operations_of_one_type_build_one_element() {
    for op in ["Add", "Replace"] {
        let built = patched(
            &ENTRA,
            &json!({ "userName": "a" }),
            json!([
                { "op": op, "path": "addresses[type eq \"work\"].locality", "value": "Berlin" },
                { "op": op, "path": "addresses[type eq \"work\"].country", "value": "DE" },
                { "op": "Remove", "path": "emails[type eq \"home\"].value" },
            ]),
        );
        assert_eq!(
            built,
            json!({ "userName": "a", "addresses": [{ "type": "work", "locality": "Berlin", "country": "DE" }] })
        );
    }
}

/// 3.3
#[test]
fn patch_with_the_compliance_flag() {
    let current = json!({ "schemas": [USER], "userName": "a", "active": true, "name": { "givenName": "B", "familyName": "C" } });
    let patched = patched(
        &ENTRA,
        &current,
        json!([
            { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "x@contoso.com" },
            { "op": "replace", "value": {
                "displayName": "A M", "name.givenName": "A", "active": false, format!("{ENTERPRISE}:employeeNumber"): "78",
            } },
        ]),
    );
    assert_eq!(
        patched,
        json!({
            "userName": "a", "active": false, "displayName": "A M", "name": { "givenName": "A", "familyName": "C" },
            "emails": [{ "type": "work", "value": "x@contoso.com" }], ENTERPRISE: { "employeeNumber": "78" },
        })
    );
}

/// 3.4
#[test]
fn create_group() {
    let group = ResourceType::group();
    let create = |members: Option<Value>| {
        let mut body = json!({
            "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
            "externalId": "o", "displayName": "Sales", "meta": { "resourceType": "Group" },
        });
        if let Some(members) = members {
            body["members"] = members;
        }
        let mut decoded = resource::create(&group, &ENTRA, &body).unwrap();
        let members = resource::take_members(&group, &mut decoded.resource).unwrap();
        assert_eq!(
            Value::Object(decoded.resource),
            json!({ "schemas": [GROUP], "externalId": "o", "displayName": "Sales" })
        );
        members
    };
    assert_eq!(create(None), None);
    assert_eq!(create(Some(json!([]))), None);
    let member =
        |value: &str, kind: Option<&str>| SetMember { value: value.into(), kind: kind.map(str::to_owned) };
    assert_eq!(
        create(Some(
            json!([{ "value": "u1" }, { "value": "g1", "type": "Group", "$ref": null }, { "value": "u1" }])
        )),
        Some(vec![member("u1", None), member("g1", Some("Group"))])
    );
}

/// 3.5
#[test]
fn roles_in_every_form() {
    let none = json!({ "userName": "a" });
    let roles =
        |current: &Value, operation: Value| patched(&ENTRA, current, json!([operation]))["roles"].clone();
    // AppRoleAssignmentsComplex: JSON text inside value; additive.
    let first = json!({ "op": "Add", "path": "roles", "value": [{ "value": "{\"id\":\"guid\",\"value\":\"admin\",\"displayName\":\"Admin\"}" }] });
    assert_eq!(roles(&none, first), json!([{ "value": "admin", "display": "Admin" }]));
    // With the flag, like POST.
    let second = json!({ "op": "add", "path": "roles", "value": [{ "primary": false, "type": "WindowsAzureActiveDirectoryRole", "displayName": "Buyer", "value": "buyer" }] });
    let current = json!({ "userName": "a", "roles": [{ "value": "admin" }] });
    assert_eq!(
        roles(&current, second),
        json!([
            { "value": "admin" },
            { "primary": false, "type": "WindowsAzureActiveDirectoryRole", "display": "Buyer", "value": "buyer" },
        ])
    );
    // AssertiveAppRoleAssignmentsComplex: the full set.
    let third = json!({ "op": "replace", "path": "roles", "value": [{ "value": "x" }, { "value": "y" }] });
    assert_eq!(roles(&current, third), json!([{ "value": "x" }, { "value": "y" }]));
}

/// 3.6: SCIM_Null_Update.
#[test]
fn clearing_by_empty_text_and_null() {
    let current = json!({
        "userName": "a", "displayName": "A", "title": "T", "name": { "givenName": "G" }, "active": true,
        "emails": [{ "type": "work", "value": "x", "primary": true }], "addresses": [{ "type": "work", "country": "DE" }],
        ENTERPRISE: { "department": "IT" },
    });
    for empty in [json!(""), json!(null)] {
        let verbose = json!([
            { "op": "replace", "path": "displayName", "value": empty },
            { "op": "replace", "path": "title", "value": empty },
            { "op": "replace", "path": "name.givenName", "value": empty },
            { "op": "replace", "path": "active", "value": empty },
            { "op": "replace", "path": "emails[type eq \"work\"].value", "value": empty },
            { "op": "replace", "path": "addresses[type eq \"work\"].country", "value": empty },
            { "op": "replace", "path": format!("{ENTERPRISE}:department"), "value": empty },
        ]);
        assert_eq!(patched(&ENTRA, &current, verbose), json!({ "userName": "a" }));
        let batch = json!([
            { "op": "replace", "value": {
                "displayName": empty, "title": empty, "name.givenName": empty, "active": empty, format!("{ENTERPRISE}:department"): empty,
            } },
            { "op": "replace", "path": "emails[type eq \"work\"].value", "value": empty },
            { "op": "replace", "path": "addresses[type eq \"work\"].country", "value": empty },
        ]);
        assert_eq!(patched(&ENTRA, &current, batch), json!({ "userName": "a" }));
        let required =
            patch(&ENTRA, &current, json!([{ "op": "replace", "path": "userName", "value": empty }]));
        assert_eq!(required.unwrap_err().kind, ErrorKind::InvalidValue);
    }
}

/// 3.7
#[test]
fn lists_by_expression() {
    let current = json!({ "userName": "a", ZEEG: { "teams": [{ "slug": "old" }] } });
    let teams = |op: &str, value: Value| {
        let path = format!("{ZEEG}:teams");
        patched(&ENTRA, &current, json!([{ "op": op, "path": path, "value": value }]))[ZEEG]["teams"].clone()
    };
    let sales = json!([{ "slug": "sales" }]);
    assert_eq!(teams("Replace", json!("[{\"slug\":\"sales\"}]")), sales);
    assert_eq!(teams("Replace", json!([{ "value": "{\"slug\":\"sales\"}" }])), sales);
    assert_eq!(teams("Replace", json!("sales")), json!([{ "value": "sales" }]));
    assert_eq!(
        teams("Add", json!([{ "value": "sales" }, { "value": "it" }])),
        json!([{ "slug": "old" }, { "value": "sales" }, { "value": "it" }])
    );
    assert_eq!(teams("Replace", json!("")), Value::Null);
    assert_eq!(teams("Replace", json!(null)), Value::Null);

    let tags = json!([{ "op": "Add", "path": format!("{ZEEG}:tags"), "value": [{ "value": "a" }, { "value": "b" }] }]);
    assert_eq!(patched(&ENTRA, &current, tags)[ZEEG]["tags"], json!(["a", "b"]));
}

/// 3: add or replace is chosen by the current value; the same again changes nothing.
#[test]
fn the_same_again_changes_nothing() {
    let current = json!({ "schemas": [USER], "userName": "a", "active": true, "emails": [{ "type": "work", "value": "x" }] });
    let outcome = patch(
        &ENTRA,
        &current,
        json!([
            { "op": "Add", "path": "active", "value": "True" },
            { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "x" },
            { "op": "Add", "path": "emails", "value": [{ "type": "work", "value": "X" }] },
            { "op": "Remove", "path": "title" },
        ]),
    )
    .unwrap();
    // `X` differs from `x` only in case: it is the same element, in the newer spelling.
    assert_eq!(outcome.changed_paths, ["emails"]);
    let again =
        patch(&ENTRA, &current, json!([{ "op": "Replace", "path": "active", "value": true }])).unwrap();
    assert!(!again.changed && again.changed_paths.is_empty());
    assert_eq!(Value::Object(again.resource), current);
}

/// 4: jobs made before December 2018.
#[test]
fn old_jobs() {
    let old = json!([{ "op": "Add", "path": format!("{ENTERPRISE}.department"), "value": "IT" }]);
    assert_eq!(
        patched(&ENTRA, &json!({ "userName": "a" }), old),
        json!({ "userName": "a", ENTERPRISE: { "department": "IT" } })
    );
}

/// What the schema does not know: skipped with a warning in a body, refused in a path.
#[test]
fn unknown_attributes() {
    let decoded =
        resource::create(&user(), &ENTRA, &json!({ "userName": "a", "foo": 1, "name": { "bar": 2 } }))
            .unwrap();
    let warned: Vec<_> = decoded.warnings.iter().map(|warning| warning.attribute.as_str()).collect();
    assert_eq!(warned, ["foo", "name.bar"]);
    let current = json!({ "userName": "a" });
    let skipped =
        patch(&ENTRA, &current, json!([{ "op": "replace", "value": { "foo": 1, "title": "T" } }])).unwrap();
    assert_eq!((skipped.warnings.len(), &skipped.resource["title"]), (1, &json!("T")));
    let error = patch(
        &ENTRA,
        &current,
        json!([{ "op": "Add", "path": "title", "value": "T" }, { "op": "Add", "path": "foo", "value": 1 }]),
    )
    .unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidPath);
    assert_eq!(error.detail, "Operations[1]: path foo: no such attribute in the schema (see /Schemas)");
}
