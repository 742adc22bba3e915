//! What the messages of RFC 7644 (PatchOp, BulkRequest, SearchRequest) have in common.

use serde_json::Value;

use crate::{Error, Map, Result};

/// A member of a message, whose attribute names match in any case like all others (RFC 7643, section 2.1). What is
/// spelled exactly so wins over another spelling.
pub(crate) fn member<'a>(object: &'a Map, name: &str) -> Option<&'a Value> {
    object
        .get(name)
        .or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// Takes a member out of a message, as [`member`] finds it. Null counts as absent (RFC 7643, section 2.5).
pub(crate) fn take_member(object: &mut Map, name: &str) -> Option<Value> {
    let key = match object.contains_key(name) {
        true => name.to_owned(),
        false => object.keys().find(|key| key.eq_ignore_ascii_case(name))?.clone(),
    };
    object.remove(&key).filter(|value| !value.is_null())
}

/// Whether `schemas` lists the message's URN.
pub(crate) fn is_listed(body: &Map, urn: &str) -> bool {
    member(body, "schemas").and_then(Value::as_array).is_some_and(|listed| {
        listed.iter().any(|listed| listed.as_str().is_some_and(|listed| listed.eq_ignore_ascii_case(urn)))
    })
}

/// `schemas` lists the message's URN; else `invalidSyntax`.
pub(crate) fn check_schemas(body: &Map, urn: &str) -> Result<()> {
    if is_listed(body, urn) {
        return Ok(());
    }
    Err(Error::invalid_syntax(format!("schemas: expected [{urn:?}]")).about("schemas"))
}
