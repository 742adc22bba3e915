//! Values from clients, checked against the schema: types, spelling, readOnly left out, secrets not echoed.

use serde_json::Value;

use crate::dialect::Unknown;
use crate::error::shown;
use crate::schema::{Attribute, Extension, Kind, Mutability};
use crate::{Dialect, Error, Map, Result, Warning, date};

/// A client that sends thousands of unknown attributes is told of the first ones.
const MOST_WARNINGS: usize = 100;

/// The sub-attribute that is true for at most one element (RFC 7643, section 2.4).
pub(crate) const PRIMARY: &str = "primary";
/// The sub-attribute that holds the main value of a complex attribute (RFC 7643, section 2.4).
pub(crate) const VALUE: &str = "value";
/// The sub-attribute that says what an element is for (RFC 7643, section 2.4).
pub(crate) const TYPE: &str = "type";
/// The sub-attribute that holds the URI of the resource that `value` names (RFC 7643, section 2.4).
pub(crate) const REFERENCE: &str = "$ref";

/// Decodes the values of one request and collects its warnings.
pub(crate) struct Decoder<'a> {
    pub dialect: &'a Dialect,
    pub warnings: Vec<Warning>,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(dialect: &'a Dialect) -> Decoder<'a> {
        Decoder { dialect, warnings: Vec::new() }
    }

    /// The value of an attribute; `None` when it is unassigned (null, an empty array, a complex value of nothing).
    pub(crate) fn attribute(
        &mut self,
        attribute: &Attribute,
        value: Value,
        at: &str,
    ) -> Result<Option<Value>> {
        let value = self.dialect.rewrite_whole(attribute, value);
        if !attribute.multi_valued {
            return self.element(attribute, value, at);
        }
        let elements = self.elements(attribute, value, at)?;
        Ok(if elements.is_empty() { None } else { Some(Value::Array(elements)) })
    }

    /// The elements of a multi-valued attribute.
    pub(crate) fn list(&mut self, attribute: &Attribute, value: Value, at: &str) -> Result<Vec<Value>> {
        let value = self.dialect.rewrite_whole(attribute, value);
        self.elements(attribute, value, at)
    }

    fn elements(&mut self, attribute: &Attribute, value: Value, at: &str) -> Result<Vec<Value>> {
        let list = match value {
            Value::Null => return Ok(Vec::new()),
            Value::Array(list) => list,
            other => return Err(mismatch(attribute, "an array", &other, at)),
        };
        let mut elements = Vec::with_capacity(list.len());
        let mut primaries = 0;
        for (index, element) in list.into_iter().enumerate() {
            let Some(element) = self.element(attribute, element, &format!("{at}[{index}]"))? else {
                continue;
            };
            primaries += usize::from(element.get(PRIMARY) == Some(&Value::Bool(true)));
            elements.push(element);
        }
        if primaries > 1 {
            return Err(too_many_primaries(attribute, at));
        }
        Ok(elements)
    }

    /// One element of a multi-valued attribute, or the value of a single-valued one.
    pub(crate) fn element(&mut self, attribute: &Attribute, value: Value, at: &str) -> Result<Option<Value>> {
        let value = self.dialect.rewrite_element(attribute, value);
        if value.is_null() {
            return Ok(None);
        }
        if attribute.kind != Kind::Complex {
            check_scalar(attribute, &value, at)?;
            return Ok(Some(value));
        }
        let mut object = Map::new();
        for (sub, value) in self.members(attribute, value, at)? {
            if let Some(value) = value {
                object.insert(sub.name.clone(), value);
            }
        }
        if object.is_empty() {
            return Ok(None);
        }
        check_required(&attribute.sub_attributes, &object, at)?;
        Ok(Some(Value::Object(object)))
    }

    /// What an object says of the sub-attributes of a complex attribute: a value, or unassigned.
    /// Those that are readOnly are left out.
    pub(crate) fn members<'s>(
        &mut self,
        attribute: &'s Attribute,
        value: Value,
        at: &str,
    ) -> Result<Vec<(&'s Attribute, Option<Value>)>> {
        let Value::Object(object) = value else { return Err(mismatch(attribute, "an object", &value, at)) };
        let mut members: Vec<(&Attribute, Option<Value>)> = Vec::with_capacity(object.len());
        for (key, value) in object {
            let at = format!("{at}.{key}");
            let Some(sub) = attribute.sub_attribute(&key) else {
                self.unknown(&at)?;
                continue;
            };
            if sub.mutability == Mutability::ReadOnly {
                continue;
            }
            if members.iter().any(|(other, _)| other.name == sub.name) {
                return Err(twice(&at));
            }
            members.push((sub, self.attribute(sub, value, &at)?));
        }
        Ok(members)
    }

    /// An attribute that the schema does not know.
    pub(crate) fn unknown(&mut self, at: &str) -> Result<()> {
        match self.dialect.unknown_attributes {
            Unknown::Reject => {
                Err(Error::invalid_syntax(format!("{at}: no such attribute in the schema (see /Schemas)"))
                    .about(at))
            }
            Unknown::Ignore => {
                if self.warnings.len() < MOST_WARNINGS {
                    let detail = "no such attribute in the schema: skipped".to_owned();
                    self.warnings.push(Warning { attribute: shown(at), detail });
                }
                Ok(())
            }
        }
    }
}

/// The same attribute in two spellings.
pub(crate) fn twice(at: &str) -> Error {
    Error::invalid_syntax(format!("{at}: given twice, in different case")).about(at)
}

/// More than one element of `attribute` is to be the primary one.
pub(crate) fn too_many_primaries(attribute: &Attribute, at: &str) -> Error {
    Error::invalid_value(format!("{at}: primary can be true for one element only")).about(&attribute.name)
}

/// Required attributes of an object that is there are there too.
pub(crate) fn check_required(attributes: &[Attribute], object: &Map, at: &str) -> Result<()> {
    for attribute in attributes {
        if attribute.required
            && attribute.mutability != Mutability::ReadOnly
            && !object.contains_key(&attribute.name)
        {
            return Err(required(attribute, at));
        }
    }
    Ok(())
}

/// What an extension requires is in its object. What only the server sets need not be.
pub(crate) fn check_required_of(extension: &Extension, object: &Map) -> Result<()> {
    let urn = extension.schema.id.as_str();
    for attribute in &extension.schema.attributes {
        let is_ours = attribute.mutability == Mutability::ReadOnly;
        if attribute.required && !is_ours && !object.contains_key(&attribute.name) {
            return Err(required(attribute, "").within(urn));
        }
    }
    Ok(())
}

pub(crate) fn required(attribute: &Attribute, at: &str) -> Error {
    let name = if at.is_empty() { attribute.name.clone() } else { format!("{at}.{}", attribute.name) };
    Error::invalid_value(format!("{name}: required, and missing or empty")).about(name)
}

/// The value of an attribute that is not complex is of its type.
pub(crate) fn check_scalar(attribute: &Attribute, value: &Value, at: &str) -> Result<()> {
    let expected = match (attribute.kind, value) {
        (_, Value::String(text)) if text.contains('\0') => {
            return Err(Error::invalid_value(format!("{at}: the NUL character is not allowed")).about(at));
        }
        (Kind::String | Kind::Reference, Value::String(text)) if attribute.required && text.is_empty() => {
            return Err(required(attribute, ""));
        }
        (Kind::String | Kind::Reference, Value::String(_)) => return Ok(()),
        (Kind::Boolean, Value::Bool(_)) => return Ok(()),
        (Kind::Integer, Value::Number(number)) if number.is_i64() => return Ok(()),
        (Kind::Decimal, Value::Number(_)) => return Ok(()),
        (Kind::DateTime, Value::String(text)) if date::parse(text).is_some() => return Ok(()),
        (Kind::Binary, Value::String(text)) if is_base64(text) => return Ok(()),
        (Kind::String, _) => "a string",
        (Kind::Reference, _) => "a URI as a string",
        (Kind::Boolean, _) => "a boolean",
        (Kind::Integer, _) => "an integer",
        (Kind::Decimal, _) => "a number",
        (Kind::DateTime, _) => "a dateTime such as 2011-05-13T04:42:34Z",
        (Kind::Binary, _) => "base64 text",
        (Kind::Complex, _) => "an object",
    };
    Err(mismatch(attribute, expected, value, at))
}

/// base64 or base64url (RFC 4648), padded or not; blanks as PEM has them are not part of it.
fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    text.len() - digits.len() <= 2
        && digits.len() % 4 != 1
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte))
}

/// `emails[0].primary: expected a boolean, got the string "yes"`.
pub(crate) fn mismatch(attribute: &Attribute, expected: &str, got: &Value, at: &str) -> Error {
    let got = describe(got, attribute.is_secret());
    Error::invalid_value(format!("{at}: expected {expected}, got {got}")).about(at)
}

fn describe(value: &Value, secret: bool) -> String {
    const SHOWN: usize = 40;
    match value {
        Value::Null => "null".into(),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
        Value::Bool(_) if secret => "a boolean".into(),
        Value::Number(_) if secret => "a number".into(),
        Value::String(_) if secret => "a string".into(),
        Value::Bool(boolean) => boolean.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() > SHOWN => {
            format!("the string {:?}…", text.chars().take(SHOWN).collect::<String>())
        }
        Value::String(text) => format!("the string {text:?}"),
    }
}
