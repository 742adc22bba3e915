//! The extension schemas of a tenant.

use ::scim::ErrorKind;
use axum::Json as JsonBody;
use axum::extract::{FromRequestParts, Query, State};
use http::StatusCode;
use http::request::Parts;
use platform::cache::Invalidation;
use platform::clock::Timestamp;
use platform::ids::TenantId;
use proto::identity::v1::{
    DeleteExtensionRequest, Extension, GetExtensionRequest, ListExtensionsRequest, PutExtensionRequest,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::request::{self, Json, Named};
use crate::App;
use crate::error::{Error, Problem, Result};
use crate::headers::RequestId;
use crate::tenant::Administrator;

type Answer<T> = Result<T, Problem>;

/// An extension as it is to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// The SCIM schema document (RFC 7643, section 7).
    schema: Map<String, Value>,
    /// Whether every user must have it.
    #[serde(default)]
    required: bool,
    /// Whether this is the extension in which users have their role and teams; left out: as it is.
    role_and_teams: Option<bool>,
    /// The `version` that the extension must have, 0 for none yet: else 412.
    expected_version: Option<i64>,
}

/// What a DELETE may say besides.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Condition {
    expected_version: Option<i64>,
}

impl FromRequestParts<App> for Condition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Answer<Self> {
        let condition = Query::<Self>::try_from_uri(&parts.uri).map(|Query(condition)| condition);
        Ok(condition.map_err(|_| {
            let detail = "expected_version must be the `version` that was shown: an integer";
            Error::new(ErrorKind::InvalidValue, detail)
        })?)
    }
}

pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
) -> Answer<JsonBody<Value>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(ListExtensionsRequest { tenant_id })?;
    let answer =
        app.clients.schemas.clone().list_extensions(request).await.map_err(Error::from)?.into_inner();
    let shown = answer.extensions.iter().map(shown).collect::<Result<Vec<_>>>()?;
    Ok(JsonBody(json!({"schemas": shown})))
}

pub(crate) async fn get(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, urn)): Named<(String, String)>,
) -> Answer<JsonBody<Value>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(GetExtensionRequest { tenant_id, urn })?;
    let answer = app.clients.schemas.clone().get_extension(request).await.map_err(Error::from)?.into_inner();
    Ok(JsonBody(shown(&promised(answer.extension)?)?))
}

/// Creates or replaces an extension; the tenant's very next request finds it changed. Answers as GET does.
pub(crate) async fn put(
    State(app): State<App>,
    administrator: Administrator,
    request_id: axum::Extension<RequestId>,
    Named((id_or_name, urn)): Named<(String, String)>,
    Json(Wanted { schema, required, role_and_teams, expected_version }): Json<Wanted>,
) -> Answer<JsonBody<Value>> {
    let is_named = schema.get("id").and_then(Value::as_str).is_some_and(|id| id.eq_ignore_ascii_case(&urn));
    if !is_named {
        let detail = format!("schema.id must be the URN in the path: {urn}");
        return Err(Error::new(ErrorKind::InvalidValue, detail).into());
    }
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(PutExtensionRequest {
        tenant_id: tenant_id.clone(),
        resource_type: "User".to_owned(),
        document: Value::Object(schema).to_string().into(),
        required,
        role_and_teams,
        expected_version,
        request_id: request_id.0.0,
    })?;
    let answer = app.clients.schemas.clone().put_extension(request).await.map_err(Error::from)?.into_inner();
    invalidate(&app, &tenant_id);
    Ok(JsonBody(shown(&promised(answer.extension)?)?))
}

/// Takes an extension away. What users have of it stays, hidden, and is back when it is defined again.
pub(crate) async fn delete(
    State(app): State<App>,
    administrator: Administrator,
    request_id: axum::Extension<RequestId>,
    Condition { expected_version }: Condition,
    Named((id_or_name, urn)): Named<(String, String)>,
) -> Answer<StatusCode> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(DeleteExtensionRequest {
        tenant_id: tenant_id.clone(),
        urn,
        expected_version,
        request_id: request_id.0.0,
    })?;
    app.clients.schemas.clone().delete_extension(request).await.map_err(Error::from)?;
    invalidate(&app, &tenant_id);
    Ok(StatusCode::NO_CONTENT)
}

fn invalidate(app: &App, tenant_id: &str) {
    if let Ok(tenant) = tenant_id.parse::<TenantId>() {
        app.invalidations.publish(Invalidation::Tenant(tenant));
    }
}

fn promised(extension: Option<Extension>) -> Result<Extension> {
    extension.ok_or_else(|| Error::broken_contract("identity answered without the extension"))
}

fn shown(extension: &Extension) -> Result<Value> {
    let Extension {
        urn,
        document,
        required,
        version,
        created_at_us,
        updated_at_us,
        reindexing,
        role_and_teams,
    } = extension;
    let document: Value = serde_json::from_slice(document).map_err(platform::Error::internal)?;
    let time = |micros: i64| Timestamp::from_micros(micros).to_rfc3339();
    Ok(json!({
        "urn": urn,
        "resource_type": "User",
        "required": required,
        "role_and_teams": role_and_teams,
        "version": version,
        "reindexing": reindexing,
        "created_at": time(*created_at_us),
        "updated_at": time(*updated_at_us),
        "schema": document,
    }))
}
