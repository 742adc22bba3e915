//! Access tokens as the token service issues them, for tests of a service that stands alone, and who verifies them.

use std::pin::Pin;
use std::sync::LazyLock;

use jsonwebtoken::jwk::JwkSet;
use platform::Result;
use platform::auth::{ACCESS_TOKEN_TTL_S, AUDIENCE, Claims, ISSUER, KeySource, Verifier};
use platform::clock::Clock;

use crate::issuer::{KeyPair, KeyType};

/// This process's.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::new(KeyType::Ed25519, "test", 0));

struct Keys;

impl KeySource for Keys {
    fn fetch(&self) -> Pin<Box<dyn Future<Output = Result<JwkSet>> + Send + '_>> {
        let keys = serde_json::from_value(KEY.jwks()).expect("a JWK Set that was just made");
        Box::pin(async move { Ok(keys) })
    }
}

/// An access token for this tenant (`*`: for every one) with these scopes, separated by spaces.
///
/// # Panics
/// When the operating system gives no random bytes for the key.
pub fn access_token(tenant: &str, scope: &str) -> String {
    let now = Clock::system().now().seconds();
    let claims = Claims {
        iss: ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: "test".into(),
        tenant: tenant.into(),
        scope: scope.into(),
        iat: now,
        exp: now + ACCESS_TOKEN_TTL_S,
        jti: "test".into(),
    };
    KEY.sign(&serde_json::to_value(claims).expect("claims are JSON"))
}

/// Takes the tokens of [`access_token`] and no others.
pub fn verifier() -> Verifier {
    Verifier::new(Keys, Clock::system())
}
