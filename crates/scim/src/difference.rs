//! What a write made different in a stored resource, for a record that people read who need not know everything about the
//! person: which attributes changed is always told, what they say only where that is harmless.
//!
//! The rule, by the schema:
//!
//! | value | told |
//! |---|---|
//! | boolean, number, dateTime | yes |
//! | reference to a resource, and the `value` beside a `$ref` to one | yes |
//! | string that is one of its attribute's canonicalValues | yes |
//! | what the caller names as harmless ([`difference`]'s `shown`) | yes |
//! | any other text: names, addresses, titles, URLs, base64 | [`REDACTED`] |
//! | secrets (writeOnly, returned never), whatever else they are | [`REDACTED`] |
//! | what the schema does not know (any more) | [`REDACTED`] |

use std::sync::LazyLock;

use serde_json::Value;

use crate::Map;
use crate::resource::SCHEMAS;
use crate::schema::{Attribute, Kind, ResourceType, attribute_name};

/// Stands for a value that is not told, as JSON text.
pub const REDACTED: &str = "\"(redacted)\"";
/// Differences that are told of one write; more are left out.
pub const MOST_DIFFERENCES: usize = 200;
/// A value that is told is at most this long as JSON, bytes; a longer one is [`REDACTED`].
const LONGEST_VALUE: usize = 1024;

/// One attribute that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In the schema's spelling: `active`, `name.givenName`, `emails[type eq "work"].value`, `urn:…:User:department`.
    pub path: String,
    /// The value before as JSON text, or [`REDACTED`]; `None` when there was none.
    pub before: Option<String>,
    /// The value after, likewise.
    pub after: Option<String>,
}

/// What is different in `after`, sorted by path, at most [`MOST_DIFFERENCES`]. Both are resources as they are stored; an
/// absent resource is an empty object. `shown` are names of attributes whose text may be told whatever it is, without
/// sub-attributes: `userName`, `urn:…:User:teams`.
///
/// Elements of multi-valued attributes are told apart by a canonical `type` where that is unique on both sides, otherwise by
/// what they hold.
pub fn difference(rt: &ResourceType, before: &Map, after: &Map, shown: &[&str]) -> Vec<Difference> {
    let mut found = Differences { shown, list: Vec::new() };
    for key in keys(before, after).filter(|key| *key != SCHEMAS && *key != "meta") {
        let (before, after) = (present(before.get(key)), present(after.get(key)));
        if before == after {
            continue;
        }
        let Some(extension) = rt.extension(key) else {
            found.attribute(None, key, rt.top_level_attribute(key), before, after);
            continue;
        };
        let (before, after) = (object(before), object(after));
        for name in keys(before, after) {
            let (before, after) = (present(before.get(name)), present(after.get(name)));
            let attribute = extension.schema.attribute(name);
            found.attribute(Some(&extension.schema.id), name, attribute, before, after);
        }
    }
    let mut list = found.list;
    list.sort_by(|a, b| a.path.cmp(&b.path));
    list.truncate(MOST_DIFFERENCES);
    list
}

struct Differences<'a> {
    shown: &'a [&'a str],
    list: Vec<Difference>,
}

/// An attribute that may differ, and where it stands.
#[derive(Clone, Copy)]
struct Place<'a> {
    attribute: &'a Attribute,
    /// Whether its text may be told.
    is_shown: bool,
}

impl Differences<'_> {
    fn attribute(
        &mut self,
        urn: Option<&str>,
        key: &str,
        attribute: Option<&Attribute>,
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        if before == after {
            return;
        }
        let Some(attribute) = attribute else {
            let path = urn.map_or_else(|| key.to_owned(), |urn| format!("{urn}:{key}"));
            self.push(path, before, after, |_| None);
            return;
        };
        let path = attribute_name(urn, attribute);
        let is_shown = self.shown.contains(&path.as_str());
        let place = Place { attribute, is_shown };
        if attribute.multi_valued && attribute.kind == Kind::Complex && !attribute.is_secret() {
            self.elements(&path, place, elements(before), elements(after));
        } else {
            self.value(&path, place, before, after);
        }
    }

    /// One value: its sub-attributes where it has some.
    fn value(&mut self, path: &str, place: Place<'_>, before: Option<&Value>, after: Option<&Value>) {
        let Place { attribute, is_shown } = place;
        if attribute.is_secret() || attribute.kind != Kind::Complex {
            self.push(path.to_owned(), before, after, |value| told(attribute, is_shown, value));
            return;
        }
        if [before, after].into_iter().flatten().any(|value| !value.is_object()) {
            // Stored when the schema was another.
            self.push(path.to_owned(), before, after, |_| None);
            return;
        }
        let (before, after) = (object(before), object(after));
        for name in keys(before, after) {
            let (before, after) = (present(before.get(name)), present(after.get(name)));
            if before == after {
                continue;
            }
            let Some(sub) = attribute.sub_attribute(name) else {
                self.push(format!("{path}.{name}"), before, after, |_| None);
                continue;
            };
            let is_shown = is_shown || (name == "value" && points_to_a_resource(attribute));
            self.push(format!("{path}.{}", sub.name), before, after, |value| told(sub, is_shown, value));
        }
    }

    fn elements(&mut self, path: &str, place: Place<'_>, before: &[Value], after: &[Value]) {
        if let (Some(old), Some(new)) = (by_type(place.attribute, before), by_type(place.attribute, after)) {
            let added = new.iter().filter(|(kind, _)| old.iter().all(|(other, _)| other != kind));
            for (kind, _) in old.iter().chain(added) {
                let element =
                    |of: &[(&str, &Value)]| of.iter().find(|(other, _)| other == kind).map(|it| it.1.clone());
                let path = format!("{path}[type eq {}]", Value::from(*kind));
                self.value(&path, place, element(&old).as_ref(), element(&new).as_ref());
            }
            return;
        }
        // What is on both sides is no difference, wherever it stands.
        let mut gone: Vec<&Value> = Vec::new();
        let mut come: Vec<&Value> = after.iter().collect();
        for element in before {
            match come.iter().position(|other| *other == element) {
                Some(at) => drop(come.remove(at)),
                None => gone.push(element),
            }
        }
        for at in 0..gone.len().max(come.len()) {
            self.value(path, place, gone.get(at).copied(), come.get(at).copied());
        }
    }

    fn push(
        &mut self,
        path: String,
        before: Option<&Value>,
        after: Option<&Value>,
        told: impl Fn(&Value) -> Option<String>,
    ) {
        let text = |value: &Value| told(value).unwrap_or_else(|| REDACTED.to_owned());
        self.list.push(Difference { path, before: before.map(text), after: after.map(text) });
    }
}

/// The value as JSON, when it may be told.
fn told(attribute: &Attribute, is_shown: bool, value: &Value) -> Option<String> {
    let may_be = |value: &Value| match value {
        _ if attribute.is_secret() => false,
        // A complex value below the second level is none that a schema can have.
        Value::Object(_) | Value::Array(_) => false,
        _ if is_shown => true,
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => match attribute.kind {
            Kind::DateTime => crate::date::parse(text).is_some(),
            Kind::Reference => names_a_resource(attribute),
            Kind::String => canonical(attribute, text).is_some(),
            Kind::Boolean | Kind::Decimal | Kind::Integer | Kind::Binary | Kind::Complex => false,
        },
    };
    let is_told = match value {
        Value::Array(elements) => elements.iter().all(may_be),
        value => may_be(value),
    };
    let text = value.to_string();
    (is_told && text.len() <= LONGEST_VALUE).then_some(text)
}

/// The canonical value that a text is, in its proper spelling.
fn canonical<'a>(attribute: &'a Attribute, text: &str) -> Option<&'a str> {
    attribute
        .canonical_values
        .iter()
        .find(|canonical| canonical.eq_ignore_ascii_case(text))
        .map(String::as_str)
}

/// Whether a reference names a resource, rather than some address on the web.
fn names_a_resource(attribute: &Attribute) -> bool {
    let elsewhere = |kind: &String| kind.eq_ignore_ascii_case("external") || kind.eq_ignore_ascii_case("uri");
    !attribute.reference_types.is_empty() && !attribute.reference_types.iter().any(elsewhere)
}

/// Whether the `value` of a complex attribute is the id of what its `$ref` names.
fn points_to_a_resource(attribute: &Attribute) -> bool {
    attribute.sub_attribute("$ref").is_some_and(|sub| sub.kind == Kind::Reference && names_a_resource(sub))
}

/// The elements by their canonical types; none when one has no such type, or shares it.
fn by_type<'a>(attribute: &'a Attribute, elements: &'a [Value]) -> Option<Vec<(&'a str, &'a Value)>> {
    let sub = attribute.sub_attribute("type").filter(|sub| !sub.is_secret())?;
    let mut found: Vec<(&str, &Value)> = Vec::with_capacity(elements.len());
    for element in elements {
        let kind = canonical(sub, element.get("type")?.as_str()?)?;
        if found.iter().any(|(other, _)| *other == kind) {
            return None;
        }
        found.push((kind, element));
    }
    Some(found)
}

/// Null says the same as nothing.
fn present(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn object(value: Option<&Value>) -> &Map {
    static NOTHING: LazyLock<Map> = LazyLock::new(Map::new);
    value.and_then(Value::as_object).unwrap_or(&NOTHING)
}

fn elements(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(elements)) => elements,
        Some(single) => std::slice::from_ref(single),
        None => &[],
    }
}

fn keys<'a>(before: &'a Map, after: &'a Map) -> impl Iterator<Item = &'a str> {
    let added = after.keys().filter(|key| !before.contains_key(*key));
    before.keys().chain(added).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::schema::{Budget, Schema};

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn map(value: Value) -> Map {
        value.as_object().unwrap().clone()
    }

    /// `path: before -> after`, a line each.
    fn lines(rt: &ResourceType, before: Value, after: Value) -> Vec<String> {
        let differences = difference(rt, &map(before), &map(after), &["userName", "externalId"]);
        let side = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        differences
            .into_iter()
            .map(|it| format!("{}: {} -> {}", it.path, side(it.before), side(it.after)))
            .collect()
    }

    fn users(before: Value, after: Value) -> Vec<String> {
        lines(&ResourceType::user(), before, after)
    }

    #[test]
    fn tells_what_changed_and_hides_what_it_says() {
        let before = json!({
            "schemas": ["x"], "userName": "anna", "externalId": "E1", "active": true, "title": "Buyer",
            "name": { "givenName": "Anna", "familyName": "A" },
            "emails": [
                { "type": "work", "value": "anna@x", "primary": true },
                { "type": "home", "value": "a@home" },
            ],
            ENTERPRISE: { "department": "IT", "manager": { "value": "m1", "displayName": "Boss" } },
        });
        let after = json!({
            "schemas": ["x", "y"], "userName": "Anna.B", "externalId": "E2", "active": false,
            "name": { "givenName": "Anna", "familyName": "B" },
            "emails": [
                { "type": "home", "value": "a@home" },
                { "type": "WORK", "value": "b@x", "primary": true },
                { "type": "other", "value": "o@x", "primary": false },
            ],
            ENTERPRISE: { "department": "HR", "manager": { "value": "m2", "displayName": "Chief" } },
        });
        assert_eq!(
            users(before, after),
            [
                "active: true -> false",
                r#"emails[type eq "other"].primary: - -> false"#,
                r#"emails[type eq "other"].type: - -> "other""#,
                r#"emails[type eq "other"].value: - -> "(redacted)""#,
                r#"emails[type eq "work"].type: "work" -> "WORK""#,
                r#"emails[type eq "work"].value: "(redacted)" -> "(redacted)""#,
                r#"externalId: "E1" -> "E2""#,
                r#"name.familyName: "(redacted)" -> "(redacted)""#,
                r#"title: "(redacted)" -> -"#,
                &format!(r#"{ENTERPRISE}:department: "(redacted)" -> "(redacted)""#),
                &format!(r#"{ENTERPRISE}:manager.displayName: "(redacted)" -> "(redacted)""#),
                &format!(r#"{ENTERPRISE}:manager.value: "m1" -> "m2""#),
                r#"userName: "anna" -> "Anna.B""#,
            ]
        );
    }

    #[test]
    fn elements_without_a_type_of_their_own_are_told_by_what_they_hold() {
        let two_of_a_kind = json!({ "emails": [
            { "type": "work", "value": "a@x" }, { "type": "work", "value": "b@x", "primary": true },
        ] });
        let one = json!({ "emails": [{ "type": "work", "value": "b@x", "primary": true }] });
        let gone = [r#"emails.type: "work" -> -"#, r#"emails.value: "(redacted)" -> -"#];
        assert_eq!(users(two_of_a_kind.clone(), one), gone);
        let turned = json!({ "emails": [
            { "type": "work", "value": "b@x", "primary": true }, { "type": "work", "value": "a@x" },
        ] });
        assert_eq!(users(two_of_a_kind, turned), [""; 0], "order says nothing");
        // A type that is no canonical one could be anything: it is in no path.
        let odd = json!({ "phoneNumbers": [{ "type": "annas boat", "value": "1" }] });
        assert_eq!(
            users(json!({}), odd),
            [r#"phoneNumbers.type: - -> "(redacted)""#, r#"phoneNumbers.value: - -> "(redacted)""#]
        );
    }

    #[test]
    fn secrets_binaries_urls_and_the_unknown_are_hidden() {
        let before = json!({});
        let after = json!({
            "password": "hunter2", "profileUrl": "https://anna.example", "gone": { "a": 1 },
            "photos": [{ "type": "photo", "value": "https://x/anna.png" }],
            "x509Certificates": [{ "value": "AAAA" }],
            "meta": { "x": 1 },
        });
        let lines = users(before, after);
        let told: Vec<_> = lines.iter().filter(|line| !line.ends_with("\"(redacted)\"")).collect();
        assert_eq!(told, [r#"photos[type eq "photo"].type: - -> "photo""#]);
        assert_eq!(lines.len(), 6, "{lines:?}");
        let document = json!({ "id": "urn:x:y", "attributes": [
            { "name": "pin", "type": "integer", "returned": "never" },
            { "name": "since", "type": "dateTime" }, { "name": "note" }, { "name": "marks", "type": "integer", "multiValued": true },
        ] });
        let schema = Schema::parse(&document, &Budget::default()).unwrap();
        let rt = ResourceType::user().with_extension(Arc::new(schema), false);
        let after = json!({ "urn:x:y": {
            "pin": 1234, "since": "2026-11-22T00:00:00Z", "note": "n", "marks": [1, 2], "former": "f",
        } });
        assert_eq!(
            lines_of(&rt, after),
            [
                r#"urn:x:y:former: "(redacted)""#,
                "urn:x:y:marks: [1,2]",
                r#"urn:x:y:note: "(redacted)""#,
                r#"urn:x:y:pin: "(redacted)""#,
                r#"urn:x:y:since: "2026-11-22T00:00:00Z""#,
            ]
        );
    }

    fn lines_of(rt: &ResourceType, after: Value) -> Vec<String> {
        let differences = difference(rt, &Map::new(), &map(after), &[]);
        differences.into_iter().map(|it| format!("{}: {}", it.path, it.after.unwrap())).collect()
    }

    #[test]
    fn there_are_never_more_than_the_most() {
        let many: Vec<_> = (0..300).map(|n| json!({ "value": n.to_string(), "primary": false })).collect();
        let differences =
            difference(&ResourceType::user(), &Map::new(), &map(json!({ "emails": many })), &[]);
        assert_eq!(differences.len(), MOST_DIFFERENCES);
        let long = map(json!({ "userName": "x".repeat(LONGEST_VALUE) }));
        let differences = difference(&ResourceType::user(), &Map::new(), &long, &["userName"]);
        assert_eq!(differences[0].after.as_deref(), Some(REDACTED));
    }
}
