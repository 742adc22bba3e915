//! The broadcast that makes every gateway drop what it cached of a credential or a tenant, at once.

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
}

/// Sends and receives [`Invalidation`]s. Clones share one channel.
///
/// It reaches every part of this process. A cache's short lifetime is the backstop for what is lost.
#[derive(Clone, Debug)]
pub struct Invalidations {
    sender: broadcast::Sender<Invalidation>,
}

impl Default for Invalidations {
    fn default() -> Self {
        Self { sender: broadcast::channel(1024).0 }
    }
}

impl Invalidations {
    /// Tells everybody. To be called after the change is committed.
    pub fn publish(&self, what: Invalidation) {
        // An error means that nobody listens, which is fine.
        let _ = self.sender.send(what);
    }

    /// Listens from now on. A receiver that lags (`RecvError::Lagged`) must drop its whole cache.
    pub fn subscribe(&self) -> broadcast::Receiver<Invalidation> {
        self.sender.subscribe()
    }
}
