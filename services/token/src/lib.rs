//! The token service: tenants and their settings, the secrets that let their clients in, OAuth clients, signing keys.
//!
//! ```ignore
//! let service = token::Service::new(token::Deps { database, clock, key, invalidations, discovery }).await?;
//! let verifier = platform::auth::Verifier::new(service.key_source(), clock);
//! let transport = platform::server::stack(service.routes(), verifier);
//! ```
//!
//! * [`domain`]: the rules, and [`domain::authority::Authority`], one method per deed
//! * [`store`]: rows and transactions
//! * [`discovery`]: the public keys of other issuers
//! * `api`: gRPC; decode, authorize, one call, encode
//!
//! To add an RPC: write it in `proto/rollcall/token/v1/*.proto`, a method of `Authority` for what it does, and the handler the
//! compiler then misses in `api`.
#![warn(missing_docs)]

mod api;
pub mod discovery;
pub mod domain;
mod key_source;
pub mod store;

use std::sync::Arc;

use platform::Result;
use platform::auth::Scope;
use platform::cache::Invalidations;
use platform::clock::Clock;
use platform::db::Database;
use platform::ids::ClientId;
use secrecy::SecretString;

use discovery::Discovery;
pub use discovery::DiscoveryConfig;
use domain::authority::Authority;
pub use domain::cipher::SecretKey;
pub use domain::keys::Rotation;
pub use domain::system_client::SystemClient;
pub use key_source::LocalKeys;

/// What the service needs.
pub struct Deps {
    /// Migrated (`migrations::Service::Token`).
    pub database: Database,
    /// Now.
    pub clock: Clock,
    /// Opens the signing keys in the database. Always the same for one database; kept apart from it.
    pub key: SecretKey,
    /// Told of what is revoked or deleted, after the commit.
    pub invalidations: Invalidations,
    /// How the keys of other issuers are found.
    pub discovery: DiscoveryConfig,
}

/// The token service. Clones share everything.
#[derive(Clone)]
pub struct Service {
    authority: Arc<Authority>,
}

impl Service {
    /// The full names of its gRPC services, for health and reflection.
    pub const NAMES: [&'static str; 9] = [
        "rollcall.token.v1.Tenants",
        "rollcall.token.v1.Credentials",
        "rollcall.token.v1.Admins",
        "rollcall.token.v1.Clients",
        "rollcall.token.v1.Issuers",
        "rollcall.token.v1.OAuth",
        "rollcall.token.v1.Keys",
        "rollcall.token.v1.Audit",
        "rollcall.token.v1.Idempotency",
    ];

    /// Starts: makes the first signing key when there is none, and checks that the key-encryption key is right.
    ///
    /// # Errors
    /// `Internal` when the stored signing key does not open with `key`: print the error with its source, which says what
    /// to do. The database's.
    pub async fn new(deps: Deps) -> Result<Self> {
        let Deps { database, clock, key, invalidations, discovery } = deps;
        let store = store::Store::new(database);
        let discovery = Discovery::new(&discovery, clock.clone());
        let authority = Authority::start(store, clock, key, invalidations, discovery).await?;
        Ok(Self { authority: Arc::new(authority) })
    }

    /// The gRPC services.
    pub fn routes(&self) -> tonic::service::Routes {
        api::routes(self.authority.clone())
    }

    /// Its public keys without a call, for the verifier in front of its own routes.
    pub fn key_source(&self) -> LocalKeys {
        LocalKeys::new(self.authority.clone())
    }

    /// Sees to it that the platform has an administrator: see [`Authority::bootstrap_admin`] for the order of things and
    /// why a crash is harmless. `kept` is the content of the operator's file, if there is one; `keep` writes that file
    /// (mode 0600) and returns once it is durable (file and directory synced). Returns a secret only when it is new.
    ///
    /// # Errors
    /// `InvalidValue` when `kept` is no admin secret; what `keep` answers; the database's.
    pub async fn bootstrap_admin(
        &self,
        kept: Option<SecretString>,
        keep: impl FnOnce(&SecretString) -> std::io::Result<()> + Send,
    ) -> Result<Option<SecretString>> {
        self.authority.bootstrap_admin(kept, keep).await
    }

    /// The OAuth client of the platform itself that everyone derives from `platform_secret` ([`SystemClient::derive`]), for every
    /// tenant, with any scopes (`internal`, `admin` too), not listed and not deletable by the API. Every replica of the token service calls this at its
    /// start, for every service that is to have a client; a service derives its own `client_id` and `client_secret` the
    /// same way and presents them at `token.v1.OAuth/IssueToken`. Nothing is exchanged, and calling it again, or on many
    /// replicas at once, changes nothing.
    ///
    /// The client of this name that had another secret or other scopes is replaced. So a new platform secret takes effect
    /// with the next start of a token replica: from then on services that were not restarted with it get no more tokens (the
    /// ones they hold live out their five minutes).
    ///
    /// # Errors
    /// `InvalidValue` for a name that cannot be or a platform secret that is too short. The database's.
    pub async fn ensure_system_client(
        &self,
        name: &str,
        scopes: &[Scope],
        platform_secret: &SecretString,
    ) -> Result<ClientId> {
        self.authority.ensure_system_client(name, scopes, platform_secret).await
    }

    /// Lets the next signing key take its turn: published now, signing in ten minutes.
    ///
    /// # Errors
    /// The database's.
    pub async fn rotate_signing_key(&self) -> Result<Rotation> {
        let deed = self.authority.deed("system");
        self.authority.rotate_signing_key(deed).await
    }

    /// Writes what is kept in memory (the last use of secrets). To be called before the database is closed.
    pub async fn flush(&self) {
        self.authority.flush().await;
    }
}
