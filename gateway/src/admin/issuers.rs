//! Issuers whose own JWTs let a tenant's provisioning in: Entra ID with the field Secret Token left empty.

use axum::Json as JsonBody;
use axum::extract::State;
use http::StatusCode;
use proto::token::v1::{CreateIssuerRequest, DeleteIssuerRequest, ListIssuersRequest, TrustedIssuer};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, promised, text_if_any, time};
use super::request::{self, Json, Named};
use crate::App;
use crate::tenant::Administrator;

/// An issuer to trust: every claim that is named must be there and be exactly so.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTrustedIssuer, example = json!({
    "label": "Entra ID of Contoso",
    "issuer": "https://sts.windows.net/72f988bf-86f1-41af-91ab-2d7cd011db47/",
    "audience": "8adf8e6e-67b2-4cf2-a259-e3dc5476c621",
    "directory_id": "72f988bf-86f1-41af-91ab-2d7cd011db47",
}))]
pub(crate) struct New {
    /// For people.
    #[serde(default)]
    #[schema(max_length = 100)]
    label: String,
    /// Claim `iss`. Its keys are found by OIDC discovery. For Entra: `https://sts.windows.net/<directory id>/`.
    #[schema(format = "uri")]
    issuer: String,
    /// Claim `aud`. For Entra: `8adf8e6e-67b2-4cf2-a259-e3dc5476c621`.
    audience: String,
    /// Claim `tid`: Entra's Directory (tenant) ID. Required for Entra's issuers.
    #[serde(default)]
    directory_id: String,
    /// Claim `appid` or `azp`: the Application (client) ID.
    #[serde(default)]
    app_id: String,
    /// Claim `sub`.
    #[serde(default)]
    subject: String,
}

/// A trusted issuer. Claims that are left out are not looked at.
#[derive(Serialize, ToSchema)]
#[schema(as = TrustedIssuer)]
pub(crate) struct ShownIssuer {
    #[schema(format = "uuid")]
    id: String,
    label: String,
    #[schema(format = "uri")]
    issuer: String,
    audience: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    directory_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
}

/// The trusted issuers of a tenant.
#[derive(Serialize, ToSchema)]
pub(crate) struct Issuers {
    /// Oldest first, at most 20.
    issuers: Vec<ShownIssuer>,
}

/// Lists the issuers that a tenant trusts.
#[utoipa::path(
    get, path = "/tenants/{tenant}/issuers", operation_id = "listIssuers", tag = "Trusted issuers",
    responses((status = 200, description = "The issuers.", body = Issuers)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
) -> Answer<JsonBody<Issuers>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(ListIssuersRequest { tenant_id })?;
    let answer = app.clients.issuers.clone().list_issuers(request).await?.into_inner();
    Ok(JsonBody(Issuers { issuers: answer.issuers.into_iter().map(ShownIssuer::of).collect() }))
}

/// Trusts an issuer: its JWTs let the tenant's provisioning in.
///
/// What a JWT says must lead to one tenant: the same claims cannot be trusted twice.
#[utoipa::path(
    post, path = "/tenants/{tenant}/issuers", operation_id = "createIssuer", tag = "Trusted issuers",
    request_body = New,
    responses(
        (status = 201, description = "It is trusted.", body = ShownIssuer),
        (status = 409, description = "The same JWTs belong to a tenant already."),
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
    Json(New { label, issuer, audience, directory_id, app_id, subject }): Json<New>,
) -> Answer<(StatusCode, JsonBody<ShownIssuer>)> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let wanted = TrustedIssuer {
        id: String::new(),
        tenant_id: tenant_id.clone(),
        label,
        issuer,
        audience,
        directory_id,
        app_id,
        subject,
        created_at_us: 0,
    };
    let request = administrator.call(CreateIssuerRequest { issuer: Some(wanted) })?;
    let answer = app.clients.issuers.clone().create_issuer(request).await?.into_inner();
    // A JWT of it that was refused before may be remembered as such.
    request::forget_tenant(&app, &tenant_id);
    let issuer = promised(answer.issuer, "CreateIssuer answered without the issuer")?;
    Ok((StatusCode::CREATED, JsonBody(ShownIssuer::of(issuer))))
}

/// Trusts an issuer no more, at once.
///
/// Doing it again is fine.
#[utoipa::path(
    delete, path = "/tenants/{tenant}/issuers/{issuer}", operation_id = "deleteIssuer",
    tag = "Trusted issuers",
    responses((status = 204, description = "It is not trusted.")),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, id)): Named<(String, String)>,
) -> Answer<StatusCode> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(DeleteIssuerRequest { tenant_id: tenant_id.clone(), id })?;
    app.clients.issuers.clone().delete_issuer(request).await?;
    request::forget_tenant(&app, &tenant_id);
    Ok(StatusCode::NO_CONTENT)
}

impl ShownIssuer {
    pub(super) fn of(issuer: TrustedIssuer) -> Self {
        let TrustedIssuer {
            id,
            tenant_id: _,
            label,
            issuer,
            audience,
            directory_id,
            app_id,
            subject,
            created_at_us,
        } = issuer;
        Self {
            id,
            label,
            issuer,
            audience,
            directory_id: text_if_any(directory_id),
            app_id: text_if_any(app_id),
            subject: text_if_any(subject),
            created_at: time(created_at_us),
        }
    }
}
