//! Tenants: create, look at, delete.

use axum::Json as JsonBody;
use axum::extract::State;
use http::header::{CACHE_CONTROL, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use proto::token::v1::{
    CreateTenantRequest, DeleteTenantRequest, ListTenantsRequest, PurgeTenantRequest, Recognition, Settings,
    Tenant,
};
use proto::{identity, journal, membership};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, promised, text_if_any, time};
use super::credentials::ShownCredential;
use super::request::{self, Json, Named, Page};
use super::roles;
use super::settings::{ShownDialect, ShownDialectSetting, ShownSettings, ShownState};
use crate::error::{Problem, Result};
use crate::headers::RequestId;
use crate::tenant::Administrator;
use crate::{App, base_url, headers};

/// A tenant to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewTenant, example = json!({"name": "contoso", "preset": "entra"}))]
pub(crate) struct New {
    /// Unique, for people and scripts.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Where its settings come from: `entra` (default), `zeeg`, `ziflow` or `directory-sync`.
    #[serde(default)]
    preset: String,
}

/// A tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(crate) struct ShownTenant {
    #[schema(format = "uuid")]
    pub(super) id: String,
    name: String,
    state: ShownState,
    /// Whether provisioning is on. When it is off, every token for SCIM answers 401; membership queries go on.
    scim_enabled: bool,
    /// Where its settings came from.
    preset: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// Counts changes from 1.
    version: i64,
    /// How its client's requests are read, as an administrator chose it.
    dialect: ShownDialectSetting,
    /// How they are read now: with `auto` by the client that was recognised.
    dialect_in_force: ShownDialect,
    /// Only with `auto`, and only once a client was recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    recognised: Option<ShownRecognition>,
    settings: ShownSettings,
}

/// What a tenant's client was recognised by.
#[derive(Serialize, ToSchema)]
#[schema(as = Recognition)]
pub(crate) struct ShownRecognition {
    dialect: ShownDialect,
    /// For example `header ADSCIMVersion`.
    sign: String,
    #[schema(format = DateTime)]
    at: String,
}

/// A tenant and where its identity provider finds it.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantWithUrl {
    tenant: ShownTenant,
    /// The Tenant URL to paste into the identity provider.
    #[schema(format = "uri")]
    base_url: String,
}

/// A tenant with the URL and the token to paste into its identity provider.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantWithToken {
    pub(super) tenant: ShownTenant,
    /// The Tenant URL to paste into the identity provider.
    #[schema(format = "uri")]
    pub(super) base_url: String,
    /// The Secret Token to paste into the identity provider. It is shown this once.
    pub(super) token: String,
    /// Facts about the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) credential: Option<ShownCredential>,
}

/// A page of tenants, by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tenants {
    tenants: Vec<ShownTenant>,
    /// For the next page; left out on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// Creates a tenant.
///
/// With the URL and the token to paste into its identity provider. The token is shown this once.
#[utoipa::path(
    post, path = "/tenants", operation_id = "createTenant", tag = "Tenants",
    request_body = New,
    responses(
        (status = 201, description = "The tenant, its URL and its token.", body = TenantWithToken),
        (status = 409, description = "The name is taken."),
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    request_id: axum::Extension<RequestId>,
    Json(New { name, preset }): Json<New>,
) -> Answer<(StatusCode, HeaderMap, JsonBody<TenantWithToken>)> {
    let request = administrator.call(CreateTenantRequest { name, preset })?;
    let answer = app.clients.tenants.clone().create_tenant(request).await?.into_inner();
    let tenant = promised(answer.tenant, "CreateTenant answered without the tenant")?;
    if !answer.role_and_teams.is_empty() {
        let id = tenant.id.clone();
        if let Err(error) =
            roles::define(&app, &administrator, id, answer.role_and_teams, &request_id.0.0).await
        {
            // The token would be shown to nobody: whoever asks again should find the name free.
            remove(&app, &administrator, tenant.id).await?;
            return Err(error.into());
        }
    }
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers
        .extend(headers::value(&format!("/admin/v1/tenants/{}", tenant.id)).map(|value| (LOCATION, value)));
    let body = TenantWithToken {
        base_url: origin.base_url(&tenant),
        tenant: ShownTenant::of(tenant)?,
        token: answer.secret,
        credential: answer.credential.map(ShownCredential::of),
    };
    Ok((StatusCode::CREATED, headers, JsonBody(body)))
}

/// Shows a tenant.
#[utoipa::path(
    get, path = "/tenants/{tenant}", operation_id = "getTenant", tag = "Tenants",
    responses((status = 200, description = "The tenant.", body = TenantWithUrl)),
)]
pub(crate) async fn get(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    Named(id_or_name): Named<String>,
) -> Answer<JsonBody<TenantWithUrl>> {
    let tenant = request::tenant(&app, &administrator, &id_or_name).await?;
    Ok(JsonBody(TenantWithUrl::of(tenant, &origin)?))
}

/// Lists the tenants by name, a page at a time.
#[utoipa::path(
    get, path = "/tenants", operation_id = "listTenants", tag = "Tenants",
    params(Page),
    responses((status = 200, description = "A page of tenants.", body = Tenants)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Page { page_size, page_token }: Page,
) -> Answer<JsonBody<Tenants>> {
    let request = administrator.call(ListTenantsRequest { page_size, page_token })?;
    let answer = app.clients.tenants.clone().list_tenants(request).await?.into_inner();
    let tenants = answer.tenants.into_iter().map(ShownTenant::of).collect::<Result<_>>()?;
    Ok(JsonBody(Tenants { tenants, next_page_token: text_if_any(answer.next_page_token) }))
}

/// Deletes a tenant with everything of it.
///
/// Its tokens stop at once, then its data goes. Each step is idempotent, so whoever repeats a request that was cut off
/// finishes it. 404 means that nothing is left.
#[utoipa::path(
    delete, path = "/tenants/{tenant}", operation_id = "deleteTenant", tag = "Tenants",
    responses((status = 204, description = "Nothing is left of it.")),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
) -> Answer<StatusCode> {
    let id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    remove(&app, &administrator, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(app: &App, administrator: &Administrator, id: String) -> Result<()> {
    let out_of_service = administrator.call(DeleteTenantRequest { id: id.clone() })?;
    app.clients.tenants.clone().delete_tenant(out_of_service).await?;
    request::forget_tenant(app, &id);
    // Identity first: what membership follows from its log cannot come back afterwards.
    let users = administrator.call(identity::v1::PurgeTenantRequest { tenant_id: id.clone() })?;
    app.clients.identity_data.clone().purge_tenant(users).await?;
    let groups = administrator.call(membership::v1::PurgeTenantRequest { tenant_id: id.clone() })?;
    app.clients.membership_data.clone().purge_tenant(groups).await?;
    let log = administrator.call(journal::v1::PurgeTenantRequest { tenant_id: id.clone() })?;
    app.clients.log_data.clone().purge_tenant(log).await?;
    let rest = administrator.call(PurgeTenantRequest { id })?;
    app.clients.tenants.clone().purge_tenant(rest).await?;
    Ok(())
}

/// Scheme and host of this request, for `base_url`.
pub(crate) struct Origin(String);

impl Origin {
    pub(super) fn base_url(&self, tenant: &Tenant) -> String {
        format!("{}{}", self.0, tenant.scim_path)
    }
}

impl axum::extract::FromRequestParts<App> for Origin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        Ok(Self(base_url::origin(&app.config, parts)?))
    }
}

impl TenantWithUrl {
    pub(super) fn of(tenant: Tenant, origin: &Origin) -> Result<Self> {
        Ok(Self { base_url: origin.base_url(&tenant), tenant: ShownTenant::of(tenant)? })
    }
}

impl ShownTenant {
    pub(super) fn of(tenant: Tenant) -> Result<Self> {
        let (state, dialect) = (tenant.state().into(), tenant.dialect_setting().into());
        let dialect_in_force = tenant.dialect().into();
        let Tenant { id, name, preset, created_at_us, version, recognised, settings, scim_enabled, .. } =
            tenant;
        let recognised = recognised.map(|recognition| {
            let dialect = recognition.dialect().into();
            let Recognition { dialect: _, sign, at_us } = recognition;
            ShownRecognition { dialect, sign, at: time(at_us) }
        });
        let settings: Settings = promised(settings, "a tenant came without its settings")?;
        Ok(Self {
            id,
            name,
            state,
            scim_enabled,
            preset,
            created_at: time(created_at_us),
            version,
            dialect,
            dialect_in_force,
            recognised,
            settings: settings.into(),
        })
    }
}
