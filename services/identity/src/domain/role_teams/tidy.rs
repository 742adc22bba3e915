//! Before the engine: every way in which clients write role and teams becomes the schema's. ENTRA.md of the design notes,
//! section 3.7, has the evidence.
//!
//! ```json
//! "teams": "[{\"slug\":\"sales\"}]"              →  [{"slug": "sales"}]
//! "teams": [{"value": "sales"}]                  →  [{"slug": "sales"}]
//! "teams": [{"value": "{\"uuid\":\"018f…\"}"}]   →  [{"uuid": "018f…"}]
//! "teams": "sales"                               →  [{"slug": "sales"}]
//! "teams": ""  and null                          →  []
//! {"op": "Add", "path": "urn:…:User:teams", …}   →  {"op": "replace", …}
//! ```

use scim::filter::{Filter, Literal};
use scim::patch::{Op, Operation};
use scim::path::Path;
use scim::{Map, Warning};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ROLE, RoleTeams, SLUG, Sent, TEAMS, UUID, VALUE};

/// Text in a value in a list in text: deeper than this nobody wraps a team.
const DEEPEST: usize = 6;

/// What a name in a request stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Role,
    Teams,
    Extension,
    Other,
}

impl RoleTeams {
    /// Tidies the body of a POST or PUT, and says what it speaks of.
    pub(crate) fn tidy_resource(&self, body: &mut Value, warnings: &mut Vec<Warning>) -> Sent {
        let mut sent = Sent::NEITHER;
        let members = body.as_object_mut().into_iter().flatten();
        for (_, extension) in members.filter(|(key, _)| key.eq_ignore_ascii_case(&self.urn)) {
            let Some(extension) = extension.as_object_mut() else { continue };
            for (key, value) in std::mem::take(extension) {
                let tidied = match part(&key) {
                    Part::Role => self.role(value, warnings),
                    Part::Teams => Some(self.teams(value, warnings)),
                    Part::Extension | Part::Other => Some(value),
                };
                let Some(value) = tidied else { continue };
                sent.role |= part(&key) == Part::Role;
                sent.teams |= part(&key) == Part::Teams;
                extension.insert(key, value);
            }
        }
        sent
    }

    /// Tidies the operations of a PATCH.
    pub(crate) fn tidy_operations(
        &self,
        operations: Vec<Operation>,
        warnings: &mut Vec<Warning>,
    ) -> Vec<Operation> {
        if self.strict {
            return operations;
        }
        let mut tidied = Vec::with_capacity(operations.len());
        for mut operation in operations {
            let part = operation.path.as_ref().map_or(Part::Extension, |path| self.part(&path.attribute));
            let is_filtered = operation.path.as_ref().is_some_and(|path| path.filter.is_some());
            match part {
                Part::Role if !is_filtered => tidied.extend(self.role_operation(operation, warnings)),
                Part::Teams if !is_filtered => tidied.push(self.teams_operation(operation, warnings)),
                Part::Teams => {
                    if let Some(filter) = operation.path.as_mut().and_then(|path| path.filter.as_mut()) {
                        name_by_column(filter);
                    }
                    tidied.push(operation);
                }
                Part::Extension if operation.op != Op::Remove => {
                    let apart = self.take_apart(&mut operation);
                    let is_spent = operation.value.as_ref().is_some_and(|value| value == &json!({}));
                    if apart.is_empty() || !is_spent {
                        tidied.push(operation);
                    }
                    for operation in apart {
                        match operation.path.as_ref().map(|path| self.part(&path.attribute)) {
                            Some(Part::Role) => tidied.extend(self.role_operation(operation, warnings)),
                            _ => tidied.push(self.teams_operation(operation, warnings)),
                        }
                    }
                }
                Part::Role | Part::Extension | Part::Other => tidied.push(operation),
            }
        }
        tidied
    }

    /// Makes operations of their own of role and teams in the value of an operation on the resource or the extension.
    fn take_apart(&self, operation: &mut Operation) -> Vec<Operation> {
        let is_on_extension = operation.path.is_some();
        let Some(Value::Object(object)) = &mut operation.value else { return Vec::new() };
        let mut taken: Vec<(&str, Value)> = Vec::new();
        if is_on_extension {
            take_keys(object, part, &mut taken);
        } else {
            take_keys(object, |key| self.part(key), &mut taken);
            for (key, extension) in std::mem::take(object) {
                let Value::Object(mut extension) = extension else {
                    object.insert(key, extension);
                    continue;
                };
                let had = extension.len();
                if key.eq_ignore_ascii_case(&self.urn) {
                    take_keys(&mut extension, part, &mut taken);
                }
                if !extension.is_empty() || had == 0 {
                    object.insert(key, Value::Object(extension));
                }
            }
        }
        let (op, index) = (operation.op, operation.index);
        let apart = |(attribute, value): (&str, Value)| {
            let path = Path { attribute: self.name(attribute), filter: None, sub: None };
            Operation { index, op, path: Some(path), value: Some(value), from_key: true }
        };
        taken.into_iter().map(apart).collect()
    }

    /// `None` when nothing is left of it.
    fn role_operation(&self, mut operation: Operation, warnings: &mut Vec<Warning>) -> Option<Operation> {
        if operation.op != Op::Remove {
            operation.value = Some(self.role(operation.value.take()?, warnings)?);
            // To add nothing would leave the role; here it takes it back to the default.
            operation.op = Op::Replace;
        }
        Some(operation)
    }

    /// Whoever sends the whole attribute means the whole: Entra says `Add` also when teams have changed.
    fn teams_operation(&self, mut operation: Operation, warnings: &mut Vec<Warning>) -> Operation {
        if let Some(value) = operation.value.take() {
            operation.value = Some(self.teams(value, warnings));
        }
        if operation.op == Op::Add {
            operation.op = Op::Replace;
        }
        operation
    }

    fn part(&self, name: &str) -> Part {
        let Some((head, tail)) = name.split_at_checked(self.urn.len()) else { return Part::Other };
        if !head.eq_ignore_ascii_case(&self.urn) {
            return Part::Other;
        }
        match (tail, tail.strip_prefix([':', '.'])) {
            ("", _) => Part::Extension,
            (_, Some(attribute)) => part(attribute),
            (_, None) => Part::Other,
        }
    }

    /// A role as text, or null. `None` when it is no text at all.
    fn role(&self, value: Value, warnings: &mut Vec<Warning>) -> Option<Value> {
        if self.strict {
            return Some(value);
        }
        let text = role_text(value, 0);
        if text.is_none() {
            let detail = "skipped: expected the name of a role as text".to_owned();
            warnings.push(Warning { attribute: self.name(ROLE), detail });
        }
        text
    }

    /// Teams as a list of objects that say `uuid` or `slug`.
    fn teams(&self, value: Value, warnings: &mut Vec<Warning>) -> Value {
        if self.strict {
            return value;
        }
        let mut named = Vec::new();
        let mut skipped = 0;
        collect(value, 0, &mut named, &mut skipped);
        if skipped > 0 {
            let detail = format!(
                "{skipped} of the values skipped: expected a list like [{{\"slug\": \"sales\"}}] or [{{\"uuid\": \"…\"}}]"
            );
            warnings.push(Warning { attribute: self.name(TEAMS), detail });
        }
        Value::Array(named)
    }
}

fn part(attribute: &str) -> Part {
    match attribute {
        _ if attribute.eq_ignore_ascii_case(ROLE) => Part::Role,
        _ if attribute.eq_ignore_ascii_case(TEAMS) => Part::Teams,
        _ => Part::Other,
    }
}

/// Moves role and teams out of an object.
fn take_keys(object: &mut Map, part: impl Fn(&str) -> Part, taken: &mut Vec<(&'static str, Value)>) {
    for (key, value) in std::mem::take(object) {
        match part(&key) {
            Part::Role => taken.push((ROLE, value)),
            Part::Teams => taken.push((TEAMS, value)),
            Part::Extension | Part::Other => {
                object.insert(key, value);
            }
        }
    }
}

fn role_text(value: Value, depth: usize) -> Option<Value> {
    match value {
        _ if depth > DEEPEST => None,
        Value::Null => Some(Value::Null),
        Value::String(text) => match embedded_json(&text) {
            Some(inner) => role_text(inner, depth + 1),
            None if text.trim().is_empty() => Some(Value::Null),
            None => Some(Value::String(text)),
        },
        Value::Object(mut object) => role_text(object.remove(VALUE)?, depth + 1),
        Value::Array(mut elements) if elements.len() <= 1 => {
            elements.pop().map_or(Some(Value::Null), |element| role_text(element, depth + 1))
        }
        Value::Array(_) | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Collects the teams that a value names, however it is wrapped.
fn collect(value: Value, depth: usize, named: &mut Vec<Value>, skipped: &mut usize) {
    match value {
        _ if depth > DEEPEST => *skipped += 1,
        Value::Null => {}
        Value::String(text) => match embedded_json(&text) {
            Some(inner) => collect(inner, depth + 1, named, skipped),
            None => named.extend(by_column(&text)),
        },
        Value::Array(elements) => {
            for element in elements {
                collect(element, depth + 1, named, skipped);
            }
        }
        Value::Object(object) => {
            let text = |name: &str| {
                object.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
            };
            let mut team = Map::new();
            for name in [UUID, SLUG] {
                team.extend(text(name).map(|text| (name.to_owned(), Value::from(text))));
            }
            if !team.is_empty() {
                named.push(Value::Object(team));
            } else if let Some(inner) = object.get(VALUE) {
                collect(inner.clone(), depth + 1, named, skipped);
            } else if !object.is_empty() && !object.values().all(is_nothing) {
                *skipped += 1;
            }
        }
        Value::Number(number) => named.extend(by_column(&number.to_string())),
        Value::Bool(_) => *skipped += 1,
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// A team by the one text that names it; `None` for an empty text.
pub(super) fn by_column(text: &str) -> Option<Value> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    Some(json!({ column(text): text }))
}

fn column(text: &str) -> &'static str {
    if Uuid::try_parse(text).is_ok() { UUID } else { SLUG }
}

/// `teams[value eq "sales"]` → `teams[slug eq "sales"]`: that is where the stored ones say it.
fn name_by_column(filter: &mut Filter) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter_mut().for_each(name_by_column),
        Filter::Not(inner) => name_by_column(inner),
        Filter::Compare { attribute, value: Literal::String(text), .. }
            if attribute.eq_ignore_ascii_case(VALUE) =>
        {
            *attribute = column(text).to_owned();
        }
        Filter::Compare { .. } | Filter::Present(_) | Filter::ValuePath { .. } => {}
    }
}

/// JSON in a string, if it is a list or an object.
fn embedded_json(text: &str) -> Option<Value> {
    if !text.trim_start().starts_with(['[', '{']) {
        return None;
    }
    serde_json::from_str(text).ok()
}
