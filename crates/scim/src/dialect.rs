//! Dialects: what is tolerated beside the RFC, chosen per tenant. A table of data, not code.
//!
//! Two kinds of tolerance: switches, which the engine reads, and named rewrites (`quirks/`), which turn what a client
//! sends into what the RFC asks for before the engine sees it. `docs/scim.md` has the same table for people.

use serde_json::Value;

use crate::patch::Operation;
use crate::quirks::{common, entra, okta};
use crate::schema::{Attribute, ResourceType};
use crate::{Limits, Result};

/// How a dialect treats what the schema does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Skipped; recorded as a warning. In a filter: matches nothing.
    Ignore,
    /// Refused.
    Reject,
}

/// What one kind of client may send. Plain data, cheap to copy.
#[derive(Clone, Copy)]
pub struct Dialect {
    /// Name in settings and on the wire: `entra`, `okta`, `rfc`, `interop`.
    pub name: &'static str,
    /// Unknown attributes in bodies. An unknown attribute in the path of a PATCH operation is always `invalidPath`.
    pub unknown_attributes: Unknown,
    /// Unknown attributes in filters.
    pub unknown_in_filters: Unknown,
    /// In filters, attributes of an extension may be named without its URN, where the core schema has none of that name.
    pub bare_extension_names: bool,
    /// `schemas` may be missing, name URNs that are not ours, or leave out the URN of an extension that is there.
    pub loose_schemas: bool,
    /// PATCH operations may be written `Add`, `REPLACE`, ….
    pub any_case_op: bool,
    /// PATCH operations may do without a path.
    pub pathless: bool,
    /// In the value of an operation without path, keys may be paths: `name.givenName`, `urn:…:User:department`.
    pub path_keys: bool,
    /// An element that a filtered path selects and that is not there: `add` and `replace` make it from the filter,
    /// `remove` has nothing to do. Otherwise: `noTarget`.
    pub create_missing: bool,
    /// A member whose value cannot be an id is skipped with a warning, as one that does not exist (yet) waits with one.
    pub skip_foreign_members: bool,
    /// Rewrites of values, in order.
    pub values: &'static [ValueRewrite],
    /// Rewrites of PATCH operations, in order.
    pub operations: &'static [OperationRewrite],
}

/// A named rewrite of the value of an attribute.
#[derive(Debug, Clone, Copy)]
pub struct ValueRewrite {
    /// Name in the documentation.
    pub name: &'static str,
    pub(crate) apply: ValueRule,
}

/// At which level a value is rewritten.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ValueRule {
    /// The value of the attribute as a whole: of a multi-valued one, what should be the array.
    Whole(fn(&Attribute, Value) -> Value),
    /// One element of a multi-valued attribute, or the value of a single-valued one.
    Element(fn(&Attribute, Value) -> Value),
}

/// A named rewrite of a PATCH operation.
#[derive(Debug, Clone, Copy)]
pub struct OperationRewrite {
    /// Name in the documentation.
    pub name: &'static str,
    /// `None`: the operation asks for nothing and is dropped.
    pub(crate) apply: fn(&Scene<'_>, Operation) -> Result<Option<Operation>>,
}

/// What a rewrite of an operation may look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub rt: &'a ResourceType,
    pub dialect: &'a Dialect,
    pub limits: &'a Limits,
}

macro_rules! whole {
    ($module:ident::$name:ident) => {
        ValueRewrite { name: stringify!($name), apply: ValueRule::Whole($module::$name) }
    };
}
macro_rules! element {
    ($module:ident::$name:ident) => {
        ValueRewrite { name: stringify!($name), apply: ValueRule::Element($module::$name) }
    };
}
macro_rules! operation {
    ($module:ident::$name:ident) => {
        OperationRewrite { name: stringify!($name), apply: $module::$name }
    };
}

impl Dialect {
    /// Microsoft Entra ID, with and without the compliance flag. The default.
    pub const ENTRA: Dialect = Dialect {
        name: "entra",
        unknown_attributes: Unknown::Ignore,
        unknown_in_filters: Unknown::Ignore,
        bare_extension_names: true,
        loose_schemas: true,
        any_case_op: true,
        pathless: true,
        path_keys: true,
        create_missing: true,
        skip_foreign_members: true,
        values: &[
            whole!(entra::json_text_for_list),
            whole!(common::one_for_list),
            whole!(common::list_for_one),
            element!(entra::json_text_for_element),
            element!(common::empty_text_for_nothing),
            element!(entra::text_for_complex),
            element!(entra::complex_of_nothing),
            element!(entra::display_name_for_display),
            element!(entra::wrapped_scalar),
            element!(common::text_for_boolean),
            element!(common::text_for_number),
            element!(common::number_for_text),
        ],
        operations: &[
            operation!(entra::bare_extension_name),
            operation!(entra::dot_after_urn),
            operation!(entra::filter_on_single_value),
            operation!(common::remove_listed_values),
            operation!(common::value_of_remove_ignored),
        ],
    };

    /// Okta.
    pub const OKTA: Dialect = Dialect {
        name: "okta",
        unknown_attributes: Unknown::Ignore,
        unknown_in_filters: Unknown::Ignore,
        bare_extension_names: false,
        loose_schemas: true,
        any_case_op: true,
        pathless: true,
        path_keys: true,
        create_missing: true,
        skip_foreign_members: true,
        values: &[
            whole!(common::one_for_list),
            whole!(common::list_for_one),
            element!(common::empty_text_for_nothing),
            element!(common::text_for_boolean),
            element!(common::text_for_number),
            element!(common::number_for_text),
        ],
        operations: &[
            operation!(okta::read_only_key_ignored),
            operation!(common::remove_listed_values),
            operation!(common::value_of_remove_ignored),
        ],
    };

    /// RFC 7643 and 7644 to the letter.
    pub const RFC: Dialect = Dialect {
        name: "rfc",
        unknown_attributes: Unknown::Reject,
        unknown_in_filters: Unknown::Reject,
        bare_extension_names: false,
        loose_schemas: false,
        any_case_op: false,
        pathless: true,
        path_keys: false,
        create_missing: false,
        skip_foreign_members: true,
        values: &[],
        operations: &[],
    };

    /// The draft SCIM interoperability profile: the RFC, and every PATCH operation names its path.
    pub const INTEROP: Dialect =
        Dialect { name: "interop", pathless: false, skip_foreign_members: false, ..Dialect::RFC };

    /// Every dialect.
    pub const ALL: &'static [Dialect] = &[Dialect::ENTRA, Dialect::OKTA, Dialect::RFC, Dialect::INTEROP];

    /// The dialect of that name.
    pub fn by_name(name: &str) -> Option<&'static Dialect> {
        Dialect::ALL.iter().find(|dialect| dialect.name == name)
    }

    /// The switches by name, for documentation.
    pub fn switches(&self) -> [(&'static str, bool); 9] {
        [
            ("ignore_unknown_attributes", self.unknown_attributes == Unknown::Ignore),
            ("ignore_unknown_in_filters", self.unknown_in_filters == Unknown::Ignore),
            ("bare_extension_names", self.bare_extension_names),
            ("loose_schemas", self.loose_schemas),
            ("any_case_op", self.any_case_op),
            ("pathless", self.pathless),
            ("path_keys", self.path_keys),
            ("create_missing", self.create_missing),
            ("skip_foreign_members", self.skip_foreign_members),
        ]
    }

    pub(crate) fn rewrite_whole(&self, attribute: &Attribute, mut value: Value) -> Value {
        for rewrite in self.values {
            if let ValueRule::Whole(rule) = rewrite.apply {
                value = rule(attribute, value);
            }
        }
        value
    }

    pub(crate) fn rewrite_element(&self, attribute: &Attribute, mut value: Value) -> Value {
        for rewrite in self.values {
            if let ValueRule::Element(rule) = rewrite.apply {
                value = rule(attribute, value);
            }
        }
        value
    }
}

impl Default for Dialect {
    fn default() -> Dialect {
        Dialect::ENTRA
    }
}

impl std::fmt::Debug for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dialect({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the table in `docs/scim.md`: name, then one flag per dialect.
    fn documented() -> Vec<(String, Vec<bool>)> {
        let page = include_str!("../../../docs/scim.md");
        let section = page.lines().skip_while(|line| *line != "## Dialects").skip(1);
        let rows =
            section.take_while(|line| !line.starts_with("## ")).filter_map(|line| line.strip_prefix("| `"));
        rows.map(|row| {
            let mut cells = row.split('|').map(str::trim);
            let name = cells.next().unwrap().trim_end_matches('`').to_owned();
            (name, cells.take(Dialect::ALL.len()).map(|cell| cell == "yes").collect())
        })
        .collect()
    }

    #[test]
    fn the_documentation_says_what_the_code_does() {
        let documented = documented();
        let mut tolerances: Vec<&str> = Dialect::RFC.switches().iter().map(|(name, _)| *name).collect();
        for dialect in Dialect::ALL {
            tolerances.extend(dialect.values.iter().map(|rewrite| rewrite.name));
            tolerances.extend(dialect.operations.iter().map(|rewrite| rewrite.name));
        }
        for name in tolerances {
            assert!(
                documented.iter().any(|(documented, _)| documented == name),
                "{name} is not in docs/scim.md"
            );
        }
        for (name, flags) in documented {
            for (dialect, documented) in Dialect::ALL.iter().zip(flags) {
                let is_on = dialect.switches().contains(&(name.as_str(), true))
                    || dialect.values.iter().any(|rewrite| rewrite.name == name)
                    || dialect.operations.iter().any(|rewrite| rewrite.name == name);
                assert_eq!(is_on, documented, "{name} in dialect {}", dialect.name);
            }
        }
    }

    #[test]
    fn dialects_have_names() {
        for dialect in Dialect::ALL {
            assert_eq!(Dialect::by_name(dialect.name).unwrap().name, dialect.name);
        }
        assert!(Dialect::by_name("ENTRA").is_none());
        assert_eq!(Dialect::default().name, "entra");
    }
}
