//! gRPC: decode, one call, encode.

mod wire;

use std::collections::BTreeSet;

use platform::auth::{Scope, caller};
use platform::clock::Timestamp;
use platform::{Error, Result};
use proto::journal::v1::provisioning_log_server::ProvisioningLog;
use proto::journal::v1::tenant_data_server::TenantData;
use proto::journal::v1::{
    AppendExchangesRequest, AppendExchangesResponse, ListExchangesRequest, ListExchangesResponse,
    PurgeTenantRequest, PurgeTenantResponse,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::Service;
use crate::domain::page::{self, Place};
use crate::domain::query::{self, Query, Reference};
use crate::domain::subject::{Kind, is_name};

/// Exchanges in one call.
const MOST: usize = 1000;

#[tonic::async_trait]
impl ProvisioningLog for Service {
    async fn append_exchanges(
        &self,
        request: Request<AppendExchangesRequest>,
    ) -> Result<Response<AppendExchangesResponse>, Status> {
        caller(&request)?.authorize_platform(Scope::Internal)?;
        let sent = request.into_inner().exchanges;
        if sent.len() > MOST {
            return Err(Error::invalid_value(format!("at most {MOST} exchanges at a time")).into());
        }
        let exchanges = sent.into_iter().map(wire::read).collect::<Result<Vec<_>>>()?;
        self.store.append(exchanges).await?;
        Ok(Response::new(AppendExchangesResponse {}))
    }

    async fn list_exchanges(
        &self,
        request: Request<ListExchangesRequest>,
    ) -> Result<Response<ListExchangesResponse>, Status> {
        let tenant = caller(&request)?.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        let query = read(request.into_inner())?;
        let found = self.store.list(tenant, query, self.clock.now()).await?;
        Ok(Response::new(ListExchangesResponse {
            exchanges: found.exchanges.into_iter().map(wire::write).collect(),
            next_page_token: found.next.map(Place::token).unwrap_or_default(),
            user_ids: ids(&found.users),
            group_ids: ids(&found.groups),
        }))
    }
}

/// Without the hashes that stand for names.
fn ids(subjects: &BTreeSet<Uuid>) -> Vec<String> {
    subjects.iter().filter(|subject| !is_name(**subject)).map(Uuid::to_string).collect()
}

fn read(request: ListExchangesRequest) -> Result<Query> {
    let ListExchangesRequest {
        tenant_id: _,
        users,
        groups,
        outcomes,
        from_us,
        until_us,
        request_id,
        only_notable,
        page_size,
        page_token,
    } = request;
    let named = outcomes.into_iter().map(wire::outcome).collect::<Result<Vec<_>>>()?;
    Ok(Query {
        users: Reference::all(Kind::User, &users)?,
        groups: Reference::all(Kind::Group, &groups)?,
        outcomes: query::outcomes(&named.into_iter().flatten().collect::<Vec<_>>(), only_notable),
        from: Timestamp::from_micros(from_us),
        until: Timestamp::from_micros(if until_us == 0 { i64::MAX } else { until_us }),
        request_id,
        after: Place::read(&page_token)?,
        limit: page::size(page_size),
    })
}

#[tonic::async_trait]
impl TenantData for Service {
    async fn purge_tenant(
        &self,
        request: Request<PurgeTenantRequest>,
    ) -> Result<Response<PurgeTenantResponse>, Status> {
        let tenant = caller(&request)?.authorize(Scope::Admin, &request.get_ref().tenant_id)?;
        self.store.purge(tenant, self.clock.now()).await?;
        Ok(Response::new(PurgeTenantResponse {}))
    }
}
