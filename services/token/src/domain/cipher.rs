//! Private keys at rest: ChaCha20-Poly1305 under a key-encryption key that is not in the database.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::secret::no_randomness;
use platform::{Error, Result};

const NONCE_LEN: usize = 12;

/// The key-encryption key: 32 random bytes that the operator keeps beside the database, not in it.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl SecretKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate() -> Result<Self> {
        let mut key = Self([0; 32]);
        getrandom::fill(&mut key.0).map_err(no_randomness)?;
        Ok(key)
    }

    /// From the text in a file or environment variable: base64 of 32 bytes, white space around it ignored.
    ///
    /// # Errors
    /// `InvalidValue` that says what is expected, never what was read.
    pub fn from_text(text: &str) -> Result<Self> {
        let bytes = STANDARD.decode(text.trim()).map(Zeroizing::new);
        let key = bytes.ok().and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        key.map(Self).ok_or_else(|| {
            Error::invalid_value(
                "the key-encryption key must be 32 bytes in base64 (44 characters), as `openssl rand -base64 32` prints",
            )
        })
    }

    /// The text that [`SecretKey::from_text`] reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0))
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&self.0).into())
    }
}

/// Encrypts `plaintext`; `context` (the row's id) must be the same when it is opened, so that rows cannot be exchanged.
/// The result is the random 96-bit nonce followed by ciphertext and tag.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn seal(key: &SecretKey, context: &str, plaintext: &[u8]) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(no_randomness)?;
    let payload = Payload { msg: plaintext, aad: context.as_bytes() };
    let ciphertext = key
        .cipher()
        .encrypt((&nonce).into(), payload)
        .map_err(|_| Error::internal("sealing a key failed"))?;
    Ok([nonce.as_slice(), &ciphertext].concat())
}

/// Decrypts what [`seal`] made; `None` for another key, another context, or a changed byte.
pub fn open(key: &SecretKey, context: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let payload = Payload { msg: ciphertext, aad: context.as_bytes() };
    key.cipher().decrypt(nonce.into(), payload).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_with_its_key_and_context_and_unchanged() {
        let (key, other) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let mut sealed = seal(&key, "a", b"private").unwrap();
        assert_eq!(open(&key, "a", &sealed).unwrap().as_slice(), b"private");
        assert!(open(&other, "a", &sealed).is_none());
        assert!(open(&key, "b", &sealed).is_none());
        assert!(open(&key, "a", &sealed[..5]).is_none());
        let last = sealed.len() - 1;
        sealed[last] ^= 1;
        assert!(open(&key, "a", &sealed).is_none());
    }

    #[test]
    fn the_key_survives_its_file_and_a_wrong_file_is_not_quoted() {
        let key = SecretKey::generate().unwrap();
        let read = SecretKey::from_text(&format!("{}\n", key.to_text().as_str())).unwrap();
        assert_eq!(read.0, key.0);
        let error = SecretKey::from_text("hunter2").unwrap_err().to_string();
        assert!(error.contains("32 bytes in base64") && !error.contains("hunter2"), "{error}");
        assert_eq!(format!("{key:?}"), "SecretKey(…)");
    }
}
