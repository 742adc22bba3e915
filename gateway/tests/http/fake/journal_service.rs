//! The provisioning log: keeps what it is given, finds nothing.

use proto::journal::v1 as journal;
use tonic::{Request, Response};

use super::{Fake, Reply};

#[tonic::async_trait]
impl journal::provisioning_log_server::ProvisioningLog for Fake {
    async fn append_exchanges(
        &self,
        request: Request<journal::AppendExchangesRequest>,
    ) -> Reply<journal::AppendExchangesResponse> {
        let exchanges = self.take("AppendExchanges", request)?.exchanges;
        self.0.exchanges.lock().unwrap().extend(exchanges);
        Ok(Response::new(journal::AppendExchangesResponse {}))
    }

    async fn list_exchanges(
        &self,
        request: Request<journal::ListExchangesRequest>,
    ) -> Reply<journal::ListExchangesResponse> {
        self.take("ListExchanges", request)?;
        Ok(Response::new(journal::ListExchangesResponse::default()))
    }
}

#[tonic::async_trait]
impl journal::tenant_data_server::TenantData for Fake {
    async fn purge_tenant(
        &self,
        request: Request<journal::PurgeTenantRequest>,
    ) -> Reply<journal::PurgeTenantResponse> {
        self.take("journal.PurgeTenant", request)?;
        Ok(Response::new(journal::PurgeTenantResponse {}))
    }
}
