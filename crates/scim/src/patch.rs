//! PATCH (RFC 7644, section 3.5.2): all operations or none.
//!
//! [`PatchRequest::parse`] reads the message; `flatten` runs the dialect's rewrites and turns every operation into ones
//! with a path to an attribute; `take_set` lifts the operations on members out; [`apply`] does the rest.

mod apply;
mod diff;
mod flatten;
mod set;
mod slot;

use serde_json::Value;

pub use apply::{Outcome, apply};
pub use set::SetOp;

use crate::error::shown;
use crate::message::{check_schemas, member};
use crate::path::Path;
use crate::{Dialect, Error, Limits, Result, Warning};

pub(crate) const PATCH_OP_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Add,
    Remove,
    Replace,
}

/// One operation.
#[derive(Clone, PartialEq)]
pub struct Operation {
    /// Position in the request, for error messages.
    pub index: usize,
    pub op: Op,
    /// Absent: the value is an object of attributes.
    pub path: Option<Path>,
    /// `None` when the member is absent, `Some(Null)` when it is null.
    pub value: Option<Value>,
    /// It was a key in the value of an operation without path.
    pub from_key: bool,
}

/// A PatchOp message.
#[derive(Debug, Clone)]
pub struct PatchRequest {
    pub operations: Vec<Operation>,
    dialect: Dialect,
    limits: Limits,
    /// From `take_set`, for the outcome.
    warnings: Vec<Warning>,
    is_flat: bool,
}

impl PatchRequest {
    /// Reads a PatchOp message. Errors name the operation: `Operations[3]: …`.
    pub fn parse(body: &Value, dialect: &Dialect, limits: &Limits) -> Result<PatchRequest> {
        let wrong = |detail: &str| Err(Error::invalid_syntax(detail));
        let Value::Object(body) = body else { return wrong("expected a JSON object: a PatchOp message") };
        if !dialect.loose_schemas {
            check_schemas(body, PATCH_OP_URN)?;
        }
        let Some(list) = member(body, "Operations") else { return wrong("Operations: missing") };
        let Value::Array(list) = list else { return wrong("Operations: expected an array") };
        if list.is_empty() {
            return wrong("Operations: empty; expected at least one operation");
        }
        if list.len() > limits.patch_operations {
            let (given, most) = (list.len(), limits.patch_operations);
            return Err(Error::too_many(format!(
                "Operations: {given} operations; at most {most} are allowed"
            )));
        }
        let mut operations = Vec::with_capacity(list.len());
        for (index, operation) in list.iter().enumerate() {
            let operation = parse_operation(index, operation, dialect, limits);
            operations.push(operation.map_err(|error| error.within(&format!("Operations[{index}]")))?);
        }
        Ok(PatchRequest {
            operations,
            dialect: *dialect,
            limits: *limits,
            warnings: Vec::new(),
            is_flat: false,
        })
    }
}

fn parse_operation(index: usize, operation: &Value, dialect: &Dialect, limits: &Limits) -> Result<Operation> {
    let Value::Object(operation) = operation else { return Err(Error::invalid_syntax("expected an object")) };
    let Some(name) = member(operation, "op").and_then(Value::as_str) else {
        return Err(Error::invalid_syntax("op: expected \"add\", \"remove\" or \"replace\""));
    };
    let op = parse_op(name, dialect)?;
    let path = match member(operation, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) if path.trim().is_empty() && dialect.loose_schemas => None,
        Some(Value::String(path)) => Some(Path::parse(path, limits)?),
        Some(_) => return Err(Error::invalid_path("path: expected a string")),
    };
    let value = member(operation, "value").cloned();
    if op != Op::Remove && value.is_none() {
        return Err(Error::invalid_value(format!("{name} needs a value")).about("value"));
    }
    if path.is_none() && op == Op::Remove {
        return Err(Error::no_target("remove needs a path").about("path"));
    }
    if path.is_none() && !dialect.pathless {
        return Err(Error::invalid_path("the operation needs a path").about("path"));
    }
    Ok(Operation { index, op, path, value, from_key: false })
}

fn parse_op(name: &str, dialect: &Dialect) -> Result<Op> {
    for (op, spelling) in [(Op::Add, "add"), (Op::Remove, "remove"), (Op::Replace, "replace")] {
        if name == spelling || (dialect.any_case_op && name.eq_ignore_ascii_case(spelling)) {
            return Ok(op);
        }
    }
    Err(Error::invalid_syntax(format!(
        "op: expected \"add\", \"remove\" or \"replace\", got {:?}",
        shown(name)
    ))
    .about("op"))
}

impl std::fmt::Debug for Operation {
    /// Without the value, which may be a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.as_ref().map(ToString::to_string);
        f.debug_struct("Operation")
            .field("index", &self.index)
            .field("op", &self.op)
            .field("path", &path)
            .finish_non_exhaustive()
    }
}
