//! From a bearer JWT to who holds it: an access token of ours for SCIM, or a token of an issuer that a tenant trusts.
//!
//! Both are looked up at each resolution, not only verified: a client or issuer that is deleted, a tenant that is switched off,
//! lets nobody in from the next resolution on (docs/adr/0007-every-bearer-is-resolved.md).

use jsonwebtoken::jwk::JwkSet;
use serde::Deserialize;
use uuid::Uuid;

use platform::auth::{ISSUER, SCIM_AUDIENCE, Scope};
use platform::clock::Timestamp;
use platform::ids::ClientId;
use platform::{Error, Result};

use super::Authority;
use super::resolve::{CredentialKind, Holder, Resolved, refused};
use super::signer::Epochs;
use crate::domain::jwk::KeySet;
use crate::domain::jwt::Unverified;
use crate::domain::tenant::Tenant;

/// What only our own tokens say.
#[derive(Deserialize)]
struct OwnClaims {
    tenant: String,
    #[serde(flatten)]
    epochs: Epochs,
}

/// Who was let in by a JWT, and until when it is good.
struct Bearer {
    kind: CredentialKind,
    id: Uuid,
    label: String,
    tenant: Tenant,
    end: Timestamp,
}

impl Authority {
    /// Who holds this JWT.
    ///
    /// # Errors
    /// `Unauthenticated`, always with the same text; `Unavailable` when the keys of a trusted issuer cannot be had; the
    /// database's.
    pub(super) async fn resolve_jwt(&self, token: &str) -> Result<Resolved> {
        let token = Unverified::parse(token).ok_or_else(refused)?;
        let bearer = if token.claims().iss.as_deref() == Some(ISSUER) {
            self.own_bearer(&token).await?
        } else {
            self.trusted_bearer(&token).await?
        };
        let Bearer { kind, id, label, tenant, end } = bearer;
        let scopes = vec![Scope::Scim];
        let issued = self.signer.access_token(id.to_string(), Some(tenant.id), &scopes, Some(end)).await?;
        Ok(Resolved {
            holder: Holder::Tenant(Box::new(tenant)),
            kind,
            credential: id,
            label,
            scopes,
            access_token: issued.0,
            access_token_expires_at: issued.1,
            credential_expires_at: Some(end),
        })
    }

    async fn own_bearer(&self, token: &Unverified<'_>) -> Result<Bearer> {
        let keys = own_keys(&self.signer.published().await?)?;
        let key = keys.find(token.kid()).ok_or_else(|| not_let_in("no key of ours has its kid"))?;
        if !token.is_signed_by(key) {
            return Err(not_let_in("its signature is not ours"));
        }
        let claims = token.claims();
        if !claims.is_only_for(SCIM_AUDIENCE) {
            return Err(not_let_in("it is not for SCIM"));
        }
        let end = claims.good_at(self.clock.now()).map_err(not_let_in)?;
        let own: OwnClaims = token.read().ok_or_else(refused)?;
        let id: Option<ClientId> = claims.sub.as_ref().and_then(|sub| sub.parse().ok());
        let found = self.store.find_client(id.ok_or_else(refused)?, self.clock.now()).await?;
        let found = found.ok_or_else(|| not_let_in("its client is gone"))?;
        let (client, tenant) = (found.client, found.tenant.ok_or_else(refused)?);
        if own.tenant != tenant.id.to_string() || !client.scopes.contains(&Scope::Scim) {
            return Err(not_let_in("its client is for something else now"));
        }
        if own.epochs != Epochs::of(&client, &tenant) || !tenant.takes_scim() {
            return Err(not_let_in("its tenant does not take SCIM, or not from before"));
        }
        Ok(Bearer { kind: CredentialKind::Client, id: client.id.uuid(), label: client.name, tenant, end })
    }

    async fn trusted_bearer(&self, token: &Unverified<'_>) -> Result<Bearer> {
        let claims = token.claims();
        let found = self.store.find_issuer(claims).await?;
        let (issuer, tenant) =
            found.ok_or_else(|| not_let_in("no tenant trusts its issuer for these claims"))?;
        if !tenant.takes_scim() {
            return Err(not_let_in("its tenant does not take SCIM"));
        }
        // Before the keys: what has expired needs none.
        let end = claims.good_at(self.clock.now()).map_err(not_let_in)?;
        let key = self.discovery.key(&issuer.pins.issuer, token.kid()).await?;
        let key = key.ok_or_else(|| not_let_in("its issuer has no key of its kid"))?;
        if !token.is_signed_by(&key) {
            return Err(not_let_in("its signature is not its issuer's"));
        }
        Ok(Bearer { kind: CredentialKind::Issuer, id: issuer.id.uuid(), label: issuer.label, tenant, end })
    }
}

/// The reason is for the log of whoever looks for it, and never quotes the token.
fn not_let_in(reason: &'static str) -> Error {
    tracing::debug!(reason, "a JWT was refused: {reason}");
    refused()
}

fn own_keys(published: &JwkSet) -> Result<KeySet> {
    let json = serde_json::to_vec(published).map_err(Error::internal)?;
    KeySet::of_issuer(&json).map_err(Error::internal)
}
