//! OAuth clients.

use platform::Result;
use platform::auth::Scope;
use platform::cache::Invalidation;
use platform::ids::{ClientId, TenantId};
use secrecy::SecretString;

use super::Authority;
use crate::domain::client::{Client, grantable};
use crate::domain::secret::{self, Kind};
use crate::domain::tenant::Name;
use crate::store::Deed;

/// What a client is to be.
pub struct NewClient {
    /// Unique name.
    pub name: String,
    /// The one tenant it may ask about; `None` for all.
    pub tenant: Option<TenantId>,
    /// Names of scopes.
    pub scopes: Vec<String>,
}

impl Authority {
    /// A client of an internal service.
    ///
    /// # Errors
    /// `InvalidValue` for a name or scope that cannot be, `Uniqueness` for a name that is taken, `NotFound` and
    /// `Conflict` for a tenant that is gone or going.
    pub async fn create_client(&self, new: NewClient, deed: Deed) -> Result<(Client, SecretString)> {
        let name = Name::parse(&new.name)?;
        let scopes = grantable(&new.scopes)?;
        let id = ClientId::new(&self.clock);
        let (secret, hash) = secret::mint(Kind::Client, id.uuid())?;
        let client = Client { id, name: new.name, tenant: new.tenant, scopes, created_at: deed.at };
        self.store.insert_client(client.clone(), name, hash, deed).await?;
        Ok((client, secret))
    }

    /// At most `limit` clients by name, after the place (name key, id), without the platform's own.
    ///
    /// # Errors
    /// The database's.
    pub async fn clients(&self, after: Option<(String, ClientId)>, limit: u64) -> Result<Vec<Client>> {
        self.store.clients(after, limit).await
    }

    /// Deletes a client; there being none is fine.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_client(&self, id: ClientId, deed: Deed) -> Result<()> {
        if self.store.delete_client(id, deed).await? {
            self.invalidations.publish(Invalidation::Client(id));
        }
        Ok(())
    }

    /// A client of the platform itself, for every tenant, with any scopes, in place of the one that had this name.
    ///
    /// # Errors
    /// `InvalidValue` for a name that cannot be.
    pub async fn ensure_system_client(
        &self,
        name: &str,
        scopes: &[Scope],
    ) -> Result<(ClientId, SecretString)> {
        let name = Name::parse(name)?;
        let id = ClientId::new(&self.clock);
        let (secret, hash) = secret::mint(Kind::Client, id.uuid())?;
        let now = self.clock.now();
        let client = Client {
            id,
            name: name.text().to_owned(),
            tenant: None,
            scopes: scopes.to_vec(),
            created_at: now,
        };
        let earlier = self.store.replace_system_client(client, name, hash, Deed::system(now)).await?;
        if let Some(earlier) = earlier {
            self.invalidations.publish(Invalidation::Client(earlier));
        }
        Ok((id, secret))
    }
}
