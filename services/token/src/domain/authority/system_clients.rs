//! The platform's own clients where everyone derives them.

use platform::Result;
use platform::auth::Scope;
use platform::cache::Invalidation;
use platform::ids::ClientId;
use secrecy::SecretString;

use super::Authority;
use crate::domain::client::Client;
use crate::domain::system_client::SystemClient;
use crate::domain::tenant::Name;
use crate::store::Deed;

impl Authority {
    /// Sees to it that the platform's own client of this name is the one that is derived from `platform_secret`, for every
    /// tenant, with these scopes. Again, or on several replicas at once, it changes nothing.
    ///
    /// # Errors
    /// `InvalidValue` for a name that cannot be or a platform secret that is too short.
    pub async fn ensure_system_client(
        &self,
        name: &str,
        scopes: &[Scope],
        platform_secret: &SecretString,
    ) -> Result<ClientId> {
        let name = Name::parse(name)?;
        let SystemClient { id, secret: _, hash } = SystemClient::derive(name.text(), platform_secret)?;
        let now = self.clock.now();
        let client = Client::of_platform(id, &name, scopes, now);
        let replaced = self.store.ensure_system_client(client, name, hash, Deed::system(now)).await?;
        if let Some(replaced) = replaced {
            self.invalidations.publish(Invalidation::Client(replaced));
        }
        Ok(id)
    }
}
