//! What a request does to the members of a group, worked out before any member is read.

use std::collections::BTreeSet;

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
    /// No id is in both.
    Change {
        /// Those already in stay.
        add: BTreeSet<Uuid>,
        /// Those not in do not matter.
        remove: BTreeSet<Uuid>,
    },
    /// Removes those that one of the selections describes.
    RemoveMatching(Vec<Selection>),
    /// Exactly these.
    Replace(BTreeSet<Uuid>),
}

/// The most filters of one PATCH that remove members without naming them: each looks at every member of the group. Equal ones
/// count once, unless members are added in between.
const MOST_SEARCHES: usize = 10;

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

impl Selection {
    /// The ids it names, when it is about nothing else.
    fn ids(&self) -> Option<BTreeSet<Uuid>> {
        match self {
            Self::Id(id) => Some(BTreeSet::from([*id])),
            Self::Or(parts) => {
                let mut ids = BTreeSet::new();
                for part in parts {
                    ids.extend(part.ids()?);
                }
                Some(ids)
            }
            Self::Const(_) | Self::And(_) | Self::Not(_) | Self::Type(_) => None,
        }
    }
}

/// The steps of a request, and what of it was skipped.
///
/// Operations that follow one another are folded: of several on the same member the last one decides, and a thousand
/// operations with one member each, as Entra sends them, become one step.
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
        let ids = plan.ids(members.as_deref().unwrap_or_default(), dialect)?;
        plan.add(ids);
        Ok(plan)
    }

    /// The members of a PUT body: absent means none (RFC 7644, section 3.5.1).
    ///
    /// # Errors
    /// As [`Plan::patch`].
    pub fn replace(members: Option<Vec<SetMember>>, dialect: &Dialect) -> Result<Self> {
        let mut plan = Plan::default();
        let ids = plan.ids(members.as_deref().unwrap_or_default(), dialect)?;
        plan.set(ids);
        Ok(plan)
    }

    /// The operations of a PATCH on `members`.
    ///
    /// # Errors
    /// `InvalidValue` for a value that is no id where the dialect does not skip it, `InvalidFilter` for a selection by
    /// anything but `value` and `type`, `TooMany` for too many selections that name nobody.
    pub fn patch(operations: &[SetOp], dialect: &Dialect) -> Result<Self> {
        let mut plan = Plan::default();
        for operation in operations {
            match operation {
                SetOp::Add(members) => {
                    let ids = plan.ids(members, dialect)?;
                    plan.add(ids);
                }
                SetOp::Remove(members) => {
                    let ids = plan.ids(members, dialect)?;
                    plan.remove(ids);
                }
                SetOp::RemoveMatching(query) => match selection(query)? {
                    Selection::Const(false) => {}
                    Selection::Const(true) => plan.set(BTreeSet::new()),
                    selected => match selected.ids() {
                        // By far the most frequent one, and then the rows are found by their key.
                        Some(ids) => plan.remove(ids),
                        None => plan.remove_matching(selected),
                    },
                },
                SetOp::RemoveAll => plan.set(BTreeSet::new()),
                SetOp::Replace(members) => {
                    let ids = plan.ids(members, dialect)?;
                    plan.set(ids);
                }
            }
        }
        plan.check_searches()?;
        Ok(plan)
    }

    fn check_searches(&self) -> Result<()> {
        let searches = |step: &Step| match step {
            Step::RemoveMatching(selections) => selections.len(),
            Step::Change { .. } | Step::Replace(_) => 0,
        };
        if self.steps.iter().map(searches).sum::<usize>() <= MOST_SEARCHES {
            return Ok(());
        }
        let detail = format!(
            "more than {MOST_SEARCHES} operations remove members by a filter, and each has to look at all members of the \
             group; name the members instead: members[value eq \"<id>\"]"
        );
        Err(Error::new(ErrorKind::TooMany, detail).with_attribute("members"))
    }

    /// Selections that follow one another become one step: in which order they remove does not matter.
    fn remove_matching(&mut self, selection: Selection) {
        match self.steps.last_mut() {
            Some(Step::RemoveMatching(selections)) => {
                if !selections.contains(&selection) {
                    selections.push(selection);
                }
            }
            _ => self.steps.push(Step::RemoveMatching(vec![selection])),
        }
    }

    fn add(&mut self, ids: BTreeSet<Uuid>) {
        match self.steps.last_mut() {
            Some(Step::Change { add, remove }) => {
                remove.retain(|id| !ids.contains(id));
                add.extend(ids);
            }
            Some(Step::Replace(set)) => set.extend(ids),
            Some(Step::RemoveMatching(_)) | None => {
                self.steps.push(Step::Change { add: ids, remove: BTreeSet::new() });
            }
        }
    }

    fn remove(&mut self, ids: BTreeSet<Uuid>) {
        match self.steps.last_mut() {
            Some(Step::Change { add, remove }) => {
                add.retain(|id| !ids.contains(id));
                remove.extend(ids);
            }
            Some(Step::Replace(set)) => set.retain(|id| !ids.contains(id)),
            Some(Step::RemoveMatching(_)) | None => {
                self.steps.push(Step::Change { add: BTreeSet::new(), remove: ids });
            }
        }
    }

    /// Whatever came before has no effect any more.
    fn set(&mut self, ids: BTreeSet<Uuid>) {
        self.steps = vec![Step::Replace(ids)];
    }

    fn ids(&mut self, members: &[SetMember], dialect: &Dialect) -> Result<BTreeSet<Uuid>> {
        let mut ids = BTreeSet::new();
        for member in members {
            match member.value.parse::<GroupId>() {
                Ok(id) => {
                    ids.insert(id.uuid());
                }
                Err(_) if skips_what_is_no_id(dialect) => self.warnings.push(Warning {
                    attribute: "members.value".to_owned(),
                    detail: "a member was skipped: its value must be the id of a user or group, a UUID in lower case"
                        .to_owned(),
                }),
                Err(_) => {
                    let detail = "members.value must be the id of a user or group: a UUID in lower case";
                    return Err(Error::invalid_value(detail).with_attribute("members.value"));
                }
            }
        }
        Ok(ids)
    }
}

/// One bad reference must not keep the other members of a request out: Entra would retry it whole for days.
fn skips_what_is_no_id(dialect: &Dialect) -> bool {
    dialect.skip_foreign_members
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
        Query::Compare { attr, op: CompareOp::Eq, value: Operand::Text(text) } => {
            equals(&attr.segments, text)?
        }
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
    let detail =
        format!("{name} cannot be used here: members are found by `value` and by `type`, with eq and ne");
    Error::new(ErrorKind::InvalidFilter, detail).with_attribute(name)
}

#[cfg(test)]
mod tests {
    use scim::filter::AttrRef;
    use scim::schema::Kind;

    use super::*;

    fn member(value: &str) -> SetMember {
        SetMember { value: value.to_owned(), kind: None }
    }

    const A: &str = "0190a000-0000-7000-8000-00000000000a";
    const B: &str = "0190a000-0000-7000-8000-00000000000b";

    fn change(add: &[&str], remove: &[&str]) -> Step {
        let ids = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Step::Change { add: ids(add), remove: ids(remove) }
    }

    fn replace(ids: &[&str]) -> Step {
        Step::Replace(ids.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn plan(operations: &[SetOp]) -> Vec<Step> {
        Plan::patch(operations, &Dialect::ENTRA).unwrap().steps
    }

    #[test]
    fn many_operations_become_one_step_and_the_last_one_decides() {
        let add = |id| SetOp::Add(vec![member(id), member(id)]);
        let remove = |id| SetOp::Remove(vec![member(id)]);
        assert_eq!(plan(&[add(A), add(B)]), [change(&[A, B], &[])]);
        assert_eq!(plan(&[add(A), remove(A)]), [change(&[], &[A])]);
        assert_eq!(plan(&[remove(A), add(A), remove(B)]), [change(&[A], &[B])]);
        assert_eq!(plan(&[add(A), SetOp::RemoveAll, add(B)]), [replace(&[B])]);
        assert_eq!(plan(&[SetOp::Replace(vec![member(A), member(B)]), remove(A)]), [replace(&[B])]);
    }

    fn matching(sub: &str, op: CompareOp, value: &str) -> Query {
        let attr = AttrRef {
            segments: vec![sub.to_owned()],
            kind: Kind::String,
            multi_valued: false,
            case_exact: false,
            name: format!("members.{sub}"),
        };
        Query::Compare { attr, op, value: Operand::Text(value.to_owned()) }
    }

    #[test]
    fn what_a_selection_removes_depends_on_what_came_before_it() {
        let users = SetOp::RemoveMatching(matching("type", CompareOp::Eq, "user"));
        let steps = plan(&[SetOp::Add(vec![member(A)]), users, SetOp::Add(vec![member(B)])]);
        let selected = Step::RemoveMatching(vec![Selection::Type(MemberType::User)]);
        assert_eq!(steps, [change(&[A], &[]), selected, change(&[B], &[])]);
    }

    #[test]
    fn selections_by_name_are_found_by_key_and_equal_ones_count_once() {
        let named = |id| matching("value", CompareOp::Eq, id);
        let both = SetOp::RemoveMatching(Query::Or(vec![named(A), Query::Or(vec![named(B), named(A)])]));
        assert_eq!(plan(&[both]), [change(&[], &[A, B])]);

        let groups = SetOp::RemoveMatching(matching("type", CompareOp::Eq, "group"));
        let others = SetOp::RemoveMatching(matching("value", CompareOp::Ne, A));
        let mut operations = vec![groups.clone(); 5000];
        operations.push(others);
        operations.extend(vec![groups; 5000]);
        let not_a = Selection::Not(Box::new(Selection::Id(A.parse().unwrap())));
        let once = Step::RemoveMatching(vec![Selection::Type(MemberType::Group), not_a]);
        assert_eq!(plan(&operations), [once]);
    }

    #[test]
    fn searches_are_counted() {
        let other_than = |n: usize| {
            let id = format!("0190a000-0000-7000-8000-{n:012}");
            SetOp::RemoveMatching(matching("value", CompareOp::Ne, &id))
        };
        let different = |count: usize| (0..count).map(other_than).collect::<Vec<_>>();
        Plan::patch(&different(MOST_SEARCHES), &Dialect::ENTRA).unwrap();
        let error = Plan::patch(&different(MOST_SEARCHES + 1), &Dialect::ENTRA).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooMany);
        // What is added in between has to be looked at again.
        let again = vec![[SetOp::Add(vec![member(A)]), other_than(1)]; MOST_SEARCHES + 1].concat();
        assert_eq!(Plan::patch(&again, &Dialect::ENTRA).unwrap_err().kind, ErrorKind::TooMany);
    }

    #[test]
    fn what_is_no_id_is_skipped_or_refused_by_dialect() {
        let operations = [SetOp::Add(vec![member("bob"), member(A)])];
        let plan = Plan::patch(&operations, &Dialect::ENTRA).unwrap();
        assert_eq!(plan.steps, [change(&[A], &[])]);
        assert_eq!(plan.warnings.len(), 1);
        let refused = Plan::patch(&operations, &Dialect::INTEROP).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::InvalidValue);
    }

    #[test]
    fn put_without_members_clears_and_post_without_does_nothing() {
        assert_eq!(Plan::replace(None, &Dialect::RFC).unwrap().steps, [replace(&[])]);
        assert_eq!(Plan::create(None, &Dialect::RFC).unwrap().steps, [change(&[], &[])]);
    }
}
