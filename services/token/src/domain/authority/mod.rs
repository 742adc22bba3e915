//! What the service does, one method per deed: rules, then one transaction of the store, then the broadcast.

mod admin;
mod clients;
mod credentials;
mod issue;
mod last_use;
mod resolve;
mod signer;
mod tenants;

use platform::Result;
use platform::cache::Invalidations;
use platform::clock::Clock;

use super::cipher::SecretKey;
use super::keys::Rotation;
use crate::store::{Deed, Store};

pub use clients::NewClient;
pub use credentials::NewCredential;
pub use issue::{IssueError, Issued};
pub use resolve::{Holder, Resolved};

use last_use::LastUse;
use signer::Signer;

/// Decides who gets in.
pub struct Authority {
    store: Store,
    clock: Clock,
    invalidations: Invalidations,
    signer: Signer,
    last_use: LastUse,
}

impl Authority {
    /// On this store. Makes the first signing key when there is none, and checks that the key-encryption key is right.
    ///
    /// # Errors
    /// `Internal` when the stored signing key does not open; the cause says what to do. The database's.
    pub async fn start(
        store: Store,
        clock: Clock,
        key: SecretKey,
        invalidations: Invalidations,
    ) -> Result<Self> {
        let signer = Signer::start(store.clone(), clock.clone(), key).await?;
        let last_use = LastUse::new(store.clone());
        Ok(Self { store, clock, invalidations, signer, last_use })
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
        Deed { by: by.to_owned(), at: self.clock.now() }
    }
}
