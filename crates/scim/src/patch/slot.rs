//! One operation on the value of one attribute.

use std::collections::HashMap;

use serde_json::Value;

use super::{Op, Operation};
use crate::decode::{Decoder, PRIMARY, REFERENCE, TYPE, VALUE, too_many_primaries};
use crate::filter::{CompareOp, Filter, Literal, Query, eval};
use crate::fold::fold_value;
use crate::schema::{Attribute, Kind, Located};
use crate::{Error, Map, Result};

/// What is to happen to an attribute.
pub(super) struct Change<'a, 'd> {
    pub decoder: &'a mut Decoder<'d>,
    pub work_left: &'a mut usize,
    pub located: &'a Located<'a>,
    pub filter: Option<&'a Query>,
    pub operation: &'a Operation,
    /// Name of the attribute or sub-attribute, for messages.
    pub at: String,
}

impl Change<'_, '_> {
    /// The value after the operation; `None` is unassigned.
    pub(super) fn apply(&mut self, before: Option<Value>) -> Result<Option<Value>> {
        let attribute = self.located.attribute;
        if self.operation.op == Op::Remove
            && self.operation.value.as_ref().is_some_and(|value| !value.is_null())
        {
            let detail =
                format!("{}: remove takes no value; select elements by a [filter] in the path", self.at);
            return Err(Error::invalid_syntax(detail).about(&self.at));
        }
        if attribute.multi_valued {
            let elements = match before {
                Some(Value::Array(elements)) => elements,
                Some(other) => vec![other],
                None => Vec::new(),
            };
            let elements = self.elements(elements)?;
            return Ok(if elements.is_empty() { None } else { Some(Value::Array(elements)) });
        }
        if let Some(sub) = self.located.sub {
            let mut object = into_object(before);
            self.set_sub(&mut object, sub)?;
            return Ok(if object.is_empty() { None } else { Some(Value::Object(object)) });
        }
        if self.operation.op == Op::Remove {
            return Ok(None);
        }
        let value = self.value();
        self.assign(attribute, before, value)
    }

    fn value(&self) -> Value {
        self.operation.value.clone().unwrap_or(Value::Null)
    }

    /// `add` and `replace` of a single value. Of a complex one, the sub-attributes that are not named stay
    /// (RFC 7644, sections 3.5.2.1 and 3.5.2.3).
    fn assign(
        &mut self,
        attribute: &Attribute,
        before: Option<Value>,
        value: Value,
    ) -> Result<Option<Value>> {
        let at = self.at.clone();
        // Of a multi-valued attribute, this is about one element.
        let is_element = attribute.multi_valued;
        let value = if is_element { value } else { self.decoder.dialect.rewrite_whole(attribute, value) };
        if attribute.kind != Kind::Complex {
            let value = self.decoder.element(attribute, value, &at)?;
            return Ok(value.or_else(|| if self.operation.op == Op::Add { before } else { None }));
        }
        let value = self.decoder.dialect.rewrite_element(attribute, value);
        if value.is_null() {
            return Ok(if self.operation.op == Op::Add { before } else { None });
        }
        let mut object = into_object(before);
        let members = self.decoder.members(attribute, value, &at)?;
        merge(&mut object, members, self.operation.op);
        Ok(if object.is_empty() { None } else { Some(Value::Object(object)) })
    }

    /// `path.sub`: sets or removes one sub-attribute of one complex value.
    fn set_sub(&mut self, object: &mut Map, sub: &Attribute) -> Result<()> {
        if self.operation.op == Op::Remove {
            if sub.required && object.contains_key(&sub.name) {
                return Err(
                    Error::mutability(format!("{}: required, cannot be removed", self.at)).about(&self.at)
                );
            }
            object.remove(&sub.name);
            return Ok(());
        }
        let value = if sub.multi_valued && self.operation.op == Op::Add {
            let added = self.decoder.list(sub, self.value(), &self.at)?;
            let before = match object.remove(&sub.name) {
                Some(Value::Array(elements)) => elements,
                _ => Vec::new(),
            };
            self.charge(before.iter().map(weight).sum())?;
            let elements = add_elements(sub, before, added);
            if elements.is_empty() { None } else { Some(Value::Array(elements)) }
        } else {
            self.decoder.attribute(sub, self.value(), &self.at)?
        };
        merge(object, vec![(sub, value)], self.operation.op);
        Ok(())
    }

    /// All kinds of paths to a multi-valued attribute.
    fn elements(&mut self, mut elements: Vec<Value>) -> Result<Vec<Value>> {
        let looks = self.filter.map_or(1, Query::terms);
        self.charge(elements.iter().map(weight).sum::<usize>().saturating_mul(looks))?;
        let Some(query) = self.filter else {
            return match (self.operation.op, self.located.sub) {
                (Op::Remove, None) => Ok(Vec::new()),
                (Op::Replace, None) => {
                    let (value, at) = (self.value(), self.at.clone());
                    let list = self.decoder.list(self.located.attribute, value, &at)?;
                    Ok(add_elements(self.located.attribute, Vec::new(), list))
                }
                (Op::Add, None) => {
                    let (value, at) = (self.value(), self.at.clone());
                    let list = self.decoder.list(self.located.attribute, value, &at)?;
                    Ok(add_elements(self.located.attribute, elements, list))
                }
                (_, Some(_)) => {
                    let all = (0..elements.len()).collect();
                    self.selected(&mut elements, all)?;
                    Ok(elements)
                }
            };
        };
        let attribute = self.located.attribute;
        let matches = |element: &Value| eval(query, &fold_value(attribute, element));
        let chosen = (0..elements.len()).filter(|index| matches(&elements[*index])).collect();
        self.selected(&mut elements, chosen)?;
        Ok(elements)
    }

    /// Changes the chosen elements; without any, does what the dialect has for that.
    fn selected(&mut self, elements: &mut Vec<Value>, chosen: Vec<usize>) -> Result<()> {
        let attribute = self.located.attribute;
        if chosen.is_empty() {
            return self.missing(elements);
        }
        // Each chosen element gets a copy of the value.
        if chosen.len() > 1 {
            let copied = self.operation.value.as_ref().map_or(0, weight);
            self.charge(copied.saturating_mul(chosen.len()))?;
        }
        let mut becomes_primary = Vec::new();
        for index in &chosen {
            let element = &mut elements[*index];
            let after = self.element(element.take())?;
            if self.operation.op != Op::Remove && is_primary(&after) {
                becomes_primary.push(*index);
            }
            *element = after;
        }
        settle_primary(attribute, elements, &becomes_primary, &self.at)?;
        elements.retain(|element| !element.is_null());
        Ok(())
    }

    /// One chosen element after the operation; null when it is gone.
    fn element(&mut self, element: Value) -> Result<Value> {
        let attribute = self.located.attribute;
        if let Some(sub) = self.located.sub {
            let mut object = into_object(Some(element));
            self.set_sub(&mut object, sub)?;
            return Ok(if is_hollow(attribute, &object) { Value::Null } else { Value::Object(object) });
        }
        let after = match self.operation.op {
            Op::Remove => None,
            Op::Replace => {
                let (value, at) = (self.value(), self.at.clone());
                let replacement = self.decoder.element(attribute, value, &at)?;
                self.with_implied(replacement)?
            }
            Op::Add => self.assign(attribute, Some(element), self.value())?,
        };
        Ok(after.unwrap_or(Value::Null))
    }

    /// The filter selects nothing.
    fn missing(&mut self, elements: &mut Vec<Value>) -> Result<()> {
        let tolerant = self.decoder.dialect.create_missing;
        let unfiltered = self.filter.is_none();
        match self.operation.op {
            Op::Remove if tolerant || unfiltered => return Ok(()),
            Op::Add if unfiltered => {}
            _ if tolerant => {}
            _ => return Err(self.no_target()),
        }
        let attribute = self.located.attribute;
        let element = match self.located.sub {
            None => {
                let (value, at) = (self.value(), self.at.clone());
                let element = self.decoder.element(attribute, value, &at)?;
                self.with_implied(element)?
            }
            Some(sub) => {
                let mut object = Map::new();
                self.set_sub(&mut object, sub)?;
                if object.is_empty() { None } else { self.with_implied(Some(Value::Object(object)))? }
            }
        };
        if let Some(element) = element {
            let last = elements.len();
            elements.push(element);
            if is_primary(&elements[last]) {
                demote_others(elements, last);
            }
        }
        Ok(())
    }

    /// The element, and beside it what the path's filter says of it: `emails[type eq "work"]` implies a type.
    fn with_implied(&mut self, element: Option<Value>) -> Result<Option<Value>> {
        let (Some(Value::Object(mut object)), true) = (element.clone(), self.decoder.dialect.create_missing)
        else {
            return Ok(element);
        };
        let Some(filter) = self.operation.path.as_ref().and_then(|path| path.filter.as_ref()) else {
            return Ok(element);
        };
        for (name, literal) in equalities(filter).ok_or_else(|| self.no_target())? {
            let Some(sub) = self.located.attribute.sub_attribute(name) else { continue };
            if object.contains_key(&sub.name) {
                continue;
            }
            let at = format!("{}.{}", self.located.attribute.name, sub.name);
            if let Some(value) = self.decoder.attribute(sub, literal, &at)? {
                object.insert(sub.name.clone(), value);
            }
        }
        Ok(Some(Value::Object(object)))
    }

    fn no_target(&self) -> Error {
        let path = self.operation.path.as_ref().map(ToString::to_string).unwrap_or_default();
        Error::no_target(format!("path {path}: selects nothing")).about(&self.at)
    }

    /// Pays for looking at, or copying, values of that [`weight`].
    fn charge(&mut self, cost: usize) -> Result<()> {
        match self.work_left.checked_sub(cost) {
            Some(left) => *self.work_left = left,
            None => {
                let detail = "the operations of this PATCH look at too much; send them in several requests";
                return Err(Error::too_many(detail));
            }
        }
        Ok(())
    }
}

/// What handling a value costs: one for each value in it, and one for every 64 bytes of text.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len() / 64,
        Value::Array(elements) => 1 + elements.iter().map(weight).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(weight).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
    }
}

/// The comparisons of a filter that says plainly what an element is: `type eq "work" and primary eq true`.
fn equalities(filter: &Filter) -> Option<Vec<(&str, Value)>> {
    match filter {
        Filter::Compare { attribute, op: CompareOp::Eq, value } => {
            let value = match value {
                Literal::Null => Value::Null,
                Literal::Boolean(boolean) => (*boolean).into(),
                Literal::Number(number) => Value::Number(number.clone()),
                Literal::String(text) => text.as_str().into(),
            };
            Some(vec![(attribute.as_str(), value)])
        }
        Filter::And(members) => {
            let lists: Option<Vec<_>> = members.iter().map(equalities).collect();
            Some(lists?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

fn into_object(value: Option<Value>) -> Map {
    match value {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn is_primary(element: &Value) -> bool {
    element.get(PRIMARY) == Some(&Value::Bool(true))
}

/// Nothing is left of an element but what says which one it was.
fn is_hollow(attribute: &Attribute, object: &Map) -> bool {
    let says_which = |key: &String| key == TYPE || key == PRIMARY;
    let can_say_more = attribute.sub_attributes.iter().any(|sub| !says_which(&sub.name));
    can_say_more && object.keys().all(says_which)
}

/// Sets and clears sub-attributes. A new `value` leaves a `$ref` behind that named the old one: it goes.
fn merge(object: &mut Map, members: Vec<(&Attribute, Option<Value>)>, op: Op) {
    let names_reference = members.iter().any(|(sub, _)| sub.name == REFERENCE);
    for (sub, value) in members {
        if sub.name == VALUE && !names_reference && value.is_some() && value.as_ref() != object.get(VALUE) {
            object.remove(REFERENCE);
        }
        match value {
            Some(value) => {
                object.insert(sub.name.clone(), value);
            }
            None if op == Op::Add => {}
            None => {
                object.remove(&sub.name);
            }
        }
    }
}

/// Adds elements that are not there yet. One of the same `value` and `type` is the same one (RFC 7643, section 2.4),
/// and takes over what the new one says; where `value` names a resource it identifies alone.
fn add_elements(attribute: &Attribute, mut elements: Vec<Value>, added: Vec<Value>) -> Vec<Value> {
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, element) in elements.iter().enumerate() {
        places.entry(identity(attribute, element)).or_insert(index);
    }
    let mut becomes_primary = None;
    for element in added {
        let place = *places.entry(identity(attribute, &element)).or_insert(elements.len());
        if is_primary(&element) {
            becomes_primary = Some(place);
        }
        match elements.get_mut(place) {
            None => elements.push(element),
            Some(Value::Object(there)) => {
                if let Value::Object(members) = element {
                    there.extend(members);
                }
            }
            Some(_) => {}
        }
    }
    if let Some(place) = becomes_primary {
        demote_others(&mut elements, place);
    }
    elements
}

fn identity(attribute: &Attribute, element: &Value) -> String {
    let folded = |name: &str| {
        let value = element.get(name)?;
        Some(attribute.sub_attribute(name).map_or_else(|| value.clone(), |sub| fold_value(sub, value)))
    };
    match folded(VALUE) {
        None => fold_value(attribute, element).to_string(),
        Some(value) if attribute.sub_attribute(REFERENCE).is_some() => value.to_string(),
        Some(value) => format!("{value} {}", folded(TYPE).unwrap_or(Value::Null)),
    }
}

/// Whoever has just become primary is the only one (RFC 7644, section 3.5.2).
fn settle_primary(attribute: &Attribute, elements: &mut [Value], new: &[usize], at: &str) -> Result<()> {
    match new {
        [] => Ok(()),
        [one] => {
            demote_others(elements, *one);
            Ok(())
        }
        _ => Err(too_many_primaries(attribute, at)),
    }
}

fn demote_others(elements: &mut [Value], primary: usize) {
    for (index, element) in elements.iter_mut().enumerate() {
        if index != primary && is_primary(element) {
            element[PRIMARY] = Value::Bool(false);
        }
    }
}
