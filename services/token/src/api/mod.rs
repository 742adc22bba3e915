//! gRPC: decode, authorize, one call, encode. Requests carry secrets: nothing here prints one.

mod admins;
mod audit;
mod clients;
mod credentials;
mod decode;
mod encode;
mod idempotency;
mod issuers;
mod keys;
mod oauth;
mod page;
mod tenants;

use std::sync::Arc;

use platform::Error;
use platform::auth::Caller;
use proto::token::v1::admins_server::AdminsServer;
use proto::token::v1::audit_server::AuditServer;
use proto::token::v1::clients_server::ClientsServer;
use proto::token::v1::credentials_server::CredentialsServer;
use proto::token::v1::idempotency_server::IdempotencyServer;
use proto::token::v1::issuers_server::IssuersServer;
use proto::token::v1::keys_server::KeysServer;
use proto::token::v1::o_auth_server::OAuthServer;
use proto::token::v1::tenants_server::TenantsServer;
use scim::ErrorKind;
use tonic::{Code, Request, Status};

use crate::domain::authority::Authority;
use crate::store::Deed;

/// Metadata: the correlation id of the HTTP request that a call is part of.
const REQUEST_ID: &str = "x-request-id";
const MAX_REQUEST_ID: usize = 64;

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
        .add_service(IssuersServer::new(api.clone()))
        .add_service(AuditServer::new(api.clone()))
        .add_service(IdempotencyServer::new(api.clone()))
        .add_service(KeysServer::new(api))
}

impl Api {
    /// The audit's note for what this caller is about to do. The gateway names the HTTP request in metadata.
    fn deed<T>(&self, request: &Request<T>, caller: &Caller) -> Deed {
        let request_id =
            request.metadata().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let request_id = request_id.chars().take(MAX_REQUEST_ID).collect();
        Deed { request_id, ..self.authority.deed(caller.subject()) }
    }
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
