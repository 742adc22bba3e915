//! The provisioning log: what each tenant's client asked, and what came of it. Owns the database schema `journal`.
//!
//! | room | what is in it |
//! |---|---|
//! | `api/` | gRPC: decode, one call, encode |
//! | `domain/` | what an exchange is, whom it is about, by what it is found; neither gRPC nor SQL |
//! | `store/` | the rows and the questions asked of them |
//! | [`retention`] | deletes what is past its time |
//!
//! Decisions worth knowing (docs/adr/0006-provisioning-log.md):
//!
//! - **A service of its own**, with a database of its own: it shares nothing with answering requests, which go on without it.
//! - **Whom an exchange is about** is rows: the resource, and who came to or left a group. A search begins there, so that a
//!   person's story costs what it is long.
//! - **Names** (userName, displayName, externalId) lead to the ids that had them, also when the person is gone. They are kept as
//!   hashes: the index of names tells nobody's name.
//! - **An outcome leads every index**: a search for failures does not walk over a million reads that went well.
//!
//! # Adding a fact
//! A field of `Exchange` in `proto/rollcall/journal/v1`, of `domain::exchange::Facts` (with a default: earlier rows lack it), and
//! of both directions in `api/wire.rs`, where the compiler misses it.
#![warn(missing_docs)]

mod api;
mod domain;
pub mod retention;
mod store;

use platform::Result;
use platform::clock::Clock;
use platform::db::Database;
use platform::transport::MAX_MESSAGE_BYTES;
use proto::journal::v1::provisioning_log_server::ProvisioningLogServer;
use proto::journal::v1::tenant_data_server::TenantDataServer;
use tonic::service::{Routes, RoutesBuilder};

use crate::store::Store;

/// The names of the gRPC services, for health and reflection.
pub const SERVICES: [&str; 2] = ["rollcall.journal.v1.ProvisioningLog", "rollcall.journal.v1.TenantData"];

/// The journal service. Clones share the database.
#[derive(Clone)]
pub struct Service {
    store: Store,
    clock: Clock,
}

impl Service {
    /// On a migrated database (`migrations::Service::Journal`).
    pub fn new(db: Database, clock: Clock) -> Self {
        Self { store: Store::new(db), clock }
    }

    /// Its gRPC services, without authentication: `platform::server` adds that.
    pub fn routes(&self) -> Routes {
        let log = ProvisioningLogServer::new(self.clone());
        let mut routes = RoutesBuilder::default();
        routes
            .add_service(log.max_decoding_message_size(MAX_MESSAGE_BYTES))
            .add_service(TenantDataServer::new(self.clone()));
        routes.routes()
    }

    /// Deletes what is past its time by now; says how many exchanges that were. Idempotent, and fine in two replicas at once.
    ///
    /// # Errors
    /// The database's; what was deleted until then stays deleted.
    pub async fn expire(&self) -> Result<u64> {
        self.store.expire(self.clock.now()).await
    }
}
