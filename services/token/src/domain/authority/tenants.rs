//! The life of tenants.

use platform::Result;
use platform::cache::Invalidation;
use platform::ids::{CredentialId, TenantId};
use secrecy::SecretString;

use super::Authority;
use crate::domain::credential::Credential;
use crate::domain::preset;
use crate::domain::secret::{self, Kind};
use crate::domain::tenant::{Name, State, Tenant};
use crate::store::{Deed, no_such_tenant};

impl Authority {
    /// A new tenant with its first secret, both or neither.
    ///
    /// # Errors
    /// `InvalidValue` for a name or preset that cannot be, `Uniqueness` for a name that is taken.
    pub async fn create_tenant(
        &self,
        name: &str,
        preset: &str,
        deed: Deed,
    ) -> Result<(Tenant, Credential, SecretString)> {
        let name = Name::parse(name)?;
        let preset = preset::by_name(preset)?;
        let tenant = Tenant::new(TenantId::new(&self.clock), &name, &preset, deed.at);
        let id = CredentialId::new(&self.clock);
        let (secret, hash) = secret::mint(Kind::Provisioning, id.uuid())?;
        let credential = Credential::new(id, tenant.id, "first".to_owned(), None, deed.at);
        let rows = (tenant.clone(), credential.clone());
        self.store.insert_tenant(rows.0, name, preset.settings, rows.1, hash, deed).await?;
        Ok((tenant, credential, secret))
    }

    /// The tenant of this id.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn tenant(&self, id: TenantId) -> Result<Tenant> {
        self.store.tenant(id).await?.ok_or_else(no_such_tenant)
    }

    /// The tenant of this name, in whatever case.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn tenant_by_name(&self, name: &str) -> Result<Tenant> {
        let Ok(name) = Name::parse(name) else { return Err(no_such_tenant()) };
        self.store.tenant_by_name(&name).await?.ok_or_else(no_such_tenant)
    }

    /// At most `limit` tenants by name, after the place (name key, id).
    ///
    /// # Errors
    /// The database's.
    pub async fn tenants(&self, after: Option<(String, TenantId)>, limit: u64) -> Result<Vec<Tenant>> {
        self.store.tenants(after, limit).await
    }

    /// Takes a tenant out of service for good: no credential of it lets anybody in any more.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_tenant(&self, id: TenantId, deed: Deed) -> Result<Tenant> {
        let tenant = self.store.set_tenant_state(id, State::Deleting, deed).await?;
        self.invalidations.publish(Invalidation::Tenant(id));
        Ok(tenant)
    }

    /// Removes what is left of a tenant that is being deleted; its name is free again. Nothing to do is fine.
    ///
    /// # Errors
    /// `Conflict` when the tenant is not being deleted.
    pub async fn purge_tenant(&self, id: TenantId, deed: Deed) -> Result<()> {
        if self.store.purge_tenant(id, deed).await? {
            self.invalidations.publish(Invalidation::Tenant(id));
        }
        Ok(())
    }
}
