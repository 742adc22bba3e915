//! References to what is about to be created, inside of a value.

use serde_json::Value;

use crate::Map;

/// What a reference begins with.
pub(super) const PREFIX: &str = "bulkId:";

/// The bulkId that a string stands for. In a `$ref` it is the last segment of a URL.
fn reference<'a>(key: Option<&str>, text: &'a str) -> Option<&'a str> {
    let is_ref = key.is_some_and(|key| key.eq_ignore_ascii_case("$ref"));
    let candidate = if is_ref { text.rsplit('/').next().unwrap_or(text) } else { text };
    candidate.strip_prefix(PREFIX).filter(|bulk_id| !bulk_id.is_empty())
}

/// Calls `found` with every bulkId that is referred to, in no particular order.
pub(super) fn each<'a>(value: &'a Value, found: &mut impl FnMut(&'a str)) {
    each_under(None, value, found);
}

fn each_under<'a>(key: Option<&str>, value: &'a Value, found: &mut impl FnMut(&'a str)) {
    match value {
        Value::String(text) => {
            if let Some(bulk_id) = reference(key, text) {
                found(bulk_id);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| each_under(key, element, found)),
        Value::Object(members) => members.iter().for_each(|(key, value)| each_under(Some(key), value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Puts ids in the place of references; one without an id stays as it is.
pub(super) fn substitute<'i>(value: &mut Value, id: &impl Fn(&str) -> Option<&'i str>) {
    substitute_under(None, value, id);
}

fn substitute_under<'i>(key: Option<&str>, value: &mut Value, id: &impl Fn(&str) -> Option<&'i str>) {
    match value {
        Value::String(text) => {
            let Some(bulk_id) = reference(key, text) else { return };
            let Some(id) = id(bulk_id) else { return };
            let before = text.len() - bulk_id.len() - PREFIX.len();
            text.truncate(before);
            text.push_str(id);
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| substitute_under(key, element, id)),
        Value::Object(members) => {
            members.iter_mut().for_each(|(key, value)| substitute_under(Some(key), value, id));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Takes out of a resource what refers to something that `is_open`: elements of arrays one by one, other attributes as a
/// whole. Answers with the operations of a PATCH that adds them: `{"op":"add","path":…,"value":…}`.
pub(super) fn split_off(resource: &mut Map, is_open: &impl Fn(&str) -> bool) -> Vec<Value> {
    let mut additions = Vec::new();
    split_object(resource, None, is_open, &mut additions);
    additions
}

fn split_object(
    object: &mut Map,
    extension: Option<&str>,
    is_open: &impl Fn(&str) -> bool,
    additions: &mut Vec<Value>,
) {
    object.retain(|key, value| {
        if !refers(key, value, is_open) {
            return true;
        }
        // Only the URN of an extension has a colon, and its attributes are paths of their own.
        if let (None, true, Value::Object(members)) = (extension, key.contains(':'), &mut *value) {
            split_object(members, Some(key), is_open, additions);
            return !members.is_empty();
        }
        let path = match extension {
            Some(urn) => format!("{urn}:{key}"),
            None => key.clone(),
        };
        let (split, keep) = match value {
            Value::Array(elements) => {
                let all = std::mem::take(elements);
                let (open, closed) = all.into_iter().partition(|element| refers(key, element, is_open));
                *elements = closed;
                (Value::Array(open), !elements.is_empty())
            }
            other => (other.take(), false),
        };
        additions.push(serde_json::json!({ "op": "add", "path": path, "value": split }));
        keep
    });
}

fn refers(key: &str, value: &Value, is_open: &impl Fn(&str) -> bool) -> bool {
    let mut refers = false;
    each_under(Some(key), value, &mut |bulk_id| refers |= is_open(bulk_id));
    refers
}
