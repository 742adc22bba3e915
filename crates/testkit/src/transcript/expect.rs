//! Matching an answer against what a transcript expects.
//!
//! Everything is literal and exact (an object has these keys and no others, an array these elements in this order), but for:
//!
//! * `"${name:kind}"` asserts the kind before it hides the value, and remembers it as `name`. Kinds: `uuid`; `time`
//!   (RFC 3339 with a zone); `etag` (weak); `text` (not empty). Part of a string may be such a capture, one per string.
//! * `"${name}"` is what was captured earlier.
//! * `"${name:meta}"` is the `meta` of a User or Group: resourceType, created, lastModified, location below the base URL,
//!   version. It remembers `name.created`, `name.modified` and `name.version`.
//! * `$partial: true` as a key of an object: other keys may be there too. `$absent: [a, b]`: but not these. `$unset: [a]`:
//!   absent, or an empty string or array, which SCIM holds to be the same.
//! * `{$any_order: [..]}`: an array with these elements in whatever order. `{$contains: [..]}`: with at least these.
//! * `{$length: n}`: an array of n elements. `{$length: n, $collect: set}`: and the `id` of none was in `set` before.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

/// What has been captured so far.
#[derive(Debug, Default)]
pub struct Captures {
    values: BTreeMap<String, String>,
    sets: BTreeMap<String, BTreeSet<String>>,
}

impl Captures {
    /// Remembers `value` as `${name}`.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.values.insert(name.to_owned(), value.into());
    }

    /// Replaces every `${name}` in `text`.
    pub fn fill(&self, text: &str) -> Result<String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, tail) =
                after.split_once('}').with_context(|| format!("`${{` without `}}` in {text:?}"))?;
            filled.push_str(before);
            match self.values.get(name) {
                Some(value) => filled.push_str(value),
                None if name.contains(':') => filled.push_str(&format!("${{{name}}}")),
                None => bail!("`${{{name}}}` was not captured by an earlier step"),
            }
            rest = tail;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

/// Succeeds when `actual` is as `expected` says; captures on the way. The error begins with the path of the difference.
pub fn body(expected: &Value, actual: &Value, captures: &mut Captures) -> Result<()> {
    at("$", expected, actual, captures)
}

/// Matches one header or other text.
pub fn text(expected: &str, actual: &str, captures: &mut Captures) -> Result<()> {
    let pattern = captures.fill(expected)?;
    let Some((prefix, after)) = pattern.split_once("${") else {
        ensure!(pattern == actual, "expected {pattern:?}, got {actual:?}");
        return Ok(());
    };
    let (capture, suffix) = after.split_once('}').context("`${` without `}`")?;
    let (name, kind) = capture.split_once(':').context("a capture is `${name:kind}`")?;
    let value = actual.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
    let value = value.with_context(|| format!("expected {pattern:?}, got {actual:?}"))?;
    ensure!(is_kind(kind, value)?, "expected a value of kind {kind}, got {value:?}");
    if !name.is_empty() {
        captures.set(name, value);
    }
    Ok(())
}

fn at(path: &str, expected: &Value, actual: &Value, captures: &mut Captures) -> Result<()> {
    match (expected, actual) {
        (Value::String(pattern), Value::Object(object)) => {
            let name = pattern.strip_prefix("${").and_then(|rest| rest.strip_suffix(":meta}"));
            let name = name.with_context(|| format!("{path}: expected {pattern:?}, got {actual}"))?;
            meta(name, object, captures).with_context(|| format!("{path} is no proper meta: {actual}"))
        }
        (Value::String(pattern), Value::String(actual)) => {
            text(pattern, actual, captures).with_context(|| path.to_owned())
        }
        (Value::Object(special), Value::Array(elements))
            if special.keys().any(|key| key.starts_with('$')) =>
        {
            array(path, special, elements, captures)
        }
        (Value::Object(expected), Value::Object(actual)) => object(path, expected, actual, captures),
        (Value::Array(expected), Value::Array(actual)) => {
            ensure!(
                expected.len() == actual.len(),
                "{path}: expected {} elements, got {}: {}",
                expected.len(),
                actual.len(),
                Value::Array(actual.clone())
            );
            for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                at(&format!("{path}[{index}]"), expected, actual, captures)?;
            }
            Ok(())
        }
        _ => {
            ensure!(expected == actual, "{path}: expected {expected}, got {actual}");
            Ok(())
        }
    }
}

fn object(
    path: &str,
    expected: &Map<String, Value>,
    actual: &Map<String, Value>,
    captures: &mut Captures,
) -> Result<()> {
    for (key, expected) in expected {
        match key.as_str() {
            "$partial" => {}
            "$absent" => {
                for key in expected.as_array().context("`$absent` is a list of keys")? {
                    let key = key.as_str().context("`$absent` is a list of keys")?;
                    ensure!(!actual.contains_key(key), "{path}.{key}: must be absent, got {}", actual[key]);
                }
            }
            "$unset" => {
                for key in expected.as_array().context("`$unset` is a list of keys")? {
                    let key = key.as_str().context("`$unset` is a list of keys")?;
                    let value = actual.get(key).unwrap_or(&Value::Null);
                    let unset = value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty);
                    ensure!(unset, "{path}.{key}: must be unset, got {value}");
                }
            }
            _ => match actual.get(key) {
                Some(actual) => at(&format!("{path}.{key}"), expected, actual, captures)?,
                None => bail!("{path}.{key}: expected {expected}, got nothing"),
            },
        }
    }
    if expected.get("$partial") != Some(&Value::Bool(true)) {
        for (key, value) in actual {
            ensure!(expected.contains_key(key), "{path}.{key}: not expected, got {value}");
        }
    }
    Ok(())
}

fn array(path: &str, special: &Map<String, Value>, actual: &[Value], captures: &mut Captures) -> Result<()> {
    for (key, argument) in special {
        match key.as_str() {
            "$any_order" => {
                let expected = argument.as_array().context("`$any_order` is a list")?;
                ensure!(
                    expected.len() == actual.len(),
                    "{path}: expected {} elements, got {}: {}",
                    expected.len(),
                    actual.len(),
                    Value::Array(actual.to_vec())
                );
                contains(path, expected, actual, captures)?;
            }
            "$contains" => {
                let expected = argument.as_array().context("`$contains` is a list")?;
                contains(path, expected, actual, captures)?;
            }
            "$length" => ensure!(
                argument.as_u64() == Some(actual.len() as u64),
                "{path}: expected {argument} elements, got {}",
                actual.len()
            ),
            "$collect" => {
                let set = captures.sets.entry(argument.to_string()).or_default();
                for element in actual {
                    let id = element["id"].as_str().with_context(|| format!("{path}: no id in {element}"))?;
                    ensure!(set.insert(id.to_owned()), "{path}: {id} was on an earlier page");
                }
            }
            _ => bail!("{path}: unknown matcher {key:?}"),
        }
    }
    Ok(())
}

/// Pairs each expected element with the first actual one that fits and is still free.
fn contains(path: &str, expected: &[Value], actual: &[Value], captures: &mut Captures) -> Result<()> {
    let mut free: Vec<&Value> = actual.iter().collect();
    for wanted in expected {
        let found = free.iter().position(|candidate| at(path, wanted, candidate, captures).is_ok());
        let found = found.with_context(|| {
            format!(
                "{path}: no element is like {wanted}; left are {}",
                Value::Array(free.iter().copied().cloned().collect())
            )
        })?;
        free.remove(found);
    }
    Ok(())
}

fn meta(name: &str, meta: &Map<String, Value>, captures: &mut Captures) -> Result<()> {
    let member =
        |key: &str| meta.get(key).and_then(Value::as_str).with_context(|| format!("no text `{key}`"));
    let kind = member("resourceType")?;
    ensure!(kind == "User" || kind == "Group", "resourceType is {kind:?}");
    let (created, modified, version) = (member("created")?, member("lastModified")?, member("version")?);
    ensure!(is_kind("time", created)?, "created is no RFC 3339 time");
    ensure!(is_kind("time", modified)?, "lastModified is no RFC 3339 time");
    ensure!(is_kind("etag", version)?, "version is no weak ETag");
    text(&format!("${{base}}/{kind}s/${{:uuid}}"), member("location")?, captures).context("location")?;
    ensure!(
        meta.len() == 5,
        "meta has resourceType, created, lastModified, location, version and nothing else"
    );
    captures.set(&format!("{name}.created"), created);
    captures.set(&format!("{name}.modified"), modified);
    captures.set(&format!("{name}.version"), version);
    Ok(())
}

fn is_kind(kind: &str, value: &str) -> Result<bool> {
    Ok(match kind {
        "uuid" => is_uuid(value),
        "time" => is_time(value),
        "etag" => {
            value.strip_prefix("W/\"").and_then(|rest| rest.strip_suffix('"')).is_some_and(is_opaque_tag)
        }
        "text" => !value.is_empty(),
        _ => bail!("unknown kind {kind:?}; known are uuid, time, etag, text"),
    })
}

fn is_opaque_tag(tag: &str) -> bool {
    !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"')
}

fn is_uuid(value: &str) -> bool {
    let groups: Vec<&str> = value.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    lengths == [8, 4, 4, 4, 12] && groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `2011-05-13T04:42:34Z`, with any number of decimals, with `Z` or an offset.
fn is_time(value: &str) -> bool {
    let shape: String = value.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00T00:00:00") else { return false };
    let zone = match rest.strip_prefix('.') {
        Some(decimals) => decimals.trim_start_matches('0'),
        None => rest,
    };
    !rest.starts_with(".Z") && matches!(zone, "Z" | "+00:00" | "-00:00")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(expected: Value, actual: Value) -> bool {
        let mut captures = Captures::default();
        captures.set("base", "http://h/scim/v2");
        body(&expected, &actual, &mut captures).is_ok()
    }

    #[test]
    fn exact_unless_marked() {
        assert!(matches(json!({"a": 1}), json!({"a": 1})));
        assert!(!matches(json!({"a": 1}), json!({"a": 1, "b": 2})));
        assert!(!matches(json!({"a": 1}), json!({})));
        assert!(matches(json!({"a": 1, "$partial": true}), json!({"a": 1, "b": 2})));
        assert!(!matches(json!({"a": 1, "$partial": true, "$absent": ["b"]}), json!({"a": 1, "b": 2})));
        assert!(!matches(json!([1, 2]), json!([2, 1])));
        assert!(matches(json!({"$any_order": [1, 2]}), json!([2, 1])));
        assert!(!matches(json!({"$any_order": [1, 1]}), json!([2, 1])));
        assert!(!matches(json!({"$any_order": [1]}), json!([2, 1])));
        assert!(matches(json!({"$contains": [1]}), json!([2, 1])));
        assert!(matches(json!({"$partial": true, "$unset": ["a", "b"]}), json!({"a": "", "b": []})));
        assert!(!matches(json!({"$partial": true, "$unset": ["a"]}), json!({"a": "x"})));
        assert!(!matches(json!({"$length": 2}), json!([1])));
        assert!(!matches(json!("true"), json!(true)));
    }

    #[test]
    fn captures_check_before_they_hide() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(matches(
            json!({"id": "${u:uuid}", "ref": "x/${u}"}),
            json!({"id": id, "ref": format!("x/{id}")})
        ));
        assert!(!matches(json!("${u:uuid}"), json!("17")));
        assert!(!matches(json!(["${u:uuid}", "${u}"]), json!([id, "other"])));
        assert!(matches(json!("${t:time}"), json!("2011-05-13T04:42:34.12Z")));
        assert!(!matches(json!("${t:time}"), json!("2011-05-13 04:42:34")));
        assert!(!matches(json!("${t:time}"), json!("2011-05-13T04:42:34")));
        assert!(matches(json!("${e:etag}"), json!("W/\"1\"")));
        assert!(!matches(json!("${e:etag}"), json!("\"1\"")));
    }

    #[test]
    fn pages_share_no_resource() {
        let page = json!({"$length": 1, "$collect": "seen"});
        let mut captures = Captures::default();
        assert!(body(&page, &json!([{"id": "a"}]), &mut captures).is_ok());
        assert!(body(&page, &json!([{"id": "b"}]), &mut captures).is_ok());
        assert!(body(&page, &json!([{"id": "a"}]), &mut captures).is_err());
    }

    #[test]
    fn meta_is_checked_whole() {
        let meta = json!({
            "resourceType": "User", "created": "2026-01-01T00:00:00Z", "lastModified": "2026-01-01T00:00:00Z",
            "location": "http://h/scim/v2/Users/01890a5d-ac96-774b-bcce-b302099a8057", "version": "W/\"1\"",
        });
        assert!(matches(json!("${u:meta}"), meta.clone()));
        let mut elsewhere = meta;
        elsewhere["location"] = json!("/Users/01890a5d-ac96-774b-bcce-b302099a8057");
        assert!(!matches(json!("${u:meta}"), elsewhere));
    }
}
