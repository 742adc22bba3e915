//! The public keys of other issuers, by OpenID Connect Discovery 1.0: fetched when a token asks for them, remembered, followed
//! when they roll over.
//!
//! * Keys are remembered for an hour; after that the next token has them fetched again.
//! * A token that names a key we don't know has them fetched again too, at most every 30 seconds: forged ones must not become
//!   a flood. So a new key is known within 30 seconds of its first token, and one that was withdrawn is out within an hour.
//! * When an issuer does not answer, its last keys go on serving for a day. After that, and for an issuer whose keys were
//!   never seen, nobody is let in.
//! * One fetch at a time per issuer. It goes on when the request that caused it is given up, and then counts for all.
//!
//! Only issuers that an administrator registered are asked. What that asking may reach is [`guard`]'s matter.

mod fetch;
mod guard;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use moka::future::Cache;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, OwnedMutexGuard};

use platform::clock::{Clock, Timestamp};
use platform::{Error, Result};
use scim::ErrorKind;

use crate::domain::jwk::{Key, KeySet};
use fetch::Fetcher;

const FRESH: Duration = Duration::from_secs(3600);
const USABLE: Duration = Duration::from_secs(24 * 3600);
const FETCH_AGAIN_AFTER: Duration = Duration::from_secs(30);
const MAX_ISSUERS: u64 = 10_000;

/// Settings of discovery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoveryConfig {
    /// Lets issuers be inside this network (loopback, private and link-local addresses) and speak plain http. For an identity
    /// provider on the own network, and for tests. An administrator of tenants can then make the token service send
    /// requests to anything that it can reach.
    pub allow_inside: bool,
}

/// See the module. Clones share what is remembered.
#[derive(Clone)]
pub(crate) struct Discovery {
    fetcher: Arc<Fetcher>,
    clock: Clock,
    issuers: Cache<String, Arc<Issuer>>,
}

#[derive(Default)]
struct Issuer {
    found: RwLock<Option<Found>>,
    /// Held while fetching: when that was last begun.
    begun: Arc<Mutex<Option<Timestamp>>>,
}

#[derive(Clone)]
struct Found {
    keys: Arc<KeySet>,
    at: Timestamp,
}

impl Found {
    fn is_younger(&self, than: Duration, now: Timestamp) -> bool {
        now < self.at.plus(than)
    }
}

impl Issuer {
    fn found(&self) -> Option<Found> {
        self.found.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key, if what is known is fresh and has it.
    fn fresh(&self, kid: Option<&str>, now: Timestamp) -> Option<Key> {
        self.found().filter(|found| found.is_younger(FRESH, now))?.keys.find(kid).cloned()
    }
}

impl Discovery {
    pub(crate) fn new(config: &DiscoveryConfig, clock: Clock) -> Self {
        let issuers = Cache::builder().max_capacity(MAX_ISSUERS).time_to_idle(USABLE).build();
        Self { fetcher: Arc::new(Fetcher::new(config.allow_inside)), clock, issuers }
    }

    /// Whether keys of this issuer may be asked for at all: an https URL that leads outside (as far as its text tells).
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check_issuer(&self, issuer: &str) -> Result<(), String> {
        fetch::discovery_url(issuer, self.fetcher.allows_inside()).map(|_| ())
    }

    /// The key of `issuer` that a token names; `None` when the issuer has no such key.
    ///
    /// # Errors
    /// `Unavailable` when the issuer's keys cannot be had.
    pub(crate) async fn key(&self, issuer: &str, kid: Option<&str>) -> Result<Option<Key>> {
        let entry = self.issuers.get_with_by_ref(issuer, async { Arc::new(Issuer::default()) }).await;
        if let Some(key) = entry.fresh(kid, self.clock.now()) {
            return Ok(Some(key));
        }
        let begun = entry.begun.clone().lock_owned().await;
        let now = self.clock.now();
        if let Some(key) = entry.fresh(kid, now) {
            return Ok(Some(key));
        }
        if begun.is_none_or(|at| now < at || now >= at.plus(FETCH_AGAIN_AFTER)) {
            let fetch = self.clone().fetch(issuer.to_owned(), entry.clone(), begun, now);
            // On a task of its own: a client that hangs up must not leave the others without keys.
            tokio::spawn(fetch).await.map_err(Error::internal)?;
        }
        match entry.found().filter(|found| found.is_younger(USABLE, now)) {
            Some(found) => Ok(found.keys.find(kid).cloned()),
            None => Err(Error::new(
                ErrorKind::Unavailable,
                "the keys of this token's issuer cannot be had at the moment",
            )),
        }
    }

    async fn fetch(
        self,
        issuer: String,
        entry: Arc<Issuer>,
        mut begun: OwnedMutexGuard<Option<Timestamp>>,
        now: Timestamp,
    ) {
        *begun = Some(now);
        match self.fetcher.keys(&issuer).await {
            Ok(keys) => {
                let found = Found { keys: Arc::new(keys), at: now };
                *entry.found.write().unwrap_or_else(PoisonError::into_inner) = Some(found);
            }
            Err(wrong) => {
                tracing::warn!(
                    issuer,
                    reason = wrong,
                    "the keys of issuer {issuer} could not be had: {wrong}"
                );
            }
        }
    }
}
