//! Signs access tokens with the key whose turn it is.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use tokio::sync::Mutex;

use platform::auth::{
    ACCESS_TOKEN_TTL_S, AUDIENCE, Claims, EVERY_TENANT, ISSUER, SCIM_AUDIENCE, SCIM_TOKEN_TTL_S, Scope,
};
use platform::clock::{Clock, Timestamp};
use platform::ids::TenantId;
use platform::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::domain::cipher::SecretKey;
use crate::domain::client::{Client, join};
use crate::domain::keys::{Ring, Rotation, SigningKey, StoredKey};
use crate::domain::tenant::Tenant;
use crate::store::{Deed, Store};

/// Keys are read again this often, so that every replica sees a new one long before it signs (`keys::LEAD`).
const REREAD_AFTER: Duration = Duration::from_secs(60);

/// Who was let in in the last second must not be refused by a service behind the gateway; and the gateway uses no token in the last
/// ten seconds of its life. That nobody is let in later is the gateway's matter, which is told when the bearer token ends.
const ON_THE_WAY_S: i64 = 15;

/// See the module.
pub(super) struct Signer {
    store: Store,
    clock: Clock,
    key: SecretKey,
    loaded: Mutex<Option<Arc<Loaded>>>,
}

struct Loaded {
    at: Timestamp,
    ring: Ring,
    signing_id: uuid::Uuid,
    signing: SigningKey,
}

/// The claims of an access token for SCIM.
#[derive(Serialize)]
struct ScimClaims {
    #[serde(flatten)]
    claims: Claims,
    #[serde(flatten)]
    epochs: Epochs,
}

/// What a token for SCIM was issued under. It is good while these are the present ones: compared for equality, so that neither
/// the second in which it was issued nor differing clocks matter.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Epochs {
    /// When the tenant's provisioning was last switched on.
    scim_enabled_at_us: i64,
    /// The client's `token_epoch`.
    client_epoch: i64,
}

impl Epochs {
    pub(super) fn of(client: &Client, tenant: &Tenant) -> Self {
        Self { scim_enabled_at_us: tenant.scim_enabled_at.micros(), client_epoch: client.token_epoch }
    }
}

impl Signer {
    /// Makes the first key when there is none, and opens the one that signs.
    pub(super) async fn start(store: Store, clock: Clock, key: SecretKey) -> Result<Self> {
        let signer = Self { store, clock, key, loaded: Mutex::new(None) };
        let ring = Ring::new(signer.store.signing_keys().await?);
        if ring.is_empty() {
            signer.add_next(&ring, Deed::system(signer.clock.now())).await?;
        }
        signer.loaded().await?;
        Ok(signer)
    }

    /// Adds the next key, if it is time.
    pub(super) async fn rotate(&self, deed: Deed) -> Result<Rotation> {
        let ring = Ring::new(self.store.signing_keys().await?);
        self.add_next(&ring, deed).await
    }

    /// Adds the key that follows those in `ring`, unless another replica that saw the same ring was faster.
    async fn add_next(&self, ring: &Ring, deed: Deed) -> Result<Rotation> {
        let now = deed.at;
        let Rotation::Add { generation, signs_from } = ring.rotate(now) else {
            return Ok(Rotation::UnderWay);
        };
        let new = StoredKey::generate(&self.key, &self.clock, generation, signs_from)?;
        let added = self.store.rotate_signing_key(new, ring.dead(now), deed).await?;
        *self.loaded.lock().await = None;
        // Another replica was faster: its key is as good as ours.
        Ok(if added { Rotation::Add { generation, signs_from } } else { Rotation::UnderWay })
    }

    /// The public keys.
    pub(super) async fn published(&self) -> Result<JwkSet> {
        Ok(self.loaded().await?.ring.published(self.clock.now()))
    }

    /// An access token for `subject`, and its expiry: five minutes, or shortly after the end of what it was given for.
    pub(super) async fn access_token(
        &self,
        subject: String,
        tenant: Option<TenantId>,
        scopes: &[Scope],
        not_beyond: Option<Timestamp>,
    ) -> Result<(String, Timestamp)> {
        let loaded = self.loaded().await?;
        let mut claims = self.claims(subject, AUDIENCE, ACCESS_TOKEN_TTL_S);
        claims.tenant = tenant.map_or(claims.tenant, |tenant| tenant.to_string());
        claims.scope = join(scopes);
        if let Some(end) = not_beyond {
            claims.exp = claims.exp.min(end.seconds() + ON_THE_WAY_S);
        }
        let exp = claims.exp;
        Ok((loaded.signing.sign(&claims)?, Timestamp::from_micros(exp.saturating_mul(1_000_000))))
    }

    /// An access token with which a client provisions its tenant. No service takes it: the gateway has it resolved.
    pub(super) async fn scim_token(&self, client: &Client, tenant: &Tenant) -> Result<String> {
        let loaded = self.loaded().await?;
        let mut claims = self.claims(client.id.to_string(), SCIM_AUDIENCE, SCIM_TOKEN_TTL_S);
        claims.tenant = tenant.id.to_string();
        claims.scope = Scope::Scim.name().to_owned();
        let epochs = Epochs::of(client, tenant);
        loaded.signing.sign(&ScimClaims { claims, epochs })
    }

    /// For every tenant and without a scope, to be narrowed and widened.
    fn claims(&self, subject: String, audience: &str, lifetime_s: i64) -> Claims {
        let now = self.clock.now().seconds();
        Claims {
            iss: ISSUER.to_owned(),
            aud: audience.to_owned(),
            sub: subject,
            tenant: EVERY_TENANT.to_owned(),
            scope: String::new(),
            iat: now,
            exp: now + lifetime_s,
            jti: platform::ids::new_uuid(&self.clock).to_string(),
        }
    }

    /// The keys, read and opened again when they are old or another's turn has come. Who comes meanwhile waits.
    async fn loaded(&self) -> Result<Arc<Loaded>> {
        let now = self.clock.now();
        let mut loaded = self.loaded.lock().await;
        if let Some(current) = loaded.as_ref() {
            let fresh = current.at <= now && now < current.at.plus(REREAD_AFTER);
            if fresh && current.ring.signing(now).is_some_and(|key| key.id == current.signing_id) {
                return Ok(current.clone());
            }
        }
        let ring = Ring::new(self.store.signing_keys().await?);
        let Some(stored) = ring.signing(now) else {
            return Err(Error::internal(
                "there is no signing key in the database: it was emptied under a running service",
            ));
        };
        let (signing_id, signing) = (stored.id, SigningKey::open(stored, &self.key)?);
        let current = Arc::new(Loaded { at: now, ring, signing_id, signing });
        *loaded = Some(current.clone());
        Ok(current)
    }
}
