//! Tenants.

use sea_orm::Statement;
use sea_orm::sea_query::Condition;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use platform::clock::Timestamp;
use platform::ids::TenantId;
use platform::{Error, Result};
use scim::ErrorKind;
use serde_json::Value;

use super::entities::{credentials, tenants};
use super::{Deed, Store, of_platform, taken};
use crate::domain::change::{Change, being_deleted, facts as tenant_facts};
use crate::domain::credential::Credential;
use crate::domain::dialect::{Dialect, Recognised};
use crate::domain::secret::Hash;
use crate::domain::tenant::{Name, State, Tenant};

impl Store {
    /// Inserts a tenant and its first secret.
    ///
    /// # Errors
    /// `Uniqueness` when the name is taken.
    pub async fn insert_tenant(
        &self,
        tenant: Tenant,
        name: Name,
        credential: Credential,
        hash: Hash,
        deed: Deed,
    ) -> Result<()> {
        let (id, version) = (tenant.id, tenant.version);
        let facts = Value::from(tenant_facts(&tenant));
        let mut row = row(tenant, deed.at)?;
        row.name_key = Set(name.key().to_owned());
        self.db
            .write(move |txn| {
                let (row, credential, deed) = (row.clone(), credential.clone(), deed.clone());
                let facts = facts.clone();
                Box::pin(async move {
                    tenants::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await
                        .map_err(|error| taken(error, "tenant"))?;
                    let facts = (Value::Null, facts);
                    deed.record_facts(txn, "tenant.created", Some(id), (id.uuid(), version), facts).await?;
                    super::credentials::insert(txn, credential, hash, "credential.created", &deed).await
                })
            })
            .await
    }

    /// The tenant of this id.
    ///
    /// # Errors
    /// The database's.
    pub async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>> {
        let row = of_platform::<tenants::Entity>()
            .filter(tenants::Column::Id.eq(id.uuid()))
            .one(self.db.read())
            .await?;
        row.map(tenant).transpose()
    }

    /// The tenant of this name, in whatever case.
    ///
    /// # Errors
    /// The database's.
    pub async fn tenant_by_name(&self, name: &Name) -> Result<Option<Tenant>> {
        let by_name = of_platform::<tenants::Entity>().filter(tenants::Column::NameKey.eq(name.key()));
        by_name.one(self.db.read()).await?.map(tenant).transpose()
    }

    /// At most `limit` tenants by name, after the place (name key, id).
    ///
    /// # Errors
    /// The database's.
    pub async fn tenants(&self, after: Option<(String, TenantId)>, limit: u64) -> Result<Vec<Tenant>> {
        let mut page = of_platform::<tenants::Entity>();
        if let Some((key, id)) = after {
            let place = Condition::any().add(tenants::Column::NameKey.gt(&key)).add(
                Condition::all()
                    .add(tenants::Column::NameKey.eq(&key))
                    .add(tenants::Column::Id.gt(id.uuid())),
            );
            page = page.filter(place);
        }
        let page = page.order_by_asc(tenants::Column::NameKey).order_by_asc(tenants::Column::Id).limit(limit);
        page.all(self.db.read()).await?.into_iter().map(tenant).collect()
    }

    /// Changes a tenant and says how it is now. Doing it twice is doing it once.
    ///
    /// # Errors
    /// `NotFound`; as [`Change::apply`].
    pub async fn change_tenant(&self, id: TenantId, change: Change, deed: Deed) -> Result<Tenant> {
        self.db
            .write(move |txn| {
                let (change, deed) = (change.clone(), deed.clone());
                Box::pin(async move {
                    let before = locked(txn, id).await?.ok_or_else(no_such_tenant)?;
                    let after = change.apply(&before)?;
                    let kind = match after.state {
                        _ if after.version == before.version => return Ok(after),
                        state if state == before.state => "tenant.updated",
                        State::Active => "tenant.enabled",
                        State::Disabled => "tenant.disabled",
                        State::Deleting => "tenant.deleting",
                    };
                    write(txn, kind, &before, after, &deed).await
                })
            })
            .await
    }

    /// Notes what a tenant's client was recognised as, unless that is settled; says how the tenant is now.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn pin_dialect(&self, id: TenantId, dialect: Dialect, deed: Deed) -> Result<Tenant> {
        self.db
            .write(move |txn| {
                let (dialect, deed) = (dialect.clone(), deed.clone());
                Box::pin(async move {
                    let before = locked(txn, id).await?.ok_or_else(no_such_tenant)?;
                    if !before.dialect.is_open() || before.state == State::Deleting {
                        return Ok(before);
                    }
                    let after = Tenant { dialect, ..before.clone() };
                    update(txn, "tenant.client_recognised", &before, after, &deed).await
                })
            })
            .await
    }

    /// Removes all there is of a tenant, its part of the change log included. What stays is one entry without a name:
    /// that a tenant of this id was purged, when, by whom. Says whether there was anything.
    ///
    /// # Errors
    /// `Conflict` unless the tenant is being deleted.
    pub async fn purge_tenant(&self, id: TenantId, deed: Deed) -> Result<bool> {
        self.db
            .write(move |txn| {
                let deed = deed.clone();
                Box::pin(async move {
                    let Some(found) = locked(txn, id).await? else { return Ok(false) };
                    if found.state != State::Deleting {
                        return Err(Error::new(
                            ErrorKind::Conflict,
                            "only a tenant that is being deleted can be purged: delete it first",
                        ));
                    }
                    let of_tenant = credentials::Column::TenantId.eq(id.uuid());
                    credentials::Entity::delete_many().filter(of_tenant).exec(txn).await?;
                    super::clients::purge(txn, id).await?;
                    super::issuers::purge(txn, id).await?;
                    tenants::Entity::delete_many()
                        .filter(tenants::Column::Id.eq(id.uuid()))
                        .exec(txn)
                        .await?;
                    forget_log(txn, id).await?;
                    // Without what the tenant was: that is gone, its name too.
                    let (resource, nothing) = ((id.uuid(), found.version + 1), (Value::Null, Value::Null));
                    deed.record_facts(txn, "tenant.purged", Some(id), resource, nothing).await?;
                    Ok(true)
                })
            })
            .await
    }
}

/// Removes a tenant's part of the change log.
async fn forget_log<C: ConnectionTrait>(txn: &C, id: TenantId) -> Result<()> {
    let backend = txn.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => "DELETE FROM change_log WHERE tenant_id = $1",
        _ => "DELETE FROM change_log WHERE tenant_id = ?",
    };
    txn.execute_raw(Statement::from_sql_and_values(backend, sql, [id.uuid().into()])).await?;
    Ok(())
}

/// The tenant's row, locked until the transaction ends: what is done to a tenant happens one after the other.
pub(super) async fn locked<C: ConnectionTrait>(txn: &C, id: TenantId) -> Result<Option<Tenant>> {
    let by_id = of_platform::<tenants::Entity>().filter(tenants::Column::Id.eq(id.uuid()));
    by_id.lock_exclusive().one(txn).await?.map(tenant).transpose()
}

/// The tenant's row, locked, and in service or switched off: what may still be given something.
pub(super) async fn locked_and_alive<C: ConnectionTrait>(txn: &C, id: TenantId) -> Result<Tenant> {
    alive(locked(txn, id).await?.ok_or_else(no_such_tenant)?)
}

/// Refuses a tenant that is being deleted.
pub(super) fn alive(tenant: Tenant) -> Result<Tenant> {
    if tenant.state == State::Deleting { Err(being_deleted()) } else { Ok(tenant) }
}

/// Writes what became of a tenant whose row is locked, as its next version, and records it.
pub(super) async fn update<C: ConnectionTrait>(
    txn: &C,
    kind: &'static str,
    before: &Tenant,
    after: Tenant,
    deed: &Deed,
) -> Result<Tenant> {
    write(txn, kind, before, Tenant { version: before.version + 1, ..after }, deed).await
}

async fn write<C: ConnectionTrait>(
    txn: &C,
    kind: &'static str,
    before: &Tenant,
    after: Tenant,
    deed: &Deed,
) -> Result<Tenant> {
    tenants::Entity::update(row(after.clone(), deed.at)?).exec(txn).await?;
    deed.record_change(txn, kind, before, &after).await?;
    Ok(after)
}

pub(crate) fn no_such_tenant() -> Error {
    Error::not_found("there is no such tenant")
}

pub(super) fn tenant(row: tenants::Model) -> Result<Tenant> {
    let state = State::from_name(&row.state).ok_or_else(|| {
        Error::internal(format!("tenant {} has a state that this version does not know", row.id))
    })?;
    let settings = serde_json::from_value(row.settings).map_err(Error::internal)?;
    let recognised = match (row.dialect_sign, row.dialect_recognised_at_us) {
        (Some(sign), Some(at_us)) => Some(Recognised { sign, at: Timestamp::from_micros(at_us) }),
        _ => None,
    };
    Ok(Tenant {
        id: TenantId::from_uuid(row.id),
        name: row.name,
        state,
        preset: row.preset,
        dialect: Dialect { name: row.dialect, auto: row.dialect_auto, recognised },
        scim_path: row.scim_path,
        settings,
        scim_enabled: row.scim_enabled,
        scim_enabled_at: Timestamp::from_micros(row.scim_enabled_at_us),
        version: row.version,
        created_at: Timestamp::from_micros(row.created_at_us),
    })
}

/// All of the row but the key of its name, which never changes.
fn row(tenant: Tenant, now: Timestamp) -> Result<tenants::ActiveModel> {
    let Tenant {
        id,
        name,
        state,
        preset,
        dialect,
        scim_path,
        settings,
        scim_enabled,
        scim_enabled_at,
        version,
        created_at,
    } = tenant;
    let Dialect { name: dialect, auto, recognised } = dialect;
    let (sign, recognised_at) = match recognised {
        Some(Recognised { sign, at }) => (Some(sign), Some(at.micros())),
        None => (None, None),
    };
    Ok(tenants::ActiveModel {
        id: Set(id.uuid()),
        name: Set(name),
        name_key: NotSet,
        state: Set(state.name().to_owned()),
        preset: Set(preset),
        dialect: Set(dialect),
        dialect_auto: Set(auto),
        dialect_sign: Set(sign),
        dialect_recognised_at_us: Set(recognised_at),
        scim_path: Set(scim_path),
        settings: Set(serde_json::to_value(settings).map_err(Error::internal)?),
        scim_enabled: Set(scim_enabled),
        scim_enabled_at_us: Set(scim_enabled_at.micros()),
        version: Set(version),
        created_at_us: Set(created_at.micros()),
        updated_at_us: Set(now.micros()),
    })
}
