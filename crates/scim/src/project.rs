//! Which attributes an answer shows: `attributes`, `excludedAttributes` and `returned` (RFC 7644, section 3.9).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::schema::{Attribute, Name, ResourceType, Returned, attribute_name};
use crate::{Error, Map, Result};

/// A choice of attributes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Projection {
    choice: Choice,
}

/// Names are those of [`attribute_name`], with `.sub` for a sub-attribute, or the URN of an extension.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Choice {
    /// What is returned by default.
    #[default]
    Default,
    /// What is always returned, and these.
    Only(BTreeSet<String>),
    /// What is returned by default, but for these.
    Without(BTreeSet<String>),
}

impl Projection {
    /// Reads the two parameters, comma-separated names each; both together are refused (`invalidValue`).
    /// Unknown names are ignored.
    pub fn parse(attributes: Option<&str>, excluded: Option<&str>, rt: &ResourceType) -> Result<Projection> {
        let given =
            |list: Option<&str>| list.map(str::trim).filter(|list| !list.is_empty()).map(str::to_owned);
        let choice = match (given(attributes), given(excluded)) {
            (Some(_), Some(_)) => {
                let detail = "attributes and excludedAttributes exclude each other; give one of them";
                return Err(Error::invalid_value(detail).about("attributes"));
            }
            (Some(list), None) => Choice::Only(names(&list, rt)),
            (None, Some(list)) => Choice::Without(names(&list, rt)),
            (None, None) => Choice::Default,
        };
        Ok(Projection { choice })
    }

    /// Removes what the answer does not show.
    pub fn apply(&self, rt: &ResourceType, resource: &mut Map) {
        resource.retain(|key, value| {
            if let Some(extension) = rt.extension(key) {
                let urn = extension.schema.id.as_str();
                let Value::Object(object) = value else { return false };
                object.retain(|key, value| match extension.schema.attribute(key) {
                    Some(attribute) => self.show(attribute, Some(urn), value),
                    None => false,
                });
                return !object.is_empty();
            }
            rt.top_level_attribute(key).is_some_and(|attribute| self.show(attribute, None, value))
        });
    }

    /// Whether the answer shows that core attribute (`members`, `groups`) in any part: if not, don't fetch it.
    pub fn wants(&self, attribute: &str) -> bool {
        let is_or_is_within = |name: &String| {
            let head = name.split_once('.').map_or(name.as_str(), |(head, _)| head);
            head.eq_ignore_ascii_case(attribute)
        };
        match &self.choice {
            Choice::Default => true,
            Choice::Only(names) => names.iter().any(is_or_is_within),
            Choice::Without(names) => !names.iter().any(|name| name.eq_ignore_ascii_case(attribute)),
        }
    }

    /// Whether the client named attributes to include: an answer with a body is then expected also where 204 would do.
    pub fn is_explicit(&self) -> bool {
        matches!(self.choice, Choice::Only(_))
    }

    /// Whether to keep an attribute, having reduced its value to what is shown.
    fn show(&self, attribute: &Attribute, extension: Option<&str>, value: &mut Value) -> bool {
        let name = attribute_name(extension, attribute);
        let named_whole = match &self.choice {
            Choice::Only(names) => names.contains(&name) || extension.is_some_and(|urn| names.contains(urn)),
            Choice::Default | Choice::Without(_) => false,
        };
        let excluded = match &self.choice {
            Choice::Without(names) => {
                names.contains(&name) || extension.is_some_and(|urn| names.contains(urn))
            }
            Choice::Default | Choice::Only(_) => false,
        };
        if !self.shows(attribute.returned, named_whole, excluded) {
            let named_in_part =
                attribute.sub_attributes.iter().any(|sub| self.names(&format!("{name}.{}", sub.name)));
            if attribute.returned == Returned::Never || excluded || !named_in_part {
                return false;
            }
        }
        if attribute.sub_attributes.is_empty() {
            return true;
        }
        // With `attributes=emails.value`, only the named sub-attributes; with `attributes=emails`, all of them.
        let all =
            !matches!(self.choice, Choice::Only(_)) || named_whole || attribute.returned == Returned::Always;
        let reduce = |object: &mut Map| {
            object.retain(|key, _| {
                let Some(sub) = attribute.sub_attribute(key) else { return false };
                let sub_name = format!("{name}.{}", sub.name);
                let named = self.names(&sub_name);
                let excluded = matches!(&self.choice, Choice::Without(names) if names.contains(&sub_name));
                match sub.returned {
                    Returned::Always => true,
                    Returned::Never => false,
                    Returned::Default => (all || named) && !excluded,
                    Returned::Request => named,
                }
            });
            !object.is_empty()
        };
        match value {
            Value::Object(object) => reduce(object),
            Value::Array(elements) => {
                elements.retain_mut(|element| element.as_object_mut().is_none_or(&reduce));
                !elements.is_empty()
            }
            _ => true,
        }
    }

    fn names(&self, name: &str) -> bool {
        matches!(&self.choice, Choice::Only(names) if names.contains(name))
    }

    fn shows(&self, returned: Returned, named: bool, excluded: bool) -> bool {
        match returned {
            Returned::Always => true,
            Returned::Never => false,
            Returned::Request => named,
            Returned::Default => match self.choice {
                Choice::Only(_) => named,
                Choice::Default | Choice::Without(_) => !excluded,
            },
        }
    }
}

fn names(list: &str, rt: &ResourceType) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for name in list.split(',').map(str::trim) {
        match rt.find(name) {
            Some(Name::Attribute(located)) => {
                names.insert(located.name());
            }
            Some(Name::Extension(extension)) => {
                names.insert(extension.schema.id.clone());
            }
            Some(Name::Resource) => {
                names.extend(rt.schema.attributes.iter().map(|attribute| attribute.name.clone()))
            }
            None => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn project(attributes: Option<&str>, excluded: Option<&str>) -> Value {
        let rt = ResourceType::user();
        let mut resource = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "1", "userName": "a", "password": "p",
            "name": { "givenName": "G", "familyName": "F" },
            "emails": [{ "value": "a@x", "type": "work" }, { "type": "home" }],
            "meta": { "created": "c", "version": "v" },
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "IT", "manager": { "value": "m" } },
        });
        Projection::parse(attributes, excluded, &rt).unwrap().apply(&rt, resource.as_object_mut().unwrap());
        resource.as_object_mut().unwrap().remove("schemas").expect("schemas is always returned");
        resource
    }

    #[test]
    fn by_default_all_but_secrets() {
        let all = project(None, None);
        assert_eq!(all.as_object().unwrap().len(), 6);
        assert!(all.get("password").is_none());
    }

    #[test]
    fn attributes_choose_and_the_id_stays() {
        const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        assert_eq!(project(Some("ID"), None), json!({ "id": "1" }));
        assert_eq!(
            project(Some("username, emails.VALUE,nope, password"), None),
            json!({ "id": "1", "userName": "a", "emails": [{ "value": "a@x" }] })
        );
        assert_eq!(
            project(Some("name,meta.version"), None),
            json!({ "id": "1", "name": { "givenName": "G", "familyName": "F" }, "meta": { "version": "v" } })
        );
        assert_eq!(
            project(Some(&format!("{ENTERPRISE}:department")), None),
            json!({ "id": "1", ENTERPRISE: { "department": "IT" } })
        );
        assert_eq!(project(Some(ENTERPRISE), None)[ENTERPRISE].as_object().unwrap().len(), 2);
    }

    #[test]
    fn excluded_attributes_go_and_the_id_stays() {
        let rest = project(
            None,
            Some("id,emails,name.familyName,meta,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"),
        );
        assert_eq!(rest, json!({ "id": "1", "userName": "a", "name": { "givenName": "G" } }));
    }

    #[test]
    fn wants_tells_what_need_not_be_fetched() {
        let group = ResourceType::group();
        let wants =
            |attributes, excluded| Projection::parse(attributes, excluded, &group).unwrap().wants("members");
        assert!(wants(None, None));
        assert!(wants(Some("displayName,Members.value"), None));
        assert!(!wants(Some("displayName"), None));
        assert!(!wants(None, Some("MEMBERS")));
        assert!(wants(None, Some("members.display")));
    }

    #[test]
    fn both_parameters_are_refused() {
        let error = Projection::parse(Some("id"), Some("name"), &ResourceType::user()).unwrap_err();
        assert_eq!(error.kind, crate::ErrorKind::InvalidValue);
        assert!(Projection::parse(Some("id"), Some(""), &ResourceType::user()).is_ok());
    }
}
