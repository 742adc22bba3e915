//! Provisioning secrets, and the last use of every kind.

use sea_orm::sea_query::Condition;
use sea_orm::{ActiveValue::Set, sea_query::Expr};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

use platform::clock::Timestamp;
use platform::ids::{CredentialId, TenantId};
use platform::{Error, Result};
use scim::ErrorKind;
use serde_json::Value;

use super::entities::{admin_credentials, credentials, tenants};
use super::{Deed, Store, tenants as tenant_rows};
use crate::domain::credential::{Credential, MAX_LIVE, REMEMBERED, Rotation, Stage};
use crate::domain::secret::Hash;
use crate::domain::tenant::Tenant;

/// The most that a list shows.
const MAX_LISTED: u64 = 1000;

/// What resolving a secret reads.
pub struct FoundCredential {
    /// Its facts.
    pub credential: Credential,
    /// To compare with what was presented.
    pub hash: Hash,
    /// Whose it is.
    pub tenant: Tenant,
}

impl Store {
    /// The credential of this id and its tenant: the one query that starts without a tenant, because it finds it.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_credential(&self, id: CredentialId) -> Result<Option<FoundCredential>> {
        #[expect(
            clippy::disallowed_methods,
            reason = "finds the tenant of a secret; the id is unique on its own"
        )]
        let by_id = credentials::Entity::find().filter(credentials::Column::Id.eq(id.uuid()));
        let found = by_id.find_also_related(tenants::Entity).one(self.db.read()).await?;
        let Some((row, Some(tenant))) = found else { return Ok(None) };
        let Some(hash) = Hash::from_stored(&row.secret_sha256) else { return Ok(None) };
        Ok(Some(FoundCredential { credential: credential(row), hash, tenant: tenant_rows::tenant(tenant)? }))
    }

    /// Inserts a secret of a tenant.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for a tenant that is being deleted, has provisioning switched off, or has as many live secrets
    /// as it may.
    pub async fn insert_credential(&self, new: Credential, hash: Hash, deed: Deed) -> Result<()> {
        self.db
            .write(move |txn| {
                let (new, deed) = (new.clone(), deed.clone());
                Box::pin(async move {
                    let tenant = tenant_rows::locked_and_alive(txn, new.tenant).await?;
                    if !tenant.scim_enabled {
                        let detail =
                            "provisioning is switched off for the tenant: switching it on mints a secret";
                        return Err(Error::new(ErrorKind::Conflict, detail));
                    }
                    has_room(txn, new.tenant, deed.at).await?;
                    insert(txn, new, hash, "credential.created", &deed).await
                })
            })
            .await
    }

    /// A tenant's secrets, newest first, without those that died more than a year ago.
    ///
    /// # Errors
    /// The database's.
    pub async fn credentials(&self, tenant: TenantId, now: Timestamp) -> Result<Vec<Credential>> {
        let recent = now.minus(REMEMBERED);
        let remembered = Condition::all()
            .add(later_or_null(credentials::Column::RevokedAtUs, recent))
            .add(later_or_null(credentials::Column::ExpiresAtUs, recent));
        let rows = in_tenant(tenant)
            .filter(remembered)
            .order_by_desc(credentials::Column::CreatedAtUs)
            .order_by_desc(credentials::Column::Id)
            .limit(MAX_LISTED)
            .all(self.db.read())
            .await?;
        Ok(rows.into_iter().map(credential).collect())
    }

    /// Revokes a secret and says how it is now. Doing it twice is doing it once.
    ///
    /// # Errors
    /// `NotFound`, also when the secret is another tenant's.
    pub async fn revoke_credential(
        &self,
        tenant: TenantId,
        id: CredentialId,
        deed: Deed,
    ) -> Result<Credential> {
        self.db
            .write(move |txn| {
                let deed = deed.clone();
                Box::pin(async move {
                    // The tenant first: what is done to its secrets happens one after the other.
                    tenant_rows::locked(txn, tenant).await?;
                    let found = locked(txn, tenant, id).await?;
                    if found.revoked_at.is_some() {
                        return Ok(found);
                    }
                    super::rotation::revoke_by_hand(txn, found, &deed).await
                })
            })
            .await
    }

    /// Notes when secrets were last used; a later time on record stays.
    ///
    /// # Errors
    /// The database's.
    pub async fn note_last_use(&self, uses: Vec<(Option<TenantId>, CredentialId, Timestamp)>) -> Result<()> {
        self.db
            .write(move |txn| {
                let uses = uses.clone();
                Box::pin(async move {
                    for (tenant, id, at) in uses {
                        note_one_use(txn, tenant, id, at.micros()).await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// Every other query over credentials starts here.
pub(super) fn in_tenant(tenant: TenantId) -> Select<credentials::Entity> {
    #[expect(clippy::disallowed_methods, reason = "the one helper that scopes by tenant")]
    credentials::Entity::find().filter(credentials::Column::TenantId.eq(tenant.uuid()))
}

/// As [`Credential::is_live`], in SQL.
pub(super) fn is_live(now: Timestamp) -> Condition {
    let unexpired = later_or_null(credentials::Column::ExpiresAtUs, now);
    Condition::all().add(credentials::Column::RevokedAtUs.is_null()).add(unexpired)
}

/// The time in the column is after `at`, or there is none.
fn later_or_null(column: credentials::Column, at: Timestamp) -> Condition {
    Condition::any().add(column.is_null()).add(column.gt(at.micros()))
}

/// A secret of a tenant, its row locked until the transaction ends.
pub(super) async fn locked<C: ConnectionTrait>(
    txn: &C,
    tenant: TenantId,
    id: CredentialId,
) -> Result<Credential> {
    let by_id = in_tenant(tenant).filter(credentials::Column::Id.eq(id.uuid()));
    let found = by_id.lock_exclusive().one(txn).await?;
    found.map(credential).ok_or_else(|| Error::not_found("the tenant has no such credential"))
}

/// Checks that a tenant, whose row is locked, may have one more live secret.
pub(super) async fn has_room<C: ConnectionTrait>(txn: &C, tenant: TenantId, now: Timestamp) -> Result<()> {
    let live = in_tenant(tenant).filter(is_live(now)).count(txn).await?;
    if live < MAX_LIVE as u64 {
        return Ok(());
    }
    let detail = format!("a tenant has at most {MAX_LIVE} live secrets: revoke one that is no longer needed");
    Err(Error::new(ErrorKind::Conflict, detail))
}

/// Writes what may change of a secret: its end, and how its rotation went.
pub(super) async fn update<C: ConnectionTrait>(txn: &C, changed: &Credential) -> Result<()> {
    let row = credentials::ActiveModel {
        tenant_id: Set(changed.tenant.uuid()),
        id: Set(changed.id.uuid()),
        revoked_at_us: Set(changed.revoked_at.map(Timestamp::micros)),
        rotation: Set(changed.rotation.map(|it| it.stage.name().to_owned())),
        ..Default::default()
    };
    credentials::Entity::update(row).exec(txn).await?;
    Ok(())
}

/// Inserts a credential's row within a transaction.
pub(super) async fn insert<C: ConnectionTrait>(
    txn: &C,
    new: Credential,
    hash: Hash,
    kind: &'static str,
    deed: &Deed,
) -> Result<()> {
    let facts = (Value::Null, new.facts());
    let Credential { id, tenant, label, created_at, expires_at, last_used_at, revoked_at, rotation } = new;
    let row = credentials::ActiveModel {
        tenant_id: Set(tenant.uuid()),
        id: Set(id.uuid()),
        label: Set(label),
        secret_sha256: Set(hash.to_stored()),
        created_at_us: Set(created_at.micros()),
        expires_at_us: Set(expires_at.map(Timestamp::micros)),
        last_used_at_us: Set(last_used_at.map(Timestamp::micros)),
        revoked_at_us: Set(revoked_at.map(Timestamp::micros)),
        replaces: Set(rotation.map(|it| it.replaces.uuid())),
        rotation: Set(rotation.map(|it| it.stage.name().to_owned())),
    };
    credentials::Entity::insert(row).exec_without_returning(txn).await?;
    deed.record_facts(txn, kind, Some(tenant), (id.uuid(), 1), facts).await
}

async fn note_one_use<C: ConnectionTrait>(
    txn: &C,
    tenant: Option<TenantId>,
    id: CredentialId,
    at_us: i64,
) -> Result<()> {
    match tenant {
        Some(tenant) => {
            use credentials::Column::{Id, LastUsedAtUs, TenantId as Tenant};
            let earlier = Condition::any().add(LastUsedAtUs.is_null()).add(LastUsedAtUs.lt(at_us));
            let update = credentials::Entity::update_many().col_expr(LastUsedAtUs, Expr::value(at_us));
            update
                .filter(Tenant.eq(tenant.uuid()))
                .filter(Id.eq(id.uuid()))
                .filter(earlier)
                .exec(txn)
                .await?;
        }
        None => {
            use admin_credentials::Column::{Id, LastUsedAtUs};
            let earlier = Condition::any().add(LastUsedAtUs.is_null()).add(LastUsedAtUs.lt(at_us));
            let update = admin_credentials::Entity::update_many().col_expr(LastUsedAtUs, Expr::value(at_us));
            update.filter(Id.eq(id.uuid())).filter(earlier).exec(txn).await?;
        }
    }
    Ok(())
}

pub(super) fn credential(row: credentials::Model) -> Credential {
    // A stage that a later version wrote is none that this one may act on.
    let stage = row.rotation.as_deref().and_then(Stage::from_name);
    let rotation =
        row.replaces.zip(stage).map(|(id, stage)| Rotation { replaces: CredentialId::from_uuid(id), stage });
    Credential {
        id: CredentialId::from_uuid(row.id),
        tenant: TenantId::from_uuid(row.tenant_id),
        label: row.label,
        created_at: Timestamp::from_micros(row.created_at_us),
        expires_at: row.expires_at_us.map(Timestamp::from_micros),
        last_used_at: row.last_used_at_us.map(Timestamp::from_micros),
        revoked_at: row.revoked_at_us.map(Timestamp::from_micros),
        rotation,
    }
}
