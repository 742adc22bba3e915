//! What users of a tenant are made of, and what a tenant may add to that.

use std::collections::BTreeMap;

use platform::{Error, Result};
use scim::filter::{AttrRef, Query};
use scim::schema::{Attribute, Budget, Kind, ResourceType, Uniqueness, builtin};
use scim::{Difference, ErrorKind, Limits, Map};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::role_teams;

/// Extensions that a tenant has at a time.
pub(crate) const MOST_EXTENSIONS: usize = 10;
/// URNs that a tenant ever defined extensions by: values of deleted ones stay with the users.
pub(crate) const MOST_URNS: usize = 50;
/// Names of attributes and sub-attributes that one URN ever had.
const MOST_NAMES: usize = 1000;
/// Of a document as it is sent, bytes.
const LARGEST_DOCUMENT: usize = 64 * 1024;

/// What users of a tenant are made of.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) user: ResourceType,
    /// URNs whose stored values are not searchable by this schema yet.
    pub(crate) reindexing: Vec<String>,
    /// URN of the extension that has role and teams.
    pub(crate) role_teams: Option<String>,
}

/// An extension as an administrator defines it, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Definition {
    pub(crate) schema: scim::schema::Schema,
    pub(crate) required: bool,
    /// Whether it has role and teams; as it is, when none.
    pub(crate) role_and_teams: Option<bool>,
}

/// How each attribute of a URN was ever spelled: `costcenter` → `costCenter`, `badge.color` → `badge.color`. Stored values
/// rest under these names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Names(BTreeMap<String, String>);

impl Schema {
    /// Of a tenant that defined nothing.
    pub(crate) fn built_in() -> Self {
        Self { user: ResourceType::user(), reindexing: Vec::new(), role_teams: None }
    }

    /// What a write made different, for people who need not know everything about the person ([`scim::difference()`] says what is
    /// hidden). By userName and externalId an administrator recognizes who it was; role and teams say nothing about a
    /// person that the platform does not.
    pub(crate) fn difference(&self, before: &Map, after: &Map) -> Vec<Difference> {
        let mut shown = vec!["userName".to_owned(), "externalId".to_owned()];
        if let Some(urn) = &self.role_teams {
            shown.extend([role_teams::ROLE, role_teams::TEAMS].map(|name| format!("{urn}:{name}")));
        }
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        scim::difference(&self.user, before, after, &shown)
    }

    /// Refuses to search by what is not searchable yet: a wrong answer would look like a right one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) fn check_searchable(&self, filter: Option<&Query>, sort_by: Option<&AttrRef>) -> Result<()> {
        for urn in &self.reindexing {
            let is_of_it = |attr: &AttrRef| attr.segments.first() == Some(urn);
            if sort_by.is_some_and(is_of_it) || filter.is_some_and(|query| looks_at(query, &is_of_it)) {
                return Err(Error::unavailable(format!(
                    "{urn}: its schema has changed, and the stored values are being made searchable by the new one; try \
                     again shortly"
                )));
            }
        }
        Ok(())
    }
}

fn looks_at(query: &Query, wanted: &impl Fn(&AttrRef) -> bool) -> bool {
    match query {
        Query::Const(_) => false,
        Query::And(parts) | Query::Or(parts) => parts.iter().any(|part| looks_at(part, wanted)),
        Query::Not(inner) => looks_at(inner, wanted),
        // What is inside of `Any` is relative to the element.
        Query::Compare { attr, .. } | Query::Present(attr) | Query::Any { attr, .. } => wanted(attr),
    }
}

impl Definition {
    /// Reads a schema document (RFC 7643, section 7).
    ///
    /// # Errors
    /// `InvalidSyntax`, `InvalidValue` and `TooMany`, naming what is wrong.
    pub(crate) fn parse(document: &[u8], required: bool, limits: &Limits) -> Result<Self> {
        if document.len() > LARGEST_DOCUMENT {
            let detail = format!("the document is larger than {} KiB", LARGEST_DOCUMENT / 1024);
            return Err(Error::new(ErrorKind::TooMany, detail));
        }
        let document = scim::resource::parse_json(document, limits)?;
        let schema = scim::schema::Schema::parse(&document, &Budget::default())?;
        if begins_with(&schema.id, builtin::ENTERPRISE_USER) {
            let detail = format!(
                "id: {} belongs to the EnterpriseUser of RFC 7643; choose a URN of your own",
                schema.id
            );
            return Err(Error::invalid_value(detail).with_attribute("id"));
        }
        for attribute in &schema.attributes {
            check_promises(attribute, &attribute.name)?;
            for sub in &attribute.sub_attributes {
                check_promises(sub, &format!("{}.{}", attribute.name, sub.name))?;
            }
        }
        Ok(Self { schema, required, role_and_teams: None })
    }

    /// The document with every characteristic spelled out.
    pub(crate) fn document(&self) -> Value {
        let mut document = self.schema.to_json("");
        if let Some(document) = document.as_object_mut() {
            document.remove("meta");
        }
        document
    }
}

/// A schema that promises what is not kept is refused: nobody would notice in time.
fn check_promises(attribute: &Attribute, at: &str) -> Result<()> {
    let refused = |detail: &str| Err(Error::invalid_value(format!("{at}: {detail}")).with_attribute(at));
    if attribute.uniqueness != Uniqueness::None {
        return refused(
            "uniqueness must be none: Rollcall keeps only userName unique, and would not enforce it for this attribute",
        );
    }
    if attribute.is_secret() {
        return refused(
            "mutability writeOnly and returned never are not possible: Rollcall keeps no secrets, so the value would be lost",
        );
    }
    Ok(())
}

fn begins_with(text: &str, beginning: &str) -> bool {
    text.get(..beginning.len()).is_some_and(|head| head.eq_ignore_ascii_case(beginning))
}

/// What decides how a value is folded.
type Shape = (Kind, bool, bool);

fn shapes(schema: &scim::schema::Schema) -> BTreeMap<String, Shape> {
    let mut shapes = BTreeMap::new();
    for_each(schema, |name, attribute| {
        let shape = (attribute.kind, attribute.multi_valued, attribute.case_exact);
        shapes.insert(name.to_ascii_lowercase(), shape);
    });
    shapes
}

fn for_each(schema: &scim::schema::Schema, mut visit: impl FnMut(&str, &Attribute)) {
    for attribute in &schema.attributes {
        visit(&attribute.name, attribute);
        for sub in &attribute.sub_attributes {
            visit(&format!("{}.{}", attribute.name, sub.name), sub);
        }
    }
}

impl Names {
    /// With the names of this schema.
    ///
    /// # Errors
    /// `InvalidValue` when one was spelled otherwise before, `TooMany`.
    pub(crate) fn with(&self, schema: &scim::schema::Schema) -> Result<Self> {
        let mut names = self.0.clone();
        let mut respelled = None;
        for_each(schema, |name, _| {
            let known = names.entry(name.to_ascii_lowercase()).or_insert_with(|| name.to_owned());
            if known != name && respelled.is_none() {
                respelled = Some((name.to_owned(), known.clone()));
            }
        });
        if let Some((name, known)) = respelled {
            let detail = format!(
                "{name}: spelled {known} in an earlier version, and values are stored by that name; keep it"
            );
            return Err(Error::invalid_value(detail).with_attribute(name));
        }
        if names.len() > MOST_NAMES {
            let detail =
                format!("attributes: this URN had more than {MOST_NAMES} different ones; choose another URN");
            return Err(Error::new(ErrorKind::TooMany, detail));
        }
        Ok(Self(names))
    }

    /// Whether values that may be stored are searched for differently by `next` than by `live`, the schema in force.
    /// `self` are the names up to then: of an attribute that never was there are no values.
    pub(crate) fn must_reindex(
        &self,
        live: Option<&scim::schema::Schema>,
        next: &scim::schema::Schema,
    ) -> bool {
        let before = live.map(shapes).unwrap_or_default();
        let mut after = shapes(next);
        after.retain(|name, _| self.0.contains_key(name));
        before != after
    }
}

/// A PUT clears what it leaves out, but not what its client cannot see: values of extensions and attributes that are not
/// defined any more.
pub(super) fn keep_hidden(user: &ResourceType, current: &Map, new: &mut Map) {
    for (key, value) in current {
        if user.top_level_attribute(key).is_some() {
            continue;
        }
        let Some(extension) = user.extension(key) else {
            new.insert(key.clone(), value.clone());
            continue;
        };
        let hidden = value.as_object().into_iter().flatten();
        for (name, value) in hidden.filter(|(name, _)| extension.schema.attribute(name).is_none()) {
            let object = new.entry(key.clone()).or_insert_with(|| Value::Object(Map::new()));
            if let Some(object) = object.as_object_mut() {
                object.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    const URN: &str = "urn:example:params:scim:schemas:hr:2.0:User";

    fn parse(document: &Value) -> Result<Definition> {
        Definition::parse(document.to_string().as_bytes(), false, &Limits::DEFAULT)
    }

    fn schema(attributes: Value) -> scim::schema::Schema {
        parse(&json!({ "id": URN, "attributes": attributes })).unwrap().schema
    }

    fn map(value: Value) -> Map {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn what_is_not_kept_cannot_be_promised() {
        let enterprise = "urn:ietf:params:scim:schemas:extension:ENTERPRISE:2.0:User";
        let cases = [
            (json!({ "id": enterprise, "attributes": [{ "name": "a" }] }), "id: "),
            (
                json!({ "id": "urn:ietf:params:scim:schemas:core:2.0:User", "attributes": [{ "name": "a" }] }),
                "id: ",
            ),
            (
                json!({ "id": "urn:ietf:params:scim:api:messages:2.0:PatchOp", "attributes": [{ "name": "a" }] }),
                "id: ",
            ),
            (json!({ "id": URN, "attributes": [{ "name": "a", "uniqueness": "server" }] }), "a: uniqueness"),
            (json!({ "id": URN, "attributes": [{ "name": "a", "returned": "never" }] }), "a: mutability"),
            (
                json!({ "id": URN, "attributes": [{ "name": "a", "type": "complex", "subAttributes": [{ "name": "b", "uniqueness": "global" }] }] }),
                "a.b: uniqueness",
            ),
        ];
        for (document, expected) in cases {
            let error = parse(&document).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidValue);
            assert!(error.detail.starts_with(expected), "{} does not start with {expected}", error.detail);
        }
        let large = json!({ "id": URN, "attributes": [{ "name": "a" }], "x": "x".repeat(LARGEST_DOCUMENT) });
        assert_eq!(parse(&large).unwrap_err().kind, ErrorKind::TooMany);
    }

    #[test]
    fn a_difference_names_who_it_was_and_tells_role_and_teams() {
        let definition = role_teams::ready_made(URN, &Limits::DEFAULT).unwrap().schema;
        let user = ResourceType::user().with_extension(Arc::new(definition), false);
        let schema = Schema { user, role_teams: Some(URN.to_owned()), ..Schema::built_in() };
        let before = map(json!({ "userName": "a", "active": true, URN: { "role": "Owner" } }));
        let after = map(json!({
            "userName": "b", "displayName": "Anna", "active": null, URN: { "role": "user", "teams": [{ "uuid": "t", "slug": "s" }] },
        }));
        let told = |it: &Difference| format!("{} {:?} {:?}", it.path, it.before, it.after);
        let told: Vec<_> = schema.difference(&before, &after).iter().map(told).collect();
        assert_eq!(
            told,
            [
                r#"active Some("true") None"#.to_owned(),
                r#"displayName None Some("\"(redacted)\"")"#.to_owned(),
                format!(r#"{URN}:role Some("\"Owner\"") Some("\"user\"")"#),
                format!(r#"{URN}:teams.slug None Some("\"s\"")"#),
                format!(r#"{URN}:teams.uuid None Some("\"t\"")"#),
                r#"userName Some("\"a\"") Some("\"b\"")"#.to_owned(),
            ]
        );
        assert_eq!(schema.difference(&after, &after), []);
    }

    #[test]
    fn names_keep_their_spelling_for_good() {
        let names = Names::default().with(&schema(json!([{ "name": "costCenter" }]))).unwrap();
        let names = names.with(&schema(json!([{ "name": "level" }]))).unwrap();
        assert!(names.with(&schema(json!([{ "name": "costCenter" }, { "name": "level" }]))).is_ok());
        let error = names.with(&schema(json!([{ "name": "costcenter" }]))).unwrap_err();
        assert!(error.detail.contains("costCenter"), "{}", error.detail);
    }

    #[test]
    fn only_what_is_folded_otherwise_is_indexed_again() {
        let one = schema(json!([{ "name": "a" }, { "name": "b" }]));
        let names = Names::default().with(&one).unwrap();
        assert!(!Names::default().must_reindex(None, &one), "nothing can be stored yet");
        assert!(names.must_reindex(None, &one), "defined again after a deletion");
        let again = |attributes| names.must_reindex(Some(&one), &schema(attributes));
        assert!(!again(json!([{ "name": "a", "required": true }, { "name": "b", "description": "x" }])));
        assert!(!again(json!([{ "name": "a" }, { "name": "b" }, { "name": "new" }])));
        assert!(again(json!([{ "name": "a", "caseExact": true }, { "name": "b" }])));
        assert!(again(json!([{ "name": "a", "type": "dateTime" }, { "name": "b" }])));
        assert!(again(json!([{ "name": "a" }])));
    }

    #[test]
    fn a_put_keeps_what_its_client_cannot_see() {
        let user = ResourceType::user().with_extension(Arc::new(schema(json!([{ "name": "seen" }]))), false);
        let current = map(json!({
            "schemas": ["x"], "userName": "a", "title": "t", URN: { "seen": 1, "unseen": 2 }, "urn:gone:x": { "y": 3 },
        }));
        let mut new = map(json!({ "userName": "b", "schemas": ["y"] }));
        keep_hidden(&user, &current, &mut new);
        let expected =
            json!({ "userName": "b", "schemas": ["y"], URN: { "unseen": 2 }, "urn:gone:x": { "y": 3 } });
        assert_eq!(Value::Object(new), expected);
    }
}
