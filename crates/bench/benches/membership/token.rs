//! Access tokens and the key that proves them, as the token service would have it: the service verifies them as ever.

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use platform::auth::{ACCESS_TOKEN_TTL_S, AUDIENCE, Claims, ISSUER, KeySource};
use platform::clock::Clock;
use serde_json::json;

/// The key pair of RFC 8032, section 7.1, test 1, as PKCS#8.
const SECRET: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v_VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// The public key.
pub struct Keys;

impl KeySource for Keys {
    fn fetch(&self) -> std::pin::Pin<Box<dyn Future<Output = platform::Result<JwkSet>> + Send + '_>> {
        let key = json!({
            "kty": "OKP", "crv": "Ed25519", "x": PUBLIC, "kid": "bench", "alg": "EdDSA", "use": "sig",
        });
        let set = serde_json::from_value(json!({ "keys": [key] })).map_err(platform::Error::internal);
        Box::pin(async move { set })
    }
}

/// A token of the scope, for one tenant.
pub fn issue(tenant: &str, scope: &str) -> Result<String> {
    let now = Clock::system().now().seconds();
    let claims = Claims {
        iss: ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: "bench".into(),
        tenant: tenant.into(),
        scope: scope.into(),
        iat: now,
        exp: now + ACCESS_TOKEN_TTL_S,
        jti: "bench".into(),
    };
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some("bench".into());
    let key = EncodingKey::from_ed_der(&URL_SAFE_NO_PAD.decode(SECRET)?);
    Ok(jsonwebtoken::encode(&header, &claims, &key)?)
}
