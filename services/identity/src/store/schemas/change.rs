//! Defining an extension schema, replacing it, taking it away: each in one transaction that no writer of users overlaps.

use std::sync::Arc;

use platform::clock::{Clock, Timestamp};
use platform::db::Transaction;
use platform::db::changelog::{self, Position};
use platform::ids::TenantId;
use platform::{Error, Result};
use scim::{ErrorKind, Map};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::{Extension, Hold, extension, hold, live, of_tenant, read, state};
use crate::domain::{self, Definition, MOST_EXTENSIONS, MOST_URNS, Names, role_teams};
use crate::store::audit::{self, Deed};
use crate::store::entities::{extensions, schema_states};
use crate::store::{Author, Store, log, reindex};

impl Store {
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
    async fn run(&self, transaction: &Transaction) -> Result<(Extension, Position)> {
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
        transaction: &Transaction,
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

/// Everybody else who changes the tenant's schemas, and every writer of its users, waits until the transaction ends.
async fn lock(transaction: &Transaction, tenant: TenantId, stamp: Uuid) -> Result<()> {
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
    transaction: &Transaction,
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
    transaction: &Transaction,
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
