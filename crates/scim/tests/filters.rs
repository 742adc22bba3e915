//! Filters against a resource: typed by the schema, with the semantics that [`scim::filter::Query`] states.

mod common;

use common::{ENTERPRISE, ZEEG, user};
use scim::filter::{Filter, Query, eval, resolve};
use scim::{Dialect, ErrorKind, Limits, Result, fold};
use serde_json::{Value, json};

fn query(text: &str, dialect: &Dialect) -> Result<Query> {
    resolve(&Filter::parse(text, &Limits::DEFAULT)?, &user(), dialect)
}

fn resource() -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "Id1", "externalId": "Ext", "userName": "BJensen", "active": true, "title": "Tour Guide",
        "name": { "familyName": "O'Malley" },
        "emails": [
            { "value": "bj@Example.com", "type": "work", "primary": true },
            { "value": "babs@home.org", "type": "home" },
        ],
        "meta": { "lastModified": "2011-05-13T04:42:34Z" },
        ENTERPRISE: { "manager": { "value": "M1" }, "employeeNumber": "701984" },
        ZEEG: { "tags": ["Red", "Blue"], "floor": 3, "weight": 70.5 },
    })
}

#[test]
fn answers() {
    let folded = fold(&user(), &resource());
    let yes = [
        r#"userName eq "bjensen""#,
        r#"urn:ietf:params:scim:schemas:core:2.0:User:USERNAME Eq "BJENSEN""#,
        r#"name.familyName co "o'm""#,
        r#"userName sw "BJ" and userName ew "SEN""#,
        r#"externalId eq "Ext""#,
        r#"id eq "Id1""#,
        r#"title pr and not (nickName pr)"#,
        r#"emails co "EXAMPLE.COM""#,
        r#"emails.value eq "babs@home.org""#,
        r#"emails[type eq "work" and value co "@example.com"]"#,
        r#"emails[type eq "work"].value eq "BJ@example.com""#,
        r#"emails[primary eq "True"].value pr"#,
        r#"emails pr"#,
        r#"emails.type ne "work""#,
        r#"not (emails[type eq "other"])"#,
        r#"active eq true"#,
        r#"active eq "TRUE""#,
        r#"active ne false"#,
        r#"meta.lastModified ge "2011-05-13T06:42:34+02:00""#,
        r#"meta.lastModified lt "2011-05-13T04:42:34.000001Z""#,
        r#"schemas eq "urn:ietf:params:scim:schemas:core:2.0:User""#,
        r#"nickName eq null"#,
        r#"nickName eq """#,
        r#"nickName ne "x""#,
        r#"title ne null"#,
        r#"ims eq null"#,
        r#"userName gt "BI" and userName lt "bk""#,
    ];
    for text in yes {
        assert!(eval(&query(text, &Dialect::ENTRA).expect(text), &folded), "{text}");
    }
    let extension = [
        format!(r#"{ENTERPRISE}:manager eq "M1""#),
        format!(r#"{ENTERPRISE}:manager[value eq "M1"]"#),
        format!(r#"{ENTERPRISE}:manager.value pr and {ENTERPRISE} pr"#),
        format!("{ENTERPRISE}:employeeNumber eq 701984"),
        format!(r#"{ZEEG}:tags eq "blue" and {ZEEG}:tags[value sw "r" and value ew "d"]"#),
        format!("{ZEEG}:floor eq 3 and {ZEEG}:floor gt 2.5 and {ZEEG}:floor le \"3\""),
        format!("{ZEEG}:weight eq 70.5 and {ZEEG}:weight lt 71"),
    ];
    for text in &extension {
        assert!(eval(&query(text, &Dialect::ENTRA).expect(text), &folded), "{text}");
    }
    let no = [
        r#"externalId eq "ext""#.to_owned(),
        r#"emails[type eq "home" and value co "@example.com"]"#.into(),
        r#"nickName pr"#.into(),
        r#"nickName co "x""#.into(),
        r#"ims.type ne "x""#.into(),
        r#"groups.value eq "g""#.into(),
        r#"unknown eq "x""#.into(),
        r#"emails.unknown pr"#.into(),
        r#"emails[unknown eq 1]"#.into(),
        format!(r#"{ZEEG}:tags[value sw "r" and value ew "e"]"#),
        format!(r#"{ENTERPRISE}:manager eq "m1""#),
    ];
    for text in &no {
        assert!(!eval(&query(text, &Dialect::ENTRA).expect(text), &folded), "{text}");
    }
}

#[test]
fn refusals_say_which_and_why() {
    let cases = [
        ("active gt true", "active: gt does not apply to type boolean"),
        ("x509Certificates.value sw \"a\"", "x509Certificates.value: sw does not apply to type binary"),
        ("meta.created co \"2011\"", "meta.created: co does not apply to type dateTime"),
        (
            "meta.created gt \"yesterday\"",
            "meta.created: expected a dateTime such as \"2011-05-13T04:42:34Z\", got the string \"yesterday\"",
        ),
        ("active eq \"true\"", "active: expected true or false, got the string \"true\""),
        ("userName eq 7", "userName: expected a string, got the number 7"),
        ("name eq \"x\"", "name: complex; compare one of its sub-attributes: formatted, familyName"),
        ("userName[value eq \"x\"]", "userName: neither complex nor multi-valued"),
        ("password eq \"x\"", "password: never returned, so no filter may ask for it"),
        ("password pr", "password: never returned"),
        ("foo eq 1", "foo: no such attribute"),
        ("emails[foo eq 1]", "foo: no such attribute"),
        ("userName gt null", "userName: gt cannot compare with nothing"),
        (
            "urn:ietf:params:scim:schemas:core:2.0:User eq 1",
            "urn:ietf:params:scim:schemas:core:2.0:User: a schema, not an attribute",
        ),
    ];
    for (text, expected) in cases {
        let error = query(text, &Dialect::RFC).expect_err(text);
        assert_eq!(error.kind, ErrorKind::InvalidFilter, "{text}");
        assert!(error.detail.starts_with(expected), "{text}: {}", error.detail);
    }
}

#[test]
fn where_a_comparison_looks() {
    let Query::Any { attr, inner } = query("EMAILS eq \"A\"", &Dialect::RFC).unwrap() else {
        panic!("not Any")
    };
    assert_eq!(
        (attr.segments, attr.name.as_str(), attr.multi_valued),
        (vec!["emails".to_owned()], "emails", true)
    );
    let Query::Compare { attr, .. } = *inner else { panic!("not Compare") };
    assert_eq!(
        (attr.segments, attr.name.as_str(), attr.multi_valued),
        (vec!["value".to_owned()], "emails.value", false)
    );

    let manager = format!("{ENTERPRISE}:manager");
    let Query::Compare { attr, .. } = query(&format!("{manager} eq \"A\""), &Dialect::RFC).unwrap() else {
        panic!()
    };
    assert_eq!(attr.segments, [ENTERPRISE, "manager", "value"]);
    assert_eq!(attr.name, format!("{manager}.value"));
    assert!(attr.case_exact);

    let Query::Any { inner, .. } = query(&format!("{ZEEG}:tags eq \"A\""), &Dialect::RFC).unwrap() else {
        panic!()
    };
    let Query::Compare { attr, .. } = *inner else { panic!() };
    assert!(attr.segments.is_empty(), "the element itself");
}

/// ENTRA.md, 3.4: Entra's reference check names the manager without its URN.
#[test]
fn an_extensions_attribute_by_its_bare_name() {
    let bare = query("manager eq \"M1\" and Manager.value pr", &Dialect::ENTRA).unwrap();
    let full = format!("{ENTERPRISE}:manager eq \"M1\" and {ENTERPRISE}:manager.value pr");
    assert_eq!(bare, query(&full, &Dialect::ENTRA).unwrap());
    assert!(query("manager eq \"M1\"", &Dialect::RFC).is_err());
}
