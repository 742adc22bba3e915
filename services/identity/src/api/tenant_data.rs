//! `rollcall.identity.v1.TenantData`.

use platform::Result;
use platform::auth::{self, Scope};
use proto::identity::v1::tenant_data_server::TenantData;
use proto::identity::v1::{PurgeTenantRequest, PurgeTenantResponse};
use tonic::{Request, Response, Status};

use super::Api;

#[tonic::async_trait]
impl TenantData for Api {
    async fn purge_tenant(
        &self,
        request: Request<PurgeTenantRequest>,
    ) -> Result<Response<PurgeTenantResponse>, Status> {
        let tenant = auth::caller(&request)?.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        self.shared.store.purge(tenant).await?;
        Ok(Response::new(PurgeTenantResponse {}))
    }
}
