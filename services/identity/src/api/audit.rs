//! `rollcall.identity.v1.Audit`.

use platform::auth::{self, Caller, Scope};
use platform::clock::Timestamp;
use platform::ids::TenantId;
use platform::{Error, Result};
use proto::common::v1 as common;
use proto::identity::v1::audit_server::Audit;
use proto::identity::v1::{ListAuditEventsRequest, ListAuditEventsResponse};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Api, wire};
use crate::store::{AuditEvent, AuditQuery};

#[tonic::async_trait]
impl Audit for Api {
    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let caller = auth::caller(&request)?;
        let query = request.get_ref().query.clone().unwrap_or_default();
        let common::AuditQuery { tenant_id, from_us, until_us, page_size, page_token } = query;
        let query = AuditQuery {
            tenant: whose(caller, &tenant_id)?,
            from: bound(from_us),
            until: bound(until_us),
            after: match page_token.as_str() {
                "" => None,
                token => Some(Uuid::try_parse(token).map_err(|_| no_token())?),
            },
            limit: wire::page_size(page_size)?,
        };

        let (events, next) = self.shared.store.audit(query).await?;
        Ok(Response::new(ListAuditEventsResponse {
            events: events.into_iter().map(wire_event).collect::<Result<_>>()?,
            next_page_token: next.map(|id| id.to_string()).unwrap_or_default(),
        }))
    }
}

/// The tenant that is named; that of the token, when it is for one; all.
fn whose(caller: &Caller, tenant: &str) -> Result<Option<TenantId>> {
    if tenant.is_empty() && caller.authorize_platform(Scope::Admin).is_ok() {
        return Ok(None);
    }
    caller.authorize(Scope::Admin, tenant).map(Some)
}

fn bound(micros: i64) -> Option<Timestamp> {
    Some(micros).filter(|micros| *micros != 0).map(Timestamp::from_micros)
}

fn no_token() -> Error {
    let detail = "page_token: not one of ours; pass back next_page_token unchanged, or leave it empty";
    Error::invalid_value(detail).with_attribute("page_token")
}

fn wire_event(event: AuditEvent) -> Result<common::AuditEvent> {
    let AuditEvent { id, at, actor, tenant, action, resource, before, after, request_id } = event;
    let json = |state: Option<serde_json::Value>| match state {
        Some(state) => serde_json::to_vec(&state).map_err(Error::internal),
        None => Ok(Vec::new()),
    };
    Ok(common::AuditEvent {
        id: id.to_string(),
        at_us: at.micros(),
        actor,
        tenant_id: tenant.to_string(),
        action,
        resource_id: resource,
        before: json(before)?.into(),
        after: json(after)?.into(),
        request_id,
    })
}
