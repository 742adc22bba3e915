//! The PATCH examples and rules of RFC 7644, section 3.5.2, in the strict dialect.

mod common;

use common::{ENTERPRISE, PATCH_OP, USER, ZEEG, patch, patched};
use scim::patch::PatchRequest;
use scim::{Dialect, ErrorKind, Limits};
use serde_json::{Value, json};

const RFC: Dialect = Dialect::RFC;

fn refused(current: &Value, operation: Value) -> (ErrorKind, String) {
    let error = patch(&RFC, current, json!([operation])).expect_err("the operation is refused");
    assert!(error.detail.starts_with("Operations[0]: "), "{}", error.detail);
    (error.kind, error.detail["Operations[0]: ".len()..].to_owned())
}

fn addresses() -> Value {
    json!({
        "userName": "a",
        "addresses": [
            { "type": "work", "streetAddress": "911 Universal City Plaza", "country": "US", "primary": true },
            { "type": "home", "streetAddress": "1 Home Street" },
        ],
    })
}

#[test]
fn add_without_path() {
    let added = patched(
        &RFC,
        &json!({ "userName": "a" }),
        json!([{ "op": "add", "value": {
            "emails": [{ "value": "babs@jensen.org", "type": "home" }], "nickname": "Babs",
            ENTERPRISE: { "department": "IT" }, USER: { "title": "T" },
        } }]),
    );
    assert_eq!(
        added,
        json!({
            "userName": "a", "nickName": "Babs", "title": "T", "emails": [{ "value": "babs@jensen.org", "type": "home" }],
            ENTERPRISE: { "department": "IT" },
        })
    );
}

#[test]
fn add_to_a_list_appends_once() {
    let add = json!([{ "op": "add", "path": "emails", "value": [{ "value": "b" }, { "value": "b" }] }]);
    let current = json!({ "userName": "a", "emails": [{ "value": "a" }] });
    let once = patched(&RFC, &current, add.clone());
    assert_eq!(once["emails"], json!([{ "value": "a" }, { "value": "b" }]));
    assert_eq!(patched(&RFC, &once, add), once);
}

#[test]
fn remove_of_every_kind() {
    let remove = |path: &str| patched(&RFC, &addresses(), json!([{ "op": "remove", "path": path }]));
    assert_eq!(remove("addresses"), json!({ "userName": "a" }));
    assert_eq!(
        remove(r#"addresses[type eq "WORK" and country sw "u"]"#)["addresses"].as_array().unwrap().len(),
        1
    );
    assert_eq!(
        remove(r#"addresses[type eq "work"].streetAddress"#)["addresses"][0].get("streetAddress"),
        None
    );
    assert_eq!(remove("addresses.country")["addresses"][0].get("country"), None);
    assert_eq!(remove("title"), addresses(), "removing what is not there changes nothing");

    let (kind, _) = refused(&addresses(), json!({ "op": "remove", "path": r#"addresses[type eq "other"]"# }));
    assert_eq!(kind, ErrorKind::NoTarget);
    let without_path = patch(&RFC, &addresses(), json!([{ "op": "remove" }])).unwrap_err();
    assert_eq!(without_path.kind, ErrorKind::NoTarget);
    let (kind, detail) = refused(&addresses(), json!({ "op": "remove", "path": "userName" }));
    assert_eq!((kind, detail.as_str()), (ErrorKind::Mutability, "userName: required, cannot be removed"));
    let (kind, _) =
        refused(&addresses(), json!({ "op": "remove", "path": "addresses", "value": [{ "type": "work" }] }));
    assert_eq!(kind, ErrorKind::InvalidSyntax, "by the letter it would remove them all");
}

#[test]
fn remove_of_an_extension() {
    let current = json!({ "userName": "a", ENTERPRISE: { "department": "IT" } });
    assert_eq!(
        patched(&RFC, &current, json!([{ "op": "remove", "path": ENTERPRISE }])),
        json!({ "userName": "a" })
    );
    let outcome =
        patch(&RFC, &current, json!([{ "op": "remove", "path": format!("{ENTERPRISE}:department") }]))
            .unwrap();
    assert_eq!(outcome.resource["schemas"], json!([USER]), "an extension without content is not listed");
}

#[test]
fn replace_of_every_kind() {
    let replace = |path: &str, value: Value| {
        patched(&RFC, &addresses(), json!([{ "op": "replace", "path": path, "value": value }]))
    };
    let new = json!({ "type": "work", "streetAddress": "Elsewhere" });
    assert_eq!(
        replace(r#"addresses[type eq "work"]"#, new.clone())["addresses"][0],
        new,
        "the whole element"
    );
    assert_eq!(
        replace(r#"addresses[type eq "work"].streetAddress"#, json!("1010 Broadway Ave"))["addresses"][0],
        json!({ "type": "work", "streetAddress": "1010 Broadway Ave", "country": "US", "primary": true })
    );
    assert_eq!(replace("addresses", json!([new]))["addresses"], json!([new]));
    assert_eq!(replace("title", json!("T"))["title"], "T", "replace of an absent attribute adds it");
    assert_eq!(
        patched(
            &RFC,
            &json!({ "userName": "a", "name": { "givenName": "G", "familyName": "F" } }),
            json!([{ "op": "replace", "path": "name", "value": { "givenName": "H" } }])
        )["name"],
        json!({ "givenName": "H", "familyName": "F" }),
        "sub-attributes that are not named stay"
    );
    let (kind, detail) = refused(
        &addresses(),
        json!({ "op": "replace", "path": r#"addresses[type eq "x"].country"#, "value": "DE" }),
    );
    assert_eq!(
        (kind, detail.as_str()),
        (ErrorKind::NoTarget, r#"path addresses[type eq "x"].country: selects nothing"#)
    );
}

#[test]
fn the_new_primary_is_the_only_one() {
    for operation in [
        json!({ "op": "add", "path": "addresses", "value": [{ "type": "other", "country": "DE", "primary": true }] }),
        json!({ "op": "replace", "path": r#"addresses[type eq "home"].primary"#, "value": true }),
        json!({ "op": "add", "path": r#"addresses[type eq "home"]"#, "value": { "primary": true } }),
    ] {
        let after = patched(&RFC, &addresses(), json!([operation]));
        let primaries: Vec<_> = after["addresses"]
            .as_array()
            .unwrap()
            .iter()
            .map(|address| address["primary"] == json!(true))
            .collect();
        assert_eq!(primaries.iter().filter(|primary| **primary).count(), 1, "{operation}");
        assert!(!primaries[0], "{operation}");
    }
    let (kind, _) =
        refused(&addresses(), json!({ "op": "replace", "path": "addresses.primary", "value": true }));
    assert_eq!(kind, ErrorKind::InvalidValue);
}

#[test]
fn mutability_is_kept() {
    let current = json!({ "userName": "a", ZEEG: { "badge": "7" } });
    let badge = format!("{ZEEG}:badge");
    for (path, kind) in [
        ("id".to_owned(), ErrorKind::Mutability),
        ("meta.created".into(), ErrorKind::Mutability),
        ("groups".into(), ErrorKind::Mutability),
        (format!("{ENTERPRISE}:manager.displayName"), ErrorKind::Mutability),
        (format!("{ZEEG}:seen"), ErrorKind::Mutability),
        (badge.clone(), ErrorKind::Mutability),
    ] {
        assert_eq!(
            refused(&current, json!({ "op": "replace", "path": path, "value": "x" })).0,
            kind,
            "{path}"
        );
    }
    assert_eq!(refused(&current, json!({ "op": "remove", "path": badge })).0, ErrorKind::Mutability);
    assert_eq!(patched(&RFC, &current, json!([{ "op": "replace", "path": badge, "value": "7" }])), current);
    let set =
        patched(&RFC, &json!({ "userName": "a" }), json!([{ "op": "add", "path": badge, "value": "7" }]));
    assert_eq!(set, current, "an immutable attribute can be set once");
}

#[test]
fn secrets_come_apart() {
    let pin = format!("{ZEEG}:pin");
    let outcome = patch(
        &RFC,
        &json!({ "userName": "a" }),
        json!([{ "op": "replace", "path": "password", "value": "s3cret" }, { "op": "add", "path": pin, "value": "1234" }]),
    )
    .unwrap();
    assert!(!outcome.changed);
    assert_eq!(Value::Object(outcome.resource.clone()), json!({ "userName": "a" }));
    assert_eq!(Value::Object(outcome.secrets.clone()), json!({ "password": "s3cret", pin: "1234" }));
    assert!(!format!("{outcome:?}").contains("s3cret"));
    let (_, detail) =
        refused(&json!({ "userName": "a" }), json!({ "op": "add", "path": "password", "value": 4711 }));
    assert_eq!(detail, "password: expected a string, got a number");
}

#[test]
fn values_have_their_types() {
    let zeeg = |name: &str| format!("{ZEEG}:{name}");
    for (path, value, expected) in [
        ("active".to_owned(), json!("yes"), r#"active: expected a boolean, got the string "yes""#.to_owned()),
        ("active".into(), json!("True"), r#"active: expected a boolean, got the string "True""#.into()),
        ("title".into(), json!(7), "title: expected a string, got the number 7".into()),
        ("title".into(), json!("a\0b"), "title: the NUL character is not allowed".into()),
        ("emails".into(), json!({}), "emails: expected an array, got an object".into()),
        (
            "emails".into(),
            json!([{ "primary": "yes" }]),
            r#"emails[0].primary: expected a boolean, got the string "yes""#.into(),
        ),
        (
            "emails".into(),
            json!([{ "primary": true, "value": "a" }, { "primary": true, "value": "b" }]),
            "emails: primary can be true for one element only".into(),
        ),
        (
            "emails".into(),
            json!([{ "foo": 1 }]),
            "emails[0].foo: no such attribute in the schema (see /Schemas)".into(),
        ),
        ("name".into(), json!("x"), r#"name: expected an object, got the string "x""#.into()),
        (zeeg("floor"), json!(1.5), format!("{ZEEG}:floor: expected an integer, got the number 1.5")),
        (
            zeeg("hired"),
            json!("2011"),
            format!(
                "{ZEEG}:hired: expected a dateTime such as 2011-05-13T04:42:34Z, got the string \"2011\""
            ),
        ),
        (
            "x509Certificates".into(),
            json!([{ "value": "%" }]),
            "x509Certificates[0].value: expected base64 text, got the string \"%\"".into(),
        ),
    ] {
        assert_eq!(
            refused(&json!({ "userName": "a" }), json!({ "op": "add", "path": path, "value": value })).1,
            expected
        );
    }
}

#[test]
fn messages_are_checked() {
    let parse =
        |body: Value, dialect: &Dialect| PatchRequest::parse(&body, dialect, &Limits::DEFAULT).map(|_| ());
    let operation = json!({ "op": "add", "path": "title", "value": "x" });
    let cases = [
        (json!([]), "expected a JSON object"),
        (json!({ "Operations": [operation] }), "schemas: expected"),
        (json!({ "schemas": [PATCH_OP] }), "Operations: missing"),
        (json!({ "schemas": [PATCH_OP], "Operations": {} }), "Operations: expected an array"),
        (json!({ "schemas": [PATCH_OP], "Operations": [] }), "Operations: empty"),
        (json!({ "schemas": [PATCH_OP], "Operations": [operation, 1] }), "Operations[1]: expected an object"),
        (
            json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "Add", "path": "title", "value": "x" }] }),
            "Operations[0]: op: expected",
        ),
        (
            json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "add", "path": "title" }] }),
            "Operations[0]: add needs a value",
        ),
        (
            json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "add", "path": 7, "value": "x" }] }),
            "Operations[0]: path: expected a string",
        ),
        (
            json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "add", "path": "a[", "value": "x" }] }),
            "Operations[0]: path \"a[\": at character 3",
        ),
    ];
    for (body, expected) in cases {
        let error = parse(body, &RFC).unwrap_err();
        assert!(error.detail.starts_with(expected), "{}", error.detail);
    }
    assert!(
        parse(json!({ "OPERATIONS": [{ "OP": "ADD", "Path": "title", "value": "x" }] }), &Dialect::ENTRA)
            .is_ok()
    );
    let pathless = json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "add", "value": {} }] });
    assert!(parse(pathless.clone(), &RFC).is_ok());
    assert_eq!(parse(pathless, &Dialect::INTEROP).unwrap_err().kind, ErrorKind::InvalidPath);
    let many = json!({ "schemas": [PATCH_OP], "Operations": vec![operation; 5_001] });
    assert_eq!(parse(many, &RFC).unwrap_err().kind, ErrorKind::TooMany);
}

#[test]
fn strict_means_strict() {
    let current = json!({ "userName": "a" });
    for value in [
        json!({ "name.givenName": "x" }),
        json!({ "foo": 1 }),
        json!({ format!("{ENTERPRISE}:department"): "x" }),
    ] {
        assert_eq!(refused(&current, json!({ "op": "add", "value": value })).0, ErrorKind::InvalidSyntax);
    }
    let manager = json!({ "op": "add", "path": format!("{ENTERPRISE}:manager"), "value": "m" });
    assert_eq!(refused(&current, manager).0, ErrorKind::InvalidValue);
}

#[test]
fn a_filter_cannot_be_used_to_burn_time() {
    let emails: Vec<Value> = (0..5_000).map(|n| json!({ "value": n.to_string() })).collect();
    let current = json!({ "userName": "a", "emails": emails });
    let filter = vec!["value eq \"x\""; 200].join(" or ");
    let remove = json!({ "op": "remove", "path": format!("emails[{filter}]") });
    assert!(patch(&Dialect::ENTRA, &current, json!([remove, remove])).is_ok());
    let operations = vec![remove; 3];
    assert_eq!(patch(&Dialect::ENTRA, &current, operations.into()).unwrap_err().kind, ErrorKind::TooMany);
}
