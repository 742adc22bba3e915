//! The identity service: the users of every tenant, and the log of their changes.
//!
//! It implements `rollcall.identity.v1` (read `proto/rollcall/identity/v1/users.proto` first):
//!
//! - `api/`: gRPC. Each method decodes, authorizes, makes one call, encodes.
//! - `domain/`: what a user is and what may become of one. Knows neither gRPC nor the database.
//! - `store/`: tables and transactions. The only place that can start a query, and only within a tenant.
//!
//! A write is one transaction: the row, its version, its e-mails, one entry of the change log, and, when an administrator asked
//! for it, one of the audit.
//!
//! # Adding an RPC
//! Write it in the `.proto`, implement it in the file of its service under `api/`, and test it in `tests/` on both
//! databases.
//!
//! # Making an attribute indexed
//! Migration (column and index), `store/entities.rs`, `domain/keys.rs` (what it holds), `store/columns.rs` (what it
//! answers). The property test in `tests/identity/filters.rs` compares it with the reference evaluator.
#![warn(missing_docs)]

mod api;
mod domain;
mod maintenance;
mod store;

use std::time::Duration;

use platform::Result;
use platform::clock::Clock;
use platform::db::Database;
use platform::db::cursor::Cursors;
use platform::db::page::PageSize;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// The gRPC services that internal services call.
pub const CONSUMER_SERVICES: [&str; 1] = ["rollcall.identity.v1.Directory"];

/// The identity service on one database. Clones share it.
#[derive(Clone)]
pub struct Service {
    database: Database,
    clock: Clock,
    store: store::Store,
    cursors: Cursors,
    page_size: PageSize,
    stop: CancellationToken,
}

impl Service {
    /// The full names of its gRPC services, for health and reflection.
    pub const NAMES: [&'static str; 9] = [
        "rollcall.identity.v1.Users",
        "rollcall.identity.v1.Directory",
        "rollcall.identity.v1.Changes",
        "rollcall.identity.v1.TenantData",
        "rollcall.identity.v1.Schemas",
        "rollcall.identity.v1.Teams",
        "rollcall.identity.v1.Roles",
        "rollcall.identity.v1.SuspendedUsers",
        "rollcall.identity.v1.Audit",
    ];

    /// On a migrated database (`migrations::up(db.migrator(), migrations::Service::Identity)`). Every replica needs the
    /// same key in `cursors`.
    pub fn new(database: Database, clock: Clock, cursors: Cursors) -> Self {
        let store = store::Store::new(database.clone(), clock.clone());
        Self {
            database,
            clock,
            store,
            cursors,
            page_size: PageSize::default(),
            stop: CancellationToken::new(),
        }
    }

    /// With streams that end when `stop` is cancelled.
    #[must_use]
    pub fn ending_with(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// With other sizes of pages than the default.
    #[must_use]
    pub fn with_page_size(self, page_size: PageSize) -> Self {
        Self { page_size, ..self }
    }

    /// Its gRPC services. They expect a verified caller in each request (`platform::server`).
    pub fn routes(&self) -> Routes {
        self.api().routes()
    }

    /// Adds only what internal services call: no provisioning.
    pub fn add_consumer_services(&self, routes: Routes) -> Routes {
        self.api().add_consumer_services(routes)
    }

    /// Keeps the tables within bounds until `stop` is cancelled: purges suspended users whose time is over, removes from the
    /// change log what is older than `log_kept` or superseded. Every replica may run it.
    pub async fn maintain(self, log_kept: Duration, stop: CancellationToken) {
        maintenance::run(self.store, self.database, self.clock, log_kept, stop).await;
    }

    /// Purges the suspended users of all tenants whose time is over; how many. [`Service::maintain`] does so every ten minutes.
    ///
    /// # Errors
    /// The database's.
    pub async fn purge_expired(&self) -> Result<u64> {
        maintenance::purge(&self.store).await
    }

    fn api(&self) -> api::Api {
        api::Api::new(self.store.clone(), self.cursors.clone(), self.page_size, self.stop.clone())
    }
}
