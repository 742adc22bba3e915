//! Groups, nesting, and the question who is a member of what. Owns the database schema `membership`.
//!
//! | room | what is in it |
//! |---|---|
//! | `api/` | gRPC: decode, one call, encode |
//! | `domain/` | the rules; neither gRPC nor SQL |
//! | `store/` | the rows and the questions asked of them |
//! | [`index`] | who is a member of what, in memory, fed by our own change log |
//! | `answers` | questions go to the index or to the database, by how fresh the answer must be |
//! | [`follower`] | keeps the projection of users in step with identity's change log |
//!
//! Decisions worth knowing:
//!
//! - **A deactivated user keeps its memberships** (Entra relies on it when it re-activates one) and a GET of a group still lists it, but
//!   `Memberships` counts it as a member of nothing, unless asked to `include_inactive`.
//! - **A deleted user** leaves a tombstone without personal data, so that a late, older change cannot bring it back; its rows go.
//! - **A member that does not exist** is accepted and waits, unseen, until it arrives; the client gets a warning.
//! - **Cycles are legal**, a group may even contain itself: every walk visits a group once.
//!
//! # Adding an RPC
//! Write it in `proto/rollcall/membership/v1`, implement the method the compiler now misses in `api/`, put what it does into
//! `store/` and the rule, if there is one, into `domain/`; test it in `tests/`, on both databases.
#![warn(missing_docs)]

mod answers;
mod api;
mod domain;
pub mod follower;
pub mod index;
mod store;
mod verify;

use std::time::Duration;

use platform::clock::Clock;
use platform::db::Database;
use platform::db::cursor::Cursors;
use platform::db::page::PageSize;
use platform::fairness::PerTenant;
use platform::transport::MAX_MESSAGE_BYTES;
use proto::membership::v1::groups_server::GroupsServer;
use proto::membership::v1::maintenance_server::MaintenanceServer;
use proto::membership::v1::memberships_server::MembershipsServer;
use proto::membership::v1::projection_server::ProjectionServer;
use proto::membership::v1::tenant_data_server::TenantDataServer;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};

use crate::answers::Answers;
use crate::index::Index;
use crate::store::Store;

/// The names of the gRPC services, for health and reflection.
pub const SERVICES: [&str; 5] = [
    "rollcall.membership.v1.Groups",
    "rollcall.membership.v1.Maintenance",
    "rollcall.membership.v1.Projection",
    "rollcall.membership.v1.TenantData",
    "rollcall.membership.v1.Memberships",
];

/// Those of them that internal services call.
pub const CONSUMER_SERVICES: [&str; 1] = ["rollcall.membership.v1.Memberships"];

/// The membership service.
#[derive(Clone)]
pub struct Service {
    store: Store,
    answers: Answers,
    cursors: Cursors,
    page_size: PageSize,
    watches: PerTenant,
    stop: CancellationToken,
}

/// Watches of one tenant that a replica keeps open.
const WATCHES: usize = 20;

impl Service {
    /// On a migrated database. `cursors` has the key that all replicas share.
    pub fn new(db: Database, clock: Clock, cursors: Cursors) -> Self {
        let store = Store::new(db, clock);
        let answers = Answers::new(store.clone(), Index::new(store.clone(), index::Settings::default()));
        Self {
            store,
            answers,
            cursors,
            page_size: PageSize::default(),
            watches: PerTenant::new(WATCHES).with_patience(Duration::ZERO),
            stop: CancellationToken::new(),
        }
    }

    /// The same service, whose streams without an end do end when `stop` is cancelled.
    #[must_use]
    pub fn with_stop(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// The same service with other page sizes.
    #[must_use]
    pub fn with_page_size(self, page_size: PageSize) -> Self {
        Self { page_size, ..self }
    }

    /// The same service with other bounds of its index, which is empty again.
    #[must_use]
    pub fn with_index(self, settings: index::Settings) -> Self {
        let answers = Answers::new(self.store.clone(), Index::new(self.store.clone(), settings));
        Self { answers, ..self }
    }

    /// The index: [`Index::follow`] has to run, or every answer comes from the database.
    pub fn index(&self) -> Index {
        self.answers.index().clone()
    }

    /// Its gRPC services, without authentication: `platform::server` adds that.
    pub fn routes(&self) -> Routes {
        let limit = MAX_MESSAGE_BYTES;
        let mut routes = RoutesBuilder::default();
        routes
            .add_service(GroupsServer::new(self.clone()).max_decoding_message_size(limit))
            .add_service(MaintenanceServer::new(self.clone()).max_decoding_message_size(limit))
            .add_service(MembershipsServer::new(self.clone()))
            .add_service(ProjectionServer::new(self.clone()))
            .add_service(TenantDataServer::new(self.clone()));
        routes.routes()
    }

    /// Adds only what internal services call: no provisioning.
    pub fn add_consumer_services(&self, routes: Routes) -> Routes {
        routes.add_service(MembershipsServer::new(self.clone()))
    }
}
