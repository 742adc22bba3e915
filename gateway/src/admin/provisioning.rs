//! Provisioning of a tenant as a whole: on and off.

use axum::Json as JsonBody;
use axum::extract::State;
use proto::token::v1::{DisableScimRequest, EnableScimRequest};
use serde::Deserialize;
use utoipa::ToSchema;

use super::answer::{Answer, Secret, promised, secret};
use super::credentials::ShownCredential;
use super::request::{self, Json, Named};
use super::tenants::{Origin, ShownTenant, TenantWithToken, TenantWithUrl};
use crate::App;
use crate::tenant::Administrator;

/// The token that comes with it.
#[derive(Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
#[schema(as = ScimEnabling, example = json!({"label": "Entra, Anna", "expires_at": "2027-11-30T00:00:00Z"}))]
pub(crate) struct Enabling {
    /// For people. Left out: `SCIM switched on`.
    #[schema(max_length = 100)]
    label: String,
    /// Left out for a token that does not expire.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Switches provisioning on and mints a token.
///
/// Every earlier token of the tenant stops working, and so do the access tokens that its OAuth clients hold for SCIM. So
/// it is also how to begin anew when it is on already; to replace a token without an outage, see its rotation.
#[utoipa::path(
    post, path = "/tenants/{tenant}/scim/enable", operation_id = "enableScim", tag = "Tenants",
    request_body = Enabling,
    responses((status = 201, description = "Provisioning is on.", body = TenantWithToken)),
)]
pub(crate) async fn enable(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    Named(id_or_name): Named<String>,
    Json(Enabling { label, expires_at }): Json<Enabling>,
) -> Answer<Secret<TenantWithToken>> {
    let expires_at_us = request::micros_if_any("expires_at", expires_at.as_deref())?;
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request =
        administrator.call(EnableScimRequest { tenant_id: tenant_id.clone(), label, expires_at_us })?;
    let answer = app.clients.tenants.clone().enable_scim(request).await?.into_inner();
    request::forget_tenant(&app, &tenant_id);
    let tenant = promised(answer.tenant, "EnableScim answered without the tenant")?;
    Ok(secret(TenantWithToken {
        base_url: origin.base_url(&tenant),
        tenant: ShownTenant::of(tenant)?,
        token: answer.secret,
        credential: answer.credential.map(ShownCredential::of),
    }))
}

/// Switches provisioning off.
///
/// Every token of the tenant is revoked; OAuth clients and trusted issuers are refused for SCIM until it is on again.
/// Nothing that was provisioned goes.
#[utoipa::path(
    post, path = "/tenants/{tenant}/scim/disable", operation_id = "disableScim", tag = "Tenants",
    responses((status = 200, description = "Provisioning is off.", body = TenantWithUrl)),
)]
pub(crate) async fn disable(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    Named(id_or_name): Named<String>,
) -> Answer<JsonBody<TenantWithUrl>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(DisableScimRequest { tenant_id: tenant_id.clone() })?;
    let answer = app.clients.tenants.clone().disable_scim(request).await?.into_inner();
    request::forget_tenant(&app, &tenant_id);
    let tenant = promised(answer.tenant, "DisableScim answered without the tenant")?;
    Ok(JsonBody(TenantWithUrl::of(tenant, &origin)?))
}
