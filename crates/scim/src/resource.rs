//! Resources from request bodies: checked against the schema, spelled as the schema spells, readOnly left out.

mod json;
mod members;

use serde_json::Value;

pub use json::parse_json;
pub(crate) use members::members;
pub use members::{SetMember, take_members};

use crate::decode::{self, Decoder};
use crate::schema::{Attribute, Kind, Mutability, ResourceType, Schema, attribute_name};
use crate::{Dialect, Error, Map, Result, Warning};

/// The attribute that lists the schemas a resource is made of (RFC 7643, section 3).
pub(crate) const SCHEMAS: &str = "schemas";

/// A body that was understood.
#[derive(Clone, PartialEq)]
pub struct Decoded {
    /// What to store: the schema's spelling, `schemas` true to the content; no readOnly and no secret attributes.
    pub resource: Map,
    /// writeOnly attributes (for User: `password`), apart so that nobody stores or logs them by accident.
    pub secrets: Map,
    /// What was skipped.
    pub warnings: Vec<Warning>,
}

/// Reads the body of a POST.
pub fn create(rt: &ResourceType, dialect: &Dialect, body: &Value) -> Result<Decoded> {
    let mut decoder = Decoder::new(dialect);
    let mut resource = decode(rt, &mut decoder, body)?;
    check_present(rt, &resource)?;
    let secrets = take_secrets(rt, &mut resource);
    set_schemas(rt, &mut resource);
    Ok(Decoded { resource, secrets, warnings: decoder.warnings })
}

/// Reads the body of a PUT: readOnly attributes are ignored (kept from `current`), immutable ones must match `current`
/// and are kept where the body leaves them out, absent readWrite ones are cleared.
pub fn replace(rt: &ResourceType, dialect: &Dialect, current: &Map, body: &Value) -> Result<Decoded> {
    let mut decoder = Decoder::new(dialect);
    let mut resource = decode(rt, &mut decoder, body)?;
    for attribute in rt.top_level() {
        keep(attribute, None, current, &mut resource)?;
    }
    for extension in &rt.extensions {
        let urn = extension.schema.id.as_str();
        let empty = Map::new();
        let current = current.get(urn).and_then(Value::as_object).unwrap_or(&empty);
        let mut object = take_object(&mut resource, urn);
        for attribute in &extension.schema.attributes {
            keep(attribute, Some(urn), current, &mut object)?;
        }
        if !object.is_empty() {
            resource.insert(urn.to_owned(), Value::Object(object));
        }
    }
    check_present(rt, &resource)?;
    let secrets = take_secrets(rt, &mut resource);
    set_schemas(rt, &mut resource);
    Ok(Decoded { resource, secrets, warnings: decoder.warnings })
}

/// Keeps what a PUT cannot change.
fn keep(attribute: &Attribute, extension: Option<&str>, current: &Map, new: &mut Map) -> Result<()> {
    let Some(before) = current.get(&attribute.name) else { return Ok(()) };
    match attribute.mutability {
        Mutability::ReadOnly => {
            new.insert(attribute.name.clone(), before.clone());
        }
        Mutability::Immutable => match new.get(&attribute.name) {
            Some(after) if after != before => return Err(immutable(&attribute_name(extension, attribute))),
            _ => {
                new.insert(attribute.name.clone(), before.clone());
            }
        },
        Mutability::ReadWrite if attribute.kind == Kind::Complex && !attribute.multi_valued => {
            let (Some(before), Some(Value::Object(after))) =
                (before.as_object(), new.get_mut(&attribute.name))
            else {
                return Ok(());
            };
            for sub in &attribute.sub_attributes {
                keep(sub, extension, before, after)?;
            }
        }
        Mutability::ReadWrite | Mutability::WriteOnly => {}
    }
    Ok(())
}

/// An immutable attribute that has a value already.
pub(crate) fn immutable(name: &str) -> Error {
    Error::mutability(format!("{name}: immutable, and already set to another value")).about(name)
}

/// Reads a whole resource, without any check across attributes.
fn decode(rt: &ResourceType, decoder: &mut Decoder<'_>, body: &Value) -> Result<Map> {
    let Value::Object(body) = body else {
        return Err(Error::invalid_syntax(format!("expected a JSON object: a {}", rt.name)));
    };
    let mut resource = Map::new();
    for (key, value) in body {
        if key.eq_ignore_ascii_case(SCHEMAS) {
            continue;
        }
        if let Some(extension) = rt.extension(key) {
            let object = decode_extension(decoder, &extension.schema, value)?;
            if resource.insert(extension.schema.id.clone(), Value::Object(object)).is_some() {
                return Err(decode::twice(key));
            }
            continue;
        }
        let Some(attribute) = rt.top_level_attribute(key) else {
            decoder.unknown(key)?;
            continue;
        };
        insert(decoder, attribute, None, key, value, &mut resource)?;
    }
    drop_unassigned(&mut resource);
    check_schemas(rt, decoder.dialect, body, &resource)?;
    Ok(resource)
}

fn decode_extension(decoder: &mut Decoder<'_>, schema: &Schema, value: &Value) -> Result<Map> {
    let mut object = Map::new();
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (key, value) in members {
                // scim2-models writes `schemas` into extensions too; the resource's own says what there is.
                if key.eq_ignore_ascii_case(SCHEMAS) {
                    continue;
                }
                let Some(attribute) = schema.attribute(key) else {
                    decoder.unknown(&format!("{}:{key}", schema.id))?;
                    continue;
                };
                insert(decoder, attribute, Some(&schema.id), key, value, &mut object)?;
            }
        }
        _ => {
            let detail = format!("{}: expected an object of the extension's attributes", schema.id);
            return Err(Error::invalid_value(detail).about(&schema.id));
        }
    }
    drop_unassigned(&mut object);
    Ok(object)
}

/// Decodes one attribute into its object. Unassigned ones are held as null until the object is complete, so that a
/// second spelling of the same name is noticed.
fn insert(
    decoder: &mut Decoder<'_>,
    attribute: &Attribute,
    extension: Option<&str>,
    key: &str,
    value: &Value,
    object: &mut Map,
) -> Result<()> {
    if attribute.mutability == Mutability::ReadOnly {
        return Ok(());
    }
    let at = attribute_name(extension, attribute);
    let value = decoder.attribute(attribute, value.clone(), &at)?.unwrap_or(Value::Null);
    if object.insert(attribute.name.clone(), value).is_some() {
        return Err(decode::twice(key));
    }
    Ok(())
}

fn drop_unassigned(object: &mut Map) {
    object.retain(|_, value| match value {
        Value::Null => false,
        Value::Object(members) => !members.is_empty(),
        _ => true,
    });
}

fn check_schemas(rt: &ResourceType, dialect: &Dialect, body: &Map, resource: &Map) -> Result<()> {
    let wrong = |detail: String| Err(Error::invalid_syntax(format!("schemas: {detail}")).about(SCHEMAS));
    let given = body.iter().find(|(key, _)| key.eq_ignore_ascii_case(SCHEMAS)).map(|(_, value)| value);
    let Some(given) = given.filter(|given| !given.is_null()) else {
        if dialect.loose_schemas {
            return Ok(());
        }
        return wrong(format!("missing; expected [{:?}] and the URNs of the extensions used", rt.schema.id));
    };
    let urns: Option<Vec<&str>> = given.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
    let Some(urns) = urns else { return wrong("expected an array of URNs".into()) };
    if dialect.loose_schemas {
        return Ok(());
    }
    let listed = |urn: &str| urns.iter().any(|listed| listed.eq_ignore_ascii_case(urn));
    if !listed(&rt.schema.id) {
        return wrong(format!("{} is not listed", rt.schema.id));
    }
    for urn in &urns {
        if !urn.eq_ignore_ascii_case(&rt.schema.id) && rt.extension(urn).is_none() {
            return wrong(format!("{urn:?} is not a schema of {}", rt.name));
        }
    }
    for extension in &rt.extensions {
        if resource.contains_key(&extension.schema.id) && !listed(&extension.schema.id) {
            return wrong(format!("{} is used and not listed", extension.schema.id));
        }
    }
    Ok(())
}

/// What is required is there.
fn check_present(rt: &ResourceType, resource: &Map) -> Result<()> {
    decode::check_required(&rt.schema.attributes, resource, "")?;
    for extension in &rt.extensions {
        let urn = extension.schema.id.as_str();
        match resource.get(urn).and_then(Value::as_object) {
            Some(object) => decode::check_required_of(extension, object)?,
            None if extension.required => {
                let detail = format!("{urn}: this extension is required for every {}", rt.name);
                return Err(Error::invalid_value(detail).about(urn));
            }
            None => {}
        }
    }
    Ok(())
}

/// Takes the secrets out of a resource, by the schema.
pub(crate) fn take_secrets(rt: &ResourceType, resource: &mut Map) -> Map {
    let mut secrets = Map::new();
    for attribute in rt.top_level().filter(|attribute| attribute.is_secret()) {
        if let Some(value) = resource.remove(&attribute.name) {
            secrets.insert(attribute.name.clone(), value);
        }
    }
    for extension in &rt.extensions {
        let urn = extension.schema.id.as_str();
        let mut object = take_object(resource, urn);
        for attribute in extension.schema.attributes.iter().filter(|attribute| attribute.is_secret()) {
            if let Some(value) = object.remove(&attribute.name) {
                secrets.insert(attribute_name(Some(urn), attribute), value);
            }
        }
        if !object.is_empty() {
            resource.insert(urn.to_owned(), Value::Object(object));
        }
    }
    secrets
}

/// Takes the object under a key out; empty when there is none.
pub(crate) fn take_object(parent: &mut Map, key: &str) -> Map {
    match parent.remove(key) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// Makes `schemas` true: the core schema and the extensions that are there.
pub(crate) fn set_schemas(rt: &ResourceType, resource: &mut Map) {
    let mut urns = vec![Value::from(rt.schema.id.as_str())];
    for extension in &rt.extensions {
        if resource.contains_key(&extension.schema.id) {
            urns.push(extension.schema.id.as_str().into());
        }
    }
    resource.insert(SCHEMAS.into(), Value::Array(urns));
}

impl std::fmt::Debug for Decoded {
    /// Names the secrets, without their values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoded")
            .field("resource", &self.resource)
            .field("secrets", &self.secrets.keys().collect::<Vec<_>>())
            .field("warnings", &self.warnings)
            .finish()
    }
}
