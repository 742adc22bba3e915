//! The OAuth clients of the platform's own services where it is distributed: every replica of every service derives the
//! same client from one configured secret, and nothing is exchanged.
//!
//! ```text
//! id     = HKDF-SHA256(platform secret, "rollcall system client v1 id" 0 name), 16 bytes as a UUIDv8
//! secret = base62 of HKDF-SHA256(platform secret, "rollcall system client v1 secret" 0 name 0 block), block = 0, 1 …
//! ```
//!
//! Whoever knows the platform secret is every system client: it is as precious as the key-encryption key.

use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use uuid::Builder;

use platform::ids::ClientId;
use platform::{Error, Result};

use super::secret::{self, Hash, Kind};

/// 32 bytes in base64 without padding have 43, in hexadecimal 64.
const LEAST_CHARS: usize = 43;

/// A client of the platform itself, as everyone who has the platform secret derives it.
pub struct SystemClient {
    /// Its `client_id`.
    pub id: ClientId,
    /// Its `client_secret`.
    pub secret: SecretString,
    /// What is stored of that.
    pub(crate) hash: Hash,
}

impl SystemClient {
    /// The client of this name.
    ///
    /// # Errors
    /// `InvalidValue` for a platform secret that is too short to be random enough.
    pub fn derive(name: &str, platform_secret: &SecretString) -> Result<Self> {
        let platform_secret = platform_secret.expose_secret().trim();
        if platform_secret.len() < LEAST_CHARS {
            return Err(Error::invalid_value(format!(
                "the platform secret must have at least {LEAST_CHARS} characters of 256 random bits, as `openssl rand \
                 -base64 32` prints"
            )));
        }
        let expander = Hkdf::<Sha256>::new(None, platform_secret.as_bytes());
        let expand = |what: &str, block: &[u8], bytes: &mut [u8]| {
            let label = format!("rollcall system client v1 {what}");
            expander
                .expand_multi_info(&[label.as_bytes(), &[0], name.as_bytes(), block], bytes)
                .map_err(|_| Error::internal("HKDF was asked for too many bytes"))
        };
        let mut id = [0; 16];
        expand("id", &[], &mut id)?;
        let id = Builder::from_custom_bytes(id).into_uuid();
        let mut block = 0u8;
        let (secret, hash) = secret::derive(Kind::Client, id, |bytes| {
            expand("secret", &[0, block], bytes)?;
            block = block.wrapping_add(1);
            Ok(())
        })?;
        Ok(Self { id: ClientId::from_uuid(id), secret, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(name: &str, platform_secret: &str) -> SystemClient {
        SystemClient::derive(name, &SecretString::from(platform_secret)).unwrap()
    }

    #[test]
    fn everyone_derives_the_same_client_and_its_secret_has_our_form() {
        let (a, b) = ("a".repeat(44), "b".repeat(44));
        let client = derived("membership", &a);
        let again = derived("membership", &format!("{a}\n"));
        assert_eq!(
            client.secret.expose_secret(),
            again.secret.expose_secret(),
            "white space of a file does not matter"
        );
        let presented = secret::parse(&client.secret).unwrap();
        assert_eq!((presented.kind, presented.id), (Kind::Client, client.id.uuid()));
        assert!(presented.hash.matches(&client.hash));

        for other in [derived("gateway", &a), derived("membership", &b)] {
            assert_ne!(other.id, client.id);
            // Not only the id in it: the 43 characters too.
            assert_ne!(other.secret.expose_secret()[37..80], client.secret.expose_secret()[37..80]);
        }
    }

    /// Replicas of two versions run beside each other: what is derived must never change.
    #[test]
    fn the_derivation_is_frozen() {
        let client = derived("membership", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        // As an independent HKDF computes them.
        let parts: Vec<&str> = client.secret.expose_secret().split('_').collect();
        let expected = ["cdbcfe2bcc458d3db581ea1dc4461ddc", "B1AvaWnooxxWg8y25gFt3eSb03F8sRVMXFoH3bY3tb3"];
        assert_eq!(parts[1..3], expected);
    }

    #[test]
    fn a_guessable_platform_secret_is_refused_and_not_quoted() {
        let error = SystemClient::derive("x", &SecretString::from("hunter2")).err().unwrap();
        assert!(error.detail.contains("at least 43") && !error.detail.contains("hunter2"), "{error}");
    }
}
