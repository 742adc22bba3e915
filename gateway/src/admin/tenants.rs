//! Tenants: create, look at, delete.

use axum::Json as JsonBody;
use axum::extract::State;
use http::header::{CACHE_CONTROL, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use platform::cache::Invalidation;
use platform::clock::Timestamp;
use platform::ids::TenantId;
use proto::token::v1::{
    CreateTenantRequest, DeleteTenantRequest, ListTenantsRequest, PurgeTenantRequest, Tenant, TenantState,
};
use proto::{identity, membership};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Json, Named, Page};
use super::{roles, settings};
use crate::error::{Error, Problem, Result};
use crate::headers::RequestId;
use crate::tenant::Administrator;
use crate::{App, base_url, headers};

type Answer<T> = Result<T, Problem>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct New {
    name: String,
    #[serde(default)]
    preset: String,
}

/// The tenant with the URL and the token to paste into its identity provider. The token is shown this once.
pub(crate) async fn create(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    request_id: axum::Extension<RequestId>,
    Json(New { name, preset }): Json<New>,
) -> Answer<(StatusCode, HeaderMap, JsonBody<Value>)> {
    let request = administrator.call(CreateTenantRequest { name, preset })?;
    let answer = app.clients.tenants.clone().create_tenant(request).await.map_err(Error::from)?.into_inner();
    let tenant =
        answer.tenant.ok_or_else(|| Error::broken_contract("CreateTenant answered without the tenant"))?;
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
    let body =
        json!({"tenant": shown(&tenant), "base_url": origin.base_url(&tenant), "token": answer.secret});
    Ok((StatusCode::CREATED, headers, JsonBody(body)))
}

pub(crate) async fn get(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    Named(id_or_name): Named<String>,
) -> Answer<JsonBody<Value>> {
    let tenant = request::tenant(&app, &administrator, &id_or_name).await?;
    Ok(JsonBody(with_base_url(&tenant, &origin)))
}

/// A tenant and where its identity provider finds it.
pub(super) fn with_base_url(tenant: &Tenant, origin: &Origin) -> Value {
    json!({"tenant": shown(tenant), "base_url": origin.base_url(tenant)})
}

pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Page { page_size, page_token }: Page,
) -> Answer<JsonBody<Value>> {
    let request = administrator.call(ListTenantsRequest { page_size, page_token })?;
    let answer = app.clients.tenants.clone().list_tenants(request).await.map_err(Error::from)?.into_inner();
    let mut body = json!({"tenants": answer.tenants.iter().map(shown).collect::<Vec<_>>()});
    if !answer.next_page_token.is_empty() {
        body["next_page_token"] = answer.next_page_token.into();
    }
    Ok(JsonBody(body))
}

/// Deletes a tenant: its tokens stop at once, then its data goes. Each step is idempotent, so whoever repeats a request
/// that was cut off finishes it. 404 means that nothing is left.
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
    if let Ok(tenant) = id.parse::<TenantId>() {
        app.invalidations.publish(Invalidation::Tenant(tenant));
    }
    // Identity first: what membership follows from its log cannot come back afterwards.
    let users = administrator.call(identity::v1::PurgeTenantRequest { tenant_id: id.clone() })?;
    app.clients.identity_data.clone().purge_tenant(users).await?;
    let groups = administrator.call(membership::v1::PurgeTenantRequest { tenant_id: id.clone() })?;
    app.clients.membership_data.clone().purge_tenant(groups).await?;
    let rest = administrator.call(PurgeTenantRequest { id })?;
    app.clients.tenants.clone().purge_tenant(rest).await?;
    Ok(())
}

/// Scheme and host of this request, for `base_url`.
pub(crate) struct Origin(String);

impl Origin {
    fn base_url(&self, tenant: &Tenant) -> String {
        format!("{}{}", self.0, tenant.scim_path)
    }
}

impl axum::extract::FromRequestParts<App> for Origin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Answer<Self> {
        Ok(Self(base_url::origin(&app.config, parts)?))
    }
}

fn shown(tenant: &Tenant) -> Value {
    let state = match tenant.state() {
        TenantState::Active => "active",
        TenantState::Disabled => "disabled",
        TenantState::Deleting => "deleting",
        TenantState::Unspecified => "unknown",
    };
    let mut shown = json!({
        "id": tenant.id,
        "name": tenant.name,
        "state": state,
        "preset": tenant.preset,
        "created_at": Timestamp::from_micros(tenant.created_at_us).to_rfc3339(),
    });
    settings::add(&mut shown, tenant);
    shown
}
