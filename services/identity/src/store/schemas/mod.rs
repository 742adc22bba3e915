//! The extension schemas of tenants: which are in force, and that they stay so while somebody writes by them.
//!
//! A tenant that ever defined one has a row in `schema_states`, whose `stamp` is new with each change. A writer reads it
//! under a lock that a change of the schemas waits for, so what is written is always checked and folded by the schema
//! that is in force when the write commits, on every replica; what is read once by a stamp is good as long as the
//! stamp is the same.

mod change;

use std::sync::Arc;

use platform::clock::Timestamp;
use platform::db::Transaction;
use platform::ids::TenantId;
use platform::{Error, Result};
use scim::schema::Budget;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder, Select, Statement,
};
use serde_json::Value;
use uuid::Uuid;

use super::entities::{extensions, schema_states};
use super::{Store, reindex};
use crate::domain::Schema;

/// Tenants whose schemas are remembered.
const REMEMBERED: u64 = 10_000;

/// An extension as stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Extension {
    pub(crate) urn: String,
    pub(crate) document: Value,
    pub(crate) required: bool,
    pub(crate) version: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) reindexing: bool,
    /// Whether it has role and teams.
    pub(crate) role_and_teams: bool,
}

/// What this process knows of the tenants' schemas. Clones share it.
#[derive(Clone)]
pub(super) struct Schemas {
    built_in: Arc<Schema>,
    known: moka::future::Cache<TenantId, Known>,
    pub(super) reindexing: reindex::Running,
}

/// A tenant's schema, and by what to tell whether it still is.
#[derive(Clone)]
pub(super) struct Known {
    /// None for a tenant that never defined anything.
    pub(super) stamp: Option<Uuid>,
    pub(super) schema: Arc<Schema>,
}

impl Known {
    pub(super) fn is_built_in(&self) -> bool {
        self.stamp.is_none()
    }
}

impl Schemas {
    pub(super) fn new() -> Self {
        let known = moka::future::Cache::builder().max_capacity(REMEMBERED).build();
        Self { built_in: Arc::new(Schema::built_in()), known, reindexing: reindex::Running::default() }
    }

    /// The tenant's schema, which nobody changes until the transaction ends.
    pub(super) async fn locked(&self, transaction: &Transaction, tenant: TenantId) -> Result<Arc<Schema>> {
        let mut state = state(tenant).one(transaction).await?;
        // Where nothing was defined yet, nothing is stored that the first extension could be about.
        if state.is_some() && hold(transaction, tenant, Hold::Shared).await? {
            state = self::state(tenant).one(transaction).await?;
        }
        Ok(self.known_by(transaction, tenant, state.map(|state| state.stamp)).await?.schema)
    }

    /// The tenant's schema by this stamp.
    async fn known_by<C: ConnectionTrait>(
        &self,
        db: &C,
        tenant: TenantId,
        stamp: Option<Uuid>,
    ) -> Result<Known> {
        if stamp.is_none() {
            return Ok(Known { stamp, schema: self.built_in.clone() });
        }
        if let Some(known) = self.known.get(&tenant).await.filter(|known| known.stamp == stamp) {
            return Ok(known);
        }
        let rows = live(tenant).all(db).await?;
        let marked = state(tenant).one(db).await?.and_then(|state| state.role_and_teams);
        let role_teams =
            rows.iter().find(|row| Some(&row.urn_key) == marked.as_ref()).map(|row| row.urn.clone());
        let known = Known { stamp, schema: Arc::new(Schema { role_teams, ..schema(rows)? }) };
        self.known.insert(tenant, known.clone()).await;
        Ok(known)
    }
}

impl Store {
    /// The tenant's schema as it is now. Takes up what an earlier process left unfinished.
    pub(super) async fn schema(&self, tenant: TenantId) -> Result<Known> {
        let state = state(tenant).one(self.db.read()).await?;
        let stamp = state.map(|state| state.stamp);
        let known = self.schemas.known_by(self.db.read(), tenant, stamp).await?;
        if !known.schema.reindexing.is_empty() {
            self.start_reindexing(tenant);
        }
        Ok(known)
    }

    /// In the order in which their URNs were first defined.
    pub(crate) async fn extensions(&self, tenant: TenantId) -> Result<Vec<Extension>> {
        let rows = live(tenant).all(self.db.read()).await?;
        let role_teams = self.schema(tenant).await?.schema.role_teams.clone();
        let shown = |row: extensions::Model| {
            let has_role_and_teams = role_teams.as_ref() == Some(&row.urn);
            extension(row, has_role_and_teams)
        };
        Ok(rows.into_iter().map(shown).collect())
    }

    /// The extension of that URN, in any case.
    pub(crate) async fn extension(&self, tenant: TenantId, urn: &str) -> Result<Option<Extension>> {
        let all = self.extensions(tenant).await?;
        Ok(all.into_iter().find(|extension| extension.urn.eq_ignore_ascii_case(urn)))
    }
}

/// How a transaction holds a tenant's schemas.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// They stay as they are.
    Shared,
    /// Nobody else works by them.
    Exclusive,
}

/// Holds a tenant's schemas until the transaction ends. Whether anybody else can hold them at all: SQLite has one writer.
///
/// By an advisory lock, since those are given out in the order of asking; row locks that are shared among writers who
/// overlap would never let a change through.
pub(super) async fn hold(transaction: &Transaction, tenant: TenantId, how: Hold) -> Result<bool> {
    if transaction.get_database_backend() != DbBackend::Postgres {
        return Ok(false);
    }
    let sql = match how {
        Hold::Shared => "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))",
        Hold::Exclusive => "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
    };
    let values = [format!("schemas of {tenant}").into()];
    transaction.execute_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    Ok(true)
}

/// Removes all that a tenant defined.
pub(super) async fn purge(transaction: &Transaction, tenant: TenantId) -> Result<()> {
    extensions::Entity::delete_many()
        .filter(extensions::Column::TenantId.eq(tenant.uuid()))
        .exec(transaction)
        .await?;
    schema_states::Entity::delete_many()
        .filter(schema_states::Column::TenantId.eq(tenant.uuid()))
        .exec(transaction)
        .await?;
    Ok(())
}

/// The schema that these extensions make.
pub(super) fn schema(rows: Vec<extensions::Model>) -> Result<Schema> {
    let mut schema = Schema::built_in();
    for row in rows {
        let definition = Arc::new(read(&row.document)?);
        schema.user = schema.user.with_extension(definition, row.is_required);
        if row.is_reindexing {
            schema.reindexing.push(row.urn);
        }
    }
    Ok(schema)
}

/// A stored document, which was checked when it came.
fn read(document: &Value) -> Result<scim::schema::Schema> {
    let checked = Budget { attributes: usize::MAX, text: usize::MAX };
    scim::schema::Schema::parse(document, &checked).map_err(|error| {
        Error::internal(format!("a stored extension schema does not parse: {}", error.detail))
    })
}

fn extension(row: extensions::Model, role_and_teams: bool) -> Extension {
    Extension {
        urn: row.urn,
        document: row.document,
        required: row.is_required,
        version: row.version,
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
        reindexing: row.is_reindexing,
        role_and_teams,
    }
}

/// Where every query of extensions begins, deleted ones included.
#[expect(clippy::disallowed_methods, reason = "limits the query to a tenant")]
fn of_tenant(tenant: TenantId) -> Select<extensions::Entity> {
    extensions::Entity::find().filter(extensions::Column::TenantId.eq(tenant.uuid()))
}

pub(super) fn live(tenant: TenantId) -> Select<extensions::Entity> {
    of_tenant(tenant).filter(extensions::Column::IsLive.eq(true)).order_by_asc(extensions::Column::Id)
}

/// Where every query of a tenant's state begins.
#[expect(clippy::disallowed_methods, reason = "limits the query to a tenant")]
pub(super) fn state(tenant: TenantId) -> Select<schema_states::Entity> {
    schema_states::Entity::find().filter(schema_states::Column::TenantId.eq(tenant.uuid()))
}
