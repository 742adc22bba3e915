//! `rollcall.token.v1.Issuers`.

use platform::Error;
use platform::auth::{Scope, caller};
use proto::token::v1::issuers_server::Issuers;
use proto::token::v1::{
    CreateIssuerRequest, CreateIssuerResponse, DeleteIssuerRequest, DeleteIssuerResponse, ListIssuersRequest,
    ListIssuersResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, decode, encode, status};

#[tonic::async_trait]
impl Issuers for Api {
    async fn create_issuer(
        &self,
        request: Request<CreateIssuerRequest>,
    ) -> Result<Response<CreateIssuerResponse>, Status> {
        let caller = caller(&request)?;
        let issuer = request.get_ref().issuer.clone();
        let issuer =
            issuer.ok_or_else(|| Error::invalid_value("issuer is missing").with_attribute("issuer"))?;
        let tenant = caller.authorize(Scope::Admin, &issuer.tenant_id)?;
        let deed = self.deed(&request, caller);
        let (label, pins) = decode::issuer(issuer);
        let issuer = self.authority.create_issuer(tenant, label, pins, deed).await.map_err(status)?;
        Ok(Response::new(CreateIssuerResponse { issuer: Some(encode::issuer(issuer)) }))
    }

    async fn list_issuers(
        &self,
        request: Request<ListIssuersRequest>,
    ) -> Result<Response<ListIssuersResponse>, Status> {
        let tenant = caller(&request)?.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let issuers = self.authority.issuers(tenant).await.map_err(status)?;
        Ok(Response::new(ListIssuersResponse { issuers: issuers.into_iter().map(encode::issuer).collect() }))
    }

    async fn delete_issuer(
        &self,
        request: Request<DeleteIssuerRequest>,
    ) -> Result<Response<DeleteIssuerResponse>, Status> {
        let caller = caller(&request)?;
        let tenant = caller.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let deed = self.deed(&request, caller);
        let id = request.get_ref().id.parse()?;
        self.authority.delete_issuer(tenant, id, deed).await.map_err(status)?;
        Ok(Response::new(DeleteIssuerResponse {}))
    }
}
