//! `rollcall.token.v1.Tenants`.

use platform::Error;
use platform::auth::{Scope, caller};
use platform::ids::TenantId;
use proto::token::v1::get_tenant_request::Tenant as By;
use proto::token::v1::tenants_server::Tenants;
use proto::token::v1::{
    CreateTenantRequest, CreateTenantResponse, DeleteTenantRequest, DeleteTenantResponse, DisableScimRequest,
    DisableScimResponse, EnableScimRequest, EnableScimResponse, GetTenantRequest, GetTenantResponse,
    ListTenantsRequest, ListTenantsResponse, PinDialectRequest, PinDialectResponse, PurgeTenantRequest,
    PurgeTenantResponse, UpdateTenantRequest, UpdateTenantResponse,
};
use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use super::{Api, decode, encode, page, status};
use crate::domain::authority::NewCredential;

#[tonic::async_trait]
impl Tenants for Api {
    async fn create_tenant(
        &self,
        request: Request<CreateTenantRequest>,
    ) -> Result<Response<CreateTenantResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.deed(&request, caller);
        let CreateTenantRequest { name, preset } = request.get_ref();
        let created = self.authority.create_tenant(name, preset, deed).await.map_err(status)?;
        let (tenant, credential, secret) = created;
        let role_and_teams = tenant.settings.role_and_teams.as_ref().map(|it| it.extension.clone());
        Ok(Response::new(CreateTenantResponse {
            tenant: Some(encode::tenant(tenant)),
            secret: secret.expose_secret().to_owned(),
            credential: Some(encode::credential(credential)),
            role_and_teams: role_and_teams.unwrap_or_default(),
        }))
    }

    async fn get_tenant(
        &self,
        request: Request<GetTenantRequest>,
    ) -> Result<Response<GetTenantResponse>, Status> {
        caller(&request)?.authorize_platform(Scope::Admin)?;
        let tenant = match &request.get_ref().tenant {
            Some(By::Id(id)) => self.authority.tenant(id.parse()?).await,
            Some(By::Name(name)) => self.authority.tenant_by_name(name).await,
            None => Err(Error::invalid_value("name the tenant by id or by name")),
        };
        Ok(Response::new(GetTenantResponse { tenant: Some(encode::tenant(tenant.map_err(status)?)) }))
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        caller(&request)?.authorize_platform(Scope::Admin)?;
        let size = page::size(request.get_ref().page_size);
        let after =
            page::place(&request.get_ref().page_token)?.map(|(key, id)| (key, TenantId::from_uuid(id)));
        // One more than the page tells whether there is another.
        let mut tenants = self.authority.tenants(after, size + 1).await.map_err(status)?;
        let next_page_token =
            page::cut(&mut tenants, size, |tenant| page::token(&tenant.name, tenant.id.uuid()));
        Ok(Response::new(ListTenantsResponse {
            tenants: tenants.into_iter().map(encode::tenant).collect(),
            next_page_token,
        }))
    }

    async fn update_tenant(
        &self,
        request: Request<UpdateTenantRequest>,
    ) -> Result<Response<UpdateTenantResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.deed(&request, caller);
        let request = request.into_inner();
        let id = request.id.parse()?;
        let change = decode::change(request)?;
        let tenant = self.authority.change_tenant(id, change, deed).await.map_err(status)?;
        Ok(Response::new(UpdateTenantResponse { tenant: Some(encode::tenant(tenant)) }))
    }

    async fn pin_dialect(
        &self,
        request: Request<PinDialectRequest>,
    ) -> Result<Response<PinDialectResponse>, Status> {
        let caller = caller(&request)?;
        let tenant = caller.authorize(Scope::Scim, &request.get_ref().tenant_id)?;
        let deed = self.deed(&request, caller);
        let name = decode::dialect(request.get_ref().dialect())?;
        let sign = &request.get_ref().sign;
        let tenant = self.authority.pin_dialect(tenant, name, sign, deed).await.map_err(status)?;
        Ok(Response::new(PinDialectResponse { tenant: Some(encode::tenant(tenant)) }))
    }

    async fn enable_scim(
        &self,
        request: Request<EnableScimRequest>,
    ) -> Result<Response<EnableScimResponse>, Status> {
        let caller = caller(&request)?;
        let tenant = caller.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let deed = self.deed(&request, caller);
        let EnableScimRequest { tenant_id: _, label, expires_at_us } = request.into_inner();
        let new = NewCredential { tenant, label, expires_at_us };
        let (tenant, credential, secret) = self.authority.enable_scim(new, deed).await.map_err(status)?;
        Ok(Response::new(EnableScimResponse {
            tenant: Some(encode::tenant(tenant)),
            secret: secret.expose_secret().to_owned(),
            credential: Some(encode::credential(credential)),
        }))
    }

    async fn disable_scim(
        &self,
        request: Request<DisableScimRequest>,
    ) -> Result<Response<DisableScimResponse>, Status> {
        let caller = caller(&request)?;
        let tenant = caller.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let deed = self.deed(&request, caller);
        let tenant = self.authority.disable_scim(tenant, deed).await.map_err(status)?;
        Ok(Response::new(DisableScimResponse { tenant: Some(encode::tenant(tenant)) }))
    }

    async fn delete_tenant(
        &self,
        request: Request<DeleteTenantRequest>,
    ) -> Result<Response<DeleteTenantResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.deed(&request, caller);
        let tenant =
            self.authority.delete_tenant(request.get_ref().id.parse()?, deed).await.map_err(status)?;
        Ok(Response::new(DeleteTenantResponse { tenant: Some(encode::tenant(tenant)) }))
    }

    async fn purge_tenant(
        &self,
        request: Request<PurgeTenantRequest>,
    ) -> Result<Response<PurgeTenantResponse>, Status> {
        let caller = caller(&request)?;
        caller.authorize_platform(Scope::Admin)?;
        let deed = self.deed(&request, caller);
        self.authority.purge_tenant(request.get_ref().id.parse()?, deed).await.map_err(status)?;
        Ok(Response::new(PurgeTenantResponse {}))
    }
}
