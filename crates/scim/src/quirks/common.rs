//! Habits that several clients share.

use serde_json::Value;

use crate::decode::{Decoder, REFERENCE, TYPE, VALUE};
use crate::dialect::Scene;
use crate::filter::{CompareOp, Filter, Literal};
use crate::patch::{Op, Operation};
use crate::path::Path;
use crate::schema::{Attribute, Kind, Located, Name};
use crate::{Error, Result};

/// One element where a list belongs.
///
/// ```json
/// {"emails": {"value": "a@x"}}       →  {"emails": [{"value": "a@x"}]}
/// {"members": "u1"}                  →  {"members": ["u1"]}
/// ```
pub(crate) fn one_for_list(attribute: &Attribute, value: Value) -> Value {
    match value {
        Value::Null | Value::Array(_) => value,
        Value::String(text) if text.is_empty() => Value::Null,
        one if attribute.multi_valued => Value::Array(vec![one]),
        one => one,
    }
}

/// A list of one where a single value belongs; Microsoft's old documents show it for the manager.
///
/// ```json
/// {"manager": [{"$ref": "…", "value": "id"}]}  →  {"manager": {"$ref": "…", "value": "id"}}
/// {"title": []}                                →  {"title": null}
/// ```
pub(crate) fn list_for_one(attribute: &Attribute, value: Value) -> Value {
    match value {
        Value::Array(mut list) if !attribute.multi_valued && list.len() <= 1 => {
            list.pop().unwrap_or(Value::Null)
        }
        other => other,
    }
}

/// An empty string clears.
///
/// ```json
/// {"op": "replace", "path": "title", "value": ""}  →  {"op": "replace", "path": "title", "value": null}
/// ```
pub(crate) fn empty_text_for_nothing(_: &Attribute, value: Value) -> Value {
    if value.as_str() == Some("") { Value::Null } else { value }
}

/// Booleans as text, in any case.
///
/// ```json
/// {"active": "False"}          →  {"active": false}
/// roles[primary eq "True"]     →  roles[primary eq true]
/// ```
pub(crate) fn text_for_boolean(attribute: &Attribute, value: Value) -> Value {
    match value.as_str() {
        Some(text) if attribute.kind == Kind::Boolean && text.eq_ignore_ascii_case("true") => {
            Value::Bool(true)
        }
        Some(text) if attribute.kind == Kind::Boolean && text.eq_ignore_ascii_case("false") => {
            Value::Bool(false)
        }
        _ => value,
    }
}

/// Numbers as text.
///
/// ```json
/// {"floor": "3"}  →  {"floor": 3}
/// ```
pub(crate) fn text_for_number(attribute: &Attribute, value: Value) -> Value {
    match (attribute.kind, value.as_str()) {
        (Kind::Integer | Kind::Decimal, Some(text)) => match serde_json::from_str(text) {
            Ok(number @ Value::Number(_)) => number,
            _ => value,
        },
        _ => value,
    }
}

/// A number or boolean where the schema has text.
///
/// ```json
/// {"employeeNumber": 77}  →  {"employeeNumber": "77"}
/// ```
pub(crate) fn number_for_text(attribute: &Attribute, value: Value) -> Value {
    let as_written = match &value {
        // A fraction or an exponent need not print as it came.
        Value::Number(number) => number.is_i64() || number.is_u64(),
        Value::Bool(_) => true,
        _ => false,
    };
    if as_written && attribute.kind == Kind::String { value.to_string().into() } else { value }
}

/// The elements to remove are in the value, not in the path. Read by the RFC's letter, it would remove all.
/// An empty list asks for nothing.
///
/// ```json
/// {"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "u1"}, {"value": "u2"}]}
///   →  {"op": "remove", "path": "members[value eq \"u1\" or value eq \"u2\"]"}
/// {"op": "Remove", "path": "members", "value": []}
///   →  (nothing)
/// ```
pub(crate) fn remove_listed_values(scene: &Scene<'_>, operation: Operation) -> Result<Option<Operation>> {
    let (Op::Remove, Some(value), Some(located)) =
        (operation.op, &operation.value, plain_target(scene, &operation))
    else {
        return Ok(Some(operation));
    };
    if !located.attribute.multi_valued || located.sub.is_some() {
        return Ok(Some(operation));
    }
    let elements = Decoder::new(scene.dialect).list(located.attribute, value.clone(), &located.name())?;
    if elements.is_empty() {
        return Ok(None);
    }
    let mut selections = Vec::with_capacity(elements.len());
    for (index, element) in elements.iter().enumerate() {
        let Some(selection) = selection(located.attribute, element) else {
            let detail = format!("{}[{index}]: has no simple value to find it by", located.name());
            return Err(Error::invalid_value(detail).about(located.name()));
        };
        selections.push(selection);
    }
    let mut path = Path::plain(located.name());
    path.filter = Some(Filter::any(selections));
    Ok(Some(Operation { path: Some(path), value: None, ..operation }))
}

/// The filter that selects an element: by `value` where that identifies a resource, else by `value` and `type`,
/// else by all there is.
fn selection(attribute: &Attribute, element: &Value) -> Option<Filter> {
    let equals = |name: &str, value: &Value| {
        let value = match value {
            Value::Bool(boolean) => Literal::Boolean(*boolean),
            Value::Number(number) => Literal::Number(number.clone()),
            Value::String(text) => Literal::String(text.clone()),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some(Filter::Compare { attribute: name.to_owned(), op: CompareOp::Eq, value })
    };
    let Some(object) = element.as_object() else { return equals(VALUE, element) };
    let keys: &[&str] = match object.contains_key(VALUE) {
        true if attribute.sub_attribute(REFERENCE).is_some() => &[VALUE],
        true => &[VALUE, TYPE],
        false => &[],
    };
    let chosen = object.iter().filter(|(key, _)| keys.is_empty() || keys.contains(&key.as_str()));
    let comparisons: Vec<Filter> = chosen.filter_map(|(key, value)| equals(key, value)).collect();
    if comparisons.is_empty() { None } else { Some(Filter::all(comparisons)) }
}

/// A removal carries the value that is to go, though the path says it all.
///
/// ```json
/// {"op": "Remove", "path": "phoneNumbers[type eq \"fax\"].value", "value": "+49 30 2"}
///   →  {"op": "remove", "path": "phoneNumbers[type eq \"fax\"].value"}
/// ```
pub(crate) fn value_of_remove_ignored(_: &Scene<'_>, mut operation: Operation) -> Result<Option<Operation>> {
    if operation.op == Op::Remove && operation.path.is_some() {
        operation.value = None;
    }
    Ok(Some(operation))
}

/// The attribute that the path names, if it has no filter.
pub(crate) fn plain_target<'a>(scene: &Scene<'a>, operation: &Operation) -> Option<Located<'a>> {
    let path = operation.path.as_ref().filter(|path| path.filter.is_none())?;
    match scene.rt.find(&path.attribute)? {
        Name::Attribute(located) => Some(located),
        Name::Resource | Name::Extension(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::ResourceType;

    fn rewritten(rewrite: fn(&Attribute, Value) -> Value, name: &str, value: Value) -> Value {
        let rt = ResourceType::user();
        let Some(Name::Attribute(located)) = rt.find(name) else { panic!("{name}") };
        rewrite(located.leaf(), value)
    }

    #[test]
    fn one_for_list_becomes_a_list() {
        assert_eq!(rewritten(one_for_list, "emails", json!({ "value": "a" })), json!([{ "value": "a" }]));
        assert_eq!(rewritten(one_for_list, "emails", json!("")), json!(null));
        assert_eq!(rewritten(one_for_list, "title", json!("a")), json!("a"));
    }

    #[test]
    fn list_for_one_becomes_one() {
        assert_eq!(rewritten(list_for_one, "title", json!(["a"])), json!("a"));
        assert_eq!(rewritten(list_for_one, "title", json!([])), json!(null));
        assert_eq!(rewritten(list_for_one, "title", json!(["a", "b"])), json!(["a", "b"]));
        assert_eq!(rewritten(list_for_one, "emails", json!(["a"])), json!(["a"]));
    }

    #[test]
    fn empty_text_is_nothing() {
        assert_eq!(rewritten(empty_text_for_nothing, "title", json!("")), json!(null));
        assert_eq!(rewritten(empty_text_for_nothing, "title", json!(" ")), json!(" "));
    }

    #[test]
    fn text_for_boolean_is_a_boolean() {
        assert_eq!(rewritten(text_for_boolean, "active", json!("tRUE")), json!(true));
        assert_eq!(rewritten(text_for_boolean, "active", json!("False")), json!(false));
        assert_eq!(rewritten(text_for_boolean, "active", json!("yes")), json!("yes"));
        assert_eq!(rewritten(text_for_boolean, "title", json!("true")), json!("true"));
    }

    #[test]
    fn number_for_text_is_text() {
        assert_eq!(rewritten(number_for_text, "title", json!(77)), json!("77"));
        assert_eq!(rewritten(number_for_text, "active", json!(1)), json!(1));
        assert_eq!(rewritten(number_for_text, "title", json!(1e23)), json!(1e23));
    }

    #[test]
    fn text_for_number_is_a_number() {
        let mut floor = ResourceType::user().schema.attribute("title").unwrap().clone();
        floor.kind = Kind::Integer;
        assert_eq!(text_for_number(&floor, json!("3")), json!(3));
        assert_eq!(text_for_number(&floor, json!("three")), json!("three"));
        assert_eq!(rewritten(text_for_number, "title", json!("3")), json!("3"));
    }

    fn operation(path: &str, value: Value) -> Operation {
        let path = Some(Path::parse(path, &crate::Limits::DEFAULT).unwrap());
        Operation { index: 0, op: Op::Remove, path, value: Some(value), from_key: false }
    }

    fn removal(path: &str, value: Value) -> Option<String> {
        let scene = Scene {
            rt: &ResourceType::user(),
            dialect: &crate::Dialect::ENTRA,
            limits: &crate::Limits::DEFAULT,
        };
        let removal = remove_listed_values(&scene, operation(path, value)).unwrap()?;
        Some(removal.path.unwrap().to_string())
    }

    #[test]
    fn remove_listed_values_selects_them_in_the_path() {
        assert_eq!(
            removal("phoneNumbers", json!([{ "value": "1", "type": "fax" }, { "value": "2" }])).unwrap(),
            r#"phoneNumbers[type eq "fax" and value eq "1" or value eq "2"]"#
        );
        assert_eq!(
            removal("addresses", json!({ "country": "DE" })).unwrap(),
            r#"addresses[country eq "DE"]"#
        );
        assert_eq!(removal("emails", json!([])), None);
        assert_eq!(removal("emails[type eq \"work\"]", json!([])).unwrap(), "emails[type eq \"work\"]");
        assert_eq!(removal("title", json!("x")).unwrap(), "title");
    }

    #[test]
    fn value_of_remove_is_ignored() {
        let scene = Scene {
            rt: &ResourceType::user(),
            dialect: &crate::Dialect::ENTRA,
            limits: &crate::Limits::DEFAULT,
        };
        let removal = value_of_remove_ignored(&scene, operation("title", json!("x"))).unwrap().unwrap();
        assert_eq!(removal.value, None);
    }
}
