//! Role and teams of a tenant's users: the extension that has them, and the roles that provisioning may not give.

use axum::Json as JsonBody;
use axum::extract::State;
use platform::cache::Invalidation;
use platform::ids::TenantId;
use proto::identity::v1::{PutRoleAndTeamsRequest, SetRoleRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Json, Named};
use crate::App;
use crate::error::{Error, Problem, Result};
use crate::headers::RequestId;
use crate::tenant::Administrator;

type Answer<T> = Result<T, Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewExtension {
    /// A URN of the tenant's own.
    extension: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRole {
    /// `admin`, `user`, `external`, `owner` or `partner`.
    role: String,
}

/// Gives the tenant the ready-made extension with role and teams.
pub(crate) async fn put_extension(
    State(app): State<App>,
    administrator: Administrator,
    request_id: axum::Extension<RequestId>,
    Named(id_or_name): Named<String>,
    Json(NewExtension { extension }): Json<NewExtension>,
) -> Answer<JsonBody<Value>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let urn = define(&app, &administrator, tenant_id, extension, &request_id.0.0).await?;
    Ok(JsonBody(json!({"extension": urn})))
}

/// Registers the ready-made extension under this URN; its spelling in the schema.
pub(super) async fn define(
    app: &App,
    administrator: &Administrator,
    tenant_id: String,
    urn: String,
    request_id: &str,
) -> Result<String> {
    let tenant = tenant_id.parse::<TenantId>();
    let request =
        administrator.call(PutRoleAndTeamsRequest { tenant_id, urn, request_id: request_id.to_owned() })?;
    let answer = app.clients.roles.clone().put_role_and_teams(request).await?.into_inner();
    if let Ok(tenant) = tenant {
        app.invalidations.publish(Invalidation::Tenant(tenant));
    }
    let extension = answer.extension;
    Ok(extension.ok_or_else(|| Error::broken_contract("PutRoleAndTeams answered without the extension"))?.urn)
}

/// Gives a user any role, protected ones included. Membership learns of it from identity's log.
pub(crate) async fn set(
    State(app): State<App>,
    administrator: Administrator,
    request_id: axum::Extension<RequestId>,
    Named((id_or_name, user_id)): Named<(String, String)>,
    Json(NewRole { role }): Json<NewRole>,
) -> Answer<JsonBody<Value>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request_id = request_id.0.0;
    let request =
        administrator.call(SetRoleRequest { tenant_id, user_id: user_id.clone(), role, request_id })?;
    let answer = app.clients.roles.clone().set_role(request).await.map_err(Error::from)?.into_inner();
    Ok(JsonBody(json!({"user_id": user_id, "role": answer.role, "version": answer.version})))
}
