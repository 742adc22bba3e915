//! What a request does to the members of a group, worked out before any member is read.

use platform::ids::GroupId;
use platform::{Error, Result};
use scim::filter::{CompareOp, Operand, Query};
use scim::patch::SetOp;
use scim::resource::SetMember;
use scim::{Dialect, ErrorKind, Warning};
use uuid::Uuid;

/// What a member is. The numbers are those of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum MemberType {
    /// The id belongs to nothing in the tenant (yet): the membership waits.
    Unknown = 0,
    /// A user.
    User = 1,
    /// A group: nesting.
    Group = 2,
}

/// One step; steps are carried out in order, in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Those already in stay.
    Add(Vec<Uuid>),
    /// Those not in do not matter.
    Remove(Vec<Uuid>),
    /// Those that the selection describes.
    RemoveMatching(Selection),
    /// Everyone.
    RemoveAll,
    /// Exactly these.
    Replace(Vec<Uuid>),
}

/// Describes members by what their row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All or nobody.
    Const(bool),
    /// Every one of these holds.
    And(Vec<Selection>),
    /// One of these holds.
    Or(Vec<Selection>),
    /// It does not hold.
    Not(Box<Selection>),
    /// `value eq`.
    Id(Uuid),
    /// `type eq`.
    Type(MemberType),
}

/// The steps of a request, and what of it was skipped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// One per value skipped.
    pub warnings: Vec<Warning>,
}

impl Plan {
    /// The members of a POST body.
    ///
    /// # Errors
    /// As [`Plan::patch`].
    pub fn create(members: Option<Vec<SetMember>>, dialect: &Dialect) -> Result<Self> {
        let mut plan = Plan::default();
        if let Some(members) = members {
            let ids = plan.ids(&members, dialect)?;
            plan.steps.push(Step::Add(ids));
        }
        Ok(plan)
    }

    /// The members of a PUT body: absent means none (RFC 7644, section 3.5.1).
    ///
    /// # Errors
    /// As [`Plan::patch`].
    pub fn replace(members: Option<Vec<SetMember>>, dialect: &Dialect) -> Result<Self> {
        let mut plan = Plan::default();
        match members {
            Some(members) => {
                let ids = plan.ids(&members, dialect)?;
                plan.steps.push(Step::Replace(ids));
            }
            None => plan.steps.push(Step::RemoveAll),
        }
        Ok(plan)
    }

    /// The operations of a PATCH on `members`.
    ///
    /// # Errors
    /// `InvalidValue` for a value that is no id where the dialect does not skip it, `InvalidFilter` for a selection by
    /// anything but `value` and `type`.
    pub fn patch(operations: &[SetOp], dialect: &Dialect) -> Result<Self> {
        let mut plan = Plan::default();
        for operation in operations {
            let step = match operation {
                SetOp::Add(members) => Step::Add(plan.ids(members, dialect)?),
                SetOp::Remove(members) => Step::Remove(plan.ids(members, dialect)?),
                SetOp::RemoveMatching(query) => remove_matching(query)?,
                SetOp::RemoveAll => Step::RemoveAll,
                SetOp::Replace(members) => Step::Replace(plan.ids(members, dialect)?),
            };
            plan.steps.push(step);
        }
        Ok(plan)
    }

    /// The ids, sorted, each once. Sorted, so that two transactions that touch the same rows meet in the same order.
    fn ids(&mut self, members: &[SetMember], dialect: &Dialect) -> Result<Vec<Uuid>> {
        let mut ids = Vec::with_capacity(members.len());
        for member in members {
            match member.value.parse::<GroupId>() {
                Ok(id) => ids.push(id.uuid()),
                Err(_) if skips_what_is_no_id(dialect) => self.warnings.push(Warning {
                    attribute: "members.value".to_owned(),
                    detail: "a member was skipped: its value must be the id of a user or group, a UUID in lower case".to_owned(),
                }),
                Err(_) => {
                    let detail = "members.value must be the id of a user or group: a UUID in lower case";
                    return Err(Error::invalid_value(detail).with_attribute("members.value"));
                }
            }
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

/// One bad reference must not keep the other members of a request out: Entra would retry it whole for days.
fn skips_what_is_no_id(dialect: &Dialect) -> bool {
    dialect.name == Dialect::ENTRA.name || dialect.name == Dialect::OKTA.name
}

fn remove_matching(query: &Query) -> Result<Step> {
    Ok(match selection(query)? {
        // By far the most frequent one, and then the row is found by its key.
        Selection::Id(id) => Step::Remove(vec![id]),
        Selection::Const(true) => Step::RemoveAll,
        other => Step::RemoveMatching(other),
    })
}

/// A value filter on `members` as a selection of rows.
///
/// # Errors
/// `InvalidFilter` when it looks at anything but `value` and `type`, or compares them other than by eq and ne.
pub fn selection(query: &Query) -> Result<Selection> {
    Ok(match query {
        Query::Const(all) => Selection::Const(*all),
        Query::And(parts) => Selection::And(parts.iter().map(selection).collect::<Result<_>>()?),
        Query::Or(parts) => Selection::Or(parts.iter().map(selection).collect::<Result<_>>()?),
        Query::Not(inner) => Selection::Not(Box::new(selection(inner)?)),
        Query::Compare { attr, op: CompareOp::Eq, value: Operand::Text(text) } => equals(&attr.segments, text)?,
        Query::Compare { attr, op: CompareOp::Ne, value: Operand::Text(text) } => {
            Selection::Not(Box::new(equals(&attr.segments, text)?))
        }
        Query::Present(attr) if attr.segments == ["value"] => Selection::Const(true),
        Query::Present(attr) if attr.segments == ["type"] => {
            Selection::Not(Box::new(Selection::Type(MemberType::Unknown)))
        }
        Query::Compare { attr, .. } | Query::Present(attr) | Query::Any { attr, .. } => {
            return Err(not_selectable(&attr.name));
        }
    })
}

fn equals(segments: &[String], text: &str) -> Result<Selection> {
    match segments {
        [sub] if sub == "value" => {
            Ok(text.parse::<GroupId>().map_or(Selection::Const(false), |id| Selection::Id(id.uuid())))
        }
        [sub] if sub == "type" => Ok(match text {
            "user" => Selection::Type(MemberType::User),
            "group" => Selection::Type(MemberType::Group),
            _ => Selection::Const(false),
        }),
        _ => Err(not_selectable(&format!("members.{}", segments.join(".")))),
    }
}

fn not_selectable(name: &str) -> Error {
    let detail = format!("{name} cannot be used here: members are found by `value` and by `type`, with eq and ne");
    Error::new(ErrorKind::InvalidFilter, detail).with_attribute(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(value: &str) -> SetMember {
        SetMember { value: value.to_owned(), kind: None }
    }

    const A: &str = "0190a000-0000-7000-8000-00000000000a";
    const B: &str = "0190a000-0000-7000-8000-00000000000b";

    #[test]
    fn ids_are_sorted_and_named_once() {
        let plan = Plan::patch(&[SetOp::Add(vec![member(B), member(A), member(B)])], &Dialect::ENTRA).unwrap();
        assert_eq!(plan.steps, [Step::Add(vec![A.parse().unwrap(), B.parse().unwrap()])]);
        assert!(plan.warnings.is_empty());
    }

    #[test]
    fn what_is_no_id_is_skipped_or_refused_by_dialect() {
        let operations = [SetOp::Add(vec![member("bob"), member(A)])];
        let plan = Plan::patch(&operations, &Dialect::ENTRA).unwrap();
        assert_eq!(plan.steps, [Step::Add(vec![A.parse().unwrap()])]);
        assert_eq!(plan.warnings.len(), 1);
        for dialect in [Dialect::RFC, Dialect::INTEROP] {
            assert_eq!(Plan::patch(&operations, &dialect).unwrap_err().kind, ErrorKind::InvalidValue);
        }
    }

    #[test]
    fn put_without_members_clears_and_post_without_does_nothing() {
        assert_eq!(Plan::replace(None, &Dialect::RFC).unwrap().steps, [Step::RemoveAll]);
        assert_eq!(Plan::create(None, &Dialect::RFC).unwrap().steps, []);
    }
}
