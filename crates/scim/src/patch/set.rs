//! Operations on a set that rests in rows, lifted out of a PATCH: the resource is never read for them.

use serde_json::Value;

use super::{Op, Operation, PatchRequest};
use crate::decode::{Decoder, VALUE};
use crate::filter::{CompareOp, Operand, Query};
use crate::path::Target;
use crate::resource::{SetMember, members};
use crate::schema::{Located, ResourceType};
use crate::{Error, Result};

/// An operation on a set that rests in rows (the members of a group).
#[derive(Debug, Clone, PartialEq)]
pub enum SetOp {
    /// Add these; those already in stay.
    Add(Vec<SetMember>),
    /// Remove these; those not in do not matter.
    Remove(Vec<SetMember>),
    /// Remove the elements that satisfy the query, whose segments are relative to the element (`["value"]`, `["type"]`).
    RemoveMatching(Query),
    /// Remove all.
    RemoveAll,
    /// Exactly these.
    Replace(Vec<SetMember>),
}

impl PatchRequest {
    /// Takes out the operations on one multi-valued attribute, also from inside values without path, in order.
    /// Operations that name nobody are left out. Members are never read: see [`SetOp`].
    pub fn take_set(&mut self, rt: &ResourceType, attribute: &str) -> Result<Vec<SetOp>> {
        let (operations, warnings) = self.flattened(rt)?;
        let mut taken = Vec::new();
        let mut rest = Vec::with_capacity(operations.len());
        let mut decoder = Decoder::new(&self.dialect);
        for operation in operations {
            let within = |error: Error| error.within(&format!("Operations[{}]", operation.index));
            let target = operation.path.as_ref().map(|path| path.resolve(rt, &self.dialect)).transpose();
            match target.map_err(within)? {
                Some(Target::Attribute { located, filter })
                    if located.extension.is_none()
                        && located.attribute.name.eq_ignore_ascii_case(attribute) =>
                {
                    let set_op = set_op(&mut decoder, &located, filter, &operation).map_err(within)?;
                    self.check_terms(&set_op).map_err(within)?;
                    taken.push(set_op);
                }
                _ => rest.push(operation),
            }
        }
        let names_nobody = |set_op: &SetOp| match set_op {
            SetOp::Add(members) | SetOp::Remove(members) => members.is_empty(),
            SetOp::RemoveMatching(_) | SetOp::RemoveAll | SetOp::Replace(_) => false,
        };
        taken.retain(|set_op| !names_nobody(set_op));
        self.warnings = warnings;
        self.warnings.append(&mut decoder.warnings);
        self.operations = rest;
        self.is_flat = true;
        Ok(taken)
    }

    /// A dialect may have made a query of a list of any length.
    fn check_terms(&self, set_op: &SetOp) -> Result<()> {
        let SetOp::RemoveMatching(query) = set_op else { return Ok(()) };
        let (terms, most) = (query.terms(), self.limits.filter_terms);
        if terms <= most {
            return Ok(());
        }
        let detail = format!(
            "value: {terms} comparisons to find what to remove; at most {most} are allowed (name members by `value`)"
        );
        Err(Error::too_many(detail))
    }
}

fn set_op(
    decoder: &mut Decoder<'_>,
    located: &Located<'_>,
    filter: Option<Query>,
    operation: &Operation,
) -> Result<SetOp> {
    let name = located.name();
    if located.sub.is_some() {
        let detail = format!("{name}: a member is added or removed as a whole, its parts cannot be changed");
        return Err(Error::mutability(detail).about(name));
    }
    let mut listed = |value: &Option<Value>| {
        let list = decoder.list(located.attribute, value.clone().unwrap_or(Value::Null), &name)?;
        members(&list, &name)
    };
    match (operation.op, filter) {
        (Op::Add, None) => Ok(SetOp::Add(listed(&operation.value)?)),
        (Op::Replace, None) => Ok(SetOp::Replace(listed(&operation.value)?)),
        (Op::Remove, Some(query)) => Ok(match ids(&query) {
            Some(ids) => {
                SetOp::Remove(ids.into_iter().map(|value| SetMember { value, kind: None }).collect())
            }
            None => SetOp::RemoveMatching(query),
        }),
        (Op::Remove, None) if operation.value.is_some() => {
            let detail = format!("{name}: remove takes no value; select members by a [filter] in the path");
            Err(Error::invalid_syntax(detail).about(name))
        }
        (Op::Remove, None) => Ok(SetOp::RemoveAll),
        (Op::Add | Op::Replace, Some(_)) => {
            let detail = format!(
                "{name}: a [filter] selects members to remove; add and replace take them in the value"
            );
            Err(Error::invalid_path(detail).about(name))
        }
    }
}

/// The ids, if the query is `value eq "…"`, or any of several such.
fn ids(query: &Query) -> Option<Vec<String>> {
    match query {
        Query::Compare { attr, op: CompareOp::Eq, value: Operand::Text(id) }
            if attr.segments == [VALUE] && attr.case_exact =>
        {
            Some(vec![id.clone()])
        }
        Query::Or(members) => {
            let mut all = Vec::with_capacity(members.len());
            for member in members {
                all.append(&mut ids(member)?);
            }
            Some(all)
        }
        _ => None,
    }
}
