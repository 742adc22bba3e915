//! `rollcall.identity.v1.Directory`.

use platform::auth::{self, Scope};
use platform::{Error, Result};
use proto::identity::v1::directory_server::Directory;
use proto::identity::v1::{LookupUserRequest, LookupUserResponse, lookup_user_request};
use tonic::{Request, Response, Status};

use super::{Api, wire};
use crate::store::Named;

#[tonic::async_trait]
impl Directory for Api {
    async fn lookup_user(
        &self,
        request: Request<LookupUserRequest>,
    ) -> Result<Response<LookupUserResponse>, Status> {
        let LookupUserRequest { tenant_id, user } = request.get_ref();
        let tenant = auth::caller(&request)?.authorize(Scope::DirectoryRead, tenant_id)?;

        let folded;
        let named = match user {
            Some(lookup_user_request::User::Id(id)) => Named::Id(id.parse()?),
            Some(lookup_user_request::User::ExternalId(id)) => Named::ExternalId(id),
            Some(lookup_user_request::User::UserName(name)) => {
                folded = scim::fold_str(name);
                Named::UserName(&folded)
            }
            None => {
                let detail = "user is not set: send one of id, external_id, user_name";
                return Err(Error::invalid_value(detail).into());
            }
        };
        let user = self.shared.store.find(tenant, named).await?;
        let user = user.ok_or_else(|| Error::not_found("no user of this tenant is known by that"))?;
        Ok(Response::new(LookupUserResponse { user: Some(wire::directory_user(&user)) }))
    }
}
