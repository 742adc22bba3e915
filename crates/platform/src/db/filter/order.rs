//! What a list is sorted by (RFC 7644, section 3.4.2.3).

use scim::filter::AttrRef;
use scim::schema::Kind;
use sea_orm::DbBackend;
use sea_orm::sea_query::{Expr, ExprTrait};

use super::json::{Json, Node};
use super::{Column, Table, bytewise, named};
use crate::error::{Error, Result};

/// The expression a list is ordered by.
pub struct SortKey {
    /// Its value of a row.
    pub value: Expr,
    /// Whether a row may have none.
    pub nullable: bool,
    /// Of what type the value is.
    pub kind: SortValue,
}

/// The type of a [`SortKey`]'s value, as the database returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortValue {
    /// Text, compared byte by byte.
    Text,
    /// A 64-bit integer.
    Integer,
    /// A 64-bit float.
    Real,
}

/// The key of an attribute resolved by `scim::sort::resolve`.
///
/// # Errors
/// `InvalidPath` for what cannot be sorted by, naming the attribute.
pub fn sort_key(attr: &AttrRef, table: &Table, backend: DbBackend) -> Result<SortKey> {
    let postgres = backend == DbBackend::Postgres;
    let refused = |reason: &str| {
        let detail = format!("sortBy: {}: {reason}", attr.name);
        Error::new(scim::ErrorKind::InvalidPath, detail).with_attribute(attr.name.clone())
    };
    if let Some(column) = named(&table.columns, &attr.name) {
        return Ok(match column {
            Column::Text(text) => SortKey { value: text.clone(), nullable: true, kind: SortValue::Text },
            Column::RequiredText(text) => {
                SortKey { value: text.clone(), nullable: false, kind: SortValue::Text }
            }
            Column::Boolean(flag) => {
                // PostgreSQL makes no bigint of a boolean directly.
                let value = flag.clone().cast_as("integer").cast_as("bigint");
                SortKey { value, nullable: true, kind: SortValue::Integer }
            }
            Column::Time(at) => SortKey { value: at.clone(), nullable: false, kind: SortValue::Integer },
            Column::Uuid(_) | Column::Always => return Err(refused("has no order of its own")),
            Column::Refused(reason) | Column::Elsewhere(_, reason) => return Err(refused(reason)),
        });
    }

    let json = Json::new(backend);
    let kind = match attr.kind {
        Kind::Integer | Kind::Decimal => SortValue::Real,
        _ => SortValue::Text,
    };
    let read = |json: Json, node: &Node| match kind {
        SortValue::Real => {
            let number = if postgres { json.text(node) } else { json.number(node) };
            Expr::case(
                json.is_number(node),
                number.cast_as(if postgres { "double precision" } else { "real" }),
            )
            .into()
        }
        SortValue::Text | SortValue::Integer => {
            let is_scalar =
                json.is_text(node).or(json.is_boolean(node, true)).or(json.is_boolean(node, false));
            bytewise(Expr::case(is_scalar, json.text(node).cast_as("text")).into(), postgres)
        }
    };
    let value = if attr.multi_valued {
        let of_extension = attr.segments.first().is_some_and(|first| first.contains(':'));
        let length = if of_extension { 2 } else { 1 };
        let (array, inner) = attr.segments.split_at_checked(length).unwrap_or((&attr.segments, &[]));
        json.of_main_element(&Node::of_document(table.search.clone(), array), inner, read)
    } else {
        read(json, &Node::of_document(table.search.clone(), &attr.segments))
    };
    Ok(SortKey { value, nullable: true, kind })
}
