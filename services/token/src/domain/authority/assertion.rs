//! Clients that prove themselves with a JWT (`client_assertion`, RFC 7523, section 2.2), in one of two ways:
//!
//! * **`private_key_jwt`**: the client signs with a key of its own that it registered. `iss` and `sub` are its id, `aud` names
//!   us, it lives ten minutes at most, and its `jti` lets it in once.
//! * **Federation** (Entra's workload identity): another issuer signs, whose keys are found by discovery; `iss`, `aud` and
//!   `sub` must be exactly those registered. Such a token may be presented until it expires: its issuer hands out the same
//!   one for as long as it lives, so taking it once would lock the client out until the next.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use platform::clock::Timestamp;
use platform::ids::ClientId;

use super::Authority;
use super::issue::{Grant, IssueError};
use crate::domain::issuer::Federation;
use crate::domain::jwk::KeySet;
use crate::domain::jwt::{Claims, LEEWAY_S, Unverified};
use crate::store::FoundClient;

/// The one kind of assertion.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// From now to `exp`: clients make one for each request, and used ones must be remembered that long.
const MAX_LIFETIME_S: i64 = 600;
const MAX_JTI_BYTES: usize = 256;
/// Used assertions are cleared away this often.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// And are remembered this long beyond their end: another replica's clock may be behind.
const REMEMBERED_BEYOND: Duration = Duration::from_secs(60);

/// When used assertions were last cleared away by this process.
#[derive(Default)]
pub(super) struct Forgotten(Mutex<Option<Timestamp>>);

impl Forgotten {
    /// Whether it is time again; says so once.
    fn is_due(&self, now: Timestamp) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now < last || now >= last.plus(FORGET_EVERY));
        if due {
            *last = Some(now);
        }
        due
    }
}

/// An assertion that may be used once.
pub(super) struct Once {
    jti_sha256: [u8; 32],
    end: Timestamp,
}

impl Authority {
    /// The client that an assertion proves, and what must be used up if it is to count.
    pub(super) async fn client_by_assertion(
        &self,
        grant: &Grant,
    ) -> Result<(FoundClient, Option<Once>), IssueError> {
        if grant.assertion_type != JWT_BEARER {
            return Err(IssueError::InvalidRequest(
                "client_assertion_type must be urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ));
        }
        let assertion =
            Unverified::parse(grant.assertion.expose_secret()).ok_or(IssueError::InvalidClient)?;
        let own = own_client(assertion.claims());
        let id = match own {
            Some(id) => id,
            None => self.federated_client(assertion.claims()).await?,
        };
        if !grant.client_id.is_empty() && grant.client_id != id.to_string() {
            return Err(IssueError::InvalidClient);
        }
        let found = self.store.find_client(id, self.clock.now()).await?.ok_or(IssueError::InvalidClient)?;
        if own.is_none() {
            self.check_federated(&assertion, &found).await?;
            return Ok((found, None));
        }
        let keys = found.client.proofs.jwks.as_ref();
        let keys = keys.and_then(|jwks| KeySet::of_client(jwks.as_bytes()).ok()).unwrap_or_default();
        let key = keys.find(assertion.kid()).ok_or(IssueError::InvalidClient)?;
        if !assertion.is_signed_by(key) {
            return Err(IssueError::InvalidClient);
        }
        let once = check_own(assertion.claims(), &grant.audiences, self.clock.now());
        Ok((found, Some(once.map_err(IssueError::InvalidAssertion)?)))
    }

    async fn federated_client(&self, claims: &Claims) -> Result<ClientId, IssueError> {
        let (Some(issuer), [audience], Some(subject)) = (&claims.iss, claims.aud.as_slice(), &claims.sub)
        else {
            return Err(IssueError::InvalidClient);
        };
        let (issuer, audience, subject) = (issuer.clone(), audience.clone(), subject.clone());
        let federation = Federation { issuer, audience, subject };
        self.store.client_of_federation(&federation).await?.ok_or(IssueError::InvalidClient)
    }

    async fn check_federated(
        &self,
        assertion: &Unverified<'_>,
        found: &FoundClient,
    ) -> Result<(), IssueError> {
        let federation = found.client.proofs.federation.as_ref();
        let federation = federation.filter(|it| it.matches(assertion.claims()));
        let federation = federation.ok_or(IssueError::InvalidClient)?;
        // Before the keys: what has expired needs none.
        assertion.claims().good_at(self.clock.now()).map_err(|_| IssueError::InvalidClient)?;
        let key = self.discovery.key(&federation.issuer, assertion.kid()).await?;
        let signed = key.is_some_and(|key| assertion.is_signed_by(&key));
        if signed { Ok(()) } else { Err(IssueError::InvalidClient) }
    }

    /// Takes an assertion that lets its client in once.
    pub(super) async fn use_up(&self, client: ClientId, once: Once) -> Result<(), IssueError> {
        let now = self.clock.now();
        if self.forgotten.is_due(now)
            && let Err(error) = self.store.forget_assertions(now).await
        {
            tracing::warn!(error.cause = ?error.cause, "used assertions could not be cleared away: {error}");
        }
        let end = once.end.plus(REMEMBERED_BEYOND);
        if self.store.use_assertion(client, once.jti_sha256, end).await? {
            return Ok(());
        }
        Err(IssueError::InvalidAssertion("its jti was used before: make a new assertion for each request"))
    }
}

/// Who made an assertion for itself; `None` when somebody else made it.
fn own_client(claims: &Claims) -> Option<ClientId> {
    let issuer: ClientId = claims.iss.as_ref()?.parse().ok()?;
    (claims.sub == claims.iss).then_some(issuer)
}

/// Checks the claims of `private_key_jwt` once its signature is proven, so that the client may be told what is wrong.
fn check_own(claims: &Claims, audiences: &[String], now: Timestamp) -> Result<Once, &'static str> {
    if audiences.is_empty() {
        return Err(
            "this server does not know its own URL, so no aud can be right: its operator must set gateway.public_url",
        );
    }
    if !claims.aud.iter().any(|audience| audiences.contains(audience)) {
        return Err(
            "its aud must be this server's issuer or the URL of its token endpoint, as its metadata show them",
        );
    }
    let end = claims.good_at(now).map_err(|wrong| match wrong {
        "exp is missing" => "its exp is missing",
        "exp is past" => "it has expired",
        _ => "its nbf or iat is in the future",
    })?;
    if end.seconds() > now.seconds() + MAX_LIFETIME_S + LEEWAY_S {
        return Err("its exp must be at most ten minutes ahead");
    }
    let jti = claims.jti.as_deref().unwrap_or_default();
    if jti.is_empty() || jti.len() > MAX_JTI_BYTES {
        return Err("its jti must be there, 1 to 256 bytes, a new one for each assertion");
    }
    Ok(Once { jti_sha256: Sha256::digest(jti.as_bytes()).into(), end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            aud: vec!["https://scim.example".to_owned()],
            exp: Some(1300),
            jti: Some("1".to_owned()),
            ..Claims::default()
        }
    }

    #[test]
    fn the_claims_of_an_assertion() {
        let audiences = ["https://scim.example".to_owned(), "https://scim.example/oauth2/token".to_owned()];
        let now = Timestamp::from_micros(1_000_000_000);
        let check = |claims: Claims| check_own(&claims, &audiences, now).map(|once| once.end.seconds());
        assert_eq!(check(claims()), Ok(1300));
        let among = vec!["other".to_owned(), "https://scim.example/oauth2/token".to_owned()];
        assert_eq!(check(Claims { aud: among, ..claims() }), Ok(1300));
        assert_eq!(check(Claims { exp: Some(1660), ..claims() }), Ok(1660));
        for (wrong, said) in [
            (Claims { aud: vec![], ..claims() }, "aud"),
            (Claims { aud: vec!["https://scim.example/".to_owned()], ..claims() }, "aud"),
            (Claims { exp: None, ..claims() }, "exp"),
            (Claims { exp: Some(1000), ..claims() }, "expired"),
            (Claims { exp: Some(1661), ..claims() }, "ten minutes"),
            (Claims { nbf: Some(1061), ..claims() }, "nbf"),
            (Claims { iat: Some(1061), ..claims() }, "iat"),
            (Claims { jti: None, ..claims() }, "jti"),
            (Claims { jti: Some(String::new()), ..claims() }, "jti"),
            (Claims { jti: Some("x".repeat(257)), ..claims() }, "jti"),
        ] {
            let refused = check(wrong.clone()).unwrap_err();
            assert!(refused.contains(said), "{wrong:?}: {refused}");
        }
        assert!(check_own(&claims(), &[], now).is_err(), "who does not know its name is nobody's audience");
    }
}
