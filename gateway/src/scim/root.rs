//! POST /.search over both resource types (RFC 7644, section 3.4.3).
//!
//! The result is all users that match, then all groups that match; each in the order asked for. `totalResults` is the sum.
//! A page by index runs from the users into the groups. A walk by cursor sees all users, then all groups, never both in one
//! page: the cursor is that of the service, behind the letter of its type.
//!
//! Of a resource type that does not have an attribute of the filter, the attribute counts as absent (section 3.4.2.1); what no
//! type has is treated as the dialect says. Sorted by an attribute that a type does not have, its resources come in
//! order of creation.

use ::scim::discovery::List;
use ::scim::filter::{CompareOp, Filter, Literal};
use ::scim::schema::{Name, ResourceType};
use ::scim::{ErrorKind, Limits, list_response};
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use proto::common::v1::Page;

use super::render::Reply;
use super::request::{Body, Caller, Params};
use super::stream::{self, Head};
use super::{groups, users};
use crate::App;
use crate::error::{Error, Result};

/// What the cursors of users and of groups begin with.
const USERS: &str = "u.";
const GROUPS: &str = "g.";

pub(crate) async fn search(State(app): State<App>, caller: Caller, Body(body): Body) -> Result<Response> {
    let params = Params::from_search(&body)?;
    if !caller.policy().has_groups() {
        return users::page(&app, &caller, params).await;
    }
    let page = params.page(&app.config);
    let (user, group) = (app.schemas.user(&caller).await?, &*app.discovery.group);
    let of_users = params.within(&user, group);
    let of_groups = params.within(group, &user);
    match page.cursor.as_deref() {
        None => by_index(&app, &caller, &of_users, &of_groups, page).await,
        Some(_) if page.start_index != 0 => {
            let detail = "cursor and startIndex exclude each other; give one of them";
            Err(Error::new(ErrorKind::InvalidValue, detail))
        }
        Some(cursor) => {
            let cursor = cursor.to_owned();
            by_cursor(&app, &caller, &of_users, &of_groups, page, &cursor).await
        }
    }
}

async fn by_index(
    app: &App,
    caller: &Caller,
    of_users: &Params,
    of_groups: &Params,
    page: Page,
) -> Result<Response> {
    let (start, count) = (page.start_index, page.count.unwrap_or(0));
    let found = users::find(app, caller, of_users, page).await?;
    let shown = i64::try_from(found.users.len()).unwrap_or(i64::MAX);
    // Fewer users than fit are the last ones, or large ones.
    let was_last = start - 1 + shown >= found.total;
    // What of the page lies behind the last user. When users come and go in between it may be off by as many.
    let rest = Page {
        start_index: (start - found.total).max(1),
        count: Some(if was_last { count - shown } else { 0 }),
        cursor: None,
    };
    let shape = groups::shape(app, caller, of_groups)?;
    let with_members = shape.projection.wants("members");
    let (head, answer) = groups::find(app, caller, of_groups, rest, with_members).await?;
    let head = Head {
        total_results: found.total.saturating_add(head.total_results),
        start_index: of_users.shown_start_index(),
        next_cursor: String::new(),
        before: found.users,
        groups: head.items,
    };
    Ok(Reply::new(StatusCode::OK).scim(stream::list(shape, head, answer)))
}

async fn by_cursor(
    app: &App,
    caller: &Caller,
    of_users: &Params,
    of_groups: &Params,
    page: Page,
    cursor: &str,
) -> Result<Response> {
    let page_at = |cursor: &str| Page { cursor: Some(cursor.to_owned()), ..page.clone() };
    let only_total = Page { start_index: 1, count: Some(0), cursor: None };
    let groups_from = match cursor.strip_prefix(GROUPS) {
        Some(cursor) => cursor,
        None => {
            // The first page has no letter yet.
            let cursor = match (cursor, cursor.strip_prefix(USERS)) {
                ("", _) => "",
                (_, Some(cursor)) => cursor,
                (_, None) => {
                    return Err(Error::new(
                        ErrorKind::InvalidCursor,
                        "cursor: not made by this server for this search",
                    ));
                }
            };
            let found = users::find(app, caller, of_users, page_at(cursor)).await?;
            if !found.users.is_empty() || page.count == Some(0) {
                let (groups, _) = groups::find(app, caller, of_groups, only_total, false).await?;
                let next = match (found.next_cursor.as_str(), page.count) {
                    (_, Some(0)) => None,
                    ("", _) if groups.total_results == 0 => None,
                    ("", _) => Some(GROUPS.to_owned()),
                    (next, _) => Some(format!("{USERS}{next}")),
                };
                let list = List {
                    total_results: u64::try_from(found.total.saturating_add(groups.total_results)).ok(),
                    resources: found.users,
                    next_cursor: next,
                    ..List::default()
                };
                return Ok(Reply::new(StatusCode::OK).json(&list_response(list)));
            }
            ""
        }
    };
    let found = users::find(app, caller, of_users, only_total).await?;
    let shape = groups::shape(app, caller, of_groups)?;
    let with_members = shape.projection.wants("members");
    let (head, answer) = groups::find(app, caller, of_groups, page_at(groups_from), with_members).await?;
    let next = Some(head.next_cursor).filter(|cursor| !cursor.is_empty());
    let head = Head {
        total_results: found.total.saturating_add(head.total_results),
        start_index: None,
        next_cursor: next.map(|cursor| format!("{GROUPS}{cursor}")).unwrap_or_default(),
        before: Vec::new(),
        groups: head.items,
    };
    Ok(Reply::new(StatusCode::OK).scim(stream::list(shape, head, answer)))
}

impl Params {
    /// These parameters as they are asked of `this` type in a search over both.
    fn within(&self, this: &ResourceType, other: &ResourceType) -> Params {
        let mut params = self.clone();
        // A filter that does not parse is for the owner to refuse.
        if let Ok(filter) = Filter::parse(&self.filter, &Limits::DEFAULT) {
            params.filter = narrow(filter, this, other).to_string();
        }
        if this.find(&self.sort_by).is_none() && other.find(&self.sort_by).is_some() {
            params.sort_by.clear();
        }
        params
    }
}

/// The filter with what only the other type has taken as absent.
fn narrow(filter: Filter, this: &ResourceType, other: &ResourceType) -> Filter {
    let foreign = |attribute: &str| this.find(attribute).is_none() && other.find(attribute).is_some();
    let all = |filters: Vec<Filter>| filters.into_iter().map(|filter| narrow(filter, this, other)).collect();
    match filter {
        Filter::And(parts) => Filter::all(all(parts)),
        Filter::Or(parts) => Filter::any(all(parts)),
        Filter::Not(inner) => Filter::Not(Box::new(narrow(*inner, this, other))),
        Filter::Compare { attribute, op, value } if foreign(&attribute) => {
            // `ne` on something multi-valued asks for an element that differs, and there is none.
            let single = matches!(other.find(&attribute), Some(Name::Attribute(found)) if !found.attribute.multi_valued);
            constant(match (op, value == Literal::Null) {
                (CompareOp::Eq, true) => true,
                (CompareOp::Ne, false) => single,
                _ => false,
            })
        }
        Filter::Present(attribute) | Filter::ValuePath { attribute, .. } if foreign(&attribute) => {
            constant(false)
        }
        known => known,
    }
}

/// A filter that every resource satisfies, or none.
fn constant(holds: bool) -> Filter {
    let always = Filter::Present("id".to_owned());
    if holds { always } else { Filter::Not(Box::new(always)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_other_type_has_is_absent() {
        let (user, group) = (ResourceType::user(), ResourceType::group());
        let narrowed = |filter: &str, this: &ResourceType, other: &ResourceType| {
            narrow(Filter::parse(filter, &Limits::DEFAULT).unwrap(), this, other).to_string()
        };
        for (filter, of_users, of_groups) in [
            (r#"displayName sw "a""#, r#"displayName sw "a""#, r#"displayName sw "a""#),
            (r#"userName eq "a""#, r#"userName eq "a""#, "not (id pr)"),
            (
                r#"members eq "a" or id eq "b""#,
                r#"not (id pr) or id eq "b""#,
                r#"members eq "a" or id eq "b""#,
            ),
            (r#"not (emails[type eq "work"])"#, r#"not (emails[type eq "work"])"#, "not (not (id pr))"),
            ("title eq null and nonsense pr", "title eq null and nonsense pr", "id pr and nonsense pr"),
            ("userName pr", "userName pr", "not (id pr)"),
            (r#"userName ne "a""#, r#"userName ne "a""#, "id pr"),
            (r#"emails.type ne "a""#, r#"emails.type ne "a""#, "not (id pr)"),
        ] {
            assert_eq!(narrowed(filter, &user, &group), of_users, "{filter}");
            assert_eq!(narrowed(filter, &group, &user), of_groups, "{filter}");
        }
    }
}
