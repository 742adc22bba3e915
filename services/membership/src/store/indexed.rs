//! What the index reads: the few columns it looks at, a page at a time by key, and how far the change log goes.

use std::collections::HashMap;

use platform::Result;
use platform::db::changelog::{self, Position, Record};
use platform::db::{purged, retention};
use platform::ids::TenantId;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use super::entity::{InTenant, group, user};
use super::queries::GroupEntry;
use super::{CHUNK, Store};
use crate::index::{Group, User};

/// Rows in a page: few round trips, and short statements.
const ROWS: u64 = 10_000;

impl Store {
    /// About how many users and groups the tenant has.
    ///
    /// # Errors
    /// The database's.
    pub async fn index_counts(&self, tenant: TenantId) -> Result<(usize, usize)> {
        let sql = "SELECT (SELECT count(*) FROM users WHERE tenant_id = $1) AS users, \
            (SELECT CAST(COALESCE(SUM(n), 0) AS bigint) FROM group_counts WHERE tenant_id = $1) AS groups";
        let row =
            self.db.read().query_one_raw(self.statement(sql.to_owned(), [tenant.uuid().into()])).await?;
        let Some(row) = row else { return Ok((0, 0)) };
        let count =
            |column| Ok::<_, sea_orm::DbErr>(usize::try_from(row.try_get::<i64>("", column)?).unwrap_or(0));
        Ok((count("users")?, count("groups")?))
    }

    /// Users that exist with ids after `after`, by id; and the id to go on behind, `None` at the end.
    ///
    /// # Errors
    /// The database's.
    pub async fn index_users_page(&self, tenant: TenantId, after: Uuid) -> Result<(Vec<User>, Option<Uuid>)> {
        let query = user::Entity::in_tenant(tenant)
            .filter(user::Column::UserId.gt(after))
            .order_by_asc(user::Column::UserId)
            .limit(ROWS);
        let rows = self.user_rows(query).await?;
        let next = rows.last().filter(|_| rows.len() as u64 == ROWS).map(|row| row.0.id);
        Ok((existing(rows), next))
    }

    /// Those of these users that exist.
    ///
    /// # Errors
    /// The database's.
    pub async fn index_users(&self, tenant: TenantId, ids: Vec<Uuid>) -> Result<Vec<User>> {
        let mut users = Vec::with_capacity(ids.len());
        for ids in ids.chunks(CHUNK) {
            let query =
                user::Entity::in_tenant(tenant).filter(user::Column::UserId.is_in(ids.iter().copied()));
            users.extend(existing(self.user_rows(query).await?));
        }
        Ok(users)
    }

    /// Groups with ids after `after`, by id; and the id to go on behind, `None` at the end.
    ///
    /// # Errors
    /// The database's.
    pub async fn index_groups_page(
        &self,
        tenant: TenantId,
        after: Uuid,
    ) -> Result<(Vec<Group>, Option<Uuid>)> {
        let query = group::Entity::in_tenant(tenant)
            .filter(group::Column::Id.gt(after))
            .order_by_asc(group::Column::Id)
            .limit(ROWS);
        let groups = self.group_rows(query).await?;
        let next = groups.last().filter(|_| groups.len() as u64 == ROWS).map(|group| group.id);
        Ok((groups, next))
    }

    /// Those of these groups that exist.
    ///
    /// # Errors
    /// The database's.
    pub async fn index_groups(&self, tenant: TenantId, ids: Vec<Uuid>) -> Result<Vec<Group>> {
        let mut groups = Vec::with_capacity(ids.len());
        for ids in ids.chunks(CHUNK) {
            let query = group::Entity::in_tenant(tenant).filter(group::Column::Id.is_in(ids.iter().copied()));
            groups.extend(self.group_rows(query).await?);
        }
        Ok(groups)
    }

    /// These groups of a user, in this order, by name; with each id stands whether the membership is direct. One that was deleted
    /// meanwhile is left out.
    ///
    /// # Errors
    /// The database's.
    pub async fn group_entries(&self, tenant: TenantId, groups: &[(Uuid, bool)]) -> Result<Vec<GroupEntry>> {
        let mut names: HashMap<Uuid, (String, Option<String>)> = HashMap::with_capacity(groups.len());
        let columns = [group::Column::Id, group::Column::DisplayName, group::Column::ExternalId];
        for chunk in groups.chunks(CHUNK) {
            let query = group::Entity::in_tenant(tenant)
                .filter(group::Column::Id.is_in(chunk.iter().map(|(id, _)| *id)));
            let rows: Vec<(Uuid, String, Option<String>)> =
                tuples(query, columns).all(self.db.read()).await?;
            names.extend(rows.into_iter().map(|(id, name, external_id)| (id, (name, external_id))));
        }
        let mut entries = Vec::with_capacity(groups.len());
        for (id, direct) in groups {
            if let Some((display_name, external_id)) = names.remove(id) {
                entries.push(GroupEntry { id: *id, display_name, external_id, direct: *direct });
            }
        }
        Ok(entries)
    }

    /// Memberships (group, member) behind a place, in that order; and the place to go on behind, `None` at the end.
    ///
    /// # Errors
    /// The database's.
    pub async fn index_members_page(
        &self,
        tenant: TenantId,
        after: (Uuid, Uuid),
    ) -> Result<(Vec<(Uuid, Uuid)>, Option<(Uuid, Uuid)>)> {
        let sql = format!(
            "SELECT group_id, member_id FROM group_members \
             WHERE tenant_id = $1 AND (group_id, member_id) > ($2, $3) ORDER BY group_id, member_id LIMIT {ROWS}"
        );
        let pairs = self.pairs(sql, vec![tenant.uuid().into(), after.0.into(), after.1.into()]).await?;
        let next = pairs.last().copied().filter(|_| pairs.len() as u64 == ROWS);
        Ok((pairs, next))
    }

    /// The direct memberships (member, group) of these users and groups.
    ///
    /// # Errors
    /// The database's.
    pub async fn index_containers(&self, tenant: TenantId, members: Vec<Uuid>) -> Result<Vec<(Uuid, Uuid)>> {
        let mut pairs = Vec::new();
        for members in members.chunks(CHUNK) {
            let mut values = vec![tenant.uuid().into()];
            let mut places = Vec::with_capacity(members.len());
            for member in members {
                values.push((*member).into());
                places.push(format!("${}", values.len()));
            }
            let sql = format!(
                "SELECT member_id, group_id FROM group_members WHERE tenant_id = $1 AND member_id IN ({})",
                places.join(",")
            );
            pairs.extend(self.pairs(sql, values).await?);
        }
        Ok(pairs)
    }

    /// The change log of all tenants behind a position; `None` when that is not kept.
    ///
    /// # Errors
    /// The database's.
    pub async fn changes_after(&self, after: Position, limit: u64) -> Result<Option<Vec<Record>>> {
        changelog::read_kept(self.db.read(), after, limit).await
    }

    /// Whether this process is the only one that writes: SQLite's file is locked for it.
    pub fn is_alone(&self) -> bool {
        self.db.backend() == DbBackend::Sqlite
    }

    /// The last change of any tenant that can be seen; readers of the log may still have to wait for it.
    ///
    /// # Errors
    /// The database's.
    pub async fn newest_change(&self) -> Result<Position> {
        changelog::newest(self.db.read()).await
    }

    /// Whether the log has a row at this very place.
    ///
    /// # Errors
    /// The database's.
    pub async fn has_change(&self, at: Position) -> Result<bool> {
        changelog::contains(self.db.read(), at).await
    }

    /// Whether a row that was at this place, and is there no more, was removed on purpose: with its tenant, or for its age.
    ///
    /// # Errors
    /// The database's.
    pub async fn has_removed(&self, at: Position, tenant: TenantId) -> Result<bool> {
        let db = self.db.read();
        Ok(purged::contains(db, tenant).await? || retention::has_cut(db, at).await?)
    }

    /// As [`Store::newest_change`], of one tenant.
    ///
    /// # Errors
    /// The database's.
    pub async fn newest_change_of(&self, tenant: TenantId) -> Result<Position> {
        changelog::latest_seen(self.db.read(), tenant).await
    }

    /// Whether the position may be that of a change that was made: it is none of the future.
    ///
    /// # Errors
    /// The database's.
    pub async fn may_have_been(&self, position: Position) -> Result<bool> {
        changelog::may_have_been(self.db.read(), position).await
    }

    async fn pairs(&self, sql: String, values: Vec<sea_orm::Value>) -> Result<Vec<(Uuid, Uuid)>> {
        let rows = self.db.read().query_all_raw(self.statement(sql, values)).await?;
        let mut pairs = Vec::with_capacity(rows.len());
        for row in &rows {
            pairs.push((row.try_get_by_index(0)?, row.try_get_by_index(1)?));
        }
        Ok(pairs)
    }

    /// Users, and whether each was deleted.
    async fn user_rows(&self, query: Select<user::Entity>) -> Result<Vec<(User, bool)>> {
        let columns = [
            user::Column::UserId,
            user::Column::UserNameKey,
            user::Column::ExternalId,
            user::Column::Active,
            user::Column::Deleted,
        ];
        let rows: Vec<(Uuid, String, Option<String>, bool, bool)> =
            tuples(query, columns).all(self.db.read()).await?;
        let row = |(id, user_name_key, external_id, active, deleted)| {
            (User { id, user_name_key, external_id, active }, deleted)
        };
        Ok(rows.into_iter().map(row).collect())
    }

    async fn group_rows(&self, query: Select<group::Entity>) -> Result<Vec<Group>> {
        let columns = [group::Column::Id, group::Column::DisplayNameKey, group::Column::ExternalId];
        let rows: Vec<(Uuid, String, Option<String>)> = tuples(query, columns).all(self.db.read()).await?;
        let group = |(id, display_name_key, external_id)| Group { id, display_name_key, external_id };
        Ok(rows.into_iter().map(group).collect())
    }
}

fn tuples<E, T>(
    query: Select<E>,
    columns: impl IntoIterator<Item = E::Column>,
) -> sea_orm::Selector<sea_orm::SelectGetableTuple<T>>
where
    E: EntityTrait,
    T: sea_orm::TryGetableMany,
{
    query.select_only().columns(columns).into_tuple()
}

fn existing(rows: Vec<(User, bool)>) -> Vec<User> {
    rows.into_iter().filter(|(_, deleted)| !deleted).map(|(user, _)| user).collect()
}
