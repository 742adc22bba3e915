//! Finding attributes by what clients write: any case, with or without the URN.

use super::{Attribute, Extension, ResourceType, Schema};

/// An attribute found in a resource type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located<'a> {
    /// URN of the extension it belongs to; `None` for the core schema and the common attributes.
    pub extension: Option<&'a str>,
    /// The attribute.
    pub attribute: &'a Attribute,
    /// The sub-attribute, when one was named.
    pub sub: Option<&'a Attribute>,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// The URN of the core schema alone: the resource itself.
    Resource,
    /// The URN of an extension alone: its object.
    Extension(&'a Extension),
    /// An attribute or sub-attribute.
    Attribute(Located<'a>),
}

impl Located<'_> {
    /// The keys that lead to it in the resource.
    pub fn segments(&self) -> Vec<String> {
        let mut segments: Vec<String> = self.extension.map(str::to_owned).into_iter().collect();
        segments.push(self.attribute.name.clone());
        segments.extend(self.sub.map(|sub| sub.name.clone()));
        segments
    }

    /// As a client would write it: `emails.type`, `urn:…:User:manager.value`.
    pub fn name(&self) -> String {
        let mut name = attribute_name(self.extension, self.attribute);
        if let Some(sub) = self.sub {
            name.push('.');
            name.push_str(&sub.name);
        }
        name
    }

    /// The attribute that holds the value: the sub-attribute where one was named.
    pub fn leaf(&self) -> &Attribute {
        self.sub.unwrap_or(self.attribute)
    }
}

/// `urn:…:User:manager`, or plain `emails` for core and common attributes.
pub(crate) fn attribute_name(extension: Option<&str>, attribute: &Attribute) -> String {
    match extension {
        Some(urn) => format!("{urn}:{}", attribute.name),
        None => attribute.name.clone(),
    }
}

fn by_name<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

impl Schema {
    /// The attribute of that name, in any case.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        by_name(&self.attributes, name)
    }

    /// What follows the schema's URN in `name`: `""` for the URN alone, `department` for `urn:…:User:department`.
    fn strip_urn<'n>(&self, name: &'n str) -> Option<&'n str> {
        let (head, tail) = name.split_at_checked(self.id.len())?;
        if !head.eq_ignore_ascii_case(&self.id) {
            return None;
        }
        if tail.is_empty() { Some(tail) } else { tail.strip_prefix(':').filter(|rest| !rest.is_empty()) }
    }
}

impl Attribute {
    /// The sub-attribute of that name, in any case.
    pub fn sub_attribute(&self, name: &str) -> Option<&Attribute> {
        by_name(&self.sub_attributes, name)
    }
}

impl ResourceType {
    /// What `name`, `name.sub`, `urn:…:name`, `urn:…:name.sub` or a bare schema URN stands for, in any case.
    pub fn find(&self, name: &str) -> Option<Name<'_>> {
        // One URN may be the beginning of another: the longest that fits wins.
        let mut found: Option<(usize, Name<'_>)> = None;
        for extension in &self.extensions {
            let schema = &extension.schema;
            let Some(rest) = schema.strip_urn(name) else { continue };
            let here = if rest.is_empty() {
                Some(Name::Extension(extension))
            } else {
                locate(rest, |name| schema.attribute(name)).map(|(attribute, sub)| {
                    Name::Attribute(Located { extension: Some(&schema.id), attribute, sub })
                })
            };
            if let Some(here) = here
                && found.is_none_or(|(length, _)| schema.id.len() > length)
            {
                found = Some((schema.id.len(), here));
            }
        }
        if let Some((_, name)) = found {
            return Some(name);
        }
        let rest = self.schema.strip_urn(name);
        if rest == Some("") {
            return Some(Name::Resource);
        }
        let (attribute, sub) = locate(rest.unwrap_or(name), |name| self.top_level_attribute(name))?;
        Some(Name::Attribute(Located { extension: None, attribute, sub }))
    }

    /// The attribute of an extension that `name` or `name.sub` stands for when it is written without the URN.
    pub fn find_in_extensions(&self, name: &str) -> Option<Name<'_>> {
        for Extension { schema, .. } in &self.extensions {
            if let Some((attribute, sub)) = locate(name, |name| schema.attribute(name)) {
                return Some(Name::Attribute(Located { extension: Some(&schema.id), attribute, sub }));
            }
        }
        None
    }

    /// The extension of that URN, in any case.
    pub fn extension(&self, urn: &str) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.schema.id.eq_ignore_ascii_case(urn))
    }

    /// The core or common attribute of that name, in any case.
    pub fn top_level_attribute(&self, name: &str) -> Option<&Attribute> {
        self.schema.attribute(name).or_else(|| self.common.attribute(name))
    }
}

/// Splits `name.sub` and looks both up.
fn locate<'a>(
    name: &str,
    attribute: impl Fn(&str) -> Option<&'a Attribute>,
) -> Option<(&'a Attribute, Option<&'a Attribute>)> {
    match name.split_once('.') {
        None => Some((attribute(name)?, None)),
        Some((name, sub)) => {
            let attribute = attribute(name)?;
            Some((attribute, Some(attribute.sub_attribute(sub)?)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::builtin::{ENTERPRISE_USER, USER};

    fn name(text: &str) -> Option<String> {
        let user = ResourceType::user();
        Some(match user.find(text)? {
            Name::Resource => "resource".into(),
            Name::Extension(extension) => extension.schema.id.clone(),
            Name::Attribute(located) => located.name(),
        })
    }

    #[test]
    fn finds_in_any_case_and_answers_in_the_schemas_spelling() {
        assert_eq!(name("USERNAME").unwrap(), "userName");
        assert_eq!(name("Emails.TYPE").unwrap(), "emails.type");
        assert_eq!(name("META.lastmodified").unwrap(), "meta.lastModified");
        assert_eq!(name(&USER.to_uppercase()).unwrap(), "resource");
        assert_eq!(name(&format!("{USER}:name.givenname")).unwrap(), "name.givenName");
        assert_eq!(name(&ENTERPRISE_USER.to_lowercase()).unwrap(), ENTERPRISE_USER);
        assert_eq!(
            name(&format!("{ENTERPRISE_USER}:MANAGER.Value")).unwrap(),
            format!("{ENTERPRISE_USER}:manager.value")
        );
    }

    #[test]
    fn does_not_find_what_is_not_there() {
        for text in
            ["", "department", "userName.x", "name.", ".x", "name.givenName.x", "urn:x:User:userName", "ü"]
        {
            assert_eq!(name(text), None, "{text}");
        }
        assert_eq!(name(&format!("{USER}:")), None);
        assert_eq!(name(&format!("{ENTERPRISE_USER}:userName")), None);
        assert_eq!(name(&format!("{ENTERPRISE_USER}.department")), None);
    }
}
