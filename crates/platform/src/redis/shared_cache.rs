//! What one gateway learnt of a bearer token, for the others.
//!
//! An entry holds an access token, so it is sealed (ChaCha20-Poly1305) under a key that is derived from the presented token
//! itself (HKDF-SHA256), and stands under a name derived likewise: whoever reads Redis can open nothing, and whoever presents
//! the token could have asked the token service anyway.
//!
//! An entry is good if nothing was invalidated since *before* the token service was asked: the lookup that misses returns a
//! [`Ticket`] with Redis's time, the entry is stored with it, and a later lookup compares it with the notes that invalidations
//! leave (`invalidations.rs`). So an answer that a revocation overtook on its way is never believed.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hkdf::Hkdf;
use redis::Script;
use sha2::Sha256;

use super::Redis;
use crate::cache::Invalidation;
use crate::ids::TenantId;
use crate::metrics;

/// Entries live no longer,
const LONGEST_TTL: Duration = Duration::from_secs(30);
/// and the notes of invalidations somewhat longer than any entry from before them.
pub(super) const NOTE_LIFETIME_MS: u64 = 60_000;

/// In a cluster all keys of the cache are on one node, so that one script can compare them.
pub(super) const NOTES: &str = "{cache}:note:";
const ENTRIES: &str = "{cache}:entry:";
const NONCE_BYTES: usize = 12;

/// `KEYS[1]` is the entry, `ARGV[1]` what notes begin with. Answers the sealed value, or the time.
const GET: &str = r"
local entry = redis.call('HMGET', KEYS[1], 'at', 'tenant', 'credential', 'sealed')
if entry[4] then
  local good = true
  for _, what in ipairs({entry[2], entry[3], 'everything'}) do
    local note = redis.call('GET', ARGV[1] .. what)
    if note and tonumber(note) >= tonumber(entry[1]) then good = false end
  end
  if good then return {'hit', entry[4]} end
end
local clock = redis.call('TIME')
return {'miss', string.format('%.0f', clock[1] * 1000000 + clock[2])}
";

/// `KEYS[1]` is the entry, `ARGV` its lifetime in milliseconds and its four fields.
const PUT: &str = r"
redis.call('HSET', KEYS[1], 'at', ARGV[2], 'tenant', ARGV[3], 'credential', ARGV[4], 'sealed', ARGV[5])
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
";

/// The cache. Clones share it.
#[derive(Clone)]
pub struct SharedCache {
    redis: Redis,
    get: Arc<Script>,
    put: Arc<Script>,
}

/// When it was asked: what is learnt from now on may be stored with it.
pub struct Ticket(String);

/// What the cache knows.
pub enum Looked {
    /// What was stored.
    Hit(Vec<u8>),
    /// Nothing, or nothing that is still good.
    Miss(Ticket),
    /// Redis cannot tell.
    Unavailable,
}

impl SharedCache {
    /// On this Redis.
    pub fn new(redis: Redis) -> Self {
        Self { redis, get: Arc::new(Script::new(GET)), put: Arc::new(Script::new(PUT)) }
    }

    /// What is known of the bearer token `secret`.
    pub async fn get(&self, secret: &str) -> Looked {
        let seal = Seal::of(secret);
        let mut invocation = self.get.prepare_invoke();
        invocation.key(self.redis.key(&format!("{ENTRIES}{}", seal.name))).arg(self.redis.key(NOTES));
        let answer =
            self.redis
                .ask("cache", |mut link| async move {
                    invocation.invoke_async::<(String, Vec<u8>)>(&mut link).await
                })
                .await;
        let Some((outcome, value)) = answer else { return Looked::Unavailable };
        let opened = if outcome == "hit" { seal.open(&value) } else { None };
        metrics::metrics().shared_cache(opened.is_some());
        match opened {
            Some(value) => Looked::Hit(value),
            // What does not open was put there by somebody else: leave it, it goes by itself.
            None if outcome == "hit" => Looked::Unavailable,
            None => Looked::Miss(Ticket(String::from_utf8_lossy(&value).into_owned())),
        }
    }

    /// Stores what the token service said of `secret` after `ticket` was given out. `credential` is the id by which it is
    /// invalidated, as is `tenant`.
    pub async fn put(
        &self,
        secret: &str,
        ticket: Ticket,
        tenant: Option<TenantId>,
        credential: &str,
        value: &[u8],
        ttl: Duration,
    ) {
        let seal = Seal::of(secret);
        let Some(sealed) = seal.close(value) else { return };
        let tenant = tenant.map_or_else(|| "-".to_owned(), |tenant| tenant.to_string());
        let mut invocation = self.put.prepare_invoke();
        invocation
            .key(self.redis.key(&format!("{ENTRIES}{}", seal.name)))
            .arg(u64::try_from(ttl.min(LONGEST_TTL).as_millis()).unwrap_or(1).max(1))
            .arg(&ticket.0)
            .arg(tenant)
            .arg(credential)
            .arg(sealed);
        let _ = self
            .redis
            .ask("cache", |mut link| async move { invocation.invoke_async::<u64>(&mut link).await })
            .await;
    }
}

/// The name of an invalidation's note: as the field of an entry that it concerns.
pub(super) fn note_of(what: Invalidation) -> String {
    match what {
        Invalidation::Credential(id) => id.to_string(),
        Invalidation::Client(id) => id.to_string(),
        Invalidation::Tenant(id) => id.to_string(),
        Invalidation::Everything => "everything".to_owned(),
    }
}

struct Seal {
    name: String,
    cipher: ChaCha20Poly1305,
}

impl Seal {
    fn of(secret: &str) -> Self {
        let derived = Hkdf::<Sha256>::new(Some(b"rollcall shared cache 1"), secret.as_bytes());
        let (mut key, mut name) = ([0; 32], [0; 24]);
        derived.expand(b"key", &mut key).expect("32 bytes are fewer than HKDF gives");
        derived.expand(b"name", &mut name).expect("24 bytes are fewer than HKDF gives");
        Self { name: URL_SAFE_NO_PAD.encode(name), cipher: ChaCha20Poly1305::new(&Key::from(key)) }
    }

    /// Nonce and ciphertext. `None` when the system has no randomness.
    fn close(&self, value: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let payload = Payload { msg: value, aad: self.name.as_bytes() };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload).ok()?;
        Some([nonce.as_slice(), sealed.as_slice()].concat())
    }

    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: self.name.as_bytes() };
        self.cipher.decrypt(&Nonce::from(*nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_token_opens() {
        let sealed = Seal::of("rcs_one").close(b"access token").unwrap();
        assert_eq!(Seal::of("rcs_one").open(&sealed).unwrap(), b"access token");
        assert_eq!(Seal::of("rcs_two").open(&sealed), None);
        assert_eq!(Seal::of("rcs_one").open(b"short"), None);
        assert!(!sealed.windows(6).any(|part| part == b"access"));
    }
}
