//! The extension schemas of a tenant.

use ::scim::ErrorKind;
use axum::Json as JsonBody;
use axum::extract::{FromRequestParts, Query, State};
use http::StatusCode;
use http::request::Parts;
use proto::identity::v1::{
    DeleteExtensionRequest, Extension, GetExtensionRequest, ListExtensionsRequest, PutExtensionRequest,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::answer::{Answer, promised, time};
use super::request::{self, Json, Named};
use crate::App;
use crate::error::{Error, Problem, Result};
use crate::headers::RequestId;
use crate::tenant::Administrator;

/// An extension as it is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewExtensionSchema, example = json!({
    "schema": {
        "id": "urn:example:params:scim:schemas:extension:hr:2.0:User",
        "name": "HR",
        "attributes": [{"name": "costCenter", "type": "string"}],
    },
}))]
pub(crate) struct Wanted {
    /// The SCIM schema document (RFC 7643, section 7).
    #[schema(value_type = Object)]
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
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Condition {
    /// The `version` that the extension must have: else 412.
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

/// An extension schema of a tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = ExtensionSchema)]
pub(crate) struct ShownExtension {
    urn: String,
    /// What it extends.
    resource_type: &'static str,
    /// Whether every user must have it.
    required: bool,
    /// Whether this is the extension in which users have their role and teams.
    role_and_teams: bool,
    /// Counts changes of this URN from 1.
    version: i64,
    /// Stored values are being made searchable; until then filters that name the extension are refused.
    reindexing: bool,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// The SCIM schema document (RFC 7643, section 7), every characteristic spelled out.
    #[schema(value_type = Object)]
    schema: Value,
}

/// The extension schemas of a tenant.
#[derive(Serialize, ToSchema)]
pub(crate) struct Extensions {
    /// In the order in which they were first defined, at most ten.
    schemas: Vec<ShownExtension>,
}

/// Lists the extension schemas of a tenant.
#[utoipa::path(
    get, path = "/tenants/{tenant}/schemas", operation_id = "listSchemas", tag = "Extension schemas",
    responses((status = 200, description = "The schemas.", body = Extensions)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Named(id_or_name): Named<String>,
) -> Answer<JsonBody<Extensions>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(ListExtensionsRequest { tenant_id })?;
    let answer = app.clients.schemas.clone().list_extensions(request).await?.into_inner();
    let schemas = answer.extensions.into_iter().map(ShownExtension::of).collect::<Result<_>>()?;
    Ok(JsonBody(Extensions { schemas }))
}

/// Shows an extension schema.
#[utoipa::path(
    get, path = "/tenants/{tenant}/schemas/{urn}", operation_id = "getSchema", tag = "Extension schemas",
    responses((status = 200, description = "The schema.", body = ShownExtension)),
)]
pub(crate) async fn get(
    State(app): State<App>,
    administrator: Administrator,
    Named((id_or_name, urn)): Named<(String, String)>,
) -> Answer<JsonBody<ShownExtension>> {
    let tenant_id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(GetExtensionRequest { tenant_id, urn })?;
    let answer = app.clients.schemas.clone().get_extension(request).await?.into_inner();
    let extension = promised(answer.extension, "GetExtension answered without the extension")?;
    Ok(JsonBody(ShownExtension::of(extension)?))
}

/// Creates or replaces an extension schema.
///
/// The tenant's very next request finds it changed. Answers as GET does.
#[utoipa::path(
    put, path = "/tenants/{tenant}/schemas/{urn}", operation_id = "putSchema", tag = "Extension schemas",
    request_body = Wanted,
    responses(
        (status = 200, description = "The schema as it is now.", body = ShownExtension),
        (status = 412, description = "It has another version than expected."),
    ),
)]
pub(crate) async fn put(
    State(app): State<App>,
    administrator: Administrator,
    request_id: axum::Extension<RequestId>,
    Named((id_or_name, urn)): Named<(String, String)>,
    Json(Wanted { schema, required, role_and_teams, expected_version }): Json<Wanted>,
) -> Answer<JsonBody<ShownExtension>> {
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
    let answer = app.clients.schemas.clone().put_extension(request).await?.into_inner();
    request::forget_tenant(&app, &tenant_id);
    let extension = promised(answer.extension, "PutExtension answered without the extension")?;
    Ok(JsonBody(ShownExtension::of(extension)?))
}

/// Takes an extension schema away.
///
/// What users have of it stays, hidden, and is back when it is defined again.
#[utoipa::path(
    delete, path = "/tenants/{tenant}/schemas/{urn}", operation_id = "deleteSchema", tag = "Extension schemas",
    params(Condition),
    responses(
        (status = 204, description = "It is gone."),
        (status = 412, description = "It has another version than expected."),
    ),
)]
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
    app.clients.schemas.clone().delete_extension(request).await?;
    request::forget_tenant(&app, &tenant_id);
    Ok(StatusCode::NO_CONTENT)
}

impl ShownExtension {
    fn of(extension: Extension) -> Result<Self> {
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
        Ok(Self {
            urn,
            resource_type: "User",
            required,
            role_and_teams,
            version,
            reindexing,
            created_at: time(created_at_us),
            updated_at: time(updated_at_us),
            schema: serde_json::from_slice(&document).map_err(platform::Error::internal)?,
        })
    }
}
