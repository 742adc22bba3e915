//! What must hold for any bytes: shared by the fuzz targets and by `tests/fuzz_corpus.rs`. Each check panics when it does not.

#![allow(dead_code, reason = "each fuzz target runs one check")]

use scim::bulk::{Done, Job, Method, Request};
use scim::discovery::Bulk;
use scim::filter::{Filter, eval};
use scim::patch::{PatchRequest, SetOp};
use scim::path::Path;
use scim::project::Projection;
use scim::resource::{create, parse_json, replace, take_members};
use scim::schema::ResourceType;
use scim::{Dialect, Error, Limits, Map, fold};
use serde_json::{Value, json};

use crate::common::{ENTERPRISE, USER, ZEEG, object, user};

/// A resource that has something of everything, as it is stored.
pub fn stored() -> Value {
    json!({
        "schemas": [USER, ENTERPRISE, ZEEG],
        "userName": "bjensen@example.com", "externalId": "701984", "active": true, "title": "Tour Guide",
        "name": { "givenName": "Barbara", "familyName": "Jensen" },
        "emails": [
            { "value": "bjensen@example.com", "type": "work", "primary": true },
            { "value": "babs@jensen.org", "type": "home" },
        ],
        "addresses": [{ "type": "work", "country": "US", "locality": "Hollywood" }],
        "roles": [{ "value": "admin", "display": "Admin" }],
        ENTERPRISE: { "department": "Tour Operations", "manager": { "value": "26118915", "$ref": "../Users/26118915" } },
        ZEEG: {
            "role": "user", "tags": ["a", "b"], "floor": 3, "weight": 1.5, "hired": "2011-05-13T04:42:34Z",
            "badge": "B7", "teams": [{ "slug": "sales", "value": "t1" }],
        },
    })
}

/// An error is fit to be shown: short, and with a status of 4xx.
fn check_error(error: &Error) {
    assert!(error.detail.len() <= 4096, "{} bytes of detail", error.detail.len());
    assert!((400..500).contains(&error.kind.http_status()), "{error:?}");
}

pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let limits = Limits::DEFAULT;
    let filter = match Filter::parse(text, &limits) {
        Ok(filter) => filter,
        Err(error) => return check_error(&error),
    };
    let generous = Limits { filter_length: usize::MAX, ..limits };
    let printed = filter.to_string();
    assert_eq!(Filter::parse(&printed, &generous).as_ref(), Ok(&filter), "{printed}");
    let (user, group) = (user(), ResourceType::group());
    let folded = fold(&user, &stored());
    for dialect in Dialect::ALL {
        for rt in [&user, &group] {
            match scim::filter::resolve(&filter, rt, dialect) {
                Ok(query) => _ = eval(&query, &folded),
                Err(error) => check_error(&error),
            }
        }
    }
}

pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let limits = Limits::DEFAULT;
    let path = match Path::parse(text, &limits) {
        Ok(path) => path,
        Err(error) => return check_error(&error),
    };
    let generous = Limits { filter_length: usize::MAX, ..limits };
    let printed = path.to_string();
    assert_eq!(Path::parse(&printed, &generous).as_ref(), Ok(&path), "{printed}");
    let user = user();
    for dialect in Dialect::ALL {
        if let Err(error) = path.resolve(&user, dialect) {
            check_error(&error);
        }
    }
    let operations = json!([
        { "op": "add", "path": text, "value": "x" },
        { "op": "replace", "path": text, "value": { "value": "x" } },
        { "op": "remove", "path": text },
    ]);
    for operation in operations.as_array().into_iter().flatten() {
        patch_with(
            &json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation] }),
        );
    }
}

pub fn patch(data: &[u8]) {
    match parse_json(data, &Limits::DEFAULT) {
        Ok(body) => patch_with(&body),
        Err(error) => check_error(&error),
    }
}

fn patch_with(body: &Value) {
    let user = user();
    let current = object(stored());
    for dialect in Dialect::ALL {
        let request = match PatchRequest::parse(body, dialect, &Limits::DEFAULT) {
            Ok(request) => request,
            Err(error) => {
                check_error(&error);
                continue;
            }
        };
        match scim::patch::apply(&user, dialect, &current, &request) {
            Ok(outcome) => {
                assert_eq!(outcome.changed, outcome.resource != current);
                assert_eq!(outcome.changed, !outcome.changed_paths.is_empty());
                check_stored(&user, &outcome.resource);
            }
            Err(error) => check_error(&error),
        }
        check_members(request);
    }
}

/// What rests is what a strict client could have sent: of the schema in types and spelling, without secrets.
fn check_stored(rt: &ResourceType, resource: &Map) {
    let body = Value::Object(resource.clone());
    let again = create(rt, &Dialect::RFC, &body).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert_eq!(&again.resource, resource);
    assert!(again.secrets.is_empty() && again.warnings.is_empty());
    let folded = fold(rt, &body);
    assert_eq!(fold(rt, &folded), folded, "folding twice changes something");
}

fn check_members(mut request: PatchRequest) {
    match request.take_set(&ResourceType::group(), "members") {
        Ok(set_ops) => {
            for set_op in set_ops {
                if let SetOp::Add(members) | SetOp::Remove(members) | SetOp::Replace(members) = set_op {
                    assert!(members.iter().all(|member| !member.value.contains('\0')));
                }
            }
        }
        Err(error) => check_error(&error),
    }
}

pub fn resource(data: &[u8]) {
    let body = match parse_json(data, &Limits::DEFAULT) {
        Ok(body) => body,
        Err(error) => return check_error(&error),
    };
    let plain: Value = serde_json::from_slice(data).expect("what we read is JSON");
    assert_eq!(body, plain);
    let (user, group) = (user(), ResourceType::group());
    let current = object(stored());
    for dialect in Dialect::ALL {
        match create(&user, dialect, &body) {
            Ok(created) => {
                check_stored(&user, &created.resource);
                let mut shown = created.resource;
                Projection::default().apply(&user, &mut shown);
            }
            Err(error) => check_error(&error),
        }
        match replace(&user, dialect, &current, &body) {
            Ok(replaced) => {
                check_stored(&user, &replaced.resource);
                assert_eq!(replaced.resource[ZEEG]["badge"], "B7", "immutable");
            }
            Err(error) => check_error(&error),
        }
        match create(&group, dialect, &body) {
            Ok(mut created) => {
                if let Err(error) = take_members(&group, &mut created.resource) {
                    check_error(&error);
                }
            }
            Err(error) => check_error(&error),
        }
    }
}

pub fn bulk(data: &[u8]) {
    let limits = Bulk { max_operations: 50, max_payload_size: 1 << 20 };
    let request = match Request::parse(data, &limits, &Limits::DEFAULT, &["Users", "Groups"]) {
        Ok(request) => request,
        Err(error) => return check_error(&error),
    };
    let mut job = Job::new(request);
    let mut calls = [0; 50];
    while let Some(call) = job.next_call() {
        calls[call.operation] += 1;
        assert!(calls[call.operation] <= if call.method == Method::Post { 1 } else { 2 });
        assert_eq!(call.id.is_none(), call.method == Method::Post);
        let is_refused = call.data.to_string().contains("refused");
        let id = call.id.unwrap_or_else(|| format!("id-{}", call.operation));
        job.done(match is_refused {
            true => Err(Error::uniqueness("taken")),
            false => Ok(Done { id, version: None, status: 200 }),
        });
    }
    let response = job.response("https://example.com/scim/v2");
    for operation in response["Operations"].as_array().expect("an array") {
        let status: u16 = operation["status"].as_str().expect("a string").parse().expect("a number");
        assert_eq!(operation.get("response").is_some(), status >= 400, "{operation}");
    }
}
