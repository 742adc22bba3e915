//! Users that were deleted and are kept for a while: gone for everybody, but an administrator can bring them back.

use std::sync::Arc;

use platform::clock::Timestamp;
use platform::db::Transaction;
use platform::ids::{TenantId, UserId};
use platform::{Error, Result};
use scim::Map;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Select, Statement,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::audit::{self, Deed};
use super::entities::suspended;
use super::log::{self, Change};
use super::write::{self, Changed};
use super::{Author, Store, teams};
use crate::domain::{self, Keys, User};

/// Users that one transaction purges at most.
const BATCH: u64 = 500;

/// A suspended user, as an administrator sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Suspended {
    pub(crate) id: UserId,
    pub(crate) user_name: String,
    pub(crate) suspended_at: Timestamp,
    pub(crate) purge_at: Timestamp,
}

/// Where a page of the list ends.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    suspended_at: i64,
    id: Uuid,
}

impl Place {
    pub(crate) fn of(user: &Suspended) -> Self {
        Self { suspended_at: user.suspended_at.micros(), id: user.id.uuid() }
    }
}

impl Store {
    /// Suspended users whose time is not over, latest first, those behind `after`.
    pub(crate) async fn suspended(
        &self,
        tenant: TenantId,
        after: Option<Place>,
        limit: u64,
    ) -> Result<Vec<Suspended>> {
        use suspended::Column::{PurgeAt, SuspendedAt, UserId as Id, UserName};

        let mut select = self.alive(tenant);
        if let Some(Place { suspended_at, id }) = after {
            let behind = Expr::tuple([Expr::col(SuspendedAt), Expr::col(Id)])
                .lt(Expr::tuple([Expr::value(suspended_at), Expr::value(id)]));
            select = select.filter(behind);
        }
        let select = select.select_only().columns([Id, UserName, SuspendedAt, PurgeAt]);
        let select = select.order_by_desc(SuspendedAt).order_by_desc(Id).limit(limit);
        let rows: Vec<(Uuid, String, i64, i64)> = select.into_tuple().all(self.db.read()).await?;
        let shown = |(id, user_name, suspended_at, purge_at)| Suspended {
            id: UserId::from_uuid(id),
            user_name,
            suspended_at: Timestamp::from_micros(suspended_at),
            purge_at: Timestamp::from_micros(purge_at),
        };
        Ok(rows.into_iter().map(shown).collect())
    }

    /// Makes a suspended user a user again, with its id and a later version than its deletion had. Of its teams those that
    /// there still are.
    ///
    /// # Errors
    /// `NotFound` when there is none (any more), `Uniqueness` when its userName was taken meanwhile.
    pub(crate) async fn restore(&self, author: Author, id: UserId) -> Result<Changed> {
        let now = domain::moment(self.clock.now());
        let work = Arc::new((author, self.schemas.clone(), self.clock.clone(), self.clone()));
        self.db
            .write(move |transaction| {
                let work = work.clone();
                Box::pin(async move {
                    let (author, schemas, clock, store) = work.as_ref();
                    let tenant = author.tenant;
                    let schema = schemas.locked(transaction, tenant).await?;
                    let row = store.alive(tenant).filter(suspended::Column::UserId.eq(id.uuid()));
                    let row = row.lock_exclusive().one(transaction).await?;
                    let mut user = user(row.ok_or_else(domain::no_such_suspended_user)?)?;
                    user.version += 1;
                    user.updated_at = now.max(user.updated_at);
                    if let Some(urn) = &schema.role_teams {
                        teams::refresh(transaction, tenant, urn, &mut user.attributes).await?;
                    }
                    let keys = Keys::of(&schema.user, &user.attributes);
                    let differences = schema.difference(&Map::new(), &user.attributes);
                    write::insert(transaction, tenant, &schema, &user, &keys).await?;
                    remove(transaction, tenant, id).await?;
                    let change = Change::of(tenant, &user, schema.role_teams.as_deref());
                    let revision =
                        log::append(transaction, author, &change, &[], log::RESTORED, user.updated_at)
                            .await?;
                    let deed = Deed::to_user("user.restored", id, &differences);
                    audit::record(transaction, clock, author, deed).await?;
                    Ok(Changed { user, warnings: Vec::new(), revision, change: Some(change), differences })
                })
            })
            .await
    }

    /// Removes a suspended user for good, before its time. Whether there was one.
    pub(crate) async fn purge_suspended(&self, author: Author, id: UserId) -> Result<bool> {
        let now = self.clock.now();
        let work = Arc::new((author, self.clock.clone()));
        self.db
            .write(move |transaction| {
                let work = work.clone();
                Box::pin(async move {
                    let (author, clock) = work.as_ref();
                    let row = of_tenant(author.tenant).filter(suspended::Column::UserId.eq(id.uuid()));
                    let Some(row) = row.lock_exclusive().one(transaction).await? else { return Ok(false) };
                    remove(transaction, author.tenant, id).await?;
                    log::append_deed(transaction, author, "user.purged", id.uuid(), row.version, now).await?;
                    let before = Map::from_iter([("userName".to_owned(), row.user_name.into())]);
                    let deed =
                        Deed { action: "user.purged", resource: id.to_string(), before, after: Map::new() };
                    audit::record(transaction, clock, author, deed).await?;
                    Ok(true)
                })
            })
            .await
    }

    /// Removes the suspended users of all tenants whose time is over, some at a time; how many. Of several replicas that do
    /// so at once, each removes others.
    pub(crate) async fn purge_expired(&self) -> Result<u64> {
        let now = self.clock.now();
        let mut purged = 0;
        loop {
            let batch = self.db.write(move |transaction| Box::pin(expired_batch(transaction, now))).await?;
            purged += batch;
            if batch < BATCH {
                return Ok(purged);
            }
        }
    }

    /// With all that is stored, in order of ids, those behind `after`; also those whose time is over.
    pub(crate) async fn suspended_in_full(
        &self,
        tenant: TenantId,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<(User, Timestamp)>> {
        let mut select = of_tenant(tenant);
        if let Some(after) = after {
            select = select.filter(suspended::Column::UserId.gt(after.uuid()));
        }
        let rows = select.order_by_asc(suspended::Column::UserId).limit(limit).all(self.db.read()).await?;
        let mut users = Vec::with_capacity(rows.len());
        for row in rows {
            let purge_at = Timestamp::from_micros(row.purge_at);
            users.push((user(row)?, purge_at));
        }
        Ok(users)
    }

    /// Those whose time is not over, purged or not.
    fn alive(&self, tenant: TenantId) -> Select<suspended::Entity> {
        of_tenant(tenant).filter(suspended::Column::PurgeAt.gt(self.clock.now().micros()))
    }
}

/// Keeps a user that is being deleted.
pub(super) async fn keep(
    transaction: &Transaction,
    tenant: TenantId,
    user: User,
    now: Timestamp,
    purge_at: Timestamp,
) -> Result<()> {
    let row = suspended::ActiveModel {
        tenant_id: Set(tenant.uuid()),
        user_id: Set(user.id.uuid()),
        user_name: Set(user.user_name().to_owned()),
        // Of the deletion.
        version: Set(user.version + 1),
        created_at: Set(user.created_at.micros()),
        suspended_at: Set(now.max(user.updated_at).micros()),
        purge_at: Set(purge_at.micros()),
        attributes: Set(Value::Object(user.attributes)),
    };
    suspended::Entity::insert(row).exec_without_returning(transaction).await?;
    Ok(())
}

/// As it was when it was deleted, at the version of that.
fn user(row: suspended::Model) -> Result<User> {
    let suspended::Model {
        tenant_id: _,
        user_id,
        user_name: _,
        attributes,
        version,
        created_at,
        suspended_at,
        purge_at: _,
    } = row;
    let Value::Object(attributes) = attributes else {
        return Err(Error::internal(format!("suspended user {user_id}: attributes are not an object")));
    };
    Ok(User {
        id: UserId::from_uuid(user_id),
        version,
        created_at: Timestamp::from_micros(created_at),
        updated_at: Timestamp::from_micros(suspended_at),
        attributes,
    })
}

async fn remove(transaction: &Transaction, tenant: TenantId, id: UserId) -> Result<()> {
    suspended::Entity::delete_many()
        .filter(suspended::Column::TenantId.eq(tenant.uuid()))
        .filter(suspended::Column::UserId.eq(id.uuid()))
        .exec(transaction)
        .await?;
    Ok(())
}

async fn expired_batch(transaction: &Transaction, now: Timestamp) -> Result<u64> {
    let backend = transaction.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "DELETE FROM suspended_users WHERE (tenant_id, user_id) IN ( \
                 SELECT tenant_id, user_id FROM suspended_users WHERE purge_at <= $1 ORDER BY purge_at LIMIT $2 \
                 FOR UPDATE SKIP LOCKED)"
        }
        _ => {
            "DELETE FROM suspended_users WHERE (tenant_id, user_id) IN ( \
                 SELECT tenant_id, user_id FROM suspended_users WHERE purge_at <= ?1 ORDER BY purge_at LIMIT ?2)"
        }
    };
    let values = [now.micros().into(), i64::try_from(BATCH).map_err(Error::internal)?.into()];
    let deleted = transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(deleted.rows_affected())
}

/// Removes some of a tenant's suspended users.
pub(super) async fn purge_batch(transaction: &Transaction, tenant: TenantId, limit: u64) -> Result<u64> {
    let some = of_tenant(tenant).select_only().column(suspended::Column::UserId).limit(limit);
    let ids: Vec<Uuid> = some.into_tuple().all(transaction).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let deleted = suspended::Entity::delete_many()
        .filter(suspended::Column::TenantId.eq(tenant.uuid()))
        .filter(suspended::Column::UserId.is_in(ids))
        .exec(transaction)
        .await?;
    Ok(deleted.rows_affected)
}

#[expect(clippy::disallowed_methods, reason = "limits a query to a tenant, as `in_tenant` does for users")]
fn of_tenant(tenant: TenantId) -> Select<suspended::Entity> {
    suspended::Entity::find().filter(suspended::Column::TenantId.eq(tenant.uuid()))
}
