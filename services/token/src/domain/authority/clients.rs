//! OAuth clients.

use std::time::Duration;

use platform::cache::Invalidation;
use platform::ids::{ClientId, TenantId};
use platform::{Error, Result};
use secrecy::SecretString;

use super::Authority;
use crate::domain::client::{Client, MAX_OVERLAP_S, ProofChange, Proofs, grantable, read_jwks};
use crate::domain::issuer::Federation;
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
    /// Its public keys, a JWK Set; empty for none.
    pub jwks: Vec<u8>,
    /// Whose assertions to take for it.
    pub federation: Option<Federation>,
}

/// What is to be otherwise of how a client proves itself.
pub struct ClientUpdate {
    /// Its public keys, a JWK Set; empty takes them away, `None` leaves them.
    pub jwks: Option<Vec<u8>>,
    /// Whose assertions to take for it; `Some(None)` takes that away.
    pub federation: Option<Option<Federation>>,
}

impl Authority {
    /// A client of an internal service, or one that provisions a tenant. It gets a secret unless it has keys or a federation.
    ///
    /// # Errors
    /// `InvalidValue` for a name, scope, key or federation that cannot be, `Uniqueness` for a name or federation that is
    /// taken, `NotFound` and `Conflict` for a tenant that is gone or going.
    pub async fn create_client(&self, new: NewClient, deed: Deed) -> Result<(Client, Option<SecretString>)> {
        let NewClient { name: text, tenant, scopes, jwks, federation } = new;
        let name = Name::parse(&text)?;
        let scopes = grantable(&scopes, tenant)?;
        let jwks = read_jwks(&jwks)?;
        self.check_federation(federation.as_ref())?;
        let id = ClientId::new(&self.clock);
        let minted = if jwks.is_none() && federation.is_none() {
            Some(secret::mint(Kind::Client, id.uuid())?)
        } else {
            None
        };
        let client = Client {
            id,
            name: text,
            tenant,
            scopes,
            proofs: Proofs { secret: minted.is_some(), jwks, federation },
            version: 1,
            token_epoch: 0,
            created_at: deed.at,
        };
        let (secret, hash) = minted.unzip();
        self.store.insert_client(client.clone(), name, hash, deed).await?;
        Ok((client, secret))
    }

    /// Changes how a client proves itself.
    ///
    /// # Errors
    /// `NotFound`; as [`Authority::create_client`]; `InvalidValue` when it could prove itself no more.
    pub async fn update_client(&self, id: ClientId, update: ClientUpdate, deed: Deed) -> Result<Client> {
        let ClientUpdate { jwks, federation } = update;
        let jwks = jwks.map(|jwks| read_jwks(&jwks)).transpose()?;
        self.check_federation(federation.as_ref().and_then(Option::as_ref))?;
        let client = self.store.change_client(id, ProofChange { jwks, federation }, deed).await?;
        // What it proved itself with may be gone, and its tokens with it.
        self.invalidations.publish(Invalidation::Client(id));
        Ok(client)
    }

    /// A further secret for a client; the earlier ones go on working for `overlap_s` seconds. With none, they end at once, and
    /// so do the tokens for SCIM that were issued before.
    ///
    /// # Errors
    /// `InvalidValue` for an overlap that cannot be, `NotFound`, `Conflict` when it has as many secrets as it may.
    pub async fn rotate_client_secret(
        &self,
        id: ClientId,
        overlap_s: i64,
        deed: Deed,
    ) -> Result<(Client, SecretString)> {
        let overlap =
            u64::try_from(overlap_s).ok().filter(|_| overlap_s <= MAX_OVERLAP_S).ok_or_else(|| {
                let detail = format!("overlap_s must be between 0 and {MAX_OVERLAP_S} (90 days)");
                Error::invalid_value(detail).with_attribute("overlap_s")
            })?;
        let (secret, hash) = secret::mint(Kind::Client, id.uuid())?;
        let earlier_end = deed.at.plus(Duration::from_secs(overlap));
        let client = self.store.rotate_client_secret(id, hash, earlier_end, deed).await?;
        self.invalidations.publish(Invalidation::Client(id));
        Ok((client, secret))
    }

    fn check_federation(&self, federation: Option<&Federation>) -> Result<()> {
        let Some(federation) = federation else { return Ok(()) };
        federation.check()?;
        self.check_reach(&federation.issuer)
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
}
