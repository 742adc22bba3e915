//! Administrators.

use platform::cache::Invalidation;
use platform::ids::CredentialId;
use platform::{Error, Result};
use secrecy::SecretString;

use super::Authority;
use crate::domain::admin::Admin;
use crate::domain::secret::{self, Kind};
use crate::domain::tenant::check_label;
use crate::store::Deed;

/// The label of the secret that the first start makes.
const BOOTSTRAP: &str = "first";

impl Authority {
    /// Sees to it that the platform has an administrator, whose secret the operator keeps (in standalone: in a file).
    ///
    /// `kept` is what the operator kept from an earlier start, `keep` puts a new secret away durably. A new one is put
    /// away first and takes effect second, so that a crash in between leaves a kept secret that does not work yet: the
    /// next start finds it and registers it. The other order could leave a secret that works and that nobody has.
    ///
    /// | kept | in the database | what happens |
    /// | --- | --- | --- |
    /// | no | none | mint, keep, register; returns the new secret |
    /// | no | some | nothing: the operator took it away |
    /// | yes | not this one | register it |
    /// | yes | this one | nothing, revoked or not: a file does not undo a revocation |
    ///
    /// # Errors
    /// `InvalidValue` when what was kept is no admin secret; what `keep` answers; the database's.
    pub async fn bootstrap_admin(
        &self,
        kept: Option<SecretString>,
        keep: impl FnOnce(&SecretString) -> std::io::Result<()> + Send,
    ) -> Result<Option<SecretString>> {
        let deed = Deed::system(self.clock.now());
        if let Some(kept) = kept {
            let presented = secret::parse(&kept).filter(|presented| presented.kind == Kind::Admin);
            let Some(presented) = presented else {
                return Err(Error::invalid_value(
                    "what was kept as the admin token is none (`rca_…`, 87 characters): restore it from a backup, or \
                     remove it if another admin token is in use",
                ));
            };
            let id = CredentialId::from_uuid(presented.id);
            if self.store.find_admin(id).await?.is_none() {
                let admin = Admin::new(id, BOOTSTRAP.to_owned(), deed.at);
                self.store.insert_admin(admin, presented.hash, deed).await?;
            }
            return Ok(None);
        }
        if self.store.has_admin().await? {
            return Ok(None);
        }
        let id = CredentialId::new(&self.clock);
        let (secret, hash) = secret::mint(Kind::Admin, id.uuid())?;
        keep(&secret).map_err(Error::internal)?;
        self.store.insert_admin(Admin::new(id, BOOTSTRAP.to_owned(), deed.at), hash, deed).await?;
        Ok(Some(secret))
    }

    /// A further administrator's secret.
    ///
    /// # Errors
    /// `InvalidValue` for a label that cannot be, `Conflict` when there are as many as there may be.
    pub async fn create_admin(&self, label: String, deed: Deed) -> Result<(Admin, SecretString)> {
        check_label(&label)?;
        let id = CredentialId::new(&self.clock);
        let (secret, hash) = secret::mint(Kind::Admin, id.uuid())?;
        let admin = Admin::new(id, label, deed.at);
        self.store.insert_admin(admin.clone(), hash, deed).await?;
        Ok((admin, secret))
    }

    /// Administrators' secrets, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn admins(&self) -> Result<Vec<Admin>> {
        self.store.admins().await
    }

    /// Kills an administrator's secret at once. Doing it twice is doing it once.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for the last live one.
    pub async fn revoke_admin(&self, id: CredentialId, deed: Deed) -> Result<Admin> {
        let admin = self.store.revoke_admin(id, deed).await?;
        self.invalidations.publish(Invalidation::Credential(id));
        Ok(admin)
    }
}
