//! Shared by the tests: a user, and PATCH in one line.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;

use scim::patch::{Outcome, PatchRequest, SetOp};
use scim::schema::{Budget, ResourceType, Schema};
use scim::{Dialect, Limits, Map, Result};
use serde_json::{Value, json};

pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
pub const ZEEG: &str = "urn:ietf:params:scim:schemas:extension:zeeg:2.0:User";
pub const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

pub fn object(value: Value) -> Map {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}

/// The core User with EnterpriseUser and an extension that has every kind of attribute.
pub fn user() -> ResourceType {
    let schema = json!({
        "id": ZEEG, "name": "Zeeg", "attributes": [
            { "name": "role" },
            { "name": "tags", "multiValued": true },
            { "name": "floor", "type": "integer" },
            { "name": "weight", "type": "decimal" },
            { "name": "hired", "type": "dateTime" },
            { "name": "badge", "caseExact": true, "mutability": "immutable" },
            { "name": "seen", "mutability": "readOnly" },
            { "name": "pin", "mutability": "writeOnly" },
            { "name": "teams", "type": "complex", "multiValued": true, "subAttributes": [
                { "name": "uuid" }, { "name": "slug" }, { "name": "value" },
            ] },
        ],
    });
    let schema = Schema::parse(&schema, &Budget::default()).expect("the schema is well-formed");
    ResourceType::user().with_extension(Arc::new(schema), false)
}

pub fn request(operations: Value) -> Value {
    json!({ "schemas": [PATCH_OP], "Operations": operations })
}

pub fn patch(dialect: &Dialect, current: &Value, operations: Value) -> Result<Outcome> {
    let request = PatchRequest::parse(&request(operations), dialect, &Limits::DEFAULT)?;
    scim::patch::apply(&user(), dialect, &object(current.clone()), &request)
}

/// The resource after a PATCH that works, without `schemas`.
pub fn patched(dialect: &Dialect, current: &Value, operations: Value) -> Value {
    let outcome = patch(dialect, current, operations).expect("the PATCH works");
    let mut resource = outcome.resource;
    resource.remove("schemas");
    Value::Object(resource)
}

pub fn take_members(dialect: &Dialect, operations: Value) -> Result<(Vec<SetOp>, PatchRequest)> {
    let mut request = PatchRequest::parse(&request(operations), dialect, &Limits::DEFAULT)?;
    let set_ops = request.take_set(&ResourceType::group(), "members")?;
    Ok((set_ops, request))
}
