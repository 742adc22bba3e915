//! Filters of users by their groups: identity has the users, membership knows who is in which group.
//!
//! Before identity is asked, membership says who is in the groups that the filter names (`groups.value eq "g"`,
//! `groups eq "g"`, `groups[value eq "g"]`, anywhere in the filter). Identity puts the answers where the terms stand,
//! so the filter as a whole, the order, the pages and the total are still its database's. Membership bounds the answer:
//! a filter by groups with very many users is refused.

use ::scim::filter::{self, CompareOp, Filter, Operand, Query};
use ::scim::schema::ResourceType;
use ::scim::{Dialect, Limits};
use proto::identity::v1::ResolvedTerm;
use proto::membership::v1::ListUserIdsOfGroupsRequest;

use super::request::Caller;
use crate::App;
use crate::error::Result;

/// The name of such a term, and where it is looked for.
const GROUPS: &str = "groups";
const GROUPS_VALUE: &str = "groups.value";

/// Membership's answers to the terms of this filter that are about groups. A filter that does not parse has none: what is
/// wrong with it is for identity to say.
pub(crate) async fn resolve(app: &App, caller: &Caller, filter: &str) -> Result<Vec<ResolvedTerm>> {
    let groups = groups_in(filter, &app.discovery.user);
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    caller.policy().groups()?;
    let request = ListUserIdsOfGroupsRequest { context: caller.context(), group_ids: groups };
    let answer =
        app.clients.groups.clone().list_user_ids_of_groups(caller.call(request)?).await?.into_inner();
    let term =
        |group_id, user_ids| ResolvedTerm { attribute: GROUPS_VALUE.to_owned(), value: group_id, user_ids };
    Ok(answer.groups.into_iter().map(|group| term(group.group_id, group.user_ids)).collect())
}

/// The groups that the filter asks about, each once, as [`filter::resolve`] folds them.
fn groups_in(filter: &str, user: &ResourceType) -> Vec<String> {
    // Nearly every filter is about something else.
    if !filter.to_ascii_lowercase().contains(GROUPS) {
        return Vec::new();
    }
    let Ok(filter) = Filter::parse(filter, &Limits::DEFAULT) else { return Vec::new() };
    let mut groups = Vec::new();
    collect(&filter, user, &mut groups);
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn collect(filter: &Filter, user: &ResourceType, groups: &mut Vec<String>) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => {
            for part in parts {
                collect(part, user, groups);
            }
        }
        Filter::Not(inner) => collect(inner, user, groups),
        // Each term by itself: that another one is wrong is not this one's affair. The spelling of names and values is the
        // same in every dialect.
        term @ (Filter::Compare { .. } | Filter::ValuePath { .. }) => {
            if let Ok(Query::Any { attr, inner }) = filter::resolve(term, user, &Dialect::RFC)
                && attr.name == GROUPS
                && let Query::Compare { attr, op: CompareOp::Eq, value: Operand::Text(group) } = *inner
                && attr.name == GROUPS_VALUE
            {
                groups.push(group);
            }
        }
        Filter::Present(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_found_in_every_spelling_and_anywhere() {
        let groups = |filter: &str| groups_in(filter, &ResourceType::user());
        for one in [
            r#"groups.value eq "g""#,
            r#"Groups EQ "g""#,
            r#"groups[VALUE eq "g"]"#,
            r#"urn:ietf:params:scim:schemas:core:2.0:User:groups.value eq "g""#,
            r#"not (groups eq "g") and (userName pr or groups.value eq "g")"#,
            r#"nonsense eq "x" or groups eq "g""#,
        ] {
            assert_eq!(groups(one), ["g"], "{one}");
        }
        assert_eq!(groups(r#"groups eq "h" or groups eq "g""#), ["g", "h"]);
        for none in [
            "",
            r#"userName eq "groups""#,
            r#"groups.value ne "g""#,
            r#"groups.display eq "g""#,
            r#"groups[value eq "g" and type eq "direct"]"#,
            "groups pr",
            r#"groups eq "g" and"#,
            "groups eq 1",
        ] {
            assert_eq!(groups(none), [""; 0], "{none}");
        }
    }
}
