//! Which signing key signs, which are published, and how they take turns.
//!
//! Keys form a line of generations. A new key is published at once but signs only [`LEAD`] later, when every verifier and
//! every replica has had time to see it; the key before it stays published until the last token it signed is dead.
//!
//! ```text
//!                 rotate        +10 min         +70 min
//! generation 1  ──signs──────────┤ published ─────┤ gone
//! generation 2      ├─ published ┤──signs────────────────
//! ```

use std::time::Duration;

use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, OctetKeyPairParameters,
    OctetKeyPairType, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use uuid::Uuid;
use zeroize::Zeroizing;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use platform::auth::SCIM_TOKEN_TTL_S;
use platform::clock::{Clock, Timestamp};
use platform::{Error, Result};

use super::cipher::{self, SecretKey};
use super::secret::no_randomness;

/// From publication to first use.
pub const LEAD: Duration = Duration::from_secs(600);
/// From the successor's first use to the end: the hour of a token for SCIM, and ten minutes more for clocks that differ.
const AFTERLIFE: Duration = Duration::from_secs(SCIM_TOKEN_TTL_S.unsigned_abs() + 600);

/// An Ed25519 private key in PKCS #8 version 1 is these bytes (RFC 8410, section 7) and the 32 bytes of the key.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A signing key as it rests in the database.
#[derive(Clone)]
pub struct StoredKey {
    /// Its id; as text the JWT's `kid`.
    pub id: Uuid,
    /// Its place in the line, from 1, no two alike.
    pub generation: i64,
    /// 32 bytes.
    pub public_key: Vec<u8>,
    /// The private key, sealed (`cipher`).
    pub sealed_private_key: Vec<u8>,
    /// Creation, and publication.
    pub created_at: Timestamp,
    /// First use.
    pub signs_from: Timestamp,
}

impl StoredKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate(key: &SecretKey, clock: &Clock, generation: i64, signs_from: Timestamp) -> Result<Self> {
        let mut seed = Zeroizing::new([0u8; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(no_randomness)?;
        let jwk = Jwk::from_encoding_key(&encoding_key(seed.as_slice()), Algorithm::EdDSA)
            .map_err(Error::internal)?;
        let AlgorithmParameters::OctetKeyPair(pair) = jwk.algorithm else {
            return Err(Error::internal("an Ed25519 key is an octet key pair"));
        };
        let id = platform::ids::new_uuid(clock);
        Ok(Self {
            id,
            generation,
            public_key: URL_SAFE_NO_PAD.decode(pair.x).map_err(Error::internal)?,
            sealed_private_key: cipher::seal(key, &id.to_string(), seed.as_slice())?,
            created_at: clock.now(),
            signs_from,
        })
    }

    fn jwk(&self) -> Jwk {
        Jwk {
            common: CommonParameters {
                public_key_use: Some(PublicKeyUse::Signature),
                key_algorithm: Some(KeyAlgorithm::EdDSA),
                key_id: Some(self.id.to_string()),
                ..CommonParameters::default()
            },
            algorithm: AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
                key_type: OctetKeyPairType::OctetKeyPair,
                curve: EllipticCurve::Ed25519,
                x: URL_SAFE_NO_PAD.encode(&self.public_key),
            }),
        }
    }
}

fn encoding_key(seed: &[u8]) -> EncodingKey {
    let der = Zeroizing::new([PKCS8_PREFIX.as_slice(), seed].concat());
    EncodingKey::from_ed_der(&der)
}

/// What a rotation has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Rotation {
    /// A key already waits for its first use.
    UnderWay,
    /// Add a key.
    Add {
        /// Its place in the line.
        generation: i64,
        /// Its first use.
        signs_from: Timestamp,
    },
}

/// All keys of the database, oldest first.
pub struct Ring {
    keys: Vec<StoredKey>,
}

impl Ring {
    /// Of the rows, in any order.
    pub fn new(mut keys: Vec<StoredKey>) -> Self {
        keys.sort_by_key(|key| key.generation);
        Self { keys }
    }

    /// Whether this is the first start.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key that signs: the youngest whose time has come. Where a replica's clock is behind that of the one which made
    /// the first key, it is that key all the same. `None` only when there is no key.
    pub fn signing(&self, now: Timestamp) -> Option<&StoredKey> {
        self.keys.iter().rev().find(|key| key.signs_from <= now).or(self.keys.first())
    }

    /// Those that verify, as a JWK Set (RFC 7517).
    pub fn published(&self, now: Timestamp) -> JwkSet {
        let keys = self.keys.iter().enumerate();
        JwkSet { keys: keys.filter(|(at, _)| !self.is_dead(*at, now)).map(|(_, key)| key.jwk()).collect() }
    }

    /// Those whose last token is dead: to be removed.
    pub fn dead(&self, now: Timestamp) -> Vec<Uuid> {
        let keys = self.keys.iter().enumerate();
        keys.filter(|(at, _)| self.is_dead(*at, now)).map(|(_, key)| key.id).collect()
    }

    fn is_dead(&self, at: usize, now: Timestamp) -> bool {
        self.keys.get(at + 1).is_some_and(|successor| now >= successor.signs_from.plus(AFTERLIFE))
    }

    /// What to do so that the next key takes over. The first key signs at once: nobody waits to verify another.
    pub fn rotate(&self, now: Timestamp) -> Rotation {
        match self.keys.last() {
            None => Rotation::Add { generation: 1, signs_from: now },
            Some(last) if now < last.signs_from => Rotation::UnderWay,
            Some(last) => Rotation::Add { generation: last.generation + 1, signs_from: now.plus(LEAD) },
        }
    }
}

/// An opened key, ready to sign.
pub struct SigningKey {
    header: Header,
    key: EncodingKey,
}

impl SigningKey {
    /// Opens a stored key.
    ///
    /// # Errors
    /// `Internal` when `key` is not the one it was sealed with; the cause says what to do.
    pub fn open(stored: &StoredKey, key: &SecretKey) -> Result<Self> {
        let kid = stored.id.to_string();
        let Some(seed) = cipher::open(key, &kid, &stored.sealed_private_key) else {
            return Err(Error::internal(format!(
                "signing key {kid} does not open with the key-encryption key that was given: start with the one that \
                 this database was first started with"
            )));
        };
        let header = Header { kid: Some(kid), ..Header::new(Algorithm::EdDSA) };
        Ok(Self { header, key: encoding_key(&seed) })
    }

    /// Signs claims.
    ///
    /// # Errors
    /// `Internal` when the stored key is no Ed25519 key.
    pub fn sign(&self, claims: &impl serde::Serialize) -> Result<String> {
        jsonwebtoken::encode(&self.header, claims, &self.key).map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(signs_from_s: &[u64]) -> Ring {
        let key = SecretKey::generate().unwrap();
        let clock = Clock::system();
        let stored = signs_from_s
            .iter()
            .zip(1..)
            .map(|(at, generation)| StoredKey::generate(&key, &clock, generation, second(*at)).unwrap());
        Ring::new(stored.collect::<Vec<_>>().into_iter().rev().collect())
    }

    fn second(at: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_secs(at))
    }

    fn generations(ring: &Ring, now: u64) -> (Option<i64>, usize, usize) {
        let now = second(now);
        (ring.signing(now).map(|key| key.generation), ring.published(now).keys.len(), ring.dead(now).len())
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_after() {
        let ring = ring(&[0, 10_000]);
        assert_eq!(
            generations(&ring, 9_999),
            (Some(1), 2, 0),
            "the next key is published, the first still signs"
        );
        assert_eq!(generations(&ring, 10_000), (Some(2), 2, 0), "the first key's tokens live on");
        assert_eq!(generations(&ring, 14_199), (Some(2), 2, 0));
        assert_eq!(generations(&ring, 14_200), (Some(2), 1, 1));
    }

    #[test]
    fn a_clock_behind_the_first_replicas_signs_all_the_same() {
        assert_eq!(generations(&ring(&[100, 700]), 99), (Some(1), 2, 0));
        assert_eq!(generations(&ring(&[]), 99), (None, 0, 0));
    }

    #[test]
    fn rotation_goes_one_key_at_a_time() {
        assert_eq!(ring(&[]).rotate(second(5)), Rotation::Add { generation: 1, signs_from: second(5) });
        assert_eq!(ring(&[0]).rotate(second(5)), Rotation::Add { generation: 2, signs_from: second(605) });
        assert_eq!(ring(&[0, 605]).rotate(second(604)), Rotation::UnderWay);
        assert_eq!(
            ring(&[0, 605]).rotate(second(605)),
            Rotation::Add { generation: 3, signs_from: second(1205) }
        );
    }

    #[test]
    fn the_stored_form_holds_no_private_key_and_opens_only_with_its_key() {
        let key = SecretKey::generate().unwrap();
        let stored = StoredKey::generate(&key, &Clock::system(), 1, second(0)).unwrap();
        let seed = cipher::open(&key, &stored.id.to_string(), &stored.sealed_private_key).unwrap();
        assert_eq!(seed.len(), 32);
        assert!(
            !stored.sealed_private_key.windows(8).any(|window| seed.windows(8).any(|part| part == window))
        );
        let error = SigningKey::open(&stored, &SecretKey::generate().unwrap()).err().unwrap();
        assert!(error.cause.unwrap().to_string().contains("key-encryption key"));
    }
}
