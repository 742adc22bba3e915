//! Schemas as JSON documents (RFC 7643, section 7), read with suspicion and written without nulls.

use serde_json::{Value, json};

use super::{Attribute, Kind, Mutability, ResourceType, Returned, Schema, Uniqueness};
use crate::{Error, Map, Result};

const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
const RESOURCE_TYPE_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
/// URNs a tenant cannot define: those of the protocol itself, and ours.
const RESERVED_URNS: &[&str] =
    &["urn:ietf:params:scim:schemas:core:", "urn:ietf:params:scim:api:", "urn:rollcall:"];
/// Common attributes (RFC 7643, section 3.1): no schema may define them again.
const RESERVED_NAMES: &[&str] = &["schemas", "id", "externalId", "meta"];

/// What a schema document of a tenant may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Attributes and sub-attributes together.
    pub attributes: usize,
    /// Length of any name, URN, description, canonical value or reference type, in bytes.
    pub text: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { attributes: 200, text: 1024 }
    }
}

impl Schema {
    /// Reads and checks a schema document: the URN, names, duplicate and reserved names, types and characteristics.
    /// Errors are `invalidValue` or `invalidSyntax` and name the attribute. What is left out has the RFC's default.
    pub fn parse(document: &Value, budget: &Budget) -> Result<Schema> {
        let mut reader = Reader { attributes_left: budget.attributes, text: budget.text, trusted: false };
        reader.schema(document)
    }

    /// The document for `/Schemas`. `base_url` is the tenant's SCIM base, for `meta.location`.
    pub fn to_json(&self, base_url: &str) -> Value {
        json!({
            "schemas": [SCHEMA_URN],
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": self.attributes.iter().map(Attribute::to_json).collect::<Vec<_>>(),
            "meta": { "resourceType": "Schema", "location": format!("{base_url}/Schemas/{}", self.id) },
        })
    }
}

impl ResourceType {
    /// The document for `/ResourceTypes`. `base_url` is the tenant's SCIM base, for `meta.location`.
    pub fn to_json(&self, base_url: &str) -> Value {
        let extensions: Vec<Value> = self
            .extensions
            .iter()
            .map(|extension| json!({ "schema": extension.schema.id, "required": extension.required }))
            .collect();
        json!({
            "schemas": [RESOURCE_TYPE_URN],
            "id": self.name,
            "name": self.name,
            "endpoint": self.endpoint,
            "description": self.description,
            "schema": self.schema.id,
            "schemaExtensions": extensions,
            "meta": { "resourceType": "ResourceType", "location": format!("{base_url}/ResourceTypes/{}", self.name) },
        })
    }
}

impl Attribute {
    /// The attribute as it stands in a schema document.
    pub fn to_json(&self) -> Value {
        let mut document = json!({
            "name": self.name,
            "type": self.kind.as_str(),
            "multiValued": self.multi_valued,
            "description": self.description,
            "required": self.required,
            "mutability": self.mutability.as_str(),
            "returned": self.returned.as_str(),
        });
        match self.kind {
            Kind::Complex => {
                document["subAttributes"] = self.sub_attributes.iter().map(Attribute::to_json).collect();
            }
            Kind::String | Kind::Reference | Kind::Binary => document["caseExact"] = self.case_exact.into(),
            Kind::Boolean | Kind::Decimal | Kind::Integer | Kind::DateTime => {}
        }
        if self.kind != Kind::Complex {
            document["uniqueness"] = self.uniqueness.as_str().into();
        }
        if !self.canonical_values.is_empty() {
            document["canonicalValues"] = self.canonical_values.clone().into();
        }
        if self.kind == Kind::Reference {
            document["referenceTypes"] = self.reference_types.clone().into();
        }
        document
    }
}

/// A built-in document, which may define what tenants may not.
pub(super) fn read_trusted(document: &Value) -> Result<Schema> {
    Reader { attributes_left: usize::MAX, text: usize::MAX, trusted: true }.schema(document)
}

struct Reader {
    attributes_left: usize,
    text: usize,
    trusted: bool,
}

impl Reader {
    fn schema(&mut self, document: &Value) -> Result<Schema> {
        let object = object(document, "schema")?;
        let id = self.text(object, "id", "schema")?.ok_or_else(|| missing("schema", "id"))?;
        self.check_urn(&id)?;
        let name = self.text(object, "name", "schema")?.unwrap_or_else(|| id.clone());
        let description = self.text(object, "description", "schema")?.unwrap_or_default();
        let attributes = self.attributes(object, "attributes", None)?;
        if attributes.is_empty() {
            return Err(Error::invalid_value("attributes: a schema needs at least one").about("attributes"));
        }
        Ok(Schema { id, name, description, attributes })
    }

    fn check_urn(&self, urn: &str) -> Result<()> {
        let well_formed = urn.len() > 6
            && urn.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("urn:"))
            && urn[4..].contains(':')
            && !urn.ends_with([':', '.'])
            && urn.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        if !well_formed {
            return Err(Error::invalid_value(format!(
                "id: expected a URN of letters, digits and `-_.:`, such as urn:example:scim:schemas:2.0:User, got {urn:?}"
            ))
            .about("id"));
        }
        let lower = urn.to_ascii_lowercase();
        if !self.trusted && RESERVED_URNS.iter().any(|reserved| lower.starts_with(reserved)) {
            return Err(
                Error::invalid_value(format!("id: {urn} is reserved; choose a URN of your own")).about("id")
            );
        }
        Ok(())
    }

    fn attributes(&mut self, object: &Map, key: &str, parent: Option<&str>) -> Result<Vec<Attribute>> {
        let Some(list) = object.get(key).filter(|list| !list.is_null()) else { return Ok(Vec::new()) };
        let Some(list) = list.as_array() else {
            return Err(Error::invalid_syntax(format!("{}: expected an array", parent.unwrap_or(key))));
        };
        let mut attributes: Vec<Attribute> = Vec::with_capacity(list.len().min(self.attributes_left));
        for (index, document) in list.iter().enumerate() {
            if self.attributes_left == 0 {
                return Err(Error::too_many("attributes: more than a schema may have"));
            }
            self.attributes_left -= 1;
            let at = match parent {
                Some(parent) => format!("{parent}.{key}[{index}]"),
                None => format!("{key}[{index}]"),
            };
            let attribute = self.attribute(document, &at, parent)?;
            if attributes.iter().any(|other| other.name.eq_ignore_ascii_case(&attribute.name)) {
                return Err(Error::invalid_value(format!(
                    "{at}: the name {:?} is there twice",
                    attribute.name
                ))
                .about(attribute.name));
            }
            attributes.push(attribute);
        }
        Ok(attributes)
    }

    fn attribute(&mut self, document: &Value, at: &str, parent: Option<&str>) -> Result<Attribute> {
        let object = object(document, at)?;
        let name = self.text(object, "name", at)?.ok_or_else(|| missing(at, "name"))?;
        self.check_name(&name, at, parent)?;
        let at = name.as_str();

        let kind = choice(object, "type", at, Kind::from_spelling, Kind::SPELLINGS)?.unwrap_or(Kind::String);
        if kind == Kind::Complex && parent.is_some() {
            return Err(Error::invalid_value(format!("{at}: a sub-attribute cannot be complex")).about(at));
        }
        let sub_attributes = self.attributes(object, "subAttributes", Some(at))?;
        if (kind == Kind::Complex) == sub_attributes.is_empty() {
            let detail = "subAttributes belong to type complex, and type complex needs some";
            return Err(Error::invalid_value(format!("{at}: {detail}")).about(at));
        }
        let mutability = choice(object, "mutability", at, Mutability::from_spelling, Mutability::SPELLINGS)?
            .unwrap_or(Mutability::ReadWrite);
        let returned = choice(object, "returned", at, Returned::from_spelling, Returned::SPELLINGS)?;
        if mutability == Mutability::WriteOnly && returned.is_some_and(|returned| returned != Returned::Never)
        {
            return Err(
                Error::invalid_value(format!("{at}: mutability writeOnly needs returned never")).about(at)
            );
        }
        let hidden_by_default =
            if mutability == Mutability::WriteOnly { Returned::Never } else { Returned::Default };
        let uniqueness = choice(object, "uniqueness", at, Uniqueness::from_spelling, Uniqueness::SPELLINGS)?;
        let bytes_matter = matches!(kind, Kind::Binary | Kind::Reference);
        Ok(Attribute {
            kind,
            multi_valued: flag(object, "multiValued", at)?.unwrap_or(false),
            required: flag(object, "required", at)?.unwrap_or(false),
            case_exact: flag(object, "caseExact", at)?.unwrap_or(bytes_matter),
            mutability,
            returned: returned.unwrap_or(hidden_by_default),
            uniqueness: uniqueness.unwrap_or(Uniqueness::None),
            canonical_values: self.texts(object, "canonicalValues", at)?,
            reference_types: self.texts(object, "referenceTypes", at)?,
            sub_attributes,
            description: self.text(object, "description", at)?.unwrap_or_default(),
            name,
        })
    }

    fn check_name(&self, name: &str, at: &str, parent: Option<&str>) -> Result<()> {
        let well_formed = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let is_reference_of_complex = parent.is_some() && name == "$ref";
        if !well_formed && !is_reference_of_complex {
            let detail = "expected a letter, then letters, digits, `-` or `_`";
            return Err(Error::invalid_value(format!("{at}.name: {detail}, got {name:?}")).about("name"));
        }
        let reserved = RESERVED_NAMES.iter().any(|reserved| reserved.eq_ignore_ascii_case(name));
        if !self.trusted && parent.is_none() && reserved {
            return Err(Error::invalid_value(format!(
                "{at}.name: {name} is a common attribute of every resource; choose another name"
            ))
            .about("name"));
        }
        Ok(())
    }

    fn text(&self, object: &Map, key: &str, at: &str) -> Result<Option<String>> {
        match object.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.len() > self.text => {
                Err(Error::invalid_value(format!("{at}.{key}: longer than {} bytes", self.text)).about(key))
            }
            Some(Value::String(text)) if text.contains('\0') => {
                Err(Error::invalid_value(format!("{at}.{key}: the NUL character is not allowed")).about(key))
            }
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(Error::invalid_syntax(format!("{at}.{key}: expected a string")).about(key)),
        }
    }

    fn texts(&self, object: &Map, key: &str, at: &str) -> Result<Vec<String>> {
        let Some(list) = object.get(key).filter(|list| !list.is_null()) else { return Ok(Vec::new()) };
        let wrong = || Error::invalid_syntax(format!("{at}.{key}: expected an array of strings")).about(key);
        let mut texts = Vec::new();
        for item in list.as_array().ok_or_else(wrong)? {
            let text = item.as_str().ok_or_else(wrong)?;
            if text.len() > self.text || texts.len() == 1_000 {
                return Err(Error::invalid_value(format!("{at}.{key}: too long")).about(key));
            }
            texts.push(text.to_owned());
        }
        Ok(texts)
    }
}

fn object<'a>(document: &'a Value, at: &str) -> Result<&'a Map> {
    document.as_object().ok_or_else(|| Error::invalid_syntax(format!("{at}: expected an object")))
}

fn missing(at: &str, key: &str) -> Error {
    Error::invalid_value(format!("{at}.{key}: missing")).about(key)
}

fn flag(object: &Map, key: &str, at: &str) -> Result<Option<bool>> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(Error::invalid_syntax(format!("{at}.{key}: expected true or false")).about(key)),
    }
}

fn choice<T>(
    object: &Map,
    key: &str,
    at: &str,
    read: impl Fn(&str) -> Option<T>,
    spellings: &[&str],
) -> Result<Option<T>> {
    let value = match object.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    match value.as_str().and_then(read) {
        Some(choice) => Ok(Some(choice)),
        None => {
            Err(Error::invalid_value(format!("{at}.{key}: expected one of {}", spellings.join(", ")))
                .about(key))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(document: Value) -> Result<Schema> {
        Schema::parse(&document, &Budget::default())
    }

    fn extension(attributes: Value) -> Value {
        json!({ "id": "urn:ietf:params:scim:schemas:extension:zeeg:2.0:User", "name": "Zeeg", "attributes": attributes })
    }

    #[test]
    fn what_is_printed_parses_to_the_same() {
        for schema in [&ResourceType::user().schema, &ResourceType::user().extensions[0].schema] {
            let printed = schema.to_json("https://h/scim/v2");
            assert_eq!(&read_trusted(&printed).unwrap(), schema.as_ref());
            assert!(!printed.to_string().contains("null"));
        }
    }

    #[test]
    fn left_out_characteristics_have_the_rfcs_defaults() {
        let schema =
            parse(extension(json!([{ "name": "role" }, { "name": "pin", "mutability": "writeOnly" }])))
                .unwrap();
        let role = &schema.attributes[0];
        assert_eq!(
            (role.kind, role.mutability, role.returned),
            (Kind::String, Mutability::ReadWrite, Returned::Default)
        );
        assert!(!role.case_exact && !role.required && !role.multi_valued);
        assert_eq!(schema.attributes[1].returned, Returned::Never);
    }

    #[test]
    fn refusals_say_what_and_where() {
        let cases = [
            (json!([{ "name": "1a" }]), "attributes[0].name: expected a letter"),
            (json!([{ "name": "a" }, { "name": "A" }]), "attributes[1]: the name \"A\" is there twice"),
            (json!([{ "name": "Meta" }]), "attributes[0].name: Meta is a common attribute"),
            (json!([{ "name": "a", "type": "text" }]), "a.type: expected one of string, boolean"),
            (json!([{ "name": "a", "type": "complex" }]), "a: subAttributes belong to type complex"),
            (json!([{ "name": "a", "multiValued": "yes" }]), "a.multiValued: expected true or false"),
            (
                json!([{ "name": "a", "type": "complex", "subAttributes": [{ "name": "b", "type": "complex" }] }]),
                "b: a sub-attribute cannot be complex",
            ),
            (
                json!([{ "name": "a", "mutability": "writeOnly", "returned": "default" }]),
                "a: mutability writeOnly",
            ),
            (json!([]), "attributes: a schema needs at least one"),
            (json!({}), "attributes: expected an array"),
            (json!([7]), "attributes[0]: expected an object"),
        ];
        for (attributes, expected) in cases {
            let error = parse(extension(attributes)).unwrap_err();
            assert!(error.detail.starts_with(expected), "{} does not start with {expected}", error.detail);
        }
        for urn in ["x", "urn:x", "urn:a b:c", "urn:ietf:params:scim:schemas:core:2.0:User", "urn:a:b:"] {
            let error = parse(json!({ "id": urn, "attributes": [{ "name": "a" }] })).unwrap_err();
            assert_eq!(error.attribute.as_deref(), Some("id"), "{urn}");
        }
    }

    #[test]
    fn the_budget_holds() {
        let many: Vec<Value> = (0..201).map(|n| json!({ "name": format!("a{n}") })).collect();
        assert_eq!(parse(extension(many.into())).unwrap_err().kind, crate::ErrorKind::TooMany);
        let long = json!([{ "name": "a", "description": "x".repeat(1025) }]);
        assert!(parse(extension(long)).unwrap_err().detail.contains("longer than 1024 bytes"));
    }
}
