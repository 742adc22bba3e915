//! What the service does, one method per deed: rules, then one transaction of the store, then the broadcast.

mod admin;
mod assertion;
mod audit;
mod clients;
mod credentials;
mod idempotency;
mod issue;
mod issuers;
mod last_use;
mod provisioning;
mod resolve;
mod resolve_jwt;
mod rotation;
mod signer;
mod system_clients;
mod tenants;

use platform::Result;
use platform::cache::Invalidations;
use platform::clock::Clock;

use super::cipher::SecretKey;
use super::keys::Rotation;
use crate::discovery::Discovery;
use crate::store::{Deed, Store};

pub use clients::{ClientUpdate, NewClient};
pub use credentials::NewCredential;
pub use issue::{Grant, IssueError, Issued};
pub use resolve::{CredentialKind, Holder, Resolved};

use assertion::Forgotten;
use idempotency::Forgetting;
use last_use::LastUse;
use signer::Signer;

/// Decides who gets in.
pub struct Authority {
    store: Store,
    clock: Clock,
    invalidations: Invalidations,
    key: SecretKey,
    signer: Signer,
    last_use: LastUse,
    discovery: Discovery,
    forgotten: Forgotten,
    forgetting: Forgetting,
}

impl Authority {
    /// On this store. Makes the first signing key when there is none, and checks that the key-encryption key is right.
    ///
    /// # Errors
    /// `Internal` when the stored signing key does not open; the cause says what to do. The database's.
    pub(crate) async fn start(
        store: Store,
        clock: Clock,
        key: SecretKey,
        invalidations: Invalidations,
        discovery: Discovery,
    ) -> Result<Self> {
        let signer = Signer::start(store.clone(), clock.clone(), key.clone()).await?;
        let last_use = LastUse::new(store.clone());
        let authority = Self {
            store,
            clock,
            invalidations,
            key,
            signer,
            last_use,
            discovery,
            forgotten: Forgotten::default(),
            forgetting: Forgetting::default(),
        };
        // Answers hold secrets: those that were kept before a long rest go at once.
        authority.forget_requests(authority.clock.now()).await?;
        Ok(authority)
    }

    /// The public keys that verify access tokens.
    ///
    /// # Errors
    /// The database's.
    pub async fn published_keys(&self) -> Result<jsonwebtoken::jwk::JwkSet> {
        self.signer.published().await
    }

    /// Adds the next signing key. It is published at once, signs ten minutes later, and ten minutes after that the
    /// one before it disappears. Does nothing while such a change is under way.
    ///
    /// # Errors
    /// The database's.
    pub async fn rotate_signing_key(&self, deed: Deed) -> Result<Rotation> {
        self.signer.rotate(deed).await
    }

    /// Writes what is still to be noted of the last use of secrets. To be called before the database is closed.
    pub async fn flush(&self) {
        self.last_use.flush().await;
    }

    /// The change log's note for a change that this caller makes now.
    pub fn deed(&self, by: &str) -> Deed {
        Deed { by: by.to_owned(), at: self.clock.now(), request_id: String::new() }
    }
}
