//! Role and teams of a tenant's users: the extension that has them, and the roles that provisioning may not give.

use axum::Json as JsonBody;
use axum::extract::State;
use proto::identity::v1::{PutRoleAndTeamsRequest, SetRoleRequest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, promised};
use super::request::{self, Json, Named};
use super::tenants::Origin;
use super::users;
use crate::App;
use crate::error::Result;
use crate::headers::RequestId;
use crate::scim::write;
use crate::tenant::Administrator;

/// The ready-made extension with role and teams.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"extension": "urn:ietf:params:scim:schemas:extension:zeeg:2.0:User"}))]
pub(crate) struct RoleAndTeams {
    /// A URN of the tenant's own.
    extension: String,
}

/// A role to give.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRole, example = json!({"role": "owner"}))]
pub(crate) struct New {
    /// `admin`, `user`, `external`, `owner` or `partner`.
    role: String,
}

/// The role of a user.
#[derive(Serialize, ToSchema)]
#[schema(as = Role)]
pub(crate) struct ShownRole {
    #[schema(format = "uuid")]
    user_id: String,
    role: String,
    /// The user's version.
    version: i64,
}

/// Gives the tenant the ready-made extension with role and teams.
#[utoipa::path(
    put, path = "/tenants/{tenant}/role-and-teams", operation_id = "putRoleAndTeams", tag = "Teams and roles",
    request_body = RoleAndTeams,
    responses(
        (status = 200, description = "The extension, in the spelling of its schema.", body = RoleAndTeams),
        (status = 409, description = "Another extension has them."),
    ),
)]
pub(crate) async fn put_extension(
    State(app): State<App>,
    administrator: Administrator,
    request_id: axum::Extension<RequestId>,
    Named(id_or_name): Named<String>,
    Json(RoleAndTeams { extension }): Json<RoleAndTeams>,
) -> Answer<JsonBody<RoleAndTeams>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let extension = define(&app, &administrator, tenant_id, extension, &request_id.0.0).await?;
    Ok(JsonBody(RoleAndTeams { extension }))
}

/// Registers the ready-made extension under this URN; its spelling in the schema.
pub(super) async fn define(
    app: &App,
    administrator: &Administrator,
    tenant_id: String,
    urn: String,
    request_id: &str,
) -> Result<String> {
    let message =
        PutRoleAndTeamsRequest { tenant_id: tenant_id.clone(), urn, request_id: request_id.to_owned() };
    let request = administrator.call(message)?;
    let answer = app.clients.roles.clone().put_role_and_teams(request).await?.into_inner();
    request::forget_tenant(app, &tenant_id);
    Ok(promised(answer.extension, "PutRoleAndTeams answered without the extension")?.urn)
}

/// Gives a user any role.
///
/// Protected ones (`owner`, `partner`) included, which provisioning neither gives nor takes.
#[utoipa::path(
    put, path = "/tenants/{tenant}/users/{user}/role", operation_id = "setRole", tag = "Teams and roles",
    request_body = New,
    responses((status = 200, description = "The role.", body = ShownRole)),
)]
pub(crate) async fn set(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    request_id: axum::Extension<RequestId>,
    Named((id_or_name, user_id)): Named<(String, String)>,
    Json(New { role }): Json<New>,
) -> Answer<JsonBody<ShownRole>> {
    let tenant = request::tenant(&app, &administrator, &id_or_name).await?;
    let caller = users::caller(&administrator, &tenant, &origin, request_id.0.clone())?;
    let request_id = request_id.0.0;
    let message = SetRoleRequest { tenant_id: tenant.id, user_id: user_id.clone(), role, request_id };
    let request = administrator.call(message)?;
    let answer = app.clients.roles.clone().set_role(request).await?.into_inner();
    write::apply(&app, &caller, answer.change).await;
    Ok(JsonBody(ShownRole { user_id, role: answer.role, version: answer.version }))
}
