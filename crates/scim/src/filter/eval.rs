//! The reference evaluator: what every database must agree with.

use std::cmp::Ordering;

use serde_json::Value;

use super::{AttrRef, CompareOp, Operand, Query};

/// Whether a resource folded by [`crate::fold`] satisfies the query.
pub fn eval(query: &Query, folded: &Value) -> bool {
    match query {
        Query::Const(constant) => *constant,
        Query::And(members) => members.iter().all(|member| eval(member, folded)),
        Query::Or(members) => members.iter().any(|member| eval(member, folded)),
        Query::Not(inner) => !eval(inner, folded),
        Query::Present(attr) => get(folded, attr).is_some_and(is_present),
        Query::Compare { attr, op, value } => compare(get(folded, attr), *op, value),
        Query::Any { attr, inner } => match get(folded, attr) {
            Some(Value::Array(elements)) => elements.iter().any(|element| eval(inner, element)),
            _ => false,
        },
    }
}

fn get<'a>(folded: &'a Value, attr: &AttrRef) -> Option<&'a Value> {
    let mut value = folded;
    for segment in &attr.segments {
        value = value.get(segment)?;
    }
    Some(value)
}

fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn compare(value: Option<&Value>, op: CompareOp, operand: &Operand) -> bool {
    if op == CompareOp::Ne {
        return !compare(value, CompareOp::Eq, operand);
    }
    let Some(value) = value else { return false };
    let ordering = match (value, operand) {
        (Value::String(text), Operand::Text(operand)) => match op {
            CompareOp::Co => return text.contains(operand.as_str()),
            CompareOp::Sw => return text.starts_with(operand.as_str()),
            CompareOp::Ew => return text.ends_with(operand.as_str()),
            _ => Some(text.as_str().cmp(operand.as_str())),
        },
        (Value::Bool(boolean), Operand::Boolean(operand)) => Some(boolean.cmp(operand)),
        (Value::Number(number), Operand::Integer(operand)) => match number.as_i64() {
            Some(integer) => Some(integer.cmp(operand)),
            None => number.as_f64().and_then(|number| number.partial_cmp(&as_f64(*operand))),
        },
        (Value::Number(number), Operand::Decimal(operand)) => {
            number.as_f64().and_then(|number| number.partial_cmp(operand))
        }
        _ => None,
    };
    let Some(ordering) = ordering else { return false };
    match op {
        CompareOp::Eq => ordering == Ordering::Equal,
        CompareOp::Gt => ordering == Ordering::Greater,
        CompareOp::Ge => ordering != Ordering::Less,
        CompareOp::Lt => ordering == Ordering::Less,
        CompareOp::Le => ordering != Ordering::Greater,
        CompareOp::Ne | CompareOp::Co | CompareOp::Sw | CompareOp::Ew => false,
    }
}

#[expect(clippy::cast_precision_loss, reason = "compared with a float, it is a float; databases do the same")]
fn as_f64(integer: i64) -> f64 {
    integer as f64
}
