//! Provisioning of a tenant, on and off.

use platform::Result;
use platform::cache::Invalidation;
use platform::ids::{CredentialId, TenantId};
use secrecy::SecretString;

use super::{Authority, NewCredential};
use crate::domain::credential::{Credential, expiry};
use crate::domain::secret::{self, Kind};
use crate::domain::tenant::{Tenant, check_label};
use crate::store::Deed;

/// The label of the secret when none was given.
const LABEL: &str = "SCIM switched on";

impl Authority {
    /// Switches provisioning on and mints a secret; every earlier one is revoked. Each call mints.
    ///
    /// # Errors
    /// `InvalidValue` for a label or expiry that cannot be, `NotFound`, `Conflict` for a tenant that is being deleted.
    pub async fn enable_scim(
        &self,
        new: NewCredential,
        deed: Deed,
    ) -> Result<(Tenant, Credential, SecretString)> {
        let NewCredential { tenant, mut label, expires_at_us } = new;
        check_label(&label)?;
        if label.is_empty() {
            label = LABEL.to_owned();
        }
        let expires_at = expiry(expires_at_us, deed.at)?;
        let id = CredentialId::new(&self.clock);
        let (secret, hash) = secret::mint(Kind::Provisioning, id.uuid())?;
        let credential = Credential::new(id, tenant, label, expires_at, deed.at);
        let now = self.store.enable_scim(credential.clone(), hash, deed).await?;
        self.invalidations.publish(Invalidation::Tenant(tenant));
        Ok((now, credential, secret))
    }

    /// Switches provisioning off: every secret is revoked, and nothing else of the tenant's lets a client in for SCIM. Doing
    /// it twice is doing it once.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for a tenant that is being deleted.
    pub async fn disable_scim(&self, tenant: TenantId, deed: Deed) -> Result<Tenant> {
        let now = self.store.disable_scim(tenant, deed).await?;
        // Also when nothing changed: the one who changed it may have died before this line.
        self.invalidations.publish(Invalidation::Tenant(tenant));
        Ok(now)
    }
}
