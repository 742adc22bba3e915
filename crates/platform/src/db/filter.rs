//! SCIM filters to SQL: a resolved [`Query`] becomes one condition, with the same answer on SQLite and PostgreSQL and
//! the same as `scim::filter::eval` gives on the folded resource.
//!
//! What is indexed is named in a [`Table`]: attributes that rest in columns, and multi-valued ones that rest in rows of a
//! side table. Everything else is looked up in the folded JSON copy (`search`). Three rules keep the two databases equal:
//!
//! - A condition is never NULL: `not` must be the plain opposite, so absence is spelled out.
//! - Text compares byte by byte: columns are `COLLATE "C"` on PostgreSQL, other expressions are made so here. There is no
//!   LIKE: `co` is `instr`/`strpos`, `sw` a range of the order, `ew` the last characters.
//! - Values and JSON keys are bound, never written into the statement.
//!
//! # Making an attribute indexed
//! Add a column that holds what `scim::fold` makes of it, and name it in the service's [`Table`].

mod json;
mod order;
#[cfg(test)]
mod tests;

pub use order::{SortKey, SortValue, sort_key};

use scim::filter::{AttrRef, CompareOp, Operand, Query};
use sea_orm::DbBackend;
use sea_orm::sea_query::{BinOper, Expr, ExprTrait, Func, SelectStatement, SubQueryStatement};
use uuid::Uuid;

use self::json::{Json, Node};
use crate::error::{Error, Result};

/// Where the attributes of a resource rest. Names are those of [`AttrRef::name`].
pub struct Table {
    /// The id column, never null.
    pub id: Expr,
    /// The folded JSON copy.
    pub search: Expr,
    /// Attributes that rest in columns.
    pub columns: Vec<(&'static str, Column)>,
    /// Multi-valued attributes that rest in rows.
    pub rows: Vec<Rows>,
}

/// A column that holds what the folded copy would hold.
pub enum Column {
    /// Folded text, NULL when absent, `COLLATE "C"` on PostgreSQL.
    Text(Expr),
    /// Folded text that is never NULL.
    RequiredText(Expr),
    /// A UUID that is never NULL; its text is lower case with hyphens.
    Uuid(Expr),
    /// A boolean, NULL when absent.
    Boolean(Expr),
    /// Microseconds since the Unix epoch, never NULL; the attribute is a dateTime.
    Time(Expr),
    /// A complex attribute that every resource has: present, and never compared as such.
    Always,
    /// Cannot be asked of this database; the reason, for the client.
    Refused(&'static str),
    /// A multi-valued complex attribute that another service has. That service was asked beforehand for whom these terms
    /// are true; everything else is refused with this reason, for the client.
    Elsewhere(Vec<Term>, &'static str),
}

/// `attribute eq value` of an attribute that rests [`Column::Elsewhere`], answered.
pub struct Term {
    /// The sub-attribute by its absolute name: `groups.value`.
    pub attribute: String,
    /// As the query has it: folded.
    pub value: String,
    /// The resources of which the term is true.
    pub ids: Vec<Uuid>,
}

/// A multi-valued attribute whose elements are rows of a side table.
pub struct Rows {
    /// The attribute.
    pub attribute: &'static str,
    /// Selects the owner's id from the side table, already limited to the tenant.
    pub owners: SelectStatement,
    /// Sub-attributes that rest in columns of the side table, by their absolute name: `emails.value`.
    pub columns: Vec<(&'static str, Column)>,
    /// Whether the folded copy has the attribute too; then sub-attributes without a column are looked up there.
    pub in_search: bool,
}

/// The condition that is true for exactly the resources that satisfy `query`.
///
/// # Errors
/// `InvalidFilter` for what cannot be asked of this database, naming the attribute.
pub fn compile(query: &Query, table: &Table, backend: DbBackend) -> Result<Expr> {
    Compiler { table, json: Json::new(backend), postgres: backend == DbBackend::Postgres }
        .condition(query, Scope::Resource)
}

/// What names in a query are relative to.
#[derive(Clone, Copy)]
enum Scope<'a> {
    /// The resource.
    Resource,
    /// A row of a side table.
    Row(&'a Rows),
    /// An element of a JSON array, the n-th array deep.
    Element(usize),
}

struct Compiler<'a> {
    table: &'a Table,
    json: Json,
    postgres: bool,
}

impl Compiler<'_> {
    fn condition(&self, query: &Query, scope: Scope<'_>) -> Result<Expr> {
        match query {
            Query::Const(holds) => Ok(constant(*holds)),
            Query::And(parts) => {
                let mut all = Vec::with_capacity(parts.len());
                for part in parts {
                    all.push(self.condition(part, scope)?);
                }
                Ok(all.into_iter().reduce(ExprTrait::and).unwrap_or_else(|| constant(true)))
            }
            Query::Or(parts) => {
                let mut any = Vec::with_capacity(parts.len());
                for part in parts {
                    any.push(self.condition(part, scope)?);
                }
                Ok(any.into_iter().reduce(ExprTrait::or).unwrap_or_else(|| constant(false)))
            }
            Query::Not(inner) => Ok(self.condition(inner, scope)?.not()),
            Query::Compare { attr, op: CompareOp::Ne, value } => {
                Ok(self.compare(attr, CompareOp::Eq, value, scope)?.not())
            }
            Query::Compare { attr, op, value } => self.compare(attr, *op, value, scope),
            Query::Present(attr) => self.present(attr, scope),
            Query::Any { attr, inner } => self.any(attr, inner, scope),
        }
    }

    fn compare(&self, attr: &AttrRef, op: CompareOp, value: &Operand, scope: Scope<'_>) -> Result<Expr> {
        match self.column(attr, scope)? {
            Some(column) => self.compare_column(attr, column, op, value),
            None => Ok(self.compare_json(&node(self.table, attr, scope), op, value)),
        }
    }

    /// The column of an attribute, when it has one.
    fn column<'a>(&'a self, attr: &AttrRef, scope: Scope<'a>) -> Result<Option<&'a Column>> {
        let found = match scope {
            Scope::Resource => named(&self.table.columns, &attr.name),
            Scope::Row(rows) => {
                let column = named(&rows.columns, &attr.name);
                if column.is_none() {
                    let detail = format!("{}: cannot be used in a filter here", attr.name);
                    return Err(invalid(attr, detail));
                }
                column
            }
            Scope::Element(_) => None,
        };
        if let Some(Column::Refused(reason) | Column::Elsewhere(_, reason)) = found {
            return Err(invalid(attr, format!("{}: {reason}", attr.name)));
        }
        Ok(found)
    }

    fn compare_column(
        &self,
        attr: &AttrRef,
        column: &Column,
        op: CompareOp,
        value: &Operand,
    ) -> Result<Expr> {
        Ok(match (column, value) {
            (Column::Text(text), Operand::Text(value)) => {
                text.clone().is_not_null().and(self.compare_text(text.clone(), op, value))
            }
            (Column::RequiredText(text), Operand::Text(value)) => self.compare_text(text.clone(), op, value),
            (Column::Uuid(id), Operand::Text(value)) if op == CompareOp::Eq => match canonical_uuid(value) {
                Some(value) => id.clone().eq(value),
                None => constant(false),
            },
            (Column::Uuid(id), Operand::Text(value)) => self.compare_text(self.uuid_text(id), op, value),
            (Column::Boolean(flag), Operand::Boolean(value)) => {
                flag.clone().is_not_null().and(flag.clone().eq(*value))
            }
            (Column::Time(at), Operand::Text(value)) => {
                let Some(micros) = scim::date::parse(value).and_then(micros) else {
                    return Ok(constant(false));
                };
                let at = at.clone();
                match op {
                    CompareOp::Eq | CompareOp::Ne => at.eq(micros),
                    CompareOp::Gt => at.gt(micros),
                    CompareOp::Ge => at.gte(micros),
                    CompareOp::Lt => at.lt(micros),
                    CompareOp::Le => at.lte(micros),
                    CompareOp::Co | CompareOp::Sw | CompareOp::Ew => {
                        let detail = format!("{}: a dateTime compares by eq, ne, gt, ge, lt, le", attr.name);
                        return Err(invalid(attr, detail));
                    }
                }
            }
            // The types differ, so no value is equal, less or more.
            _ => constant(false),
        })
    }

    fn compare_json(&self, node: &Node, op: CompareOp, value: &Operand) -> Expr {
        let matches = match value {
            Operand::Text(value) => {
                let text = self.bytewise(self.json.text(node));
                self.json.is_text(node).and(self.compare_text(text, op, value))
            }
            Operand::Boolean(value) => self.json.is_boolean(node, *value),
            Operand::Integer(value) => {
                self.json.is_number(node).and(ordered(self.json.number(node), op, self.json.integer(*value)))
            }
            Operand::Decimal(value) => {
                self.json.is_number(node).and(ordered(self.json.number(node), op, self.json.decimal(*value)))
            }
        };
        never_null(matches)
    }

    /// `text` is not null here, and compares byte by byte.
    fn compare_text(&self, text: Expr, op: CompareOp, value: &str) -> Expr {
        let length = i32::try_from(value.chars().count()).unwrap_or(i32::MAX);
        match op {
            CompareOp::Co | CompareOp::Sw | CompareOp::Ew if value.is_empty() => constant(true),
            CompareOp::Co if self.postgres => call("strpos", [text, value.into()]).gt(0),
            CompareOp::Co => call("instr", [text, value.into()]).gt(0),
            CompareOp::Ew if self.postgres => call("right", [text, length.into()]).eq(value),
            CompareOp::Ew => call("substr", [text, (-length).into()]).eq(value),
            CompareOp::Sw => {
                let from = text.clone().gte(value);
                match after_prefix(value) {
                    Some(end) => from.and(text.lt(end)),
                    None => from,
                }
            }
            CompareOp::Eq | CompareOp::Ne | CompareOp::Gt | CompareOp::Ge | CompareOp::Lt | CompareOp::Le => {
                ordered(text, op, value.into())
            }
        }
    }

    fn present(&self, attr: &AttrRef, scope: Scope<'_>) -> Result<Expr> {
        if matches!(scope, Scope::Resource)
            && let Some(rows) = self.table.rows.iter().find(|rows| rows.attribute == attr.name)
        {
            return Ok(self.table.id.clone().in_subquery(rows.owners.clone()));
        }
        Ok(match self.column(attr, scope)? {
            Some(Column::Text(text)) => text.clone().is_not_null().and(text.clone().ne("")),
            Some(Column::RequiredText(text)) => text.clone().ne(""),
            Some(Column::Boolean(flag)) => flag.clone().is_not_null(),
            Some(_) => constant(true),
            None => never_null(self.json.is_present(&node(self.table, attr, scope))),
        })
    }

    fn any(&self, attr: &AttrRef, inner: &Query, scope: Scope<'_>) -> Result<Expr> {
        let Scope::Resource = scope else { return self.any_element(attr, inner, scope) };
        if let Some(Column::Elsewhere(terms, _)) = named(&self.table.columns, &attr.name)
            && let Some(term) = terms.iter().find(|term| term.answers(inner))
        {
            return Ok(self.one_of(&term.ids));
        }
        // An attribute that is refused as a whole says so through its own entry.
        self.column(attr, scope)?;
        let Some(rows) = self.table.rows.iter().find(|rows| rows.attribute == attr.name) else {
            return self.any_element(attr, inner, scope);
        };
        if rows.in_search && !covered(inner, &rows.columns) {
            return self.any_element(attr, inner, scope);
        }
        let mut owners = rows.owners.clone();
        owners.and_where(self.condition(inner, Scope::Row(rows))?);
        Ok(self.table.id.clone().in_subquery(owners))
    }

    /// The id is one of these. They are one bound value, however many there are: statements have room for some
    /// thousands, and a database plans the same statement once.
    fn one_of(&self, ids: &[Uuid]) -> Expr {
        let list = |text: Vec<String>| serde_json::Value::from(text).to_string();
        let (condition, ids) = if self.postgres {
            let ids = list(ids.iter().map(|id| id.hyphenated().to_string()).collect());
            ("$1 IN (SELECT CAST(value AS uuid) FROM jsonb_array_elements_text(CAST($2 AS jsonb)))", ids)
        } else {
            // SQLite keeps ids as 16 bytes.
            let ids = list(ids.iter().map(|id| id.simple().to_string()).collect());
            ("? IN (SELECT unhex(value) FROM json_each(?))", ids)
        };
        Expr::cust_with_exprs(condition, [self.table.id.clone(), ids.into()])
    }

    fn any_element(&self, attr: &AttrRef, inner: &Query, scope: Scope<'_>) -> Result<Expr> {
        let depth = match scope {
            Scope::Element(depth) => depth + 1,
            Scope::Resource | Scope::Row(_) => 0,
        };
        let mut elements = self.json.elements(&node(self.table, attr, scope), depth);
        elements.and_where(self.condition(inner, Scope::Element(depth))?);
        Ok(Expr::exists(elements))
    }

    fn bytewise(&self, text: Expr) -> Expr {
        bytewise(text, self.postgres)
    }

    /// The text of a UUID column, which SQLite keeps as 16 bytes.
    fn uuid_text(&self, id: &Expr) -> Expr {
        if self.postgres {
            return self.bytewise(id.clone().cast_as("text"));
        }
        let hex = |from: i32, length: i32| {
            call("substr", [call("lower", [call("hex", [id.clone()])]), from.into(), length.into()])
        };
        let join = |left: Expr, right: Expr| left.binary(BinOper::Custom("||"), right);
        [hex(9, 4), hex(13, 4), hex(17, 4), hex(21, 12)]
            .into_iter()
            .fold(hex(1, 8), |text, part| join(join(text, "-".into()), part))
    }
}

impl Term {
    /// Whether that condition on an element is this term.
    fn answers(&self, inner: &Query) -> bool {
        let Query::Compare { attr, op: CompareOp::Eq, value: Operand::Text(value) } = inner else {
            return false;
        };
        attr.name == self.attribute && *value == self.value
    }
}

fn node(table: &Table, attr: &AttrRef, scope: Scope<'_>) -> Node {
    match scope {
        Scope::Element(depth) => Node::of_element(depth, &attr.segments),
        Scope::Resource | Scope::Row(_) => Node::of_document(table.search.clone(), &attr.segments),
    }
}

fn named<'a>(columns: &'a [(&'static str, Column)], name: &str) -> Option<&'a Column> {
    columns.iter().find(|(known, _)| *known == name).map(|(_, column)| column)
}

/// Whether every attribute that the query names has a column.
fn covered(query: &Query, columns: &[(&'static str, Column)]) -> bool {
    match query {
        Query::Const(_) => true,
        Query::And(parts) | Query::Or(parts) => parts.iter().all(|part| covered(part, columns)),
        Query::Not(inner) => covered(inner, columns),
        Query::Compare { attr, .. } | Query::Present(attr) => named(columns, &attr.name).is_some(),
        Query::Any { .. } => false,
    }
}

fn ordered(left: Expr, op: CompareOp, right: Expr) -> Expr {
    match op {
        CompareOp::Eq => left.eq(right),
        CompareOp::Ne => left.ne(right),
        CompareOp::Gt => left.gt(right),
        CompareOp::Ge => left.gte(right),
        CompareOp::Lt => left.lt(right),
        CompareOp::Le => left.lte(right),
        // Only text has parts, and text does not come here with these.
        CompareOp::Co | CompareOp::Sw | CompareOp::Ew => constant(false),
    }
}

/// The smallest text that is greater than every text with this prefix; `None` when there is none.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        // The order of UTF-8 bytes is that of code points; surrogates are not characters.
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            char::MAX => None,
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Some(end.into_iter().collect());
        }
    }
    None
}

/// A UUID in the one spelling that ids have.
fn canonical_uuid(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|id| id.hyphenated().to_string() == text)
}

fn micros(at: time::OffsetDateTime) -> Option<i64> {
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1000)).ok()
}

fn bytewise(text: Expr, postgres: bool) -> Expr {
    if postgres { Expr::cust_with_expr("($1) COLLATE \"C\"", text) } else { text }
}

fn constant(holds: bool) -> Expr {
    Expr::cust(if holds { "TRUE" } else { "FALSE" })
}

/// Text of ours, as part of the statement.
fn literal(text: &'static str) -> Expr {
    Expr::Constant(text.into())
}

fn never_null(condition: Expr) -> Expr {
    call("coalesce", [condition, constant(false)])
}

fn call<const N: usize>(function: &'static str, arguments: [Expr; N]) -> Expr {
    Func::cust(function).args(arguments).into()
}

fn subquery(select: SelectStatement) -> Expr {
    Expr::SubQuery(None, Box::new(SubQueryStatement::SelectStatement(select)))
}

fn invalid(attr: &AttrRef, detail: String) -> Error {
    Error::new(scim::ErrorKind::InvalidFilter, detail).with_attribute(attr.name.clone())
}
