//! The life of tenants.

use platform::Result;
use platform::cache::Invalidation;
use platform::ids::{CredentialId, TenantId};
use secrecy::SecretString;

use super::Authority;
use crate::domain::change::Change;
use crate::domain::credential::Credential;
use crate::domain::dialect::recognition;
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
        self.store.insert_tenant(rows.0, name, rows.1, hash, deed).await?;
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
        self.change_tenant(id, Change::to(State::Deleting), deed).await
    }

    /// Changes what is named in `change`; the tenant's next request finds it changed.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`, `Conflict` when the tenant is being deleted.
    pub async fn change_tenant(&self, id: TenantId, change: Change, deed: Deed) -> Result<Tenant> {
        let tenant = self.store.change_tenant(id, change, deed).await?;
        // Also when nothing changed: the one who changed it may have died before this line.
        self.invalidations.publish(Invalidation::Tenant(id));
        Ok(tenant)
    }

    /// Notes what a tenant's client was recognised as. Costs one read when that is settled already, or not asked for.
    ///
    /// # Errors
    /// `NotFound`, `InvalidValue` for a sign that is none.
    pub async fn pin_dialect(
        &self,
        id: TenantId,
        name: &'static str,
        sign: &str,
        deed: Deed,
    ) -> Result<Tenant> {
        let dialect = recognition(name, sign, deed.at)?;
        let tenant = self.tenant(id).await?;
        if !tenant.dialect.is_open() {
            return Ok(tenant);
        }
        let tenant = self.store.pin_dialect(id, dialect, deed).await?;
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
