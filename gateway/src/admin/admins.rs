//! Secrets that administer the platform.

use axum::Json as JsonBody;
use axum::extract::State;
use http::StatusCode;
use platform::cache::Invalidation;
use platform::ids::CredentialId;
use proto::token::v1::{Admin, CreateAdminRequest, ListAdminsRequest, RevokeAdminRequest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, Secret, promised, secret, time_if_any};
use super::request::{Json, Named};
use crate::App;
use crate::tenant::Administrator;

/// An admin token to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewAdmin, example = json!({"label": "terraform"}))]
pub(crate) struct New {
    /// For people.
    #[serde(default)]
    #[schema(max_length = 100)]
    label: String,
}

/// Facts about an admin token.
#[derive(Serialize, ToSchema)]
#[schema(as = Admin)]
pub(crate) struct ShownAdmin {
    #[schema(format = "uuid")]
    id: String,
    label: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    created_at: Option<String>,
    /// Exact to a minute; left out when it was never used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// Left out while it is live.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

/// Facts about the admin tokens.
#[derive(Serialize, ToSchema)]
pub(crate) struct Admins {
    /// Newest first, at most 1000.
    admins: Vec<ShownAdmin>,
}

/// An admin token, and facts about it.
#[derive(Serialize, ToSchema)]
pub(crate) struct AdminWithToken {
    admin: ShownAdmin,
    /// The token itself. It is shown this once.
    token: String,
}

/// Lists the admin tokens, never the tokens themselves.
#[utoipa::path(
    get, path = "/admins", operation_id = "listAdmins", tag = "Platform",
    responses((status = 200, description = "The tokens.", body = Admins)),
)]
pub(crate) async fn list(State(app): State<App>, administrator: Administrator) -> Answer<JsonBody<Admins>> {
    let request = administrator.call(ListAdminsRequest {})?;
    let answer = app.clients.admins.clone().list_admins(request).await?.into_inner();
    Ok(JsonBody(Admins { admins: answer.admins.into_iter().map(ShownAdmin::of).collect() }))
}

/// Mints a further admin token.
///
/// It is shown this once.
#[utoipa::path(
    post, path = "/admins", operation_id = "createAdmin", tag = "Platform",
    request_body = New,
    responses((status = 201, description = "The token.", body = AdminWithToken)),
)]
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    Json(New { label }): Json<New>,
) -> Answer<Secret<AdminWithToken>> {
    let request = administrator.call(CreateAdminRequest { label })?;
    let answer = app.clients.admins.clone().create_admin(request).await?.into_inner();
    let admin = promised(answer.admin, "CreateAdmin answered without its facts")?;
    Ok(secret(AdminWithToken { admin: ShownAdmin::of(admin), token: answer.secret }))
}

/// Revokes an admin token at once.
///
/// Revoking it again is fine, revoking the last one is refused.
#[utoipa::path(
    delete, path = "/admins/{admin}", operation_id = "revokeAdmin", tag = "Platform",
    responses(
        (status = 204, description = "It is dead."),
        (status = 409, description = "It is the last live one."),
    ),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    administrator: Administrator,
    Named(id): Named<String>,
) -> Answer<StatusCode> {
    let credential: CredentialId = id.parse()?;
    let request = administrator.call(RevokeAdminRequest { id })?;
    app.clients.admins.clone().revoke_admin(request).await?;
    app.invalidations.publish(Invalidation::Credential(credential));
    Ok(StatusCode::NO_CONTENT)
}

impl ShownAdmin {
    fn of(admin: Admin) -> Self {
        let Admin { id, label, created_at_us, last_used_at_us, revoked_at_us } = admin;
        Self {
            id,
            label,
            created_at: time_if_any(created_at_us),
            last_used_at: time_if_any(last_used_at_us),
            revoked_at: time_if_any(revoked_at_us),
        }
    }
}
