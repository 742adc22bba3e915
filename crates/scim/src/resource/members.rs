//! The members of a group, which rest in rows and not in the resource.

use std::collections::HashSet;

use serde_json::Value;

use crate::decode::{TYPE, VALUE};
use crate::schema::ResourceType;
use crate::{Error, Map, Result};

/// The attribute of a group that lists its members (RFC 7643, section 4.2).
const MEMBERS: &str = "members";

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SetMember {
    /// Id of the member.
    pub value: String,
    /// What the client says it is (`type`), for example `User`.
    pub kind: Option<String>,
}

/// Takes `members` out of a decoded resource; `None` when absent. Duplicates are dropped, the order is kept.
pub fn take_members(rt: &ResourceType, resource: &mut Map) -> Result<Option<Vec<SetMember>>> {
    let Some(attribute) = rt.top_level_attribute(MEMBERS) else { return Ok(None) };
    match resource.remove(&attribute.name) {
        Some(Value::Array(elements)) => members(&elements, MEMBERS).map(Some),
        _ => Ok(None),
    }
}

/// Members from decoded elements.
pub(crate) fn members(elements: &[Value], at: &str) -> Result<Vec<SetMember>> {
    let mut seen = HashSet::with_capacity(elements.len());
    let mut members = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        let Some(value) = element.get(VALUE).and_then(Value::as_str).filter(|value| !value.is_empty()) else {
            let detail = format!("{at}[{index}].value: missing; expected the id of the member");
            return Err(Error::invalid_value(detail).about(format!("{at}.value")));
        };
        if seen.insert(value) {
            let kind = element.get(TYPE).and_then(Value::as_str).map(str::to_owned);
            members.push(SetMember { value: value.to_owned(), kind });
        }
    }
    Ok(members)
}
