//! gRPC: decode, authorize, one call, encode. Requests carry secrets: nothing here prints one.

mod admins;
mod clients;
mod credentials;
mod decode;
mod encode;
mod keys;
mod oauth;
mod page;
mod tenants;

use std::sync::Arc;

use platform::Error;
use proto::token::v1::admins_server::AdminsServer;
use proto::token::v1::clients_server::ClientsServer;
use proto::token::v1::credentials_server::CredentialsServer;
use proto::token::v1::keys_server::KeysServer;
use proto::token::v1::o_auth_server::OAuthServer;
use proto::token::v1::tenants_server::TenantsServer;
use scim::ErrorKind;
use tonic::{Code, Status};

use crate::domain::authority::Authority;

/// Serves every contract of `rollcall.token.v1`.
#[derive(Clone)]
struct Api {
    authority: Arc<Authority>,
}

/// The services, for `platform::server`.
pub(crate) fn routes(authority: Arc<Authority>) -> tonic::service::Routes {
    let api = Api { authority };
    tonic::service::Routes::new(TenantsServer::new(api.clone()))
        .add_service(CredentialsServer::new(api.clone()))
        .add_service(AdminsServer::new(api.clone()))
        .add_service(ClientsServer::new(api.clone()))
        .add_service(OAuthServer::new(api.clone()))
        .add_service(KeysServer::new(api))
}

/// The status of an error. A conflict here is always about the state of a tenant, for which the contract promises
/// FAILED_PRECONDITION.
fn status(error: Error) -> Status {
    let is_conflict = error.kind == ErrorKind::Conflict;
    let status = Status::from(error);
    if !is_conflict {
        return status;
    }
    Status::with_details(
        Code::FailedPrecondition,
        status.message(),
        bytes::Bytes::copy_from_slice(status.details()),
    )
}
