//! Canonical text: `parse(print(filter)) == filter`.

use std::fmt;

use super::{Filter, Literal};

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Filter::Or(members) => join(f, members, " or "),
            Filter::And(members) => join(f, members, " and "),
            Filter::Not(inner) => write!(f, "not ({inner})"),
            Filter::Compare { attribute, op, value } => write!(f, "{attribute} {} {value}", op.as_str()),
            Filter::Present(attribute) => write!(f, "{attribute} pr"),
            Filter::ValuePath { attribute, filter } => write!(f, "{attribute}[{filter}]"),
        }
    }
}

fn join(f: &mut fmt::Formatter<'_>, members: &[Filter], separator: &str) -> fmt::Result {
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        // `or` binds loosest: the only member of a list that needs parentheses.
        if matches!(member, Filter::Or(_)) { write!(f, "({member})") } else { write!(f, "{member}") }?;
    }
    Ok(())
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Literal::Null => f.write_str("null"),
            Literal::Boolean(boolean) => write!(f, "{boolean}"),
            Literal::Number(number) => write!(f, "{number}"),
            Literal::String(text) => write!(f, "{}", serde_json::Value::from(text.as_str())),
        }
    }
}
