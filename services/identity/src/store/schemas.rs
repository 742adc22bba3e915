//! The extension schemas of tenants.
//!
//! A tenant that ever defined one has a row in `schema_states`, whose `stamp` is new with each change. A writer reads it
//! under a lock that a change of the schemas waits for, so what is written is always checked and folded by the schema
//! that is in force when the write commits, on every replica; what is read once by a stamp is good as long as the
//! stamp is the same.

use std::sync::Arc;

use platform::clock::{Clock, Timestamp};
use platform::db::changelog::{self, Position};
use platform::ids::TenantId;
use platform::{Error, Result};
use scim::schema::Budget;
use scim::{ErrorKind, Map};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter,
    QueryOrder, Select, Statement,
};
use serde_json::Value;
use uuid::Uuid;

use super::audit::{self, Deed};
use super::entities::{extensions, schema_states};
use super::{Author, Store, log, reindex};
use crate::domain::{self, Definition, MOST_EXTENSIONS, MOST_URNS, Names, Schema, role_teams};

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
    pub(super) async fn locked(
        &self,
        transaction: &DatabaseTransaction,
        tenant: TenantId,
    ) -> Result<Arc<Schema>> {
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

    /// Creates or replaces an extension. The flag says whether stored values must be made searchable anew.
    ///
    /// # Errors
    /// `VersionMismatch`, `TooMany`, and `InvalidValue` for another spelling than before.
    pub(crate) async fn put_extension(
        &self,
        author: Author,
        definition: Definition,
        expected: Option<i64>,
    ) -> Result<(Extension, Position)> {
        let now = domain::moment(self.clock.now());
        let new_id = platform::ids::new_uuid(&self.clock);
        let stamp = platform::ids::new_uuid(&self.clock);
        let tenant = author.tenant;
        let work = Arc::new((author, definition, self.clock.clone()));
        let (extension, position) = self
            .db
            .write(move |transaction| {
                let work = work.clone();
                Box::pin(async move {
                    let (author, definition, clock) = work.as_ref();
                    let change = Put { author, definition, expected, now, new_id, stamp, clock };
                    change.run(transaction).await
                })
            })
            .await?;
        if extension.reindexing {
            self.start_reindexing(tenant);
        }
        Ok((extension, position))
    }

    /// Takes an extension away. What users have of it stays.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`.
    pub(crate) async fn delete_extension(
        &self,
        author: Author,
        urn: &str,
        expected: Option<i64>,
    ) -> Result<Position> {
        let now = domain::moment(self.clock.now());
        let stamp = platform::ids::new_uuid(&self.clock);
        let work = Arc::new((author, urn.to_ascii_lowercase(), self.clock.clone()));
        self.db
            .write(move |transaction| {
                let work = work.clone();
                Box::pin(async move {
                    let (author, urn_key, clock) = work.as_ref();
                    lock(transaction, author.tenant, stamp).await?;
                    let row = live(author.tenant).filter(extensions::Column::UrnKey.eq(urn_key));
                    let row = row.one(transaction).await?.ok_or_else(domain::no_such_extension)?;
                    check_version(row.version, expected)?;
                    let after = extensions::ActiveModel {
                        is_live: Set(false),
                        is_reindexing: Set(false),
                        version: Set(row.version + 1),
                        updated_at: Set(now.micros()),
                        ..Default::default()
                    };
                    update(transaction, author.tenant, urn_key, after).await?;
                    let marked =
                        state(author.tenant).one(transaction).await?.and_then(|state| state.role_and_teams);
                    let before = told(&row, marked.as_ref() == Some(urn_key));
                    let deed = Deed::between("schema.deleted", row.urn.clone(), before, Map::new());
                    let deleted = extensions::Model { version: row.version + 1, ..row };
                    record(transaction, clock, author, &deleted, deed).await
                })
            })
            .await
    }
}

/// Creating or replacing an extension.
struct Put<'a> {
    author: &'a Author,
    definition: &'a Definition,
    expected: Option<i64>,
    now: Timestamp,
    new_id: Uuid,
    stamp: Uuid,
    clock: &'a Clock,
}

impl Put<'_> {
    async fn run(&self, transaction: &DatabaseTransaction) -> Result<(Extension, Position)> {
        let (tenant, urn) = (self.author.tenant, &self.definition.schema.id);
        lock(transaction, tenant, self.stamp).await?;
        let rows = of_tenant(tenant).all(transaction).await?;
        let urn_key = urn.to_ascii_lowercase();
        let current = rows.iter().find(|row| row.urn_key == urn_key);
        let is_live = current.is_some_and(|row| row.is_live);
        check_version(current.filter(|row| row.is_live).map_or(0, |row| row.version), self.expected)?;
        check_room(&rows, current.is_some(), is_live)?;
        let (has_role_and_teams, is_marked_anew) = self.mark(transaction, &rows, &urn_key).await?;
        let had_role_and_teams = has_role_and_teams != is_marked_anew;

        let (document, required) = (self.definition.document(), self.definition.required);
        let Some(current) = current else {
            let names = Names::default().with(&self.definition.schema)?;
            let row = extensions::Model {
                tenant_id: tenant.uuid(),
                urn_key,
                id: self.new_id,
                urn: urn.clone(),
                is_live: true,
                is_required: required,
                document,
                names: serde_json::to_value(names).map_err(Error::internal)?,
                version: 1,
                created_at: self.now.micros(),
                updated_at: self.now.micros(),
                is_reindexing: false,
            };
            let insert = extensions::Entity::insert(extensions::ActiveModel::from(row.clone()));
            insert.exec_without_returning(transaction).await?;
            let deed = Deed::between("schema.put", urn.clone(), Map::new(), told(&row, has_role_and_teams));
            let position = record(transaction, self.clock, self.author, &row, deed).await?;
            return Ok((extension(row, has_role_and_teams), position));
        };
        if current.urn != *urn {
            let detail = format!(
                "id: {urn} was spelled {} before, and values are stored by that name; keep it",
                current.urn
            );
            return Err(Error::invalid_value(detail).with_attribute("id"));
        }
        let is_same = current.document == document && current.is_required == required && !is_marked_anew;
        if is_live && is_same {
            return Ok((
                extension(current.clone(), has_role_and_teams),
                changelog::latest_seen(transaction, tenant).await?,
            ));
        }

        let names: Names = serde_json::from_value(current.names.clone()).map_err(Error::internal)?;
        let before = if is_live { Some(read(&current.document)?) } else { None };
        let must_reindex = names.must_reindex(before.as_ref(), &self.definition.schema);
        let names = names.with(&self.definition.schema)?;
        let row = extensions::Model {
            is_live: true,
            is_required: required,
            document,
            names: serde_json::to_value(names).map_err(Error::internal)?,
            version: current.version + 1,
            updated_at: self.now.micros(),
            is_reindexing: must_reindex || current.is_reindexing,
            ..current.clone()
        };
        let after = extensions::ActiveModel {
            is_live: Set(row.is_live),
            is_required: Set(row.is_required),
            document: Set(row.document.clone()),
            names: Set(row.names.clone()),
            version: Set(row.version),
            updated_at: Set(row.updated_at),
            is_reindexing: Set(row.is_reindexing),
            ..Default::default()
        };
        update(transaction, tenant, &row.urn_key, after).await?;
        if must_reindex {
            reindex::from_the_beginning(transaction, tenant).await?;
        }
        let before = if is_live { told(current, had_role_and_teams) } else { Map::new() };
        let deed = Deed::between("schema.put", urn.clone(), before, told(&row, has_role_and_teams));
        let position = record(transaction, self.clock, self.author, &row, deed).await?;
        Ok((extension(row, has_role_and_teams), position))
    }

    /// Whether the extension has role and teams from now on, and whether that is new.
    async fn mark(
        &self,
        transaction: &DatabaseTransaction,
        rows: &[extensions::Model],
        urn_key: &str,
    ) -> Result<(bool, bool)> {
        let tenant = self.author.tenant;
        let marked = state(tenant).one(transaction).await?.and_then(|state| state.role_and_teams);
        let was = marked.as_deref() == Some(urn_key);
        let is = self.definition.role_and_teams.unwrap_or(was);
        if is {
            role_teams::check_schema(&self.definition.schema)?;
            let other = rows.iter().find(|row| row.is_live && !was && Some(&row.urn_key) == marked.as_ref());
            if let Some(other) = other {
                let detail = format!(
                    "{} has role and teams already, and a tenant has them once; take them from it first",
                    other.urn
                );
                return Err(Error::new(ErrorKind::Conflict, detail).with_attribute("role_and_teams"));
            }
        }
        if is != was {
            let mark = schema_states::ActiveModel {
                role_and_teams: Set(is.then(|| urn_key.to_owned())),
                ..Default::default()
            };
            schema_states::Entity::update_many()
                .set(mark)
                .filter(schema_states::Column::TenantId.eq(tenant.uuid()))
                .exec(transaction)
                .await?;
        }
        Ok((is, is != was))
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
pub(super) async fn hold(transaction: &DatabaseTransaction, tenant: TenantId, how: Hold) -> Result<bool> {
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

/// Everybody else who changes the tenant's schemas, and every writer of its users, waits until the transaction ends.
async fn lock(transaction: &DatabaseTransaction, tenant: TenantId, stamp: Uuid) -> Result<()> {
    hold(transaction, tenant, Hold::Exclusive).await?;
    let state = schema_states::ActiveModel {
        tenant_id: Set(tenant.uuid()),
        stamp: Set(stamp),
        reindexed_to: Set(None),
        role_and_teams: Set(None),
    };
    let restamp = OnConflict::column(schema_states::Column::TenantId)
        .update_column(schema_states::Column::Stamp)
        .to_owned();
    schema_states::Entity::insert(state).on_conflict(restamp).exec_without_returning(transaction).await?;
    Ok(())
}

fn check_version(current: i64, expected: Option<i64>) -> Result<()> {
    match expected {
        None => Ok(()),
        Some(expected) if expected == current => Ok(()),
        Some(0) => Err(mismatch(format!("the extension is there already, at version {current}"))),
        Some(_) if current == 0 => Err(mismatch("the extension is not there".to_owned())),
        Some(expected) => {
            let detail = format!(
                "the extension is at version {current}, not {expected}; read it again and repeat the change"
            );
            Err(mismatch(detail))
        }
    }
}

fn mismatch(detail: String) -> Error {
    Error::new(ErrorKind::VersionMismatch, detail)
}

fn check_room(rows: &[extensions::Model], is_known: bool, is_live: bool) -> Result<()> {
    let too_many = |detail: String| Err(Error::new(ErrorKind::TooMany, detail));
    if !is_live && rows.iter().filter(|row| row.is_live).count() >= MOST_EXTENSIONS {
        return too_many(format!(
            "a tenant has at most {MOST_EXTENSIONS} extensions; delete one that is not needed"
        ));
    }
    if !is_known && rows.len() >= MOST_URNS {
        return too_many(format!(
            "the tenant has defined {MOST_URNS} different URNs, deleted ones included, whose values are still stored; use \
             one of them again"
        ));
    }
    Ok(())
}

async fn update(
    transaction: &DatabaseTransaction,
    tenant: TenantId,
    urn_key: &str,
    after: extensions::ActiveModel,
) -> Result<()> {
    extensions::Entity::update_many()
        .set(after)
        .filter(extensions::Column::TenantId.eq(tenant.uuid()))
        .filter(extensions::Column::UrnKey.eq(urn_key))
        .exec(transaction)
        .await?;
    Ok(())
}

/// What the audit tells of an extension.
fn told(row: &extensions::Model, role_and_teams: bool) -> Map {
    Map::from_iter([
        ("document".to_owned(), row.document.clone()),
        ("required".to_owned(), row.is_required.into()),
        ("role_and_teams".to_owned(), role_and_teams.into()),
    ])
}

/// Notes in log and audit what was done to an extension, which is now so.
async fn record(
    transaction: &DatabaseTransaction,
    clock: &Clock,
    author: &Author,
    row: &extensions::Model,
    deed: Deed,
) -> Result<Position> {
    let at = clock.now();
    let position = log::append_deed(transaction, author, deed.action, row.id, row.version, at).await?;
    audit::record(transaction, clock, author, deed).await?;
    Ok(position)
}

/// Removes all that a tenant defined.
pub(super) async fn purge(transaction: &DatabaseTransaction, tenant: TenantId) -> Result<()> {
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
