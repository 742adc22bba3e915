//! OAuth clients, the scopes they may have, and how they prove themselves.

use platform::auth::Scope;
use platform::clock::Timestamp;
use platform::ids::{ClientId, TenantId};
use platform::{Error, Result};
use serde_json::{Value, json};

use super::issuer::Federation;
use super::jwk::KeySet;
use super::tenant::Name;

/// What a client made through the API may have for reading. `admin` and `internal` are for the platform's own clients only.
const READING: [Scope; 2] = [Scope::MembershipsRead, Scope::DirectoryRead];
/// The most secrets of a client that work at the same time.
pub const MAX_SECRETS: usize = 10;
/// The longest overlap of a rotation, seconds: 90 days.
pub const MAX_OVERLAP_S: i64 = 90 * 24 * 3600;
/// The largest JWK Set of a client, bytes.
const MAX_JWKS_BYTES: usize = 32 * 1024;

/// An OAuth client; never its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The `client_id`.
    pub id: ClientId,
    /// Unique name.
    pub name: String,
    /// The one tenant it may ask about; `None` for all.
    pub tenant: Option<TenantId>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// How it proves itself.
    pub proofs: Proofs,
    /// Counts changes from 1.
    pub version: i64,
    /// Its tokens for SCIM carry this number; raised, it ends those that were issued before.
    pub token_epoch: i64,
    /// Creation.
    pub created_at: Timestamp,
}

/// How a client proves itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    /// Whether it has a secret.
    pub secret: bool,
    /// Its public keys, a JWK Set of public members only.
    pub jwks: Option<String>,
    /// Whose assertions are taken for it.
    pub federation: Option<Federation>,
}

/// Public keys as an administrator sent them, checked and reduced to what matters; `None` for none.
///
/// # Errors
/// `InvalidValue` that says what is wrong.
pub fn read_jwks(jwks: &[u8]) -> Result<Option<String>> {
    if jwks.is_empty() {
        return Ok(None);
    }
    let keys = if jwks.len() > MAX_JWKS_BYTES {
        Err(format!("it has more than {MAX_JWKS_BYTES} bytes"))
    } else {
        KeySet::of_client(jwks)
    };
    match keys {
        Ok(keys) => Ok(Some(keys.to_json())),
        Err(wrong) => {
            let detail = format!(
                "jwks must be a JWK Set (RFC 7517) of public keys, RSA from 2048 bits, EC P-256 or P-384, or Ed25519: {wrong}"
            );
            Err(Error::invalid_value(detail).with_attribute("jwks"))
        }
    }
}

/// What is to be otherwise of how a client proves itself: `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct ProofChange {
    /// Its keys.
    pub jwks: Option<Option<String>>,
    /// Whose assertions are taken for it.
    pub federation: Option<Option<Federation>>,
}

impl Client {
    /// A client of the platform itself, for every tenant, that has a secret.
    pub(super) fn of_platform(id: ClientId, name: &Name, scopes: &[Scope], created_at: Timestamp) -> Self {
        Self {
            id,
            name: name.text().to_owned(),
            tenant: None,
            scopes: scopes.to_vec(),
            proofs: Proofs { secret: true, ..Proofs::default() },
            version: 1,
            token_epoch: 0,
            created_at,
        }
    }

    /// The client as it is after the change, one version on; the same version when nothing changes. A way of proving itself
    /// that is taken away takes its tokens for SCIM along.
    ///
    /// # Errors
    /// `InvalidValue` when it could prove itself no more.
    pub fn with(&self, change: ProofChange) -> Result<Self> {
        let mut after = self.clone();
        let ProofChange { jwks, federation } = change;
        after.proofs.jwks = jwks.unwrap_or(after.proofs.jwks);
        after.proofs.federation = federation.unwrap_or(after.proofs.federation);
        if after == *self {
            return Ok(after);
        }
        let Proofs { secret, jwks, federation } = &after.proofs;
        if !secret && jwks.is_none() && federation.is_none() {
            return Err(Error::invalid_value(
                "without keys and federation the client could prove itself no more: give it a secret first (RotateClientSecret), or delete it",
            ));
        }
        let lost_keys = self.proofs.jwks.is_some() && jwks.is_none();
        let lost_federation = self.proofs.federation.is_some() && *federation != self.proofs.federation;
        if lost_keys || lost_federation {
            after.token_epoch += 1;
        }
        after.version += 1;
        Ok(after)
    }

    /// For the audit. Public keys are named by their `kid`.
    pub fn facts(&self) -> Value {
        let Self { id: _, name, tenant, scopes, proofs, version: _, token_epoch: _, created_at: _ } = self;
        let Proofs { secret, jwks, federation } = proofs;
        let keys = jwks.as_ref().and_then(|jwks| KeySet::of_client(jwks.as_bytes()).ok());
        json!({
            "name": name,
            "tenant": tenant.map(|tenant| tenant.to_string()),
            "scopes": join(scopes),
            "secret": secret,
            "keys": keys.map(|keys| keys.ids()),
            "federation": federation.as_ref().map(|it| json!({
                "issuer": it.issuer, "audience": it.audience, "subject": it.subject,
            })),
        })
    }
}

/// The scopes of a client that is made through the API: some for reading, or `scim` alone, which is for one tenant.
///
/// # Errors
/// `InvalidValue` that lists what can be had.
pub fn grantable(names: &[String], tenant: Option<TenantId>) -> Result<Vec<Scope>> {
    if names.iter().any(|name| name == Scope::Scim.name()) {
        return match (names.len(), tenant) {
            (1, Some(_)) => Ok(vec![Scope::Scim]),
            (1, None) => Err(Error::invalid_value("a client with the scope scim is for one tenant: name it")
                .with_attribute("tenant_id")),
            _ => Err(not_grantable()),
        };
    }
    let mut scopes = Vec::new();
    for name in names {
        let scope = Scope::from_name(name).filter(|scope| READING.contains(scope));
        let Some(scope) = scope else { return Err(not_grantable()) };
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() { Err(not_grantable()) } else { Ok(scopes) }
}

fn not_grantable() -> Error {
    let names: Vec<&str> = READING.iter().map(|scope| scope.name()).collect();
    let detail =
        format!("a client has one or more of the scopes {}, or the scope scim alone", names.join(", "));
    Error::invalid_value(detail).with_attribute("scopes")
}

/// The scopes that a token gets: those asked for (RFC 6749, section 3.3), or all that the client may have.
/// `None` is `invalid_scope`: one of them is unknown or not the client's.
pub fn granted(allowed: &[Scope], wanted: &str) -> Option<Vec<Scope>> {
    let mut scopes = Vec::new();
    for name in wanted.split(' ').filter(|name| !name.is_empty()) {
        let scope = Scope::from_name(name).filter(|scope| allowed.contains(scope))?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() { Some(allowed.to_vec()) } else { Some(scopes) }
}

/// Scopes as a token and a column carry them: names, space-separated.
pub fn join(scopes: &[Scope]) -> String {
    let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    names.join(" ")
}

/// What [`join`] made; scopes that this version does not know are left out.
pub fn split(text: &str) -> Vec<Scope> {
    text.split(' ').filter_map(Scope::from_name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn tenant() -> TenantId {
        TenantId::new(&platform::clock::Clock::system())
    }

    #[test]
    fn nobody_is_given_the_platforms_scopes() {
        let granted = grantable(&names(&["directory:read", "directory:read"]), None).unwrap();
        assert_eq!(granted, [Scope::DirectoryRead]);
        for wrong in [
            &["admin"][..],
            &["internal"],
            &["scim", "memberships:read"],
            &["memberships:read", "scim"],
            &["memberships:read", "admin"],
            &["MEMBERSHIPS:READ"],
            &[],
        ] {
            let error = grantable(&names(wrong), Some(tenant())).unwrap_err();
            assert!(error.detail.contains("memberships:read, directory:read"), "{wrong:?}: {error}");
        }
    }

    #[test]
    fn provisioning_is_for_one_tenant() {
        assert_eq!(grantable(&names(&["scim"]), Some(tenant())).unwrap(), [Scope::Scim]);
        assert_eq!(grantable(&names(&["scim"]), None).unwrap_err().attribute.as_deref(), Some("tenant_id"));
    }

    #[test]
    fn what_is_taken_away_takes_its_tokens_along() {
        let federation = |subject: &str| Federation {
            issuer: "https://a.example".to_owned(),
            audience: "a".to_owned(),
            subject: subject.to_owned(),
        };
        let client = Client {
            id: ClientId::new(&platform::clock::Clock::system()),
            name: "idp".to_owned(),
            tenant: Some(tenant()),
            scopes: vec![Scope::Scim],
            proofs: Proofs { secret: false, jwks: Some("one".to_owned()), federation: Some(federation("s")) },
            version: 1,
            token_epoch: 0,
            created_at: Timestamp::from_micros(1),
        };
        let epoch = |change: ProofChange| client.with(change).map(|after| (after.version, after.token_epoch));
        let keys = |jwks: Option<&str>| ProofChange { jwks: Some(jwks.map(str::to_owned)), federation: None };
        let trust = |federation| ProofChange { jwks: None, federation: Some(federation) };
        assert_eq!(epoch(ProofChange::default()).unwrap(), (1, 0));
        assert_eq!(epoch(keys(Some("one"))).unwrap(), (1, 0));
        assert_eq!(epoch(keys(Some("two"))).unwrap(), (2, 0), "keys that roll over cost no token");
        assert_eq!(epoch(keys(None)).unwrap(), (2, 1));
        assert_eq!(epoch(trust(None)).unwrap(), (2, 1));
        assert_eq!(epoch(trust(Some(federation("other")))).unwrap(), (2, 1));
        let neither = ProofChange { jwks: Some(None), federation: Some(None) };
        assert!(client.with(neither).unwrap_err().detail.contains("RotateClientSecret"));
    }

    #[test]
    fn a_token_gets_what_was_asked_for_and_no_more() {
        let allowed = [Scope::MembershipsRead, Scope::DirectoryRead];
        assert_eq!(granted(&allowed, "").unwrap(), allowed);
        assert_eq!(granted(&allowed, "directory:read").unwrap(), [Scope::DirectoryRead]);
        assert_eq!(granted(&allowed, "admin"), None);
        assert_eq!(granted(&allowed, "memberships:read nonsense"), None);
        assert_eq!(split(&join(&allowed)), allowed);
    }
}
