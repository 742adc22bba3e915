//! A tenant's secrets.

use platform::Result;
use platform::cache::Invalidation;
use platform::clock::Timestamp;
use platform::ids::{CredentialId, TenantId};
use secrecy::SecretString;

use super::Authority;
use crate::domain::credential::{Credential, expiry};
use crate::domain::secret::{self, Hash, Kind};
use crate::domain::tenant::check_label;
use crate::store::{Deed, no_such_tenant};

/// What a further secret is to be.
pub struct NewCredential {
    /// Whose.
    pub tenant: TenantId,
    /// For people.
    pub label: String,
    /// Microseconds since the Unix epoch; 0 for none.
    pub expires_at_us: i64,
}

impl Authority {
    /// A further secret of a tenant.
    ///
    /// # Errors
    /// `InvalidValue` for a label or expiry that cannot be, `NotFound`, `Conflict` for a tenant that is being deleted or
    /// has as many live secrets as it may.
    pub async fn create_credential(
        &self,
        new: NewCredential,
        deed: Deed,
    ) -> Result<(Credential, SecretString)> {
        let (credential, secret, hash) = self.mint_credential(new, deed.at)?;
        self.store.insert_credential(credential.clone(), hash, deed).await?;
        Ok((credential, secret))
    }

    /// A secret that is nowhere yet.
    pub(super) fn mint_credential(
        &self,
        new: NewCredential,
        now: Timestamp,
    ) -> Result<(Credential, SecretString, Hash)> {
        let NewCredential { tenant, label, expires_at_us } = new;
        check_label(&label)?;
        let expires_at = expiry(expires_at_us, now)?;
        let id = CredentialId::new(&self.clock);
        let (secret, hash) = secret::mint(Kind::Provisioning, id.uuid())?;
        Ok((Credential::new(id, tenant, label, expires_at, now), secret, hash))
    }

    /// A tenant's secrets, newest first, without those that died more than a year ago.
    ///
    /// # Errors
    /// `NotFound` when there is no such tenant.
    pub async fn credentials(&self, tenant: TenantId) -> Result<Vec<Credential>> {
        if self.store.tenant(tenant).await?.is_none() {
            return Err(no_such_tenant());
        }
        self.store.credentials(tenant, self.clock.now()).await
    }

    /// Kills a secret at once. Doing it twice is doing it once.
    ///
    /// # Errors
    /// `NotFound`, also when the secret is another tenant's.
    pub async fn revoke_credential(
        &self,
        tenant: TenantId,
        id: CredentialId,
        deed: Deed,
    ) -> Result<Credential> {
        let credential = self.store.revoke_credential(tenant, id, deed).await?;
        self.invalidations.publish(Invalidation::Credential(id));
        Ok(credential)
    }
}
