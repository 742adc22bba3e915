//! `rollcall.identity.v1.Roles`.

use platform::auth::{self, Scope};
use platform::{Error, Result};
use proto::identity::v1::roles_server::Roles;
use proto::identity::v1::{PutRoleAndTeamsRequest, PutRoleAndTeamsResponse, SetRoleRequest, SetRoleResponse};
use scim::Map;
use tonic::{Request, Response, Status};

use super::schemas::wire_extension;
use super::{Api, wire};
use crate::domain::{self, Edit, Precondition, Schema, role_teams};

#[tonic::async_trait]
impl Roles for Api {
    async fn put_role_and_teams(
        &self,
        request: Request<PutRoleAndTeamsRequest>,
    ) -> Result<Response<PutRoleAndTeamsResponse>, Status> {
        let PutRoleAndTeamsRequest { tenant_id, urn, request_id } = request.get_ref();
        let caller = auth::caller(&request)?;
        let author = wire::administrator(caller, caller.authorize(Scope::Admin, tenant_id)?, request_id);
        let definition = role_teams::ready_made(urn, &self.shared.limits)?;
        let (extension, _) = self.shared.store.put_extension(author, definition, None).await?;
        Ok(Response::new(PutRoleAndTeamsResponse { extension: Some(wire_extension(extension)) }))
    }

    async fn set_role(&self, request: Request<SetRoleRequest>) -> Result<Response<SetRoleResponse>, Status> {
        let SetRoleRequest { tenant_id, user_id, role, request_id } = request.get_ref();
        let caller = auth::caller(&request)?;
        let author = wire::administrator(caller, caller.authorize(Scope::Admin, tenant_id)?, request_id);
        let user = user_id.parse().map_err(|_: Error| domain::no_such_user())?;
        let role = role_teams::role_named(role).ok_or_else(|| {
            let detail = format!("role: expected one of {}", role_teams::roles());
            Error::invalid_value(detail).with_attribute("role")
        })?;
        let edit = move |schema: &Schema, current: &Map| {
            let urn = schema.role_teams.as_deref().ok_or_else(no_roles)?;
            let attributes = role_teams::with_role(urn, current, role);
            Ok(Edit { attributes, warnings: Vec::new(), role_teams: None })
        };
        let changed = self.shared.store.change(author, user, Precondition::Any, edit).await?;
        Ok(Response::new(SetRoleResponse {
            role: role.to_owned(),
            version: changed.user.version,
            change: changed.change.map(wire::change),
        }))
    }
}

fn no_roles() -> Error {
    let detail = "the tenant has no roles: it needs an extension schema with role and teams first";
    Error::invalid_value(detail).with_attribute("role")
}
