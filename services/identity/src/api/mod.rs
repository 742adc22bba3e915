//! gRPC: each method decodes, authorizes, makes one call, encodes.

mod audit;
mod changes;
mod directory;
mod roles;
mod schemas;
mod suspended;
mod tail;
mod teams;
mod tenant_data;
mod users;
mod wire;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use platform::db::cursor::Cursors;
use platform::db::page::PageSize;
use platform::fairness::{PerTenant, Turn};
use platform::ids::TenantId;
use platform::transport::MAX_MESSAGE_BYTES;
use platform::{Error, Result};
use proto::identity::v1::audit_server::AuditServer;
use proto::identity::v1::changes_server::ChangesServer;
use proto::identity::v1::directory_server::DirectoryServer;
use proto::identity::v1::roles_server::RolesServer;
use proto::identity::v1::schemas_server::SchemasServer;
use proto::identity::v1::suspended_users_server::SuspendedUsersServer;
use proto::identity::v1::teams_server::TeamsServer;
use proto::identity::v1::tenant_data_server::TenantDataServer;
use proto::identity::v1::users_server::UsersServer;
use scim::{ErrorKind, Limits};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;

use crate::store::Store;

/// What every method works with. Clones share it.
#[derive(Clone)]
pub(crate) struct Api {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    cursors: Cursors,
    page_size: PageSize,
    limits: Limits,
    /// Streams of one tenant at once.
    streams: PerTenant,
    stop: CancellationToken,
}

/// Streams (watches, exports) that one tenant has of this process at once. More are refused, at once.
const STREAMS_OF_A_TENANT: usize = 32;

/// What a streaming method answers.
type Stream<T> = Pin<Box<dyn futures::Stream<Item = Result<T, Status>> + Send>>;

impl Api {
    /// Streams end when `stop` is cancelled.
    pub(crate) fn new(store: Store, cursors: Cursors, page_size: PageSize, stop: CancellationToken) -> Self {
        // No user has so many values; a group may, with its members.
        let limits = Limits { json_values: 50_000, ..Limits::DEFAULT };
        let streams = PerTenant::new(STREAMS_OF_A_TENANT).with_patience(Duration::ZERO);
        Self { shared: Arc::new(Shared { store, cursors, page_size, limits, streams, stop }) }
    }

    /// The right to stream something of a tenant, until it is dropped.
    async fn stream_of(&self, tenant: TenantId) -> Result<Turn> {
        self.shared.streams.turn(tenant).await.map_err(|_| {
            let detail = format!(
                "the tenant has {STREAMS_OF_A_TENANT} streams open here, as many as it may: close one first"
            );
            Error::new(ErrorKind::RateLimited, detail)
        })
    }

    pub(crate) fn routes(&self) -> Routes {
        let users = UsersServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        Routes::new(users.max_encoding_message_size(MAX_MESSAGE_BYTES))
            .add_service(DirectoryServer::new(self.clone()))
            .add_service(ChangesServer::new(self.clone()))
            .add_service(TenantDataServer::new(self.clone()))
            .add_service(SchemasServer::new(self.clone()))
            .add_service(TeamsServer::new(self.clone()))
            .add_service(RolesServer::new(self.clone()))
            .add_service(SuspendedUsersServer::new(self.clone()))
            .add_service(AuditServer::new(self.clone()))
    }

    pub(crate) fn add_consumer_services(&self, routes: Routes) -> Routes {
        routes.add_service(DirectoryServer::new(self.clone()))
    }
}
