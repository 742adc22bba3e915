//! Who is in what: the questions, straight from the rows.
//!
//! The transitive ones walk up from the member by a recursive query. `UNION` visits each group once, so a cycle ends,
//! and the walk costs the groups above the member, however large those groups are.

use std::collections::HashMap;

use platform::ids::{GroupId, TenantId};
use platform::{Error, Result};
use scim::ErrorKind;
use sea_orm::{ColumnTrait, ConnectionTrait, FromQueryResult, QueryFilter, QuerySelect, Statement, Value};
use uuid::Uuid;

use super::entity::{InTenant, group, user};
use super::{MEMBER_PAGE, Store};
use crate::domain::nesting::{self, Placed};
use crate::domain::refs::{Depth, GroupRef, TeamRef, UserRef};

/// A user of the projection that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserEntry {
    /// Who.
    pub id: Uuid,
    /// Whether it counts as a member of anything.
    pub active: bool,
}

/// A group of a user.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct GroupEntry {
    /// Which.
    pub id: Uuid,
    /// Its displayName.
    pub display_name: String,
    /// Its externalId.
    pub external_id: Option<String>,
    /// Whether the user is a member of the group itself.
    pub direct: bool,
}

/// A row of `group_members`.
#[derive(FromQueryResult)]
pub(super) struct Membership {
    pub(super) member: Uuid,
    pub(super) container: Uuid,
}

#[derive(FromQueryResult)]
struct GroupName {
    id: Uuid,
    display_name: String,
}

/// A group of one of several users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOfUser {
    /// The user.
    pub user_id: Uuid,
    /// The group.
    pub id: Uuid,
    /// Its displayName.
    pub display_name: String,
    /// Whether the user is a member of the group itself.
    pub direct: bool,
}

/// A member of a group as the group shows it.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct MemberEntry {
    /// The member's id.
    pub id: Uuid,
    /// Whether it is a user that exists.
    pub is_user: bool,
    /// Whether it is a group that exists.
    pub is_group: bool,
    /// Its name.
    pub display: Option<String>,
}

/// The groups above the members of whose ids `are` is true (`= $2`), each once: `up`. CROSS JOIN, here and in what follows it, keeps
/// SQLite to the order that is written; left to itself it reads all members of the tenant for each step.
pub(super) fn up(are: &str) -> String {
    format!(
        "WITH RECURSIVE up(group_id) AS ( \
             SELECT m.group_id FROM group_members m WHERE m.tenant_id = $1 AND m.member_id {are} \
             UNION \
             SELECT m.group_id FROM up CROSS JOIN group_members m \
             WHERE m.tenant_id = $1 AND m.member_id = up.group_id)"
    )
}

/// Whether a member (`$2`) is in a group (`$3`).
fn member_sql(depth: Depth) -> String {
    match depth {
        Depth::Direct => "SELECT EXISTS (SELECT 1 FROM group_members m \
             WHERE m.tenant_id = $1 AND m.member_id = $2 AND m.group_id = $3) AS member"
            .to_owned(),
        Depth::Transitive => {
            let up = up("= $2");
            format!("{up} SELECT EXISTS (SELECT 1 FROM up WHERE up.group_id = $3) AS member")
        }
    }
}

/// A page of the groups of a member (`$2`) behind an id (`$3`).
fn groups_sql(depth: Depth) -> String {
    // The page is cut before names are looked up: it is as large as it is, whatever the planner expects.
    let page = "WHERE group_id > $3 ORDER BY group_id LIMIT $4";
    let (with, from) = match depth {
        Depth::Direct => (
            String::new(),
            "(SELECT m.group_id FROM group_members m WHERE m.tenant_id = $1 AND m.member_id = $2) AS own",
        ),
        Depth::Transitive => (up("= $2"), "up"),
    };
    format!(
        r#"{with} SELECT g.id, g.display_name, g.external_id, EXISTS (SELECT 1 FROM group_members d
               WHERE d.tenant_id = $1 AND d.group_id = g.id AND d.member_id = $2) AS direct
           FROM (SELECT group_id FROM {from} {page}) AS page
           CROSS JOIN "groups" g WHERE g.tenant_id = $1 AND g.id = page.group_id
           ORDER BY g.id"#
    )
}

/// The memberships of groups above these members, and the names of those groups.
fn above_sql(places: &str) -> [String; 2] {
    let up = up(&format!("IN ({places})"));
    [
        format!(
            "{up} SELECT m.member_id AS member, m.group_id AS container FROM up CROSS JOIN group_members m \
             WHERE m.tenant_id = $1 AND m.member_id = up.group_id"
        ),
        format!(
            r#"{up} SELECT g.id, g.display_name FROM up CROSS JOIN "groups" g
               WHERE g.tenant_id = $1 AND g.id = up.group_id"#
        ),
    ]
}

/// At most `$3` users in a group (`$2`) and in those nested in it.
const USERS_BELOW: &str = r#"WITH RECURSIVE down(group_id) AS (
        SELECT g.id FROM "groups" g WHERE g.tenant_id = $1 AND g.id = $2
        UNION
        SELECT m.member_id FROM down CROSS JOIN group_members m
        WHERE m.tenant_id = $1 AND m.group_id = down.group_id AND m.member_type = 2
    )
    SELECT DISTINCT m.member_id AS user_id FROM down CROSS JOIN group_members m CROSS JOIN users u
    WHERE m.tenant_id = $1 AND m.group_id = down.group_id
        AND u.tenant_id = $1 AND u.user_id = m.member_id AND NOT u.deleted
    LIMIT $3"#;

impl Store {
    /// The user of that name.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when several users have the name, rather than to pick one.
    pub async fn find_user(&self, tenant: TenantId, named: &UserRef) -> Result<UserEntry> {
        let all = user::Entity::in_tenant(tenant).filter(user::Column::Deleted.eq(false));
        let (query, what) = match named {
            UserRef::Id(id) => (all.filter(user::Column::UserId.eq(id.uuid())), "id"),
            UserRef::ExternalId(id) => (all.filter(user::Column::ExternalId.eq(id.as_str())), "external id"),
            UserRef::UserName(name) => {
                (all.filter(user::Column::UserNameKey.eq(scim::fold_str(name))), "userName")
            }
        };
        let found: Vec<(Uuid, bool)> = query
            .select_only()
            .columns([user::Column::UserId, user::Column::Active])
            .limit(2)
            .into_tuple()
            .all(self.db.read())
            .await?;
        match found.as_slice() {
            [(id, active)] => Ok(UserEntry { id: *id, active: *active }),
            [] => {
                Err(Error::not_found(format!("no user of this tenant has this {what}"))
                    .with_attribute("user"))
            }
            _ => Err(ambiguous("user", what)),
        }
    }

    /// Whether the user is in the team. Teams are identity's: one that does not exist has nobody in it.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_in_team(&self, tenant: TenantId, user: Uuid, team: &TeamRef) -> Result<bool> {
        let texts = |column: &serde_json::Value| -> Vec<String> {
            let texts = column.as_array().into_iter().flatten();
            texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let user = self.users_now(tenant, vec![user]).await?.pop();
        Ok(user.is_some_and(|user| team.is_among(&texts(&user.team_ids), &texts(&user.team_slugs))))
    }

    /// The group of that name.
    ///
    /// # Errors
    /// As [`Store::find_user`].
    pub async fn find_group(&self, tenant: TenantId, named: &GroupRef) -> Result<Uuid> {
        let all = group::Entity::in_tenant(tenant);
        let (query, what) = match named {
            GroupRef::Id(id) => (all.filter(group::Column::Id.eq(id.uuid())), "id"),
            GroupRef::ExternalId(id) => {
                (all.filter(group::Column::ExternalId.eq(id.as_str())), "external id")
            }
            GroupRef::DisplayName(name) => {
                (all.filter(group::Column::DisplayNameKey.eq(scim::fold_str(name))), "displayName")
            }
        };
        let found: Vec<Uuid> =
            query.select_only().column(group::Column::Id).limit(2).into_tuple().all(self.db.read()).await?;
        match found.as_slice() {
            [id] => Ok(*id),
            [] => {
                Err(Error::not_found(format!("no group of this tenant has this {what}"))
                    .with_attribute("group"))
            }
            _ => Err(ambiguous("group", what)),
        }
    }

    /// Whether the user is a member of the group; whether it is active is the caller's to judge.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_member(&self, tenant: TenantId, user: Uuid, group: Uuid, depth: Depth) -> Result<bool> {
        let values = [tenant.uuid().into(), user.into(), group.into()];
        let row = self.db.read().query_one_raw(self.statement(member_sql(depth), values)).await?;
        let row = row.ok_or_else(|| Error::internal("SELECT EXISTS returned no row"))?;
        Ok(row.try_get("", "member")?)
    }

    /// The groups of a user with ids after `after`, ordered by id, at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn groups_of(
        &self,
        tenant: TenantId,
        user: Uuid,
        depth: Depth,
        after: Uuid,
        limit: u64,
    ) -> Result<Vec<GroupEntry>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [tenant.uuid().into(), user.into(), after.into(), limit.into()];
        Ok(GroupEntry::find_by_statement(self.statement(groups_sql(depth), values))
            .all(self.db.read())
            .await?)
    }

    /// The groups of several users, active or not: ordered by user, direct ones first, then by id.
    ///
    /// # Errors
    /// The database's.
    pub async fn groups_of_users(&self, tenant: TenantId, users: &[Uuid]) -> Result<Vec<GroupOfUser>> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let _turn = self.fair.turn(tenant).await?;
        let mut values: Vec<Value> = vec![tenant.uuid().into()];
        let mut places = Vec::with_capacity(users.len());
        for user in users {
            values.push((*user).into());
            places.push(format!("${}", values.len()));
        }
        let places = places.join(",");
        // The graph above all of them is read once; which of it lies above whom is found here. A walk for each user would read
        // it once for each.
        let direct = format!(
            "SELECT m.member_id AS member, m.group_id AS container FROM group_members m \
             WHERE m.tenant_id = $1 AND m.member_id IN ({places})"
        );
        let [nested, names] = above_sql(&places);
        let read = self.db.read();
        let direct = Membership::find_by_statement(self.statement(direct, values.clone())).all(read).await?;
        let nested = Membership::find_by_statement(self.statement(nested, values.clone())).all(read).await?;
        let names = GroupName::find_by_statement(self.statement(names, values)).all(read).await?;

        let edges = |rows: Vec<Membership>| rows.into_iter().map(|row| (row.member, row.container)).collect();
        let names: HashMap<Uuid, String> = names.into_iter().map(|row| (row.id, row.display_name)).collect();
        let mut found = Vec::new();
        for Placed { member: user_id, group: id, direct } in nesting::above(edges(direct), edges(nested)) {
            // A group that was deleted between the two queries has no name any more, and no members.
            if let Some(display_name) = names.get(&id).cloned() {
                found.push(GroupOfUser { user_id, id, display_name, direct });
            }
        }
        Ok(found)
    }

    /// The users in a group and in the groups nested in it, active or not, at most `limit`, in no order. Nobody when there
    /// is no such group. The inverse of [`Store::groups_of_users`].
    ///
    /// # Errors
    /// The database's.
    pub async fn users_of_group(&self, tenant: TenantId, group: Uuid, limit: usize) -> Result<Vec<Uuid>> {
        let _turn = self.fair.turn(tenant).await?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [tenant.uuid().into(), group.into(), limit.into()];
        let rows = self.db.read().query_all_raw(self.statement(USERS_BELOW.to_owned(), values)).await?;
        let mut users = Vec::with_capacity(rows.len());
        for row in &rows {
            users.push(row.try_get("", "user_id")?);
        }
        Ok(users)
    }

    /// The rows of a group's members with ids after `after`, ordered by id, at most [`MEMBER_PAGE`]. Of a row whose member
    /// does not exist neither flag is set; there is another page as long as this one is full.
    ///
    /// # Errors
    /// The database's.
    pub async fn members_page(
        &self,
        tenant: TenantId,
        group: GroupId,
        after: Uuid,
    ) -> Result<Vec<MemberEntry>> {
        // The page is cut before the joins: else PostgreSQL may join and sort all that is left of the group for each.
        let sql = format!(
            r#"SELECT m.member_id AS id, u.user_id IS NOT NULL AS is_user, g.id IS NOT NULL AS is_group,
                   COALESCE(u.display_name, u.user_name, g.display_name) AS display
               FROM (SELECT member_id FROM group_members
                   WHERE tenant_id = $1 AND group_id = $2 AND member_id > $3
                   ORDER BY member_id LIMIT {MEMBER_PAGE}) AS m
               LEFT JOIN users u ON u.tenant_id = $1 AND u.user_id = m.member_id AND NOT u.deleted
               LEFT JOIN "groups" g ON g.tenant_id = $1 AND g.id = m.member_id
               ORDER BY m.member_id"#
        );
        let values = [tenant.uuid().into(), group.uuid().into(), after.into()];
        Ok(MemberEntry::find_by_statement(self.statement(sql, values)).all(self.db.read()).await?)
    }

    pub(super) fn statement(&self, sql: String, values: impl IntoIterator<Item = Value>) -> Statement {
        Statement::from_sql_and_values(self.db.backend(), sql, values)
    }
}

fn ambiguous(noun: &str, what: &str) -> Error {
    let detail = format!("several {noun}s of this tenant have this {what}: name the one you mean by its id");
    Error::new(ErrorKind::Conflict, detail).with_attribute(noun)
}

#[cfg(test)]
mod tests {
    use super::super::plan_within_the_tenant;
    use super::*;

    /// What a question reads depends on whom it is about, not on how large the tenant is.
    #[test]
    fn questions_do_not_read_the_whole_tenant() {
        testkit::db::run(testkit::db::Backend::Sqlite, testkit::db::Service::Membership, |db| async move {
            let mut questions = vec![USERS_BELOW.to_owned()];
            for depth in [Depth::Direct, Depth::Transitive] {
                questions.extend([member_sql(depth), groups_sql(depth)]);
            }
            questions.extend(above_sql("$2,$3"));
            for question in questions {
                plan_within_the_tenant(&db, &question).await;
            }
        });
    }
}
