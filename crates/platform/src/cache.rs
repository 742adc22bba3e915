//! The broadcast that makes every gateway drop what it cached of a credential or a tenant, at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::broadcast;

use crate::ids::{ClientId, CredentialId, TenantId};

/// What is no longer to be trusted from a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// One secret: revoked, or its facts changed.
    Credential(CredentialId),
    /// One OAuth client.
    Client(ClientId),
    /// Every credential of a tenant: its settings or state changed.
    Tenant(TenantId),
    /// All of it: some invalidations may not have arrived.
    Everything,
}

/// Sends and receives [`Invalidation`]s. Clones share one channel.
///
/// It reaches every part of this process and, where [`crate::redis::share_invalidations`] runs, every other process. A cache's
/// short lifetime is the backstop for what is lost.
#[derive(Clone, Debug)]
pub struct Invalidations {
    here: broadcast::Sender<Invalidation>,
    /// What is said in this process, for the others.
    elsewhere: broadcast::Sender<Invalidation>,
    /// In milliseconds; 0 is no bound.
    longest_memory: Arc<AtomicU64>,
}

impl Default for Invalidations {
    fn default() -> Self {
        Self {
            here: broadcast::channel(1024).0,
            elsewhere: broadcast::channel(1024).0,
            longest_memory: Arc::default(),
        }
    }
}

impl Invalidations {
    /// Tells everybody. To be called after the change is committed.
    pub fn publish(&self, what: Invalidation) {
        // An error means that nobody listens, which is fine.
        let _ = self.here.send(what);
        let _ = self.elsewhere.send(what);
    }

    /// Listens from now on. A receiver that lags (`RecvError::Lagged`) must drop its whole cache.
    pub fn subscribe(&self) -> broadcast::Receiver<Invalidation> {
        self.here.subscribe()
    }

    /// How long something may be remembered at most: short while invalidations of other processes do not arrive.
    pub fn longest_memory(&self) -> Duration {
        match self.longest_memory.load(Ordering::SeqCst) {
            0 => Duration::MAX,
            bound => Duration::from_millis(bound),
        }
    }

    /// Says that other processes are not heard: what is remembered is remembered for a short time.
    pub fn reach_this_process_only(&self) {
        self.set_longest_memory(Some(crate::redis::MEMORY_WITHOUT_REDIS));
    }

    /// Passes on what another process said.
    pub(crate) fn deliver(&self, what: Invalidation) {
        let _ = self.here.send(what);
    }

    /// What is said in this process from now on.
    pub(crate) fn for_others(&self) -> broadcast::Receiver<Invalidation> {
        self.elsewhere.subscribe()
    }

    pub(crate) fn set_longest_memory(&self, bound: Option<Duration>) {
        let bound = bound.map_or(0, |bound| u64::try_from(bound.as_millis()).unwrap_or(u64::MAX));
        self.longest_memory.store(bound, Ordering::SeqCst);
    }
}
