//! OAuth clients.

use sea_orm::sea_query::Condition;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use platform::Result;
use platform::clock::Timestamp;
use platform::ids::{ClientId, TenantId};

use super::entities::{clients, tenants};
use super::{Deed, Store, of_platform, taken, tenants as tenant_rows};
use crate::domain::client::{Client, join, split};
use crate::domain::secret::Hash;
use crate::domain::tenant::{Name, Tenant};

/// What issuing a token reads.
pub struct FoundClient {
    /// Its facts.
    pub client: Client,
    /// To compare with what was presented.
    pub hash: Hash,
    /// The tenant it is bound to; `None` when it is bound to none, or to one that is gone.
    pub tenant: Option<Tenant>,
}

impl Store {
    /// Inserts a client that the API made.
    ///
    /// # Errors
    /// `Uniqueness` when the name is taken; `NotFound` and `Conflict` when its tenant is gone or going.
    pub async fn insert_client(&self, client: Client, name: Name, hash: Hash, deed: Deed) -> Result<()> {
        self.db
            .write(move |txn| {
                let (client, name, deed) = (client.clone(), name.clone(), deed.clone());
                Box::pin(async move {
                    if let Some(tenant) = client.tenant {
                        tenant_rows::locked_and_alive(txn, tenant).await?;
                    }
                    let (id, tenant) = (client.id.uuid(), client.tenant);
                    let row = row(client, &name, hash, false);
                    clients::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await
                        .map_err(|error| taken(error, "client"))?;
                    deed.record(txn, "client.created", tenant, id, 1).await
                })
            })
            .await
    }

    /// Inserts a client of the platform itself in place of the one that had this name; says which one that was.
    ///
    /// # Errors
    /// The database's.
    pub async fn replace_system_client(
        &self,
        client: Client,
        name: Name,
        hash: Hash,
        deed: Deed,
    ) -> Result<Option<ClientId>> {
        self.db
            .write(move |txn| {
                let (client, name, deed) = (client.clone(), name.clone(), deed.clone());
                Box::pin(async move {
                    let of_name = Condition::all()
                        .add(clients::Column::IsSystem.eq(true))
                        .add(clients::Column::NameKey.eq(name.key()));
                    let earlier =
                        of_platform::<clients::Entity>().filter(of_name).lock_exclusive().one(txn).await?;
                    if let Some(earlier) = &earlier {
                        clients::Entity::delete_many()
                            .filter(clients::Column::Id.eq(earlier.id))
                            .exec(txn)
                            .await?;
                        deed.record(txn, "client.deleted", None, earlier.id, 2).await?;
                    }
                    let id = client.id.uuid();
                    let row = row(client, &name, hash, true);
                    clients::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await
                        .map_err(|error| taken(error, "client"))?;
                    deed.record(txn, "client.created", None, id, 1).await?;
                    Ok(earlier.map(|earlier| ClientId::from_uuid(earlier.id)))
                })
            })
            .await
    }

    /// The client of this id, and its tenant.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_client(&self, id: ClientId) -> Result<Option<FoundClient>> {
        let by_id = of_platform::<clients::Entity>().filter(clients::Column::Id.eq(id.uuid()));
        let Some((row, tenant)) = by_id.find_also_related(tenants::Entity).one(self.db.read()).await? else {
            return Ok(None);
        };
        let Some(hash) = Hash::from_stored(&row.secret_sha256) else { return Ok(None) };
        let tenant = tenant.map(tenant_rows::tenant).transpose()?;
        Ok(Some(FoundClient { client: client(row), hash, tenant }))
    }

    /// At most `limit` clients by name, after the place (name key, id), without the platform's own.
    ///
    /// # Errors
    /// The database's.
    pub async fn clients(&self, after: Option<(String, ClientId)>, limit: u64) -> Result<Vec<Client>> {
        let mut page = of_platform::<clients::Entity>().filter(clients::Column::IsSystem.eq(false));
        if let Some((key, id)) = after {
            let place = Condition::any().add(clients::Column::NameKey.gt(&key)).add(
                Condition::all()
                    .add(clients::Column::NameKey.eq(&key))
                    .add(clients::Column::Id.gt(id.uuid())),
            );
            page = page.filter(place);
        }
        let page = page.order_by_asc(clients::Column::NameKey).order_by_asc(clients::Column::Id).limit(limit);
        Ok(page.all(self.db.read()).await?.into_iter().map(client).collect())
    }

    /// Deletes a client that the API made; says whether there was one.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_client(&self, id: ClientId, deed: Deed) -> Result<bool> {
        self.db
            .write(move |txn| {
                let deed = deed.clone();
                Box::pin(async move {
                    let by_id = Condition::all()
                        .add(clients::Column::IsSystem.eq(false))
                        .add(clients::Column::Id.eq(id.uuid()));
                    let by_id = of_platform::<clients::Entity>().filter(by_id);
                    let Some(found) = by_id.lock_exclusive().one(txn).await? else { return Ok(false) };
                    clients::Entity::delete_many().filter(clients::Column::Id.eq(found.id)).exec(txn).await?;
                    let tenant = found.tenant_id.map(TenantId::from_uuid);
                    deed.record(txn, "client.deleted", tenant, found.id, 2).await?;
                    Ok(true)
                })
            })
            .await
    }
}

fn row(client: Client, name: &Name, hash: Hash, is_system: bool) -> clients::ActiveModel {
    let Client { id, name: text, tenant, scopes, created_at } = client;
    clients::ActiveModel {
        id: Set(id.uuid()),
        is_system: Set(is_system),
        tenant_id: Set(tenant.map(TenantId::uuid)),
        name: Set(text),
        name_key: Set(name.key().to_owned()),
        scopes: Set(join(&scopes)),
        secret_sha256: Set(hash.to_stored()),
        created_at_us: Set(created_at.micros()),
    }
}

fn client(row: clients::Model) -> Client {
    Client {
        id: ClientId::from_uuid(row.id),
        name: row.name,
        tenant: row.tenant_id.map(TenantId::from_uuid),
        scopes: split(&row.scopes),
        created_at: Timestamp::from_micros(row.created_at_us),
    }
}
