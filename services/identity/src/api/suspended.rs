//! `rollcall.identity.v1.SuspendedUsers`.

use platform::Result;
use platform::auth::{self, Scope};
use proto::identity::v1 as pb;
use proto::identity::v1::suspended_users_server::SuspendedUsers;
use proto::identity::v1::{
    ListSuspendedUsersRequest, ListSuspendedUsersResponse, PurgeSuspendedUserRequest,
    PurgeSuspendedUserResponse, RestoreUserRequest, RestoreUserResponse,
};
use tonic::{Request, Response, Status};

use super::{Api, wire};
use crate::domain;
use crate::store::{Place, Suspended};

#[tonic::async_trait]
impl SuspendedUsers for Api {
    async fn list_suspended_users(
        &self,
        request: Request<ListSuspendedUsersRequest>,
    ) -> Result<Response<ListSuspendedUsersResponse>, Status> {
        let ListSuspendedUsersRequest { tenant_id, page_size, page_token } = request.get_ref();
        let tenant = auth::caller(&request)?.authorize(Scope::Admin, tenant_id)?;
        let size = wire::page_size(*page_size)?;
        let bound_to = ["suspended users", &tenant.to_string()];
        let after: Option<Place> = match page_token.as_str() {
            "" => None,
            token => Some(self.shared.cursors.open(&bound_to, token)?),
        };

        // One more than the page tells whether there is another.
        let mut users = self.shared.store.suspended(tenant, after, size + 1).await?;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let has_more = users.len() > size;
        users.truncate(size);
        let last = users.last().filter(|_| has_more);
        let next = last.map(|last| self.shared.cursors.seal(&bound_to, &Place::of(last))).transpose()?;
        let users = users.into_iter().map(wire_suspended).collect();
        Ok(Response::new(ListSuspendedUsersResponse { users, next_page_token: next.unwrap_or_default() }))
    }

    async fn restore_user(
        &self,
        request: Request<RestoreUserRequest>,
    ) -> Result<Response<RestoreUserResponse>, Status> {
        let RestoreUserRequest { tenant_id, user_id, request_id } = request.get_ref();
        let caller = auth::caller(&request)?;
        let author = wire::administrator(caller, caller.authorize(Scope::Admin, tenant_id)?, request_id);
        let id = user_id.parse().map_err(|_: platform::Error| domain::no_such_suspended_user())?;

        let restored = self.shared.store.restore(author, id).await?;
        Ok(Response::new(RestoreUserResponse {
            resource: Some(wire::resource(&restored.user)?),
            change: restored.change.map(wire::change),
        }))
    }

    async fn purge_suspended_user(
        &self,
        request: Request<PurgeSuspendedUserRequest>,
    ) -> Result<Response<PurgeSuspendedUserResponse>, Status> {
        let PurgeSuspendedUserRequest { tenant_id, user_id, request_id } = request.get_ref();
        let caller = auth::caller(&request)?;
        let author = wire::administrator(caller, caller.authorize(Scope::Admin, tenant_id)?, request_id);
        // What is no id is nobody's, and nobody is gone already.
        if let Ok(id) = user_id.parse() {
            self.shared.store.purge_suspended(author, id).await?;
        }
        Ok(Response::new(PurgeSuspendedUserResponse {}))
    }
}

fn wire_suspended(user: Suspended) -> pb::SuspendedUser {
    let Suspended { id, user_name, suspended_at, purge_at } = user;
    pb::SuspendedUser {
        user_id: id.to_string(),
        user_name,
        suspended_at_us: suspended_at.micros(),
        purge_at_us: purge_at.micros(),
    }
}
