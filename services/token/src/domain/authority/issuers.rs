//! Trusted issuers of tenants.

use platform::cache::Invalidation;
use platform::ids::{IssuerId, TenantId};
use platform::{Error, Result};

use super::Authority;
use crate::domain::issuer::{Pins, TrustedIssuer};
use crate::store::{Deed, no_such_tenant};

impl Authority {
    /// Trusts an issuer for a tenant.
    ///
    /// # Errors
    /// `InvalidValue` that names the field; `Uniqueness` when the same tokens already belong to a tenant; `NotFound`;
    /// `Conflict` for a tenant that is being deleted or trusts as many as it may.
    pub async fn create_issuer(
        &self,
        tenant: TenantId,
        label: String,
        pins: Pins,
        deed: Deed,
    ) -> Result<TrustedIssuer> {
        let id = IssuerId::new(&self.clock);
        let issuer = TrustedIssuer { id, tenant, label, pins, created_at: deed.at };
        issuer.check()?;
        self.check_reach(&issuer.pins.issuer)?;
        self.store.insert_issuer(issuer.clone(), deed).await?;
        // A gateway may remember that it refused such a token.
        self.invalidations.publish(Invalidation::Tenant(tenant));
        Ok(issuer)
    }

    /// A tenant's trusted issuers, oldest first.
    ///
    /// # Errors
    /// `NotFound` when there is no such tenant.
    pub async fn issuers(&self, tenant: TenantId) -> Result<Vec<TrustedIssuer>> {
        if self.store.tenant(tenant).await?.is_none() {
            return Err(no_such_tenant());
        }
        self.store.issuers(tenant).await
    }

    /// Trusts an issuer no more, at once. There being none is fine.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_issuer(&self, tenant: TenantId, id: IssuerId, deed: Deed) -> Result<()> {
        self.store.delete_issuer(tenant, id, deed).await?;
        // Also when there was none: the one who deleted it may have died before this line.
        self.invalidations.publish(Invalidation::Tenant(tenant));
        Ok(())
    }

    /// Refuses an issuer whose keys would not be asked for.
    pub(super) fn check_reach(&self, issuer: &str) -> Result<()> {
        self.discovery.check_issuer(issuer).map_err(|wrong| {
            let detail = format!("the issuer must be an https URL outside this network, e.g. `https://idp.example.com/`: {wrong}");
            Error::invalid_value(detail).with_attribute("issuer")
        })
    }
}
