//! Schemas and resource types (RFC 7643, sections 2, 6 and 7): the data that drives everything else.
//!
//! The built-in ones are JSON documents in `schemas/`; a tenant's extensions are documents of the same form.

pub mod builtin;
mod document;
mod find;

use std::sync::Arc;

pub use document::Budget;
pub(crate) use find::attribute_name;
pub use find::{Located, Name};

/// An enum whose variants have a spelling in schema documents.
macro_rules! spelled {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every spelling, for error messages.
            pub const SPELLINGS: &'static [&'static str] = &[$($text,)+];

            /// As schema documents spell it.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }

            /// From a schema document, in any case.
            pub fn from_spelling(text: &str) -> Option<$name> {
                $(if text.eq_ignore_ascii_case($text) { return Some($name::$variant); })+
                None
            }
        }
    };
}

spelled! {
    /// Type of an attribute's value (RFC 7643, section 2.3).
    Kind {
        String = "string",
        Boolean = "boolean",
        Decimal = "decimal",
        Integer = "integer",
        DateTime = "dateTime",
        /// base64 text.
        Binary = "binary",
        /// A URI, or what names another resource.
        Reference = "reference",
        Complex = "complex",
    }
}

spelled! {
    /// Who may change an attribute, and when.
    Mutability {
        ReadOnly = "readOnly",
        ReadWrite = "readWrite",
        Immutable = "immutable",
        WriteOnly = "writeOnly",
    }
}

spelled! {
    /// When an attribute is part of an answer.
    Returned {
        Always = "always",
        Never = "never",
        Default = "default",
        Request = "request",
    }
}

spelled! {
    /// Within what a value is unique.
    Uniqueness {
        None = "none",
        Server = "server",
        Global = "global",
    }
}

/// One attribute or sub-attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub kind: Kind,
    pub multi_valued: bool,
    pub required: bool,
    /// Whether strings compare byte by byte; otherwise they compare lower-cased.
    pub case_exact: bool,
    pub mutability: Mutability,
    pub returned: Returned,
    pub uniqueness: Uniqueness,
    /// Suggestions, as the RFC has it: other values are accepted.
    pub canonical_values: Vec<String>,
    pub reference_types: Vec<String>,
    /// Non-empty exactly when `kind` is [`Kind::Complex`].
    pub sub_attributes: Vec<Attribute>,
    pub description: String,
}

/// A schema: a URN and its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The URN, in its proper spelling.
    pub id: String,
    pub name: String,
    pub description: String,
    pub attributes: Vec<Attribute>,
}

/// An extension schema of a resource type; its attributes rest in an object under the schema's URN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    pub schema: Arc<Schema>,
    pub required: bool,
}

/// What a resource of an endpoint is made of. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceType {
    /// For example `User`; also the id of the document.
    pub name: String,
    /// Relative to the base URL, for example `/Users`.
    pub endpoint: String,
    pub description: String,
    pub schema: Arc<Schema>,
    /// In the order in which they were added.
    pub extensions: Vec<Extension>,
    /// `schemas`, `id`, `externalId` and `meta` (RFC 7643, section 3.1).
    common: Arc<Schema>,
}

impl Attribute {
    /// A secret: it is stored by its own rules, never shown, and not to be found by filters.
    pub fn is_secret(&self) -> bool {
        self.mutability == Mutability::WriteOnly || self.returned == Returned::Never
    }
}

impl ResourceType {
    /// Everything that may stand at the top level of a resource: the core attributes, then the common ones.
    pub fn top_level(&self) -> impl Iterator<Item = &Attribute> {
        self.schema.attributes.iter().chain(&self.common.attributes)
    }
}
