//! One secret of a tenant takes the place of another.

use platform::Result;
use platform::cache::Invalidation;
use platform::ids::{CredentialId, TenantId};
use secrecy::SecretString;

use super::{Authority, NewCredential};
use crate::domain::credential::Credential;
use crate::store::Deed;

impl Authority {
    /// Mints the successor of a live secret; both work until the rotation is completed or cancelled.
    ///
    /// # Errors
    /// `InvalidValue` for a label or expiry that cannot be, `NotFound`, `Conflict` for a secret that is not live or part of a
    /// rotation already, and when the tenant has as many live secrets as it may.
    pub async fn start_rotation(
        &self,
        replaces: CredentialId,
        new: NewCredential,
        deed: Deed,
    ) -> Result<(Credential, SecretString)> {
        let (successor, secret, hash) = self.mint_credential(new, deed.at)?;
        let successor = self.store.start_rotation(successor, replaces, hash, deed).await?;
        Ok((successor, secret))
    }

    /// Revokes the secret that this one was made to replace. Doing it twice is doing it once.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when this secret replaces none, is not live, or its rotation was cancelled.
    pub async fn complete_rotation(
        &self,
        tenant: TenantId,
        successor: CredentialId,
        deed: Deed,
    ) -> Result<Credential> {
        let (successor, replaced) = self.store.complete_rotation(tenant, successor, deed).await?;
        // Also when nothing changed: the one who changed it may have died before this line.
        self.invalidations.publish(Invalidation::Credential(replaced));
        Ok(successor)
    }

    /// Revokes the successor; the secret that was to be replaced stays. Doing it twice is doing it once.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` when this secret replaces none, or has done so.
    pub async fn cancel_rotation(
        &self,
        tenant: TenantId,
        successor: CredentialId,
        deed: Deed,
    ) -> Result<Credential> {
        let cancelled = self.store.cancel_rotation(tenant, successor, deed).await?;
        self.invalidations.publish(Invalidation::Credential(successor));
        Ok(cancelled)
    }
}
