//! What one gateway learnt of a bearer token, for the others.
//!
//! An entry holds an access token, so it is sealed (ChaCha20-Poly1305) under a key that is derived from the presented token
//! itself (HKDF-SHA256), and stands under a name derived likewise: whoever reads Redis can open nothing, and whoever presents
//! the token could have asked the token service anyway.
//!
//! An entry is good if nothing was invalidated since *before* the token service was asked: the lookup that misses returns a
//! [`Ticket`] with Redis's time, the entry is stored with it, and a later lookup compares it with the notes that invalidations
//! leave (`invalidations.rs`). So an answer that a revocation overtook on its way is never believed.
//!
//! What is compared stands in clear beside the sealed value and is authenticated with it, as is until when the entry is good:
//! whoever can write to Redis makes a gateway ask the token service, and no more. (Who takes the note of a revocation away wins
//! what is left of the entry's thirty seconds.)

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
/// Their form is 2. Gateways with another one leave them alone, and have theirs beside them.
const ENTRIES: &str = "{cache}:entry2:";
const FORM: &[u8] = b"rollcall shared cache 2";
const NONCE_BYTES: usize = 12;

/// `KEYS[1]` is the entry, `ARGV[1]` what notes begin with. Answers the time, and the entry when nothing that it says it is about was
/// invalidated since.
const GET: &str = r"
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000000 + clock[2])
local entry = redis.call('HMGET', KEYS[1], 'at', 'until', 'tenant', 'credential', 'sealed')
for field = 1, 5 do
  if not entry[field] then return {now} end
end
for _, what in ipairs({entry[3], entry[4], 'everything'}) do
  local note = redis.call('GET', ARGV[1] .. what)
  if note and tonumber(note) >= (tonumber(entry[1]) or 0) then return {now} end
end
return {now, entry[1], entry[2], entry[3], entry[4], entry[5]}
";

/// `KEYS[1]` is the entry, `ARGV` its lifetime in milliseconds and its five fields.
const PUT: &str = r"
redis.call('HSET', KEYS[1], 'at', ARGV[2], 'until', ARGV[3], 'tenant', ARGV[4], 'credential', ARGV[5], 'sealed', ARGV[6])
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
pub struct Ticket {
    /// Redis's time, microseconds since the Unix epoch.
    at: u64,
}

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
        metrics::metrics().redis_fallbacks("cache", 0);
        Self { redis, get: Arc::new(Script::new(GET)), put: Arc::new(Script::new(PUT)) }
    }

    /// What is known of the bearer token `secret`.
    pub async fn get(&self, secret: &str) -> Looked {
        let seal = Seal::of(secret);
        let mut invocation = self.get.prepare_invoke();
        invocation.key(self.redis.key(&format!("{ENTRIES}{}", seal.name))).arg(self.redis.key(NOTES));
        let answer = self
            .redis
            .ask("cache", |mut link| async move { invocation.invoke_async::<Vec<Vec<u8>>>(&mut link).await })
            .await;
        let Some(answer) = answer else { return Looked::Unavailable };
        let Some((now, entry)) = read(answer) else { return Looked::Unavailable };
        let opened = entry.filter(|entry| (entry.about.at..entry.about.until).contains(&now));
        let opened = opened.and_then(|entry| seal.open(&entry.about, &entry.sealed));
        metrics::metrics().shared_cache(opened.is_some());
        match opened {
            Some(value) => Looked::Hit(value),
            // Also for what does not open: it was put there by somebody else, and what is learnt now goes over it.
            None => Looked::Miss(Ticket { at: now }),
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
        let ttl = ttl.min(LONGEST_TTL).max(Duration::from_millis(1));
        let about = About {
            at: ticket.at,
            // From before the token service was asked: rather too early than too late.
            until: ticket.at.saturating_add(u64::try_from(ttl.as_micros()).unwrap_or(0)),
            tenant: tenant.map_or_else(|| "-".to_owned(), |tenant| tenant.to_string()),
            credential: credential.to_owned(),
        };
        let Some(sealed) = seal.close(&about, value) else { return };
        let mut invocation = self.put.prepare_invoke();
        invocation
            .key(self.redis.key(&format!("{ENTRIES}{}", seal.name)))
            .arg(u64::try_from(ttl.as_millis()).unwrap_or(1))
            .arg(about.at)
            .arg(about.until)
            .arg(about.tenant)
            .arg(about.credential)
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

/// What is in clear beside a sealed value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct About {
    /// Redis's time before the token service was asked, and when the entry is no longer good, microseconds since the Unix epoch.
    at: u64,
    until: u64,
    /// By what it is invalidated.
    tenant: String,
    credential: String,
}

struct Stored {
    about: About,
    sealed: Vec<u8>,
}

/// The time, and the entry if there is one that can be read. `None` when the time cannot.
fn read(answer: Vec<Vec<u8>>) -> Option<(u64, Option<Stored>)> {
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse().ok();
    let mut fields = answer.into_iter();
    let now = number(&fields.next()?)?;
    let mut stored = || {
        let about = About {
            at: number(&fields.next()?)?,
            until: number(&fields.next()?)?,
            tenant: String::from_utf8(fields.next()?).ok()?,
            credential: String::from_utf8(fields.next()?).ok()?,
        };
        Some(Stored { about, sealed: fields.next()? })
    };
    Some((now, stored()))
}

struct Seal {
    name: String,
    cipher: ChaCha20Poly1305,
}

impl Seal {
    fn of(secret: &str) -> Self {
        let derived = Hkdf::<Sha256>::new(Some(FORM), secret.as_bytes());
        let (mut key, mut name) = ([0; 32], [0; 24]);
        derived.expand(b"key", &mut key).expect("32 bytes are fewer than HKDF gives");
        derived.expand(b"name", &mut name).expect("24 bytes are fewer than HKDF gives");
        Self { name: URL_SAFE_NO_PAD.encode(name), cipher: ChaCha20Poly1305::new(&Key::from(key)) }
    }

    /// What is authenticated with the value: its name and all that is in clear, each with its length, so that nothing can move
    /// from one to the next.
    fn associated(&self, about: &About) -> Vec<u8> {
        let About { at, until, tenant, credential } = about;
        let mut data = Vec::new();
        for text in [&self.name, tenant, credential] {
            data.extend_from_slice(&(text.len() as u64).to_be_bytes());
            data.extend_from_slice(text.as_bytes());
        }
        data.extend_from_slice(&at.to_be_bytes());
        data.extend_from_slice(&until.to_be_bytes());
        data
    }

    /// Nonce and ciphertext. `None` when the system has no randomness.
    fn close(&self, about: &About, value: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).ok()?;
        let payload = Payload { msg: value, aad: &self.associated(about) };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload).ok()?;
        Some([nonce.as_slice(), sealed.as_slice()].concat())
    }

    fn open(&self, about: &About, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: &self.associated(about) };
        self.cipher.decrypt(&Nonce::from(*nonce), payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About { at: 1, until: 2, tenant: "tenant".to_owned(), credential: "credential".to_owned() }
    }

    #[test]
    fn only_the_same_token_opens() {
        let sealed = Seal::of("rcs_one").close(&about(), b"access token").unwrap();
        assert_eq!(Seal::of("rcs_one").open(&about(), &sealed).unwrap(), b"access token");
        assert_eq!(Seal::of("rcs_two").open(&about(), &sealed), None);
        assert_eq!(Seal::of("rcs_one").open(&about(), b"short"), None);
        assert!(!sealed.windows(6).any(|part| part == b"access"));
    }

    #[test]
    fn nothing_beside_it_can_be_changed() {
        let seal = Seal::of("rcs_one");
        let sealed = seal.close(&about(), b"access token").unwrap();
        for changed in [
            About { at: 2, ..about() },
            About { until: 3, ..about() },
            About { tenant: "-".to_owned(), ..about() },
            About { credential: "another".to_owned(), ..about() },
            About { tenant: "tenantc".to_owned(), credential: "redential".to_owned(), ..about() },
        ] {
            assert_eq!(seal.open(&changed, &sealed), None, "{changed:?}");
        }
    }

    #[test]
    fn what_redis_says_is_read_or_left() {
        let say = |parts: &[&str]| read(parts.iter().map(|part| part.as_bytes().to_vec()).collect());
        let (now, entry) = say(&["7", "1", "2", "tenant", "credential", "sealed"]).unwrap();
        assert_eq!((now, entry.unwrap().about), (7, about()));
        for parts in [&["7"][..], &["7", "x", "2", "t", "c", "s"], &["7", "-1", "2", "t", "c", "s"]] {
            let (now, entry) = say(parts).unwrap();
            assert_eq!((now, entry.is_none()), (7, true), "{parts:?}");
        }
        assert!(say(&[]).is_none() && say(&["soon"]).is_none());
    }
}
