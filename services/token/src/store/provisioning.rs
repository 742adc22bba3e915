//! Provisioning of a tenant, on and off.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use platform::Result;
use platform::ids::TenantId;

use super::credentials::{credential, in_tenant, insert, is_live};
use super::entities::credentials;
use super::{Deed, Store, no_such_tenant, rotation, tenants as tenant_rows};
use crate::domain::credential::Credential;
use crate::domain::secret::Hash;
use crate::domain::tenant::Tenant;

impl Store {
    /// Switches provisioning on with a new secret, the only one that is live then; says how the tenant is now.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for a tenant that is being deleted.
    pub async fn enable_scim(&self, secret: Credential, hash: Hash, deed: Deed) -> Result<Tenant> {
        self.db
            .write(move |txn| {
                let (secret, deed) = (secret.clone(), deed.clone());
                Box::pin(async move {
                    let before = tenant_rows::locked_and_alive(txn, secret.tenant).await?;
                    revoke_all(txn, before.id, &deed).await?;
                    let after = Tenant { scim_enabled: true, scim_enabled_at: deed.at, ..before.clone() };
                    let after =
                        tenant_rows::update(txn, "tenant.scim_enabled", &before, after, &deed).await?;
                    insert(txn, secret, hash, "credential.created", &deed).await?;
                    Ok(after)
                })
            })
            .await
    }

    /// Switches provisioning off: no secret of the tenant is live then. Says how the tenant is now. Doing it twice is
    /// doing it once.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for a tenant that is being deleted.
    pub async fn disable_scim(&self, id: TenantId, deed: Deed) -> Result<Tenant> {
        self.db
            .write(move |txn| {
                let deed = deed.clone();
                Box::pin(async move {
                    let before = tenant_rows::locked(txn, id).await?.ok_or_else(no_such_tenant)?;
                    if !before.scim_enabled {
                        return Ok(before);
                    }
                    let before = tenant_rows::alive(before)?;
                    revoke_all(txn, id, &deed).await?;
                    let after = Tenant { scim_enabled: false, ..before.clone() };
                    tenant_rows::update(txn, "tenant.scim_disabled", &before, after, &deed).await
                })
            })
            .await
    }
}

/// Revokes every secret of a tenant whose row is locked, and ends its rotations. The log has a line for each that was
/// live, which are few.
async fn revoke_all<C: ConnectionTrait>(txn: &C, tenant: TenantId, deed: &Deed) -> Result<()> {
    use credentials::Column::{RevokedAtUs, TenantId as Tenant};
    for live in in_tenant(tenant).filter(is_live(deed.at)).all(txn).await? {
        rotation::revoke(txn, credential(live), deed).await?;
    }
    // Those that expired: another replica's clock may be a little behind.
    credentials::Entity::update_many()
        .col_expr(RevokedAtUs, Expr::value(deed.at.micros()))
        .filter(Tenant.eq(tenant.uuid()))
        .filter(RevokedAtUs.is_null())
        .exec(txn)
        .await?;
    rotation::cancel_all(txn, tenant).await
}
