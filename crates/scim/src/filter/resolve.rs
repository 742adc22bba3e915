//! From a filter as written to a query typed by the schema.

use serde_json::Value;

use super::{AttrRef, CompareOp, Filter, Literal, Operand, Query};
use crate::decode::{VALUE, mismatch};
use crate::dialect::Unknown;
use crate::schema::{Attribute, Kind, Located, Name, ResourceType, attribute_name};
use crate::{Dialect, Error, Result, date, fold_str};

/// Matches a filter with a resource type. Errors are `invalidFilter` and name the attribute.
///
/// A complex attribute stands for its `value`: `emails co "@x"`, `manager eq "id"`, `members eq "id"`.
pub fn resolve(filter: &Filter, rt: &ResourceType, dialect: &Dialect) -> Result<Query> {
    let resolver = Resolver { dialect, scope: Scope::Resource(rt) };
    resolver.query(filter)
}

/// Matches a value filter with the elements of `attribute`; segments are relative to the element.
pub(crate) fn resolve_element(filter: &Filter, located: &Located<'_>, dialect: &Dialect) -> Result<Query> {
    let name = attribute_name(located.extension, located.attribute);
    let scope = Scope::Element { attribute: located.attribute, prefix: Vec::new(), name };
    Resolver { dialect, scope }.query(filter)
}

/// Where attribute names are looked up.
enum Scope<'a> {
    Resource(&'a ResourceType),
    /// Inside `[…]`. `prefix` leads from the innermost array element (or the resource) to the object.
    Element {
        attribute: &'a Attribute,
        prefix: Vec<String>,
        name: String,
    },
}

/// An attribute that was found: the steps that lead to it, and what to call it.
struct Found<'a> {
    prefix: Vec<String>,
    /// Name of the first step.
    name: String,
    steps: Vec<&'a Attribute>,
    /// The one step is the element that the scope is about: no key leads to it.
    is_element: bool,
}

impl Found<'_> {
    fn last(&self) -> &Attribute {
        self.steps[self.steps.len() - 1]
    }

    fn build(self, leaf: &dyn Fn(AttrRef) -> Result<Query>) -> Result<Query> {
        if !self.is_element {
            return build(self.prefix, self.name, &self.steps, leaf);
        }
        let element = attr_ref(self.last(), Vec::new(), self.name.clone());
        leaf(AttrRef { multi_valued: false, ..element })
    }
}

struct Resolver<'a> {
    dialect: &'a Dialect,
    scope: Scope<'a>,
}

impl<'a> Resolver<'a> {
    fn query(&self, filter: &Filter) -> Result<Query> {
        Ok(match filter {
            Filter::And(members) => Query::And(self.queries(members)?),
            Filter::Or(members) => Query::Or(self.queries(members)?),
            Filter::Not(inner) => Query::Not(Box::new(self.query(inner)?)),
            Filter::Present(attribute) => self.present(attribute)?,
            Filter::Compare { attribute, op, value } => self.compare(attribute, *op, value)?,
            Filter::ValuePath { attribute, filter } => self.value_path(attribute, filter)?,
        })
    }

    fn queries(&self, filters: &[Filter]) -> Result<Vec<Query>> {
        filters.iter().map(|filter| self.query(filter)).collect()
    }

    fn present(&self, attribute: &str) -> Result<Query> {
        if let Scope::Resource(rt) = &self.scope {
            match rt.find(attribute) {
                Some(Name::Resource) => return Ok(Query::Const(true)),
                Some(Name::Extension(extension)) => {
                    let urn = extension.schema.id.clone();
                    return Ok(Query::Present(AttrRef {
                        segments: vec![urn.clone()],
                        kind: Kind::Complex,
                        multi_valued: false,
                        case_exact: false,
                        name: urn,
                    }));
                }
                Some(Name::Attribute(_)) | None => {}
            }
        }
        let Some(found) = self.find(attribute)? else { return self.unknown(attribute) };
        found.build(&|attr| Ok(Query::Present(attr)))
    }

    fn compare(&self, attribute: &str, op: CompareOp, literal: &Literal) -> Result<Query> {
        let Some(mut found) = self.find(attribute)? else { return self.unknown(attribute) };
        let is_null = *literal == Literal::Null;
        let last = found.steps[found.steps.len() - 1];
        if last.kind == Kind::Complex && !is_null {
            let Some(value) = last.sub_attribute(VALUE) else {
                let subs: Vec<_> = last.sub_attributes.iter().map(|sub| sub.name.as_str()).collect();
                return Err(Error::invalid_filter(format!(
                    "{attribute}: complex; compare one of its sub-attributes: {}",
                    subs.join(", ")
                ))
                .about(&found.name));
            };
            found.steps.push(value);
        }
        let leaf = found.steps[found.steps.len() - 1];
        let operand = if is_null { None } else { self.operand(leaf, op, literal, attribute)? };
        let Some(operand) = operand else {
            let present = found.build(&|attr| Ok(Query::Present(attr)))?;
            return match op {
                CompareOp::Eq => Ok(Query::Not(Box::new(present))),
                CompareOp::Ne => Ok(present),
                _ => Err(Error::invalid_filter(format!(
                    "{attribute}: {} cannot compare with nothing",
                    op.as_str()
                ))),
            };
        };
        found.build(&|attr| {
            let inner = |attr| Query::Compare { attr, op, value: operand.clone() };
            if !attr.multi_valued {
                return Ok(inner(attr));
            }
            // An array of simple values: the element itself is compared.
            let element = AttrRef { segments: Vec::new(), multi_valued: false, ..attr.clone() };
            Ok(Query::Any { attr, inner: Box::new(inner(element)) })
        })
    }

    fn value_path(&self, attribute: &str, filter: &Filter) -> Result<Query> {
        let Some(found) = self.find(attribute)? else { return self.unknown(attribute) };
        let last = found.steps[found.steps.len() - 1];
        if last.kind != Kind::Complex && !last.multi_valued {
            return Err(Error::invalid_filter(format!(
                "{attribute}: neither complex nor multi-valued, takes no [filter]"
            ))
            .about(&found.name));
        }
        found.build(&|attr| {
            let prefix = if attr.multi_valued { Vec::new() } else { attr.segments.clone() };
            let scope = Scope::Element { attribute: last, prefix, name: attr.name.clone() };
            let inner = Resolver { dialect: self.dialect, scope }.query(filter)?;
            if !attr.multi_valued {
                return Ok(inner);
            }
            Ok(Query::Any { attr, inner: Box::new(inner) })
        })
    }

    fn find(&self, name: &str) -> Result<Option<Found<'_>>> {
        let found = match &self.scope {
            Scope::Resource(rt) => match rt.find(name).or_else(|| self.find_bare(rt, name)) {
                None => None,
                Some(Name::Resource | Name::Extension(_)) => {
                    return Err(Error::invalid_filter(format!("{name}: a schema, not an attribute")));
                }
                Some(Name::Attribute(located)) => Some(Found {
                    prefix: located.extension.map(str::to_owned).into_iter().collect(),
                    name: attribute_name(located.extension, located.attribute),
                    steps: std::iter::once(located.attribute).chain(located.sub).collect(),
                    is_element: false,
                }),
            },
            Scope::Element { attribute, prefix, name: parent } if attribute.kind == Kind::Complex => {
                attribute.sub_attribute(name).map(|sub| Found {
                    prefix: prefix.clone(),
                    name: format!("{parent}.{}", sub.name),
                    steps: vec![sub],
                    is_element: false,
                })
            }
            // An element of an array of simple values is its own `value`.
            Scope::Element { attribute, name: parent, .. } => name.eq_ignore_ascii_case(VALUE).then(|| {
                Found { prefix: Vec::new(), name: parent.clone(), steps: vec![attribute], is_element: true }
            }),
        };
        if let Some(found) = &found
            && found.steps.iter().any(|step| step.is_secret())
        {
            return Err(Error::invalid_filter(format!(
                "{name}: never returned, so no filter may ask for it"
            ))
            .about(&found.name));
        }
        Ok(found)
    }

    /// Entra's reference check: `id eq "u" and manager eq "m"` (ENTRA.md, 3.4).
    fn find_bare<'r>(&self, rt: &'r ResourceType, name: &str) -> Option<Name<'r>> {
        if self.dialect.bare_extension_names { rt.find_in_extensions(name) } else { None }
    }

    fn unknown(&self, name: &str) -> Result<Query> {
        match self.dialect.unknown_in_filters {
            Unknown::Ignore => Ok(Query::Const(false)),
            Unknown::Reject => {
                Err(Error::invalid_filter(format!("{name}: no such attribute (see /Schemas)")).about(name))
            }
        }
    }

    /// The literal as a value of the attribute's type; `None` when the dialect reads it as null.
    fn operand(
        &self,
        attribute: &Attribute,
        op: CompareOp,
        literal: &Literal,
        name: &str,
    ) -> Result<Option<Operand>> {
        let allowed = match attribute.kind {
            Kind::String | Kind::Reference => &CompareOp::ALL[..],
            Kind::Boolean | Kind::Binary => &[CompareOp::Eq, CompareOp::Ne],
            Kind::Integer | Kind::Decimal | Kind::DateTime => {
                &[CompareOp::Eq, CompareOp::Ne, CompareOp::Gt, CompareOp::Ge, CompareOp::Lt, CompareOp::Le]
            }
            Kind::Complex => &[],
        };
        if !allowed.contains(&op) {
            let (op, kind) = (op.as_str(), attribute.kind.as_str());
            return Err(
                Error::invalid_filter(format!("{name}: {op} does not apply to type {kind}")).about(name)
            );
        }
        let written = match literal {
            Literal::Null => Value::Null,
            Literal::Boolean(boolean) => (*boolean).into(),
            Literal::Number(number) => Value::Number(number.clone()),
            Literal::String(text) => text.as_str().into(),
        };
        let wrong = |expected| {
            let mut error = mismatch(attribute, expected, &written, name);
            error.kind = crate::ErrorKind::InvalidFilter;
            error
        };
        let value = self.dialect.rewrite_element(attribute, written.clone());
        let operand = match (attribute.kind, &value) {
            (_, Value::Null) => return Ok(None),
            (Kind::String | Kind::Reference | Kind::Binary, Value::String(text)) => {
                Operand::Text(if attribute.case_exact { text.clone() } else { fold_str(text) })
            }
            (Kind::String | Kind::Reference | Kind::Binary, _) => return Err(wrong("a string")),
            (Kind::Boolean, Value::Bool(boolean)) => Operand::Boolean(*boolean),
            (Kind::Boolean, _) => return Err(wrong("true or false")),
            (Kind::Integer | Kind::Decimal, Value::Number(number)) => match (attribute.kind, number.as_i64())
            {
                (Kind::Integer, Some(integer)) => Operand::Integer(integer),
                _ => Operand::Decimal(number.as_f64().ok_or_else(|| wrong("a number"))?),
            },
            (Kind::Integer | Kind::Decimal, _) => return Err(wrong("a number")),
            (Kind::DateTime, Value::String(text)) => match date::parse(text) {
                Some(at) => Operand::Text(date::fold(at)),
                None => return Err(wrong("a dateTime such as \"2011-05-13T04:42:34Z\"")),
            },
            (Kind::DateTime | Kind::Complex, _) => {
                return Err(wrong("a dateTime such as \"2011-05-13T04:42:34Z\""));
            }
        };
        Ok(Some(operand))
    }
}

/// Follows the steps; each array on the way becomes an [`Query::Any`] within which segments start anew.
/// `leaf` gets the last step; when that is multi-valued, it decides what to make of the array.
fn build(
    prefix: Vec<String>,
    name: String,
    steps: &[&Attribute],
    leaf: &dyn Fn(AttrRef) -> Result<Query>,
) -> Result<Query> {
    let (first, rest) = (steps[0], &steps[1..]);
    let mut segments = prefix;
    segments.push(first.name.clone());
    let Some(next) = rest.first() else {
        return leaf(attr_ref(first, segments, name));
    };
    let next_name = format!("{name}.{}", next.name);
    if !first.multi_valued {
        return build(segments, next_name, rest, leaf);
    }
    let inner = build(Vec::new(), next_name, rest, leaf)?;
    Ok(Query::Any { attr: attr_ref(first, segments, name), inner: Box::new(inner) })
}

fn attr_ref(attribute: &Attribute, segments: Vec<String>, name: String) -> AttrRef {
    AttrRef {
        segments,
        kind: attribute.kind,
        multi_valued: attribute.multi_valued,
        case_exact: attribute.case_exact,
        name,
    }
}
