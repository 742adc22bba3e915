//! OAuth clients.

use sea_orm::sea_query::{Condition, Expr, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, SqlErr,
};
use serde_json::Value;

use platform::clock::Timestamp;
use platform::ids::{ClientId, TenantId};
use platform::{Error, Result};
use scim::ErrorKind;

use super::entities::{client_secrets, clients, tenants, used_assertions};
use super::{Deed, Store, of_platform, taken, tenants as tenant_rows};
use crate::domain::client::{Client, MAX_SECRETS, ProofChange, Proofs, join, split};
use crate::domain::issuer::Federation;
use crate::domain::secret::Hash;
use crate::domain::tenant::{Name, Tenant};

/// What issuing a token reads.
pub struct FoundClient {
    /// Its facts.
    pub client: Client,
    /// To compare with what was presented: those that work now, none for a client without a secret.
    pub hashes: Vec<Hash>,
    /// The tenant it is bound to; `None` when it is bound to none, or to one that is gone.
    pub tenant: Option<Tenant>,
}

impl Store {
    /// Inserts a client that the API made.
    ///
    /// # Errors
    /// `Uniqueness` when the name or the federation is taken; `NotFound` and `Conflict` when its tenant is gone or going.
    pub async fn insert_client(
        &self,
        client: Client,
        name: Name,
        hash: Option<Hash>,
        deed: Deed,
    ) -> Result<()> {
        self.db
            .write(move |txn| {
                let (client, name, deed) = (client.clone(), name.clone(), deed.clone());
                Box::pin(async move {
                    if let Some(tenant) = client.tenant {
                        tenant_rows::locked_and_alive(txn, tenant).await?;
                    }
                    federation_is_free(txn, &client).await?;
                    let (id, tenant, facts) = (client.id.uuid(), client.tenant, client.facts());
                    let row = row(client, &name, hash, false);
                    clients::Entity::insert(row)
                        .exec_without_returning(txn)
                        .await
                        .map_err(|error| taken(error, "client"))?;
                    deed.record_facts(txn, "client.created", tenant, (id, 1), (Value::Null, facts)).await
                })
            })
            .await
    }

    /// The client of this id, and its tenant.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_client(&self, id: ClientId, now: Timestamp) -> Result<Option<FoundClient>> {
        let by_id = of_platform::<clients::Entity>().filter(clients::Column::Id.eq(id.uuid()));
        let Some((row, tenant)) = by_id.find_also_related(tenants::Entity).one(self.db.read()).await? else {
            return Ok(None);
        };
        let earlier = of_platform::<client_secrets::Entity>()
            .filter(client_secrets::Column::ClientId.eq(id.uuid()))
            .filter(client_secrets::Column::EndsAtUs.gt(now.micros()))
            .all(self.db.read())
            .await?;
        let stored = std::iter::once(&row.secret_sha256).chain(earlier.iter().map(|one| &one.secret_sha256));
        let hashes = stored.filter_map(|hash| Hash::from_stored(hash)).collect();
        let tenant = tenant.map(tenant_rows::tenant).transpose()?;
        Ok(Some(FoundClient { client: client(row), hashes, tenant }))
    }

    /// Whose assertions have these three claims.
    ///
    /// # Errors
    /// The database's.
    pub async fn client_of_federation(&self, federation: &Federation) -> Result<Option<ClientId>> {
        let found = of_platform::<clients::Entity>().filter(is_of(federation)).one(self.db.read()).await?;
        Ok(found.map(|row| ClientId::from_uuid(row.id)))
    }

    /// Changes how a client that the API made proves itself, and says how it is now.
    ///
    /// # Errors
    /// `NotFound`; `Uniqueness` when the federation is taken; as [`Client::with`].
    pub async fn change_client(&self, id: ClientId, change: ProofChange, deed: Deed) -> Result<Client> {
        self.db
            .write(move |txn| {
                let (change, deed) = (change.clone(), deed.clone());
                Box::pin(async move {
                    let before = client(locked(txn, id).await?);
                    let after = before.with(change)?;
                    if after.version == before.version {
                        return Ok(after);
                    }
                    federation_is_free(txn, &after).await?;
                    let Proofs { secret: _, jwks, federation } = after.proofs.clone();
                    let row = clients::ActiveModel {
                        id: Set(id.uuid()),
                        version: Set(after.version),
                        token_epoch: Set(after.token_epoch),
                        jwks: Set(jwks),
                        federation_issuer: Set(federation.as_ref().map(|it| it.issuer.clone())),
                        federation_audience: Set(federation.as_ref().map(|it| it.audience.clone())),
                        federation_subject: Set(federation.map(|it| it.subject)),
                        ..Default::default()
                    };
                    clients::Entity::update(row).exec(txn).await.map_err(federated)?;
                    let facts = (before.facts(), after.facts());
                    let resource = (id.uuid(), after.version);
                    deed.record_facts(txn, "client.updated", after.tenant, resource, facts).await?;
                    Ok(after)
                })
            })
            .await
    }

    /// Gives a client that the API made a further secret. The earlier ones end at `earlier_end`; when that is now, so do the
    /// tokens for SCIM that were issued before.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has as many secrets as it may.
    pub async fn rotate_client_secret(
        &self,
        id: ClientId,
        hash: Hash,
        earlier_end: Timestamp,
        deed: Deed,
    ) -> Result<Client> {
        self.db
            .write(move |txn| {
                let deed = deed.clone();
                Box::pin(async move {
                    let row = locked(txn, id).await?;
                    let newest = row.secret_sha256.clone();
                    let before = client(row);
                    end_secrets(txn, id, &newest, earlier_end, deed.at).await?;
                    let mut after = before.clone();
                    after.version += 1;
                    after.proofs.secret = true;
                    if earlier_end <= deed.at {
                        after.token_epoch += 1;
                    }
                    let row = clients::ActiveModel {
                        id: Set(id.uuid()),
                        version: Set(after.version),
                        token_epoch: Set(after.token_epoch),
                        secret_sha256: Set(hash.to_stored()),
                        ..Default::default()
                    };
                    clients::Entity::update(row).exec(txn).await?;
                    let facts = (before.facts(), after.facts());
                    let resource = (id.uuid(), after.version);
                    deed.record_facts(txn, "client.secret_rotated", after.tenant, resource, facts).await?;
                    Ok(after)
                })
            })
            .await
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
                    let found = client(found);
                    let uuid = found.id.uuid();
                    clients::Entity::delete_many().filter(clients::Column::Id.eq(uuid)).exec(txn).await?;
                    client_secrets::Entity::delete_many()
                        .filter(client_secrets::Column::ClientId.eq(uuid))
                        .exec(txn)
                        .await?;
                    used_assertions::Entity::delete_many()
                        .filter(used_assertions::Column::ClientId.eq(uuid))
                        .exec(txn)
                        .await?;
                    let (resource, facts) = ((uuid, found.version + 1), (found.facts(), Value::Null));
                    deed.record_facts(txn, "client.deleted", found.tenant, resource, facts).await?;
                    Ok(true)
                })
            })
            .await
    }
}

/// Removes every client of a tenant, and what belongs to them.
pub(super) async fn purge<C: ConnectionTrait>(txn: &C, tenant: TenantId) -> Result<()> {
    let of_tenant = || {
        let mut ids = Query::select();
        ids.column(clients::Column::Id).from(clients::Entity);
        ids.and_where(clients::Column::TenantId.eq(tenant.uuid())).to_owned()
    };
    client_secrets::Entity::delete_many()
        .filter(client_secrets::Column::ClientId.in_subquery(of_tenant()))
        .exec(txn)
        .await?;
    used_assertions::Entity::delete_many()
        .filter(used_assertions::Column::ClientId.in_subquery(of_tenant()))
        .exec(txn)
        .await?;
    clients::Entity::delete_many().filter(clients::Column::TenantId.eq(tenant.uuid())).exec(txn).await?;
    Ok(())
}

/// The row of a client that the API made, locked until the transaction ends.
async fn locked<C: ConnectionTrait>(txn: &C, id: ClientId) -> Result<clients::Model> {
    let by_id =
        Condition::all().add(clients::Column::IsSystem.eq(false)).add(clients::Column::Id.eq(id.uuid()));
    let found = of_platform::<clients::Entity>().filter(by_id).lock_exclusive().one(txn).await?;
    found.ok_or_else(|| Error::not_found("there is no such client"))
}

/// Lets the newest secret of a client and those before it end at `end`, or sooner where that was settled already.
async fn end_secrets<C: ConnectionTrait>(
    txn: &C,
    id: ClientId,
    newest: &[u8],
    end: Timestamp,
    now: Timestamp,
) -> Result<()> {
    use client_secrets::Column::{ClientId, EndsAtUs};
    let over = if end <= now { Condition::all() } else { Condition::all().add(EndsAtUs.lte(now.micros())) };
    client_secrets::Entity::delete_many().filter(ClientId.eq(id.uuid())).filter(over).exec(txn).await?;
    if end <= now || newest.is_empty() {
        return Ok(());
    }
    client_secrets::Entity::update_many()
        .col_expr(EndsAtUs, Expr::value(end.micros()))
        .filter(ClientId.eq(id.uuid()))
        .filter(EndsAtUs.gt(end.micros()))
        .exec(txn)
        .await?;
    let earlier = of_platform::<client_secrets::Entity>().filter(ClientId.eq(id.uuid())).count(txn).await?;
    // Beside these there will be the newest of now, and the one that is being made.
    if earlier + 2 > MAX_SECRETS as u64 {
        let detail = format!(
            "a client has at most {MAX_SECRETS} secrets that work: wait for the end of an overlap, or rotate without one"
        );
        return Err(Error::new(ErrorKind::Conflict, detail));
    }
    let row = client_secrets::ActiveModel {
        client_id: Set(id.uuid()),
        secret_sha256: Set(newest.to_vec()),
        ends_at_us: Set(end.micros()),
    };
    client_secrets::Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}

fn is_of(federation: &Federation) -> Condition {
    let Federation { issuer, audience, subject } = federation;
    Condition::all()
        .add(clients::Column::FederationIssuer.eq(issuer))
        .add(clients::Column::FederationAudience.eq(audience))
        .add(clients::Column::FederationSubject.eq(subject))
}

/// Asked first, so that the answer names the federation; two at once meet at the unique index.
async fn federation_is_free<C: ConnectionTrait>(txn: &C, client: &Client) -> Result<()> {
    let Some(federation) = &client.proofs.federation else { return Ok(()) };
    let other = of_platform::<clients::Entity>().filter(is_of(federation)).one(txn).await?;
    match other.filter(|other| other.id != client.id.uuid()) {
        None => Ok(()),
        Some(_) => Err(federation_taken()),
    }
}

fn federation_taken() -> Error {
    Error::new(
        ErrorKind::Uniqueness,
        "another client has the same federation: issuer, audience and subject must lead to one client",
    )
    .with_attribute("federation")
}

/// A unique index refused the change of a client: only that of the federation can.
fn federated(error: DbErr) -> Error {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => federation_taken(),
        _ => error.into(),
    }
}

pub(super) fn row(client: Client, name: &Name, hash: Option<Hash>, is_system: bool) -> clients::ActiveModel {
    let Client { id, name: text, tenant, scopes, proofs, version, token_epoch, created_at } = client;
    let Proofs { secret: _, jwks, federation } = proofs;
    clients::ActiveModel {
        id: Set(id.uuid()),
        is_system: Set(is_system),
        tenant_id: Set(tenant.map(TenantId::uuid)),
        name: Set(text),
        name_key: Set(name.key().to_owned()),
        scopes: Set(join(&scopes)),
        secret_sha256: Set(hash.map(Hash::to_stored).unwrap_or_default()),
        created_at_us: Set(created_at.micros()),
        version: Set(version),
        token_epoch: Set(token_epoch),
        jwks: Set(jwks),
        federation_issuer: Set(federation.as_ref().map(|it| it.issuer.clone())),
        federation_audience: Set(federation.as_ref().map(|it| it.audience.clone())),
        federation_subject: Set(federation.map(|it| it.subject)),
    }
}

pub(super) fn client(row: clients::Model) -> Client {
    let federation = match (row.federation_issuer, row.federation_audience, row.federation_subject) {
        (Some(issuer), Some(audience), Some(subject)) => Some(Federation { issuer, audience, subject }),
        _ => None,
    };
    Client {
        id: ClientId::from_uuid(row.id),
        name: row.name,
        tenant: row.tenant_id.map(TenantId::from_uuid),
        scopes: split(&row.scopes),
        proofs: Proofs { secret: !row.secret_sha256.is_empty(), jwks: row.jwks, federation },
        version: row.version,
        token_epoch: row.token_epoch,
        created_at: Timestamp::from_micros(row.created_at_us),
    }
}
