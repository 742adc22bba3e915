//! Cursors of paged lists (RFC 9865): opaque, tamper-evident, bound to the tenant and the query, and stateless, so that
//! any replica with the same key continues what another began.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use scim::ErrorKind;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

use crate::error::{Error, Result};

/// Bytes of the authentication code: 128 bits are beyond guessing.
const CODE_BYTES: usize = 16;
/// Longer ones are not ours.
const LONGEST: usize = 16 * 1024;

/// Makes and checks cursors. Every replica needs the same key.
#[derive(Clone)]
pub struct Cursors {
    keyed: Hmac<Sha256>,
}

impl Cursors {
    /// With the key that all replicas share.
    pub fn new(key: &SecretString) -> Self {
        let keyed =
            Hmac::new_from_slice(key.expose_secret().as_bytes()).expect("HMAC takes keys of any length");
        Self { keyed }
    }

    /// A cursor that holds `place` and opens only with the same `bound_to`: tenant, resource type, filter, order.
    ///
    /// # Errors
    /// `Internal`: `place` does not serialize.
    pub fn seal<T: Serialize>(&self, bound_to: &[&str], place: &T) -> Result<String> {
        let mut bytes = serde_json::to_vec(place).map_err(Error::internal)?;
        let code = self.code(bound_to, &bytes).finalize().into_bytes();
        bytes.extend_from_slice(&code[..CODE_BYTES]);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What [`Cursors::seal`] put in.
    ///
    /// # Errors
    /// `InvalidCursor`: changed, of another query or tenant, or not a cursor at all.
    pub fn open<T: DeserializeOwned>(&self, bound_to: &[&str], cursor: &str) -> Result<T> {
        let invalid = || {
            Error::new(
                ErrorKind::InvalidCursor,
                "cursor: not one that this server gave for this query; pass back nextCursor unchanged, with the same \
                 filter and sort, or start again with an empty cursor",
            )
        };
        if cursor.len() > LONGEST {
            return Err(invalid());
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
        let split = bytes.len().checked_sub(CODE_BYTES).ok_or_else(invalid)?;
        let (place, code) = bytes.split_at(split);
        self.code(bound_to, place).verify_truncated_left(code).map_err(|_| invalid())?;
        serde_json::from_slice(place).map_err(|_| invalid())
    }

    fn code(&self, bound_to: &[&str], place: &[u8]) -> Hmac<Sha256> {
        let mut code = self.keyed.clone();
        code.update(b"rollcall cursor 1");
        for part in bound_to {
            // With its length, so that no two lists of parts read the same.
            code.update(&part.len().to_be_bytes());
            code.update(part.as_bytes());
        }
        code.update(&place.len().to_be_bytes());
        code.update(place);
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursors() -> Cursors {
        Cursors::new(&"a key of the tests".into())
    }

    #[test]
    fn opens_only_for_the_same_query() {
        let cursor = cursors().seal(&["tenant", "filter"], &("place", 7)).unwrap();
        let place: (String, i32) = cursors().open(&["tenant", "filter"], &cursor).unwrap();
        assert_eq!(place, ("place".to_owned(), 7));
        for other in
            [&["tenant", "other"] as &[&str], &["tenantfilter", ""], &["tenant"], &["tenant", "filter", ""]]
        {
            let error = cursors().open::<(String, i32)>(other, &cursor).unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidCursor);
        }
        let stranger = Cursors::new(&"another key".into());
        assert!(stranger.open::<(String, i32)>(&["tenant", "filter"], &cursor).is_err());
    }

    #[test]
    fn any_change_is_noticed() {
        let cursor = cursors().seal(&["q"], &"place").unwrap();
        for at in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(cursors().open::<String>(&["q"], &changed).is_err(), "{changed}");
        }
        for nonsense in ["", "x", "äöü", "AAAA", &"A".repeat(100_000)] {
            assert!(cursors().open::<String>(&["q"], nonsense).is_err());
        }
    }
}
