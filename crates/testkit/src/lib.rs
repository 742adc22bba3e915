//! What the tests stand on (a dev-dependency everywhere, never linked into the product).
//!
//! * [`db`] and [`store_tests!`]: a test written once, run on SQLite and on PostgreSQL, each with a fresh database.
//! * [`postgres`], [`redis`]: servers that start themselves and vanish with the test process.
//! * [`replicated`]: a database with a streaming replica.
//! * [`cluster`]: Rollcall distributed: PostgreSQL, Redis and two processes of each service, to be killed at will.
//! * [`collector`]: takes traces and metrics over OTLP.
//! * [`server`]: `rollcall standalone` as a process, with tenants on it.
//! * [`client`], [`memberships`]: a plain SCIM client, and one that asks membership questions over gRPC.
//! * [`issuer`]: an OpenID Connect issuer that signs whatever a test wants, and can be slow, down or lying.
//! * [`authority`]: a certificate authority, and its certificates in files that are renewed as Kubernetes does it.
//! * [`tokens`]: access tokens for a service that a test serves alone.
//! * [`transcript`]: golden transcripts of identity providers, played over HTTP.
//!
//! A store test, whole file:
//!
//! ```ignore
//! // services/identity/tests/store.rs
//! testkit::store_tests! {
//!     service: Identity;
//!
//!     /// Becomes `sqlite::starts_empty` and `postgres::starts_empty`.
//!     async fn starts_empty(db: Database) {
//!         let store = identity::store::Store::new(db);
//!         assert_eq!(store.count(tenant()).await.unwrap(), 0);
//!     }
//!
//!     /// For two replicas on one database: `fresh.database` is open, `fresh.config` opens it again.
//!     async fn two_replicas_agree(fresh: &Fresh) {
//!         let other = platform::db::Database::connect(&fresh.config).await.unwrap();
//!         // ...
//!     }
//! }
//! ```
//!
//! Without the macro: `testkit::db::fresh(Backend::Postgres, Service::Identity).await?`.

pub mod authority;
pub mod client;
pub mod cluster;
pub mod collector;
pub mod db;
pub mod issuer;
mod keeper;
pub mod memberships;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod replicated;
pub mod server;
pub mod tokens;
pub mod transcript;

/// A client without a user agent, redirects or proxies. One per test: its connections belong to the test's runtime.
pub fn http_client() -> reqwest::Client {
    // Fails when another test of this process was first, which is as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(std::time::Duration::from_secs(30))
        .build()
        .expect("neither proxy nor certificates to read")
}
