//! `rollcall.token.v1.Admins`.

use platform::Error;
use platform::auth::{Scope, caller};
use platform::ids::CredentialId;
use proto::token::v1::admins_server::Admins;
use proto::token::v1::{
    CreateAdminRequest, CreateAdminResponse, ListAdminsRequest, ListAdminsResponse, RevokeAdminRequest,
    RevokeAdminResponse,
};
use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use super::{Api, encode, status};

#[tonic::async_trait]
impl Admins for Api {
    async fn create_admin(
        &self,
        request: Request<CreateAdminRequest>,
    ) -> Result<Response<CreateAdminResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.deed(&request, caller);
        let label = request.into_inner().label;
        let (admin, secret) = self.authority.create_admin(label, deed).await.map_err(status)?;
        Ok(Response::new(CreateAdminResponse {
            admin: Some(encode::admin(admin)),
            secret: secret.expose_secret().to_owned(),
        }))
    }

    async fn list_admins(
        &self,
        request: Request<ListAdminsRequest>,
    ) -> Result<Response<ListAdminsResponse>, Status> {
        caller(&request)?.authorize_platform(Scope::Admin)?;
        let admins = self.authority.admins().await.map_err(status)?;
        Ok(Response::new(ListAdminsResponse { admins: admins.into_iter().map(encode::admin).collect() }))
    }

    async fn revoke_admin(
        &self,
        request: Request<RevokeAdminRequest>,
    ) -> Result<Response<RevokeAdminResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.deed(&request, caller);
        let id: Result<CredentialId, Error> = request.get_ref().id.parse();
        let admin = self.authority.revoke_admin(id?, deed).await.map_err(status)?;
        Ok(Response::new(RevokeAdminResponse { admin: Some(encode::admin(admin)) }))
    }
}
