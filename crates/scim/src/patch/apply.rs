//! Applying a PATCH to a resource.

use serde_json::Value;

use super::slot::Change;
use super::{Op, Operation, PatchRequest, diff};
use crate::decode::{self, Decoder};
use crate::path::Target;
use crate::resource::{SCHEMAS, immutable, set_schemas, take_object, take_secrets};
use crate::schema::{Attribute, Extension, Located, Mutability, ResourceType};
use crate::{Dialect, Error, Map, Result, Warning};

/// What the operations of one PATCH may look at and copy, in values and 64 bytes of text: a budget of time and memory, far
/// above any real request.
const WORK_BUDGET: usize = 4_000_000;

/// What a PATCH of a resource came to.
#[derive(Clone, PartialEq)]
pub struct Outcome {
    /// The resource after all operations; the current one when nothing changed.
    pub resource: Map,
    /// writeOnly attributes that were set (for User: `password`).
    pub secrets: Map,
    /// Whether `resource` differs from the current one (`secrets` do not count).
    pub changed: bool,
    /// What differs, sorted, in the schema's spelling: `active`, `name.givenName`, `emails`, `urn:…:User:department`.
    pub changed_paths: Vec<String>,
    /// What was skipped.
    pub warnings: Vec<Warning>,
}

/// Applies all operations to a copy of `current`, or none and says why.
pub fn apply(rt: &ResourceType, dialect: &Dialect, current: &Map, patch: &PatchRequest) -> Result<Outcome> {
    let (operations, mut warnings) = patch.flattened(rt)?;
    let mut engine = Engine { rt, decoder: Decoder::new(dialect), work_left: WORK_BUDGET };
    let mut resource = current.clone();
    for operation in &operations {
        let index = operation.index;
        engine
            .operation(&mut resource, operation)
            .map_err(|error| error.within(&format!("Operations[{index}]")))?;
    }
    warnings.append(&mut engine.decoder.warnings);
    check_new_extensions(rt, current, &resource)?;
    let secrets = take_secrets(rt, &mut resource);
    let changed_paths = diff::changed_paths(rt, current, &resource);
    let changed = !changed_paths.is_empty();
    if changed {
        set_schemas(rt, &mut resource);
    } else {
        resource.clone_from(current);
    }
    Ok(Outcome { resource, secrets, changed, changed_paths, warnings })
}

struct Engine<'a> {
    rt: &'a ResourceType,
    decoder: Decoder<'a>,
    work_left: usize,
}

impl Engine<'_> {
    fn operation(&mut self, resource: &mut Map, operation: &Operation) -> Result<()> {
        let Some(path) = &operation.path else {
            return Err(Error::no_target("the operation has no path"));
        };
        match path.resolve(self.rt, self.decoder.dialect)? {
            Target::Resource => Err(Error::no_target("the path names the whole resource")),
            Target::Extension(extension) => clear_extension(resource, extension, operation),
            Target::Attribute { located, filter } => {
                check_mutable(&located)?;
                if located.extension.is_none() && located.attribute.name == SCHEMAS {
                    return Ok(()); // follows from the content
                }
                let Some(urn) = located.extension else {
                    return self.attribute(resource, &located, filter.as_ref(), operation);
                };
                let mut object = take_object(resource, urn);
                self.attribute(&mut object, &located, filter.as_ref(), operation)?;
                if !object.is_empty() {
                    resource.insert(urn.to_owned(), Value::Object(object));
                }
                Ok(())
            }
        }
    }

    /// Changes one attribute of the object that holds it.
    fn attribute(
        &mut self,
        object: &mut Map,
        located: &Located<'_>,
        filter: Option<&crate::filter::Query>,
        operation: &Operation,
    ) -> Result<()> {
        let attribute = located.attribute;
        let before = object.remove(&attribute.name);
        // A copy is dear when the value is large, and only what is immutable needs one.
        let is_guarded = is_immutable(attribute) || attribute.sub_attributes.iter().any(is_immutable);
        let to_compare = if is_guarded { before.clone() } else { None };
        let mut change = Change {
            decoder: &mut self.decoder,
            work_left: &mut self.work_left,
            located,
            filter,
            operation,
            at: located.name(),
        };
        let after = change.apply(before)?;

        check_immutable(located, to_compare.as_ref(), after.as_ref())?;
        match after {
            Some(after) => {
                if let Value::Object(members) = &after {
                    decode::check_required(&attribute.sub_attributes, members, &attribute.name)?;
                }
                object.insert(attribute.name.clone(), after);
            }
            None if attribute.required && operation.op == Op::Remove => {
                let name = located.name();
                return Err(Error::mutability(format!("{name}: required, cannot be removed")).about(name));
            }
            None if attribute.required && operation.op == Op::Replace => {
                return Err(decode::required(attribute, ""));
            }
            None => {}
        }
        Ok(())
    }
}

/// An extension that the PATCH has begun to use has what it requires. (One that was there before may lack what its schema
/// has come to require since: that stays possible to PATCH.)
fn check_new_extensions(rt: &ResourceType, current: &Map, resource: &Map) -> Result<()> {
    for extension in &rt.extensions {
        let urn = extension.schema.id.as_str();
        if let (None, Some(Value::Object(object))) = (current.get(urn), resource.get(urn)) {
            decode::check_required_of(extension, object)?;
        }
    }
    Ok(())
}

/// Removes the whole object of an extension.
fn clear_extension(resource: &mut Map, extension: &Extension, operation: &Operation) -> Result<()> {
    let urn = extension.schema.id.as_str();
    let is_nothing = |value: &Value| value.is_null() || value.as_str() == Some("");
    match (&operation.op, &operation.value) {
        (Op::Remove, _) => {}
        (Op::Replace, Some(value)) if is_nothing(value) => {}
        (Op::Add, Some(value)) if is_nothing(value) => return Ok(()),
        _ => {
            let detail = format!("{urn}: expected an object of the extension's attributes");
            return Err(Error::invalid_value(detail).about(urn));
        }
    }
    let Some(Value::Object(object)) = resource.get(urn) else { return Ok(()) };
    let stays = |attribute: &&Attribute| {
        let fixed = matches!(attribute.mutability, Mutability::ReadOnly | Mutability::Immutable);
        (fixed || attribute.required) && object.contains_key(&attribute.name)
    };
    if extension.required || extension.schema.attributes.iter().any(|attribute| stays(&attribute)) {
        return Err(Error::mutability(format!("{urn}: required in part, cannot be removed")).about(urn));
    }
    resource.remove(urn);
    Ok(())
}

fn is_immutable(attribute: &Attribute) -> bool {
    attribute.mutability == Mutability::Immutable
}

fn check_mutable(located: &Located<'_>) -> Result<()> {
    let read_only = |attribute: &Attribute| attribute.mutability == Mutability::ReadOnly;
    if read_only(located.attribute) || located.sub.is_some_and(read_only) {
        let name = located.name();
        return Err(Error::mutability(format!("{name}: readOnly, set by the server only")).about(name));
    }
    Ok(())
}

/// An immutable attribute keeps the value it has. Elements of a multi-valued attribute come and go as a whole; what is
/// immutable within them cannot be set by a path of its own.
fn check_immutable(located: &Located<'_>, before: Option<&Value>, after: Option<&Value>) -> Result<()> {
    let Some(before) = before.filter(|before| Some(*before) != after) else { return Ok(()) };
    if is_immutable(located.attribute) || located.sub.is_some_and(is_immutable) {
        return Err(immutable(&located.name()));
    }
    if located.attribute.multi_valued {
        return Ok(());
    }
    for sub in located.attribute.sub_attributes.iter().filter(|sub| is_immutable(sub)) {
        let old = before.get(&sub.name);
        if old.is_some() && after.is_some() && old != after.and_then(|after| after.get(&sub.name)) {
            return Err(immutable(&format!("{}.{}", located.name(), sub.name)));
        }
    }
    Ok(())
}

impl std::fmt::Debug for Outcome {
    /// Names the secrets, without their values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcome")
            .field("resource", &self.resource)
            .field("secrets", &self.secrets.keys().collect::<Vec<_>>())
            .field("changed", &self.changed)
            .field("changed_paths", &self.changed_paths)
            .field("warnings", &self.warnings)
            .finish()
    }
}
