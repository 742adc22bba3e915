//! From a bearer secret to who holds it.

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use platform::auth::Scope;
use platform::clock::Timestamp;
use platform::ids::CredentialId;
use platform::{Error, Result};

use super::Authority;
use crate::domain::secret::{self, Hash, Kind};
use crate::domain::tenant::Tenant;

/// Who holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A tenant's client.
    Tenant(Box<Tenant>),
    /// An administrator of the platform.
    Admin,
}

/// What kind of bearer token it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// A provisioning secret.
    Secret,
    /// An admin secret.
    Admin,
    /// An access token of an OAuth client.
    Client,
    /// A token of an issuer that the tenant trusts.
    Issuer,
}

/// A bearer token that lets its holder in.
pub struct Resolved {
    /// Who.
    pub holder: Holder,
    /// What kind of token it was.
    pub kind: CredentialKind,
    /// The secret, OAuth client or trusted issuer.
    pub credential: Uuid,
    /// What people call that.
    pub label: String,
    /// To do what.
    pub scopes: Vec<Scope>,
    /// For calls to services in the holder's name.
    pub access_token: String,
    /// Until then.
    pub access_token_expires_at: Timestamp,
    /// The bearer token itself is dead from then on.
    pub credential_expires_at: Option<Timestamp>,
}

/// The same words for every reason: who guesses learns nothing.
pub(super) fn refused() -> Error {
    Error::unauthenticated(
        "the bearer token is not valid: it is unknown, expired or revoked, or its tenant is not in service",
    )
}

impl Authority {
    /// Who holds this bearer token: a secret of ours, or a JWT ([`super::resolve_jwt`]).
    ///
    /// A text without our form and checksum is refused without a query: that tells nothing, for the form is public.
    /// Every other refusal costs one query by id and one comparison of hashes, whatever its reason.
    ///
    /// # Errors
    /// `Unauthenticated`, always with the same text; the database's.
    pub async fn resolve(&self, bearer: &SecretString) -> Result<Resolved> {
        let Some(presented) = secret::parse(bearer) else {
            return self.resolve_jwt(bearer.expose_secret()).await;
        };
        let id = CredentialId::from_uuid(presented.id);
        match presented.kind {
            Kind::Provisioning => self.resolve_provisioning(id, &presented.hash).await,
            Kind::Admin => self.resolve_admin(id, &presented.hash).await,
            // A client's secret is for the OAuth token endpoint.
            Kind::Client => Err(refused()),
        }
    }

    async fn resolve_provisioning(&self, id: CredentialId, presented: &Hash) -> Result<Resolved> {
        let found = self.store.find_credential(id).await?;
        let stored = found.as_ref().map_or(Hash::OF_NOTHING, |found| found.hash);
        let proven = stored.matches(presented);
        let found = found.filter(|_| proven).ok_or_else(refused)?;
        let now = self.clock.now();
        if !found.credential.is_live(now) || !found.tenant.takes_scim() {
            return Err(refused());
        }
        let tenant = found.tenant;
        self.last_use.note(Some(tenant.id), id, found.credential.last_used_at, now);
        let scopes = vec![Scope::Scim];
        let end = found.credential.expires_at;
        let (token, until) = self.signer.access_token(id.to_string(), Some(tenant.id), &scopes, end).await?;
        Ok(Resolved {
            holder: Holder::Tenant(Box::new(tenant)),
            kind: CredentialKind::Secret,
            credential: id.uuid(),
            label: found.credential.label,
            scopes,
            access_token: token,
            access_token_expires_at: until,
            credential_expires_at: end,
        })
    }

    async fn resolve_admin(&self, id: CredentialId, presented: &Hash) -> Result<Resolved> {
        let found = self.store.find_admin(id).await?;
        let stored = found.as_ref().map_or(Hash::OF_NOTHING, |(_, hash)| *hash);
        let proven = stored.matches(presented);
        let (admin, _) = found.filter(|_| proven).ok_or_else(refused)?;
        if admin.revoked_at.is_some() {
            return Err(refused());
        }
        self.last_use.note(None, id, admin.last_used_at, self.clock.now());
        let scopes = vec![Scope::Admin];
        let (token, until) = self.signer.access_token(id.to_string(), None, &scopes, None).await?;
        Ok(Resolved {
            holder: Holder::Admin,
            kind: CredentialKind::Admin,
            credential: id.uuid(),
            label: admin.label,
            scopes,
            access_token: token,
            access_token_expires_at: until,
            credential_expires_at: None,
        })
    }
}
