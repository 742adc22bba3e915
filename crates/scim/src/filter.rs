//! Filters (RFC 7644, section 3.4.2.2): text → [`Filter`] → [`Query`], which is typed by the schema and becomes SQL.

mod eval;
mod parse;
mod print;
mod resolve;

pub use eval::eval;
pub(crate) use parse::Parser;
pub use resolve::resolve;
pub(crate) use resolve::resolve_element;

use crate::schema::Kind;

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    Eq,
    Ne,
    /// contains
    Co,
    /// starts with
    Sw,
    /// ends with
    Ew,
    Gt,
    Ge,
    Lt,
    Le,
}

impl CompareOp {
    /// Every operator.
    pub const ALL: [CompareOp; 9] = [
        CompareOp::Eq,
        CompareOp::Ne,
        CompareOp::Co,
        CompareOp::Sw,
        CompareOp::Ew,
        CompareOp::Gt,
        CompareOp::Ge,
        CompareOp::Lt,
        CompareOp::Le,
    ];

    /// As filters spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            CompareOp::Eq => "eq",
            CompareOp::Ne => "ne",
            CompareOp::Co => "co",
            CompareOp::Sw => "sw",
            CompareOp::Ew => "ew",
            CompareOp::Gt => "gt",
            CompareOp::Ge => "ge",
            CompareOp::Lt => "lt",
            CompareOp::Le => "le",
        }
    }

    /// From a filter, in any case.
    pub fn from_spelling(text: &str) -> Option<CompareOp> {
        CompareOp::ALL.into_iter().find(|op| op.as_str().eq_ignore_ascii_case(text))
    }
}

/// A literal as written in a filter.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    Null,
    Boolean(bool),
    Number(serde_json::Number),
    String(String),
}

/// A filter as written: not yet matched with a schema. Attribute names are kept as they came.
/// `And` and `Or` have at least two members, and no member of their own kind (they are flattened).
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    /// `userName eq "x"`
    Compare {
        attribute: String,
        op: CompareOp,
        value: Literal,
    },
    /// `title pr`
    Present(String),
    /// `emails[type eq "work" and value co "@x"]`. What clients write as `emails[type eq "work"].value eq "x"`
    /// is parsed into `emails[type eq "work" and value eq "x"]`.
    ValuePath {
        attribute: String,
        filter: Box<Filter>,
    },
}

impl Filter {
    /// All of them; `And` of several, flattened, or the only one.
    ///
    /// # Panics
    /// Without any.
    pub fn all(filters: Vec<Filter>) -> Filter {
        let mut members = Vec::with_capacity(filters.len());
        for filter in filters {
            match filter {
                Filter::And(inner) => members.extend(inner),
                other => members.push(other),
            }
        }
        if members.len() > 1 { Filter::And(members) } else { members.pop().expect("at least one filter") }
    }

    /// Any of them; `Or` of several, flattened, or the only one.
    ///
    /// # Panics
    /// Without any.
    pub fn any(filters: Vec<Filter>) -> Filter {
        let mut members = Vec::with_capacity(filters.len());
        for filter in filters {
            match filter {
                Filter::Or(inner) => members.extend(inner),
                other => members.push(other),
            }
        }
        if members.len() > 1 { Filter::Or(members) } else { members.pop().expect("at least one filter") }
    }
}

impl Query {
    /// How many comparisons it has.
    pub fn terms(&self) -> usize {
        match self {
            Query::And(members) | Query::Or(members) => members.iter().map(Query::terms).sum(),
            Query::Not(inner) | Query::Any { inner, .. } => inner.terms(),
            Query::Const(_) | Query::Compare { .. } | Query::Present(_) => 1,
        }
    }
}

/// The right-hand side of a comparison, of the attribute's type and folded like the searchable copy:
/// lower-cased unless caseExact, dateTimes as `YYYY-MM-DDTHH:MM:SS.ffffffZ`. Never null.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// String, Reference, Binary, and (normalised) DateTime.
    Text(String),
    Boolean(bool),
    Integer(i64),
    /// A Decimal attribute, or a fractional literal against an Integer one.
    Decimal(f64),
}

/// Where a comparison looks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttrRef {
    /// JSON keys in the schema's spelling: `["userName"]`, `["name","givenName"]`, `["urn:…:User","manager","value"]`.
    /// Inside [`Query::Any`] relative to the element: `["type"]`; empty means the element itself (an array of strings).
    pub segments: Vec<String>,
    pub kind: Kind,
    /// Only ever true for `Any::attr`, for `Present`, and in [`crate::sort::resolve`]; a `Compare` is always about one value.
    pub multi_valued: bool,
    pub case_exact: bool,
    /// As an error message or a client would write it: `emails.type`, `urn:…:User:manager.value`. Absolute, also inside `Any`.
    pub name: String,
}

/// A filter matched with a resource type: what the database layer compiles and [`eval()`] evaluates.
///
/// Two-valued logic, no SQL nulls: a comparison with something absent is false, but for `Ne`, which is always exactly
/// the opposite of `Eq` on the same single value, and so true where the value is absent. `Not` is the plain opposite.
/// On something multi-valued a comparison is an [`Query::Any`]: true when it is true for at least one element, so
/// `emails.type ne "work"` asks for an element that is not of type work, and is false without any element.
/// Comparisons with null have become `Present` (`ne null`) and `Not(Present)` (`eq null`).
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// Always; with an unknown attribute in a tolerant dialect: never.
    Const(bool),
    And(Vec<Query>),
    Or(Vec<Query>),
    Not(Box<Query>),
    /// A comparison of one value. `Co`, `Sw`, `Ew` only with text; `Gt`…`Le` never with booleans.
    Compare {
        attr: AttrRef,
        op: CompareOp,
        value: Operand,
    },
    /// Present: not null, not `""`, not an empty array or object.
    Present(AttrRef),
    /// Some element of a multi-valued attribute (complex or simple) satisfies `inner`, whose segments are relative to it.
    Any {
        attr: AttrRef,
        inner: Box<Query>,
    },
}
