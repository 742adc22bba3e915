//! `rollcall.token.v1.Audit`.

use platform::auth::{Scope, caller};
use platform::clock::Timestamp;
use proto::common::v1::AuditEvent;
use proto::token::v1::audit_server::Audit;
use proto::token::v1::{ListAuditEventsRequest, ListAuditEventsResponse};
use tonic::{Request, Response, Status};

use super::{Api, page, status};
use crate::domain::audit::{Event, Place, Query};

#[tonic::async_trait]
impl Audit for Api {
    async fn list_audit_events(
        &self,
        request: Request<ListAuditEventsRequest>,
    ) -> Result<Response<ListAuditEventsResponse>, Status> {
        let caller = caller(&request)?;
        let query = request.get_ref().query.clone().unwrap_or_default();
        let tenant = match query.tenant_id.as_str() {
            "" => {
                caller.authorize_platform(Scope::Admin)?;
                None
            }
            tenant => Some(caller.authorize(Scope::Admin, tenant)?),
        };
        let bound = |at_us: i64| (at_us != 0).then_some(Timestamp::from_micros(at_us));
        let size = page::size(query.page_size);
        let query = Query {
            tenant,
            from: bound(query.from_us),
            until: bound(query.until_us),
            after: Place::from_token(&query.page_token)?,
            // One more than the page tells whether there is another.
            limit: size + 1,
        };
        let mut events = self.authority.audit(&query).await.map_err(status)?;
        let next_page_token = page::cut(&mut events, size, |event| event.place.token());
        let events = events.into_iter().map(event).collect::<Result<_, Status>>()?;
        Ok(Response::new(ListAuditEventsResponse { events, next_page_token }))
    }
}

fn event(event: Event) -> Result<AuditEvent, Status> {
    let Event { place, actor, tenant, action, resource, before, after, request_id } = event;
    let json = |facts: Option<serde_json::Value>| {
        let text = facts.map(|facts| serde_json::to_vec(&facts)).transpose();
        text.map(|text| text.unwrap_or_default().into())
            .map_err(|error| status(platform::Error::internal(error)))
    };
    Ok(AuditEvent {
        id: place.id(),
        at_us: place.at.micros(),
        actor,
        tenant_id: tenant.map(|tenant| tenant.to_string()).unwrap_or_default(),
        action,
        resource_id: resource.hyphenated().to_string(),
        before: json(before)?,
        after: json(after)?,
        request_id,
    })
}
