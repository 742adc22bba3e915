//! Everything a tenant has, a page at a time by key, and single things as they are now: what a Watch and an export are made of.

use std::collections::{BTreeSet, HashSet};

use platform::Result;
use platform::db::changelog::{self, Position, Record};
use platform::ids::TenantId;
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::entity::{InTenant, group, member, user};
use super::{CHUNK, Store};

/// Rows read at once.
pub const PAGE: u64 = 1000;

impl Store {
    /// Groups with ids after `after`, ordered by id, at most [`PAGE`].
    ///
    /// # Errors
    /// The database's.
    pub async fn groups_page(&self, tenant: TenantId, after: Uuid) -> Result<Vec<group::Model>> {
        let query = group::Entity::in_tenant(tenant)
            .filter(group::Column::Id.gt(after))
            .order_by_asc(group::Column::Id)
            .limit(PAGE);
        Ok(query.all(self.db.read()).await?)
    }

    /// Users that exist with ids after `after`, ordered by id, at most [`PAGE`]; and the id to go on behind, `None` at the end.
    ///
    /// # Errors
    /// The database's.
    pub async fn users_page(
        &self,
        tenant: TenantId,
        after: Uuid,
    ) -> Result<(Vec<user::Model>, Option<Uuid>)> {
        let query = user::Entity::in_tenant(tenant)
            .filter(user::Column::UserId.gt(after))
            .order_by_asc(user::Column::UserId)
            .limit(PAGE);
        let mut users = query.all(self.db.read()).await?;
        let next = users.last().filter(|_| users.len() as u64 == PAGE).map(|last| last.user_id);
        users.retain(|user| !user.deleted);
        Ok((users, next))
    }

    /// Direct memberships behind a place, by group and member, at most [`PAGE`].
    ///
    /// # Errors
    /// The database's.
    pub async fn memberships_page(
        &self,
        tenant: TenantId,
        after: (Uuid, Uuid),
    ) -> Result<Vec<member::Model>> {
        let sql = format!(
            "SELECT tenant_id, group_id, member_id, member_type, added_at, request_id FROM group_members \
             WHERE tenant_id = $1 AND (group_id, member_id) > ($2, $3) ORDER BY group_id, member_id LIMIT {PAGE}"
        );
        let values = [tenant.uuid().into(), after.0.into(), after.1.into()];
        let rows = self.db.read().query_all_raw(self.statement(sql, values)).await?;
        let mut members = Vec::with_capacity(rows.len());
        for row in &rows {
            members.push(<member::Model as sea_orm::FromQueryResult>::from_query_result(row, "")?);
        }
        Ok(members)
    }

    /// Those of these groups that exist.
    ///
    /// # Errors
    /// The database's.
    pub async fn groups_now(&self, tenant: TenantId, ids: Vec<Uuid>) -> Result<Vec<group::Model>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        Ok(group::Entity::in_tenant(tenant).filter(group::Column::Id.is_in(ids)).all(self.db.read()).await?)
    }

    /// Those of these users that exist.
    ///
    /// # Errors
    /// The database's.
    pub async fn users_now(&self, tenant: TenantId, ids: Vec<Uuid>) -> Result<Vec<user::Model>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let query = user::Entity::in_tenant(tenant)
            .filter(user::Column::UserId.is_in(ids))
            .filter(user::Column::Deleted.eq(false));
        Ok(query.all(self.db.read()).await?)
    }

    /// Those of these users that exist or existed: also what is left of deleted ones.
    ///
    /// # Errors
    /// The database's.
    pub async fn users_or_tombstones(&self, tenant: TenantId, ids: Vec<Uuid>) -> Result<Vec<user::Model>> {
        let mut users = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let query =
                user::Entity::in_tenant(tenant).filter(user::Column::UserId.is_in(chunk.iter().copied()));
            users.extend(query.all(self.db.read()).await?);
        }
        Ok(users)
    }

    /// Those of these memberships, by group and member, that there are.
    ///
    /// # Errors
    /// The database's.
    pub async fn memberships_now(
        &self,
        tenant: TenantId,
        places: Vec<(Uuid, Uuid)>,
    ) -> Result<Vec<member::Model>> {
        let mut found = Vec::new();
        for chunk in places.chunks(CHUNK) {
            let groups: BTreeSet<Uuid> = chunk.iter().map(|(group, _)| *group).collect();
            let query = member::Entity::in_tenant(tenant)
                .filter(member::Column::GroupId.is_in(groups))
                .filter(member::Column::MemberId.is_in(chunk.iter().map(|(_, member)| *member)));
            let rows = query.all(self.db.read()).await?;
            found.extend(rows.into_iter().filter(|row| chunk.contains(&(row.group_id, row.member_id))));
        }
        Ok(found)
    }

    /// Users and the groups that exist of which they are direct members.
    ///
    /// # Errors
    /// The database's.
    pub async fn direct_groups_of(&self, tenant: TenantId, users: &[Uuid]) -> Result<Vec<(Uuid, Uuid)>> {
        let mut found = Vec::new();
        for chunk in users.chunks(CHUNK) {
            let mut values = vec![tenant.uuid().into()];
            let mut places = Vec::with_capacity(chunk.len());
            for user in chunk {
                values.push((*user).into());
                places.push(format!("${}", values.len()));
            }
            let sql = format!(
                r#"SELECT m.member_id, m.group_id FROM group_members m
                   CROSS JOIN "groups" g
                   WHERE m.tenant_id = $1 AND m.member_id IN ({}) AND g.tenant_id = $1 AND g.id = m.group_id"#,
                places.join(",")
            );
            for row in self.db.read().query_all_raw(self.statement(sql, values)).await? {
                found.push((row.try_get("", "member_id")?, row.try_get("", "group_id")?));
            }
        }
        Ok(found)
    }

    /// Users that changed here behind a position.
    ///
    /// # Errors
    /// The database's.
    pub async fn users_changed_behind(&self, tenant: TenantId, since: Position) -> Result<HashSet<Uuid>> {
        super::reconcile::changed_behind(&self.db, tenant, since).await
    }

    /// The tenant's part of the change log behind a position; `None` when that is not kept.
    ///
    /// # Errors
    /// The database's.
    pub async fn changes_of(
        &self,
        tenant: TenantId,
        after: Position,
        limit: u64,
    ) -> Result<Option<Vec<Record>>> {
        changelog::read_kept_of(self.db.read(), tenant, after, limit).await
    }

    /// Moves when this process commits a write.
    pub fn commits(&self) -> tokio::sync::watch::Receiver<u64> {
        self.db.commits()
    }
}
