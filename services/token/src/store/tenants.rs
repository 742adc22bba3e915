//! Tenants.

use sea_orm::Statement;
use sea_orm::sea_query::Condition;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use platform::clock::Timestamp;
use platform::ids::TenantId;
use platform::{Error, Result};
use scim::ErrorKind;

use super::entities::{clients, credentials, tenants};
use super::{Deed, Store, of_platform, taken};
use crate::domain::credential::Credential;
use crate::domain::preset::Settings;
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
        settings: Settings,
        credential: Credential,
        hash: Hash,
        deed: Deed,
    ) -> Result<()> {
        let row = tenants::Model {
            id: tenant.id.uuid(),
            name: tenant.name,
            name_key: name.key().to_owned(),
            state: tenant.state.name().to_owned(),
            preset: tenant.preset,
            dialect: tenant.dialect,
            scim_path: tenant.scim_path,
            settings: serde_json::to_value(settings).map_err(Error::internal)?,
            version: tenant.version,
            created_at_us: tenant.created_at.micros(),
            updated_at_us: tenant.created_at.micros(),
        };
        self.db
            .write(move |txn| {
                let (row, credential, deed) = (row.clone(), credential.clone(), deed.clone());
                Box::pin(async move {
                    let row = tenants::ActiveModel::from(row);
                    tenants::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await
                        .map_err(|error| taken(error, "tenant"))?;
                    deed.record(txn, "tenant.created", Some(tenant.id), tenant.id.uuid(), tenant.version)
                        .await?;
                    super::credentials::insert(txn, credential, hash, &deed).await
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

    /// Moves a tenant to another state and says how it is now. Doing it twice is doing it once.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is being deleted, from where nothing leads back.
    pub async fn set_tenant_state(&self, id: TenantId, state: State, deed: Deed) -> Result<Tenant> {
        self.db
            .write(move |txn| {
                let deed = deed.clone();
                Box::pin(async move {
                    let mut found = locked(txn, id).await?.ok_or_else(no_such_tenant)?;
                    if found.state == state {
                        return Ok(found);
                    }
                    let kind = match state {
                        _ if found.state == State::Deleting => return Err(being_deleted()),
                        State::Active => "tenant.enabled",
                        State::Disabled => "tenant.disabled",
                        State::Deleting => "tenant.deleting",
                    };
                    found.state = state;
                    found.version += 1;
                    let row = tenants::ActiveModel {
                        id: Set(id.uuid()),
                        state: Set(state.name().to_owned()),
                        version: Set(found.version),
                        updated_at_us: Set(deed.at.micros()),
                        ..Default::default()
                    };
                    tenants::Entity::update(row).exec(txn).await?;
                    deed.record(txn, kind, Some(id), id.uuid(), found.version).await?;
                    Ok(found)
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
                    clients::Entity::delete_many()
                        .filter(clients::Column::TenantId.eq(id.uuid()))
                        .exec(txn)
                        .await?;
                    tenants::Entity::delete_many()
                        .filter(tenants::Column::Id.eq(id.uuid()))
                        .exec(txn)
                        .await?;
                    forget_log(txn, id).await?;
                    deed.record(txn, "tenant.purged", Some(id), id.uuid(), found.version + 1).await?;
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
    let found = locked(txn, id).await?.ok_or_else(no_such_tenant)?;
    if found.state == State::Deleting { Err(being_deleted()) } else { Ok(found) }
}

pub(crate) fn no_such_tenant() -> Error {
    Error::not_found("there is no such tenant")
}

fn being_deleted() -> Error {
    Error::new(ErrorKind::Conflict, "the tenant is being deleted")
}

pub(super) fn tenant(row: tenants::Model) -> Result<Tenant> {
    let state = State::from_name(&row.state).ok_or_else(|| {
        Error::internal(format!("tenant {} has a state that this version does not know", row.id))
    })?;
    Ok(Tenant {
        id: TenantId::from_uuid(row.id),
        name: row.name,
        state,
        preset: row.preset,
        dialect: row.dialect,
        scim_path: row.scim_path,
        version: row.version,
        created_at: Timestamp::from_micros(row.created_at_us),
    })
}
