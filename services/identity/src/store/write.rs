//! Writing users: each change is one transaction of row, e-mails and log entry.

use std::sync::Arc;
use std::time::Duration;

use platform::clock::Timestamp;
use platform::db::Transaction;
use platform::db::changelog::{self, Position};
use platform::db::purged;
use platform::ids::{TenantId, UserId};
use platform::{Error, Result};
use scim::{Difference, Map, Warning};
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    SqlErr,
};
use serde_json::Value;

use super::audit::{self, Deed};
use super::entities::{emails, users};
use super::log::{self, Change};
use super::read::Row;
use super::{Store, in_tenant, schemas, suspended, teams};
use crate::domain::{self, Edit, EmailKeys, Keys, Precondition, Schema, User, role_teams};

/// Rows that one statement writes or one transaction deletes at most, so that nobody else waits long.
const BATCH: usize = 500;

/// On whose request a change is made.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) tenant: TenantId,
    /// The credential or client that asked.
    pub(crate) actor: String,
    /// Whether an administrator asks, rather than a provisioning client: then it stands in the audit.
    pub(crate) is_admin: bool,
    /// Correlation id of the request; stands in the log.
    pub(crate) request_id: String,
}

/// A user after a write.
#[derive(Debug)]
pub(crate) struct Changed {
    pub(crate) user: User,
    pub(crate) warnings: Vec<Warning>,
    /// The log's position that includes the write.
    pub(crate) revision: Position,
    /// None when nothing changed.
    pub(crate) change: Option<Change>,
    /// What became different.
    pub(crate) differences: Vec<Difference>,
}

/// What is left of a user that was deleted.
#[derive(Debug)]
pub(crate) struct Deleted {
    pub(crate) revision: Position,
    pub(crate) change: Change,
    /// What it was.
    pub(crate) differences: Vec<Difference>,
}

impl Store {
    /// Makes a user of what `edit` says, by the schema that the tenant has inside the transaction.
    ///
    /// # Errors
    /// `Uniqueness` when the userName is taken, and what `edit` returns.
    pub(crate) async fn create<F>(&self, author: Author, edit: F) -> Result<Changed>
    where
        F: Fn(&Schema) -> Result<Edit> + Send + Sync + 'static,
    {
        let now = domain::moment(self.clock.now());
        let id = UserId::new(&self.clock);
        let work = Arc::new((author, edit, self.schemas.clone(), self.clock.clone()));
        self.db
            .write(move |transaction| {
                let work = work.clone();
                Box::pin(async move {
                    let (author, edit, schemas, clock) = work.as_ref();
                    let schema = schemas.locked(transaction, author.tenant).await?;
                    let (attributes, warnings) =
                        teams::settle(transaction, author.tenant, None, edit(&schema)?).await?;
                    let keys = Keys::of(&schema.user, &attributes);
                    keys.check()?;
                    let user = User { id, version: 1, created_at: now, updated_at: now, attributes };
                    let differences = schema.difference(&Map::new(), &user.attributes);
                    insert(transaction, author.tenant, &schema, &user, &keys).await?;
                    let change = Change::of(author.tenant, &user, schema.role_teams.as_deref());
                    let revision =
                        log::append(transaction, author, &change, &warnings, log::CREATED, user.updated_at)
                            .await?;
                    if author.is_admin {
                        let deed = Deed::to_user("user.created", id, &differences);
                        audit::record(transaction, clock, author, deed).await?;
                    }
                    Ok(Changed { user, warnings, revision, change: Some(change), differences })
                })
            })
            .await
    }

    /// Applies `edit` to the user as it is inside the transaction, by the schema that the tenant has there, so that no
    /// concurrent change of either is lost. When nothing changes, nothing is written.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`, `Uniqueness`, and what `edit` returns.
    pub(crate) async fn change<F>(
        &self,
        author: Author,
        id: UserId,
        precondition: Precondition,
        edit: F,
    ) -> Result<Changed>
    where
        F: Fn(&Schema, &Map) -> Result<Edit> + Send + Sync + 'static,
    {
        let now = domain::moment(self.clock.now());
        let work = Arc::new((author, precondition, edit, self.schemas.clone(), self.clock.clone()));
        self.db
            .write(move |transaction| {
                let work = work.clone();
                Box::pin(async move {
                    let (author, precondition, edit, schemas, clock) = work.as_ref();
                    let schema = schemas.locked(transaction, author.tenant).await?;
                    let current = locked(transaction, author.tenant, id).await?;
                    precondition.check(current.version)?;
                    let edit = edit(&schema, &current.attributes)?;
                    let (attributes, warnings) =
                        teams::settle(transaction, author.tenant, Some(&current.attributes), edit).await?;
                    if attributes == current.attributes {
                        let revision = changelog::latest_seen(transaction, author.tenant).await?;
                        let differences = Vec::new();
                        return Ok(Changed { user: current, warnings, revision, change: None, differences });
                    }
                    let changed =
                        save(transaction, author, &schema, &current, attributes, warnings, now).await?;
                    if author.is_admin {
                        let deed = Deed::to_user("user.updated", id, &changed.differences);
                        audit::record(transaction, clock, author, deed).await?;
                    }
                    Ok(changed)
                })
            })
            .await
    }

    /// Deletes a user: for good, or to be kept among the suspended until `purge_at`. Its names are free either way.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`.
    pub(crate) async fn delete(
        &self,
        author: Author,
        id: UserId,
        precondition: Precondition,
        keep: Option<Duration>,
    ) -> Result<Deleted> {
        let now = domain::moment(self.clock.now());
        let work = Arc::new((author, precondition, self.schemas.clone(), self.clock.clone()));
        self.db
            .write(move |transaction| {
                let work = work.clone();
                Box::pin(async move {
                    let (author, precondition, schemas, clock) = work.as_ref();
                    let schema = schemas.locked(transaction, author.tenant).await?;
                    let current = locked(transaction, author.tenant, id).await?;
                    precondition.check(current.version)?;
                    let differences = schema.difference(&current.attributes, &Map::new());
                    users::Entity::delete_many()
                        .filter(users::Column::TenantId.eq(author.tenant.uuid()))
                        .filter(users::Column::Id.eq(id.uuid()))
                        .exec(transaction)
                        .await?;
                    let change = Change::deletion(author.tenant, id, current.version + 1);
                    let mut action = "user.deleted";
                    if let Some(keep) = keep {
                        suspended::keep(transaction, author.tenant, current, now, now.plus(keep)).await?;
                        action = "user.suspended";
                    }
                    let revision = log::append(transaction, author, &change, &[], log::DELETED, now).await?;
                    if author.is_admin {
                        let deed = Deed::to_user(action, id, &differences);
                        audit::record(transaction, clock, author, deed).await?;
                    }
                    Ok(Deleted { revision, change, differences })
                })
            })
            .await
    }

    /// Removes everything of a tenant, for good, in small transactions: what is still under way for it fails.
    pub(crate) async fn purge(&self, tenant: TenantId) -> Result<()> {
        purged::mark(&self.db, tenant, self.clock.now()).await?;
        loop {
            let deleted =
                self.db.write(move |transaction| Box::pin(purge_batch(transaction, tenant))).await?;
            if deleted == 0 {
                return Ok(());
            }
        }
    }
}

/// Writes a user that is locked, with a new version, and the entry of the log.
pub(super) async fn save(
    transaction: &Transaction,
    author: &Author,
    schema: &Schema,
    current: &User,
    attributes: Map,
    warnings: Vec<Warning>,
    now: Timestamp,
) -> Result<Changed> {
    let user = User {
        version: current.version + 1,
        updated_at: now.max(current.updated_at),
        attributes,
        ..current.clone()
    };
    let before = Keys::of(&schema.user, &current.attributes);
    let keys = Keys::of(&schema.user, &user.attributes);
    keys.check()?;
    let differences = schema.difference(&current.attributes, &user.attributes);
    update(transaction, author.tenant, &user, &before, &keys).await?;
    let urn = schema.role_teams.as_deref();
    let in_teams =
        |user: &User| urn.map(|urn| role_teams::teams_of(urn, &user.attributes)).unwrap_or_default();
    teams::note(transaction, author.tenant, user.id, &in_teams(current), &in_teams(&user)).await?;
    let change = Change::of(author.tenant, &user, urn);
    let revision =
        log::append(transaction, author, &change, &warnings, log::UPDATED, user.updated_at).await?;
    Ok(Changed { user, warnings, revision, change: Some(change), differences })
}

/// The user, which nobody else can change until the transaction ends.
async fn locked(transaction: &Transaction, tenant: TenantId, id: UserId) -> Result<User> {
    locked_if_there(transaction, tenant, id).await?.ok_or_else(domain::no_such_user)
}

pub(super) async fn locked_if_there(
    transaction: &Transaction,
    tenant: TenantId,
    id: UserId,
) -> Result<Option<User>> {
    let select = Row::columns(in_tenant(tenant).filter(users::Column::Id.eq(id.uuid()))).lock_exclusive();
    let row = select.into_model::<Row>().one(transaction).await?;
    row.map(Row::into_user).transpose()
}

/// Puts a user in, with its e-mails and teams.
pub(super) async fn insert(
    transaction: &Transaction,
    tenant: TenantId,
    schema: &Schema,
    user: &User,
    keys: &Keys,
) -> Result<()> {
    let mut row = columns(user, keys);
    row.tenant_id = Set(tenant.uuid());
    row.id = Set(user.id.uuid());
    row.created_at = Set(user.created_at.micros());
    users::Entity::insert(row).exec_without_returning(transaction).await.map_err(taken)?;
    insert_emails(transaction, tenant, user.id, &keys.emails).await?;
    let urn = schema.role_teams.as_deref();
    let in_teams = urn.map(|urn| role_teams::teams_of(urn, &user.attributes)).unwrap_or_default();
    teams::note(transaction, tenant, user.id, &[], &in_teams).await
}

async fn update(
    transaction: &Transaction,
    tenant: TenantId,
    user: &User,
    before: &Keys,
    keys: &Keys,
) -> Result<()> {
    let updated = users::Entity::update_many()
        .set(columns(user, keys))
        .filter(users::Column::TenantId.eq(tenant.uuid()))
        .filter(users::Column::Id.eq(user.id.uuid()))
        .filter(users::Column::Version.eq(user.version - 1))
        .exec(transaction)
        .await
        .map_err(taken)?;
    if updated.rows_affected != 1 {
        return Err(Error::internal(format!("user {} changed under its lock", user.id)));
    }
    if keys.emails == before.emails {
        return Ok(());
    }
    emails::Entity::delete_many()
        .filter(emails::Column::TenantId.eq(tenant.uuid()))
        .filter(emails::Column::UserId.eq(user.id.uuid()))
        .exec(transaction)
        .await?;
    insert_emails(transaction, tenant, user.id, &keys.emails).await
}

/// What a write sets, whether the user is new or not.
fn columns(user: &User, keys: &Keys) -> users::ActiveModel {
    users::ActiveModel {
        user_name: Set(user.user_name().to_owned()),
        user_name_key: Set(keys.user_name.clone()),
        external_id: Set(keys.external_id.clone()),
        display_name: Set(user.display_name().map(str::to_owned)),
        display_name_key: Set(keys.display_name.clone()),
        active: Set(keys.active),
        updated_at: Set(user.updated_at.micros()),
        version: Set(user.version),
        attributes: Set(Value::Object(user.attributes.clone())),
        search: Set(keys.search.clone()),
        ..Default::default()
    }
}

async fn insert_emails(
    transaction: &Transaction,
    tenant: TenantId,
    user: UserId,
    keys: &[EmailKeys],
) -> Result<()> {
    let mut rows = Vec::with_capacity(keys.len());
    for (ord, EmailKeys { value, kind, primary }) in keys.iter().enumerate() {
        rows.push(emails::ActiveModel {
            tenant_id: Set(tenant.uuid()),
            user_id: Set(user.uuid()),
            ord: Set(i32::try_from(ord).map_err(Error::internal)?),
            value_key: Set(value.clone()),
            type_key: Set(kind.clone()),
            is_primary: Set(*primary),
        });
    }
    for batch in rows.chunks(BATCH) {
        emails::Entity::insert_many(batch.to_vec()).exec_without_returning(transaction).await?;
    }
    Ok(())
}

async fn purge_batch(transaction: &Transaction, tenant: TenantId) -> Result<u64> {
    let some = in_tenant(tenant).select_only().column(users::Column::Id).order_by_asc(users::Column::Id);
    let ids: Vec<uuid::Uuid> = some.limit(BATCH as u64).into_tuple().all(transaction).await?;
    if ids.is_empty() {
        schemas::purge(transaction, tenant).await?;
        teams::purge(transaction, tenant).await?;
        let counts = Query::delete()
            .from_table("user_counts")
            .and_where(Expr::col("tenant_id").eq(tenant.uuid()))
            .take();
        transaction.execute(&counts).await?;
        let kept = suspended::purge_batch(transaction, tenant, BATCH as u64).await?;
        let told = audit::purge_batch(transaction, tenant, BATCH as u64).await?;
        return Ok(kept + told + log::purge_batch(transaction, tenant, BATCH).await?);
    }
    let deleted = users::Entity::delete_many()
        .filter(users::Column::TenantId.eq(tenant.uuid()))
        .filter(users::Column::Id.is_in(ids))
        .exec(transaction)
        .await?;
    Ok(deleted.rows_affected)
}

/// The one unique index besides the primary key is that of userName.
fn taken(error: DbErr) -> Error {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => domain::user_name_taken(),
        _ => error.into(),
    }
}
