//! PATCH paths (RFC 7644, section 3.5.2): `name.familyName`, `emails[type eq "work"].value`, `urn:…:User:department`.

use std::fmt;

use crate::error::shown;
use crate::filter::{Filter, Parser, Query, resolve_element};
use crate::schema::{Extension, Located, Name, ResourceType};
use crate::{Dialect, Error, ErrorKind, Limits, Result};

/// A path as written: not yet matched with a schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    /// Attribute name, perhaps URN-qualified, perhaps with `.sub`, or a bare URN; as written.
    pub attribute: String,
    /// The value filter in `[…]`.
    pub filter: Option<Filter>,
    /// The sub-attribute behind `]`, as written.
    pub sub: Option<String>,
}

/// A path matched with a resource type.
#[derive(Debug, Clone, PartialEq)]
pub enum Target<'a> {
    /// The resource itself (bare URN of the core schema).
    Resource,
    /// The whole object of an extension (bare URN).
    Extension(&'a Extension),
    /// An attribute, a sub-attribute, or the elements of a multi-valued attribute that a filter selects.
    Attribute {
        /// Attribute and, wherever it was written, sub-attribute.
        located: Located<'a>,
        /// The value filter, relative to the element.
        filter: Option<Query>,
    },
}

impl Path {
    /// Parses; errors are `invalidPath` with the position in characters.
    pub fn parse(text: &str, limits: &Limits) -> Result<Path> {
        let parse = || {
            let mut parser = Parser::new(text, limits)?;
            let attribute = parser.attribute()?.to_owned();
            let filter = parser.value_filter()?;
            let sub = if filter.is_some() { parser.sub_attribute()?.map(str::to_owned) } else { None };
            parser.end()?;
            Ok(Path { attribute, filter, sub })
        };
        parse().map_err(|error: Error| {
            Error { kind: ErrorKind::InvalidPath, ..error }.within(&format!("path {:?}", shown(text)))
        })
    }

    /// A path without a filter.
    pub(crate) fn plain(attribute: impl Into<String>) -> Path {
        Path { attribute: attribute.into(), filter: None, sub: None }
    }

    /// Matches with the schema; `invalidPath` when it names what the resource type does not have.
    pub fn resolve<'a>(&self, rt: &'a ResourceType, dialect: &Dialect) -> Result<Target<'a>> {
        let mut located = match rt.find(&self.attribute) {
            None => {
                let detail = format!(
                    "path {}: no such attribute in the schema (see /Schemas)",
                    shown(&self.attribute)
                );
                return Err(Error::invalid_path(detail).about(&self.attribute));
            }
            Some(Name::Resource | Name::Extension(_)) if self.filter.is_some() => {
                let detail = format!("path {}: a schema, which takes no [filter]", shown(&self.attribute));
                return Err(Error::invalid_path(detail));
            }
            Some(Name::Resource) => return Ok(Target::Resource),
            Some(Name::Extension(extension)) => return Ok(Target::Extension(extension)),
            Some(Name::Attribute(located)) => located,
        };
        let Some(filter) = &self.filter else { return Ok(Target::Attribute { located, filter: None }) };

        if located.sub.is_some() || !located.attribute.multi_valued {
            let detail =
                format!("path {}: only a multi-valued attribute takes a [filter]", shown(&self.to_string()));
            return Err(Error::invalid_path(detail).about(located.name()));
        }
        let filter = resolve_element(filter, &located, dialect).map_err(|error| {
            Error { kind: ErrorKind::InvalidPath, ..error }
                .within(&format!("path {}", shown(&self.to_string())))
        })?;
        if let Some(name) = &self.sub {
            let Some(sub) = located.attribute.sub_attribute(name) else {
                let detail = format!("path {self}: {} has no sub-attribute {name}", located.attribute.name);
                return Err(Error::invalid_path(detail).about(located.name()));
            };
            located.sub = Some(sub);
        }
        Ok(Target::Attribute { located, filter: Some(filter) })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.attribute)?;
        if let Some(filter) = &self.filter {
            write!(f, "[{filter}]")?;
        }
        if let Some(sub) = &self.sub {
            write!(f, ".{sub}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<String> {
        let user = ResourceType::user();
        let target = Path::parse(text, &Limits::DEFAULT)?.resolve(&user, &Dialect::RFC)?;
        Ok(match target {
            Target::Resource => "resource".into(),
            Target::Extension(extension) => extension.schema.id.clone(),
            Target::Attribute { located, filter } => {
                format!("{}{}", located.name(), if filter.is_some() { " filtered" } else { "" })
            }
        })
    }

    #[test]
    fn every_form_of_the_rfc() {
        const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let cases = [
            ("members".replace("members", "emails"), "emails".to_owned()),
            ("name.FAMILYNAME".into(), "name.familyName".into()),
            (r#"Addresses[type eq "work"]"#.into(), "addresses filtered".into()),
            (r#"emails[type eq "work" and value ew "example.com"]"#.into(), "emails filtered".into()),
            (r#"addresses[type eq "work"].streetaddress"#.into(), "addresses.streetAddress filtered".into()),
            ("urn:ietf:params:scim:schemas:core:2.0:User".into(), "resource".into()),
            ("urn:ietf:params:scim:schemas:core:2.0:User:name.givenName".into(), "name.givenName".into()),
            (ENTERPRISE.to_lowercase(), ENTERPRISE.into()),
            (format!("{ENTERPRISE}:manager.value"), format!("{ENTERPRISE}:manager.value")),
        ];
        for (text, expected) in cases {
            assert_eq!(resolve(&text).unwrap(), expected);
        }
    }

    #[test]
    fn refusals_are_invalid_path_and_say_why() {
        let cases = [
            ("", "path \"\": at character 1: expected an attribute name"),
            ("nope", "path nope: no such attribute"),
            ("name.nope", "path name.nope: no such attribute"),
            ("emails[", "path \"emails[\": at character 8: expected an attribute name"),
            (r#"emails[type eq "w"] x"#, "path \"emails[type eq \\\"w\\\"] x\": at character 21"),
            (
                r#"emails[type eq "w"].nope"#,
                "path emails[type eq \"w\"].nope: emails has no sub-attribute nope",
            ),
            (r#"emails[nope eq "w"]"#, "path emails[nope eq \"w\"]: nope: no such attribute"),
            (r#"name[givenName eq "x"]"#, "path name[givenName eq \"x\"]: only a multi-valued attribute"),
            (r#"emails.value[type eq "x"]"#, "path emails.value[type eq \"x\"]: only a multi-valued"),
        ];
        for (text, expected) in cases {
            let error = resolve(text).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidPath, "{text}");
            assert!(error.detail.starts_with(expected), "{text}: {}", error.detail);
        }
    }
}
