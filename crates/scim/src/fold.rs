//! The searchable copy of a resource, in which comparing bytes is comparing values.

use serde_json::Value;

use crate::schema::{Attribute, Kind, ResourceType};
use crate::{Map, date};

/// A string as it compares when its attribute is not caseExact: Unicode lower case, letter by letter, so that what
/// begins, ends or lies within a text still does when both are folded. (`str::to_lowercase` makes of a sigma one of two
/// letters, by its place in the word: `"ΟΔΥΣ"` would not begin `"ΟΔΥΣΣΕΥΣ"`.)
pub fn fold_str(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let one_sigma = |letter: char| if letter == 'ς' { 'σ' } else { letter };
    text.chars().flat_map(char::to_lowercase).map(one_sigma).collect()
}

/// The searchable copy: same shape and spelling; strings of attributes that are not caseExact are lower-cased,
/// dateTimes become `YYYY-MM-DDTHH:MM:SS.ffffffZ` (byte order = time order). Secrets and what the schema does not know
/// are left out.
pub fn fold(rt: &ResourceType, resource: &Value) -> Value {
    let Value::Object(resource) = resource else { return Value::Object(Map::new()) };
    let mut folded = Map::new();
    for (key, value) in resource {
        if let Some(extension) = rt.extension(key) {
            let members = fold_members(value, |name| extension.schema.attribute(name));
            folded.insert(extension.schema.id.clone(), members);
        } else if let Some(attribute) = rt.top_level_attribute(key).filter(|attribute| !attribute.is_secret())
        {
            folded.insert(attribute.name.clone(), fold_value(attribute, value));
        }
    }
    Value::Object(folded)
}

/// One value of an attribute, an array of them, or one element of the array.
pub(crate) fn fold_value(attribute: &Attribute, value: &Value) -> Value {
    match value {
        Value::Array(elements) => elements.iter().map(|element| fold_value(attribute, element)).collect(),
        Value::Object(_) => fold_members(value, |name| attribute.sub_attribute(name)),
        Value::String(text) => match attribute.kind {
            Kind::DateTime => date::parse(text).map_or_else(|| text.clone(), date::fold).into(),
            _ if attribute.case_exact => text.as_str().into(),
            _ => fold_str(text).into(),
        },
        other => other.clone(),
    }
}

fn fold_members<'a>(object: &Value, attribute: impl Fn(&str) -> Option<&'a Attribute>) -> Value {
    let mut folded = Map::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        if let Some(attribute) = attribute(key).filter(|attribute| !attribute.is_secret()) {
            folded.insert(attribute.name.clone(), fold_value(attribute, value));
        }
    }
    Value::Object(folded)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_fold_as_the_whole_does() {
        for (text, part) in
            [("ΟΔΥΣΣΕΥΣ", "ΟΔΥΣ"), ("Οδυσσεύς", "ΣΕΎΣ"), ("İSTANBUL", "i\u{307}st"), ("GROẞ", "groß")]
        {
            assert!(fold_str(text).contains(&fold_str(part)), "{text} {part}");
            assert_eq!(fold_str(&fold_str(text)), fold_str(text));
        }
    }

    #[test]
    fn folds_by_the_schema() {
        let resource = json!({
            "userName": "Ärger@X.de", "externalId": "AbC", "password": "Secret", "active": true,
            "emails": [{ "value": "A@B", "type": "Work", "primary": true }],
            "meta": { "created": "2011-05-13T06:42:34.5+02:00" },
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "IT", "manager": { "value": "X" } },
            "gone": 1
        });
        assert_eq!(
            fold(&ResourceType::user(), &resource),
            json!({
                "userName": "ärger@x.de", "externalId": "AbC", "active": true,
                "emails": [{ "value": "a@b", "type": "work", "primary": true }],
                "meta": { "created": "2011-05-13T04:42:34.500000Z" },
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "it", "manager": { "value": "X" } }
            })
        );
    }
}
