//! Role and teams of a tenant's users: the extension that has them, and the roles that provisioning may not give.

use axum::Json as JsonBody;
use axum::extract::State;
use proto::identity::v1::{PutRoleAndTeamsRequest, SetRoleRequest, UserChange};
use proto::membership::v1::ApplyUserChangeRequest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Json, Named};
use crate::App;
use crate::error::{Error, Problem, Result};
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
    Named(id_or_name): Named<String>,
    Json(NewExtension { extension }): Json<NewExtension>,
) -> Answer<JsonBody<Value>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let urn = define(&app, &administrator, tenant_id, extension).await?;
    Ok(JsonBody(json!({"extension": urn})))
}

/// Registers the ready-made extension under this URN; its spelling in the schema.
pub(super) async fn define(
    app: &App,
    administrator: &Administrator,
    tenant_id: String,
    urn: String,
) -> Result<String> {
    let request =
        administrator.call(PutRoleAndTeamsRequest { tenant_id, urn, request_id: String::new() })?;
    let answer = app.clients.roles.clone().put_role_and_teams(request).await?.into_inner();
    let extension = answer.extension;
    Ok(extension.ok_or_else(|| Error::broken_contract("PutRoleAndTeams answered without the extension"))?.urn)
}

/// Gives a user any role, protected ones included.
pub(crate) async fn set(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, user_id)): Named<(String, String)>,
    Json(NewRole { role }): Json<NewRole>,
) -> Answer<JsonBody<Value>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let message =
        SetRoleRequest { tenant_id, user_id: user_id.clone(), role, request_id: String::new() };
    let request = administrator.call(message)?;
    let answer = app.clients.roles.clone().set_role(request).await.map_err(Error::from)?.into_inner();
    if let Some(UserChange { tenant_id: _, user_id, version, .. }) = &answer.change {
        tracing::info!(user.id = user_id, user.version = version, "an administrator set the role of user {user_id}");
    }
    Ok(JsonBody(json!({"user_id": user_id, "role": answer.role, "version": answer.version})))
}
