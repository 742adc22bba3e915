//! What Microsoft Entra ID sends. The evidence is in ENTRA.md of the design notes; section numbers refer to it.

use serde_json::Value;

use crate::decode::VALUE;
use crate::dialect::Scene;
use crate::patch::Operation;
use crate::path::Path;
use crate::quirks::common::plain_target;
use crate::schema::{Attribute, Kind, Name};
use crate::{Map, Result};

/// A list that an attribute mapping built with Join or Append arrives as text (3.7).
///
/// ```json
/// {"teams": "[{\"slug\":\"sales\"}]"}  →  {"teams": [{"slug": "sales"}]}
/// ```
pub(crate) fn json_text_for_list(attribute: &Attribute, value: Value) -> Value {
    match value.as_str() {
        Some(text) if attribute.multi_valued => match embedded_json(text) {
            Some(list @ Value::Array(_)) => list,
            _ => value,
        },
        _ => value,
    }
}

/// An element of a list arrives as JSON text, by itself or as its own `value` (3.5 AppRoleAssignmentsComplex, 3.7 Split).
///
/// ```json
/// {"roles": [{"value": "{\"id\":\"7\",\"value\":\"admin\",\"displayName\":\"Admin\"}"}]}
///   →  {"roles": [{"id": "7", "value": "admin", "displayName": "Admin"}]}
/// {"teams": ["{\"slug\":\"sales\"}"]}
///   →  {"teams": [{"slug": "sales"}]}
/// ```
pub(crate) fn json_text_for_element(attribute: &Attribute, value: Value) -> Value {
    if attribute.kind != Kind::Complex || !attribute.multi_valued {
        return value;
    }
    let text = match &value {
        Value::Object(object) => object.get(VALUE).and_then(Value::as_str),
        other => other.as_str(),
    };
    match text.and_then(embedded_json) {
        Some(object @ Value::Object(_)) => object,
        _ => value,
    }
}

/// JSON in a string, if it is a list or an object: serde_json bounds its depth.
fn embedded_json(text: &str) -> Option<Value> {
    if !text.trim_start().starts_with(['[', '{']) {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// The main value alone where an object belongs (3.1: the manager, in POST and in PATCH).
///
/// ```json
/// {"manager": "8f0c"}  →  {"manager": {"value": "8f0c"}}
/// {"members": ["u1"]}  →  {"members": [{"value": "u1"}]}
/// ```
pub(crate) fn text_for_complex(attribute: &Attribute, value: Value) -> Value {
    let takes_text = attribute.kind == Kind::Complex && attribute.sub_attribute(VALUE).is_some();
    if takes_text && value.is_string() {
        return Value::Object(Map::from_iter([(VALUE.to_owned(), value)]));
    }
    value
}

/// An object whose main value is empty (3.6: the validator clears the manager like this).
///
/// ```json
/// {"manager": {"value": ""}}  →  {"manager": null}
/// ```
pub(crate) fn complex_of_nothing(attribute: &Attribute, value: Value) -> Value {
    let is_nothing = |value: &Value| value.is_null() || value.as_str() == Some("");
    match &value {
        Value::Object(object)
            if attribute.kind == Kind::Complex
                && object.get(VALUE).is_some_and(is_nothing)
                && object.values().all(is_nothing) =>
        {
            Value::Null
        }
        _ => value,
    }
}

/// Entra's name for what SCIM calls `display` (3.5: roles).
///
/// ```json
/// {"roles": [{"value": "admin", "displayName": "Admin"}]}  →  {"roles": [{"value": "admin", "display": "Admin"}]}
/// ```
pub(crate) fn display_name_for_display(attribute: &Attribute, mut value: Value) -> Value {
    const ENTRAS: &str = "displayName";
    const SCIMS: &str = "display";
    let is_misnamed = attribute.sub_attribute(ENTRAS).is_none() && attribute.sub_attribute(SCIMS).is_some();
    if let (true, Value::Object(object)) = (is_misnamed, &mut value)
        && !object.contains_key(SCIMS)
        && let Some(name) = object.remove(ENTRAS)
    {
        object.insert(SCIMS.to_owned(), name);
    }
    value
}

/// Values of a simple attribute wrapped like those of a complex one (3.7: "Multi-value" and Split).
///
/// ```json
/// {"tags": [{"value": "sales"}, {"value": "it"}]}  →  {"tags": ["sales", "it"]}
/// ```
pub(crate) fn wrapped_scalar(attribute: &Attribute, value: Value) -> Value {
    match value {
        Value::Object(mut object) if attribute.kind != Kind::Complex && object.len() == 1 => {
            object.remove(VALUE).unwrap_or(Value::Object(object))
        }
        other => other,
    }
}

/// The name of an extension's attribute without the URN, as old mappings have it, where the core schema has no such name.
///
/// ```text
/// { "op": "Replace", "path": "manager", "value": "8f0c" }
/// { "op": "Replace", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", "value": "8f0c" }
/// ```
pub(crate) fn bare_extension_name(scene: &Scene<'_>, mut operation: Operation) -> Result<Option<Operation>> {
    if let Some(path) = &mut operation.path
        && scene.rt.find(&path.attribute).is_none()
        && let Some(Name::Attribute(located)) = scene.rt.find_in_extensions(&path.attribute)
    {
        path.attribute = located.name();
    }
    Ok(Some(operation))
}

/// A dot behind the URN: jobs made before December 2018 (4: `customappsso`).
///
/// ```json
/// {"path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User.department"}
///   →  {"path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"}
/// ```
pub(crate) fn dot_after_urn(scene: &Scene<'_>, mut operation: Operation) -> Result<Option<Operation>> {
    if let Some(path) = &mut operation.path {
        for extension in &scene.rt.extensions {
            let urn = extension.schema.id.as_str();
            if let Some((head, tail)) = path.attribute.split_at_checked(urn.len())
                && head.eq_ignore_ascii_case(urn)
                && let Some(name) = tail.strip_prefix('.')
            {
                path.attribute = format!("{urn}:{name}");
            }
        }
    }
    Ok(Some(operation))
}

/// A value filter on a single-valued attribute; it can only mean the one value (3.6: removal of the manager).
///
/// ```json
/// {"op": "remove", "path": "urn:…:User:manager[value eq \"8f0c\"]"}  →  {"op": "remove", "path": "urn:…:User:manager"}
/// ```
pub(crate) fn filter_on_single_value(
    scene: &Scene<'_>,
    mut operation: Operation,
) -> Result<Option<Operation>> {
    let Some(path) = &operation.path else { return Ok(Some(operation)) };
    if path.filter.is_none() {
        return Ok(Some(operation));
    }
    let mut attribute = path.attribute.clone();
    if let Some(sub) = &path.sub {
        attribute = format!("{attribute}.{sub}");
    }
    let plain = Operation { path: Some(Path::plain(attribute)), ..operation.clone() };
    if plain_target(scene, &plain).is_some_and(|located| !located.attribute.multi_valued) {
        operation.path = plain.path;
    }
    Ok(Some(operation))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::ResourceType;

    /// Each rewrite turns the first value into the second, and leaves the rest alone.
    fn check(rewrite: fn(&Attribute, Value) -> Value, name: &str, cases: &[(Value, Value)]) {
        let rt = ResourceType::user();
        let Some(Name::Attribute(located)) = rt.find(name) else { panic!("{name}") };
        for (bad, good) in cases {
            assert_eq!(&rewrite(located.leaf(), bad.clone()), good);
            assert_eq!(&rewrite(located.leaf(), good.clone()), good, "what is good stays");
        }
    }

    fn enterprise(name: &str) -> String {
        format!("{}:{name}", crate::schema::builtin::ENTERPRISE_USER)
    }

    fn same(value: Value) -> (Value, Value) {
        (value.clone(), value)
    }

    #[test]
    fn json_text_for_list_is_parsed() {
        let cases = [
            (json!(" [{\"value\":\"a\"}]"), json!([{ "value": "a" }])),
            same(json!("[not json")),
            same(json!("{\"value\":\"a\"}")),
            same(json!("plain")),
        ];
        check(json_text_for_list, "roles", &cases);
        check(json_text_for_list, "title", &[same(json!("[]"))]);
    }

    #[test]
    fn json_text_for_element_is_parsed() {
        let cases = [
            (json!({ "value": "{\"value\":\"a\",\"id\":1}" }), json!({ "value": "a", "id": 1 })),
            (json!("{\"value\":\"a\"}"), json!({ "value": "a" })),
            same(json!({ "value": "[1]" })),
            same(json!({ "value": "a" })),
        ];
        check(json_text_for_element, "roles", &cases);
        check(json_text_for_element, &enterprise("manager"), &[same(json!({ "value": "{}" }))]);
    }

    #[test]
    fn text_for_complex_is_its_value() {
        check(text_for_complex, &enterprise("manager"), &[(json!("8f0c"), json!({ "value": "8f0c" }))]);
        check(text_for_complex, "name", &[same(json!("x"))]);
        check(text_for_complex, "title", &[same(json!("x"))]);
    }

    #[test]
    fn complex_of_nothing_is_nothing() {
        let cases = [
            (json!({ "value": "" }), json!(null)),
            (json!({ "value": null, "$ref": "" }), json!(null)),
            same(json!({ "$ref": "" })),
            same(json!({ "value": "", "displayName": "x" })),
        ];
        check(complex_of_nothing, &enterprise("manager"), &cases);
    }

    #[test]
    fn display_name_becomes_display() {
        let cases = [
            (json!({ "displayName": "A" }), json!({ "display": "A" })),
            same(json!({ "displayName": "A", "display": "B" })),
        ];
        check(display_name_for_display, "roles", &cases);
        check(display_name_for_display, &enterprise("manager"), &[same(json!({ "displayName": "A" }))]);
    }

    #[test]
    fn wrapped_scalars_are_unwrapped() {
        check(wrapped_scalar, "title", &[(json!({ "value": "a" }), json!("a")), same(json!({ "a": 1 }))]);
        check(wrapped_scalar, "emails", &[same(json!({ "value": "a" }))]);
    }

    fn path_after(rewrite: fn(&Scene<'_>, Operation) -> Result<Option<Operation>>, path: &str) -> String {
        let limits = crate::Limits::DEFAULT;
        let scene = Scene { rt: &ResourceType::user(), dialect: &crate::Dialect::ENTRA, limits: &limits };
        let path = Some(Path::parse(path, &limits).unwrap());
        let operation =
            Operation { index: 0, op: crate::patch::Op::Remove, path, value: None, from_key: false };
        rewrite(&scene, operation).unwrap().unwrap().path.unwrap().to_string()
    }

    #[test]
    fn bare_extension_name_gets_its_urn() {
        assert_eq!(path_after(bare_extension_name, "manager"), enterprise("manager"));
        assert_eq!(path_after(bare_extension_name, "Manager.value"), enterprise("manager.value"));
        assert_eq!(path_after(bare_extension_name, "displayName"), "displayName");
        assert_eq!(path_after(bare_extension_name, "nosuch"), "nosuch");
    }

    #[test]
    fn dot_after_urn_is_a_colon() {
        let dotted = format!("{}.department", crate::schema::builtin::ENTERPRISE_USER);
        assert_eq!(path_after(dot_after_urn, &dotted), enterprise("department"));
        assert_eq!(path_after(dot_after_urn, &enterprise("manager.value")), enterprise("manager.value"));
        assert_eq!(path_after(dot_after_urn, "name.givenName"), "name.givenName");
    }

    #[test]
    fn filter_on_single_value_goes() {
        let manager = enterprise("manager");
        assert_eq!(path_after(filter_on_single_value, &format!("{manager}[value eq \"x\"]")), manager);
        assert_eq!(
            path_after(filter_on_single_value, &format!("{manager}[value eq \"x\"].value")),
            format!("{manager}.value")
        );
        let emails = "emails[type eq \"work\"].value";
        assert_eq!(path_after(filter_on_single_value, emails), emails);
    }
}
