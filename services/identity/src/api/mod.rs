//! gRPC: each method decodes, authorizes, makes one call, encodes.

mod changes;
mod directory;
mod roles;
mod schemas;
mod teams;
mod tenant_data;
mod users;
mod wire;

use std::sync::Arc;

use platform::db::cursor::Cursors;
use platform::db::page::PageSize;
use platform::transport::MAX_MESSAGE_BYTES;
use proto::identity::v1::changes_server::ChangesServer;
use proto::identity::v1::directory_server::DirectoryServer;
use proto::identity::v1::roles_server::RolesServer;
use proto::identity::v1::schemas_server::SchemasServer;
use proto::identity::v1::teams_server::TeamsServer;
use proto::identity::v1::tenant_data_server::TenantDataServer;
use proto::identity::v1::users_server::UsersServer;
use scim::Limits;
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
}

impl Api {
    pub(crate) fn new(store: Store, cursors: Cursors, page_size: PageSize) -> Self {
        // No user has so many values; a group may, with its members.
        let limits = Limits { json_values: 50_000, ..Limits::DEFAULT };
        Self { shared: Arc::new(Shared { store, cursors, page_size, limits }) }
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
    }

    pub(crate) fn add_consumer_services(&self, routes: Routes) -> Routes {
        routes.add_service(DirectoryServer::new(self.clone()))
    }
}
