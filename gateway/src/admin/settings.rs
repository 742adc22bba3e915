//! A tenant's state, dialect and settings: how they are shown and changed.

use ::scim::ErrorKind;
use axum::Json as JsonBody;
use axum::extract::State;
use platform::cache::Invalidation;
use platform::clock::Timestamp;
use platform::ids::TenantId;
use proto::common::v1::Dialect;
use proto::token::v1::{
    DialectSetting, Recognition, Settings, SettingsChange, Tenant, TenantState, UpdateTenantRequest,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Json, Named};
use super::tenants::{self, Origin};
use crate::App;
use crate::error::{Error, Problem, Result};
use crate::tenant::Administrator;

const STATES: [(&str, TenantState); 2] =
    [("active", TenantState::Active), ("disabled", TenantState::Disabled)];

const DIALECTS: [(&str, DialectSetting); 5] = [
    ("entra", DialectSetting::Entra),
    ("okta", DialectSetting::Okta),
    ("rfc", DialectSetting::Rfc),
    ("interop", DialectSetting::Interop),
    ("auto", DialectSetting::Auto),
];

/// What is to be otherwise; what is left out stays as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    /// The `version` that the tenant must have: else 412.
    expected_version: Option<i64>,
    /// `active` or `disabled`.
    state: Option<String>,
    /// `entra`, `okta`, `rfc`, `interop` or `auto`.
    dialect: Option<String>,
    #[serde(default)]
    settings: ChangeOfSettings,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ChangeOfSettings {
    groups: Option<bool>,
    users: ChangeOfUsers,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ChangeOfUsers {
    create: Option<bool>,
    update: Option<bool>,
    delete: Option<bool>,
}

/// Changes a tenant; its very next request finds it changed. Answers as GET does.
pub(crate) async fn change(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    Named(id_or_name): Named<String>,
    Json(change): Json<Change>,
) -> Result<JsonBody<Value>, Problem> {
    let Change { expected_version, state, dialect, settings } = change;
    let ChangeOfSettings { groups, users } = settings;
    let ChangeOfUsers { create, update, delete } = users;
    let state = named("state", state, &STATES)?.unwrap_or(TenantState::Unspecified);
    let dialect = named("dialect", dialect, &DIALECTS)?.unwrap_or(DialectSetting::Unspecified);
    if expected_version.is_some_and(|version| version < 1) {
        return Err(invalid(
            "expected_version",
            "must be the `version` that was shown: versions count from 1",
        )
        .into());
    }
    let id = request::tenant(&app, &administrator, &id_or_name).await?.id;
    let request = administrator.call(UpdateTenantRequest {
        id: id.clone(),
        expected_version: expected_version.unwrap_or(0),
        state: state.into(),
        dialect_setting: dialect.into(),
        settings: Some(SettingsChange {
            groups,
            user_create: create,
            user_update: update,
            user_delete: delete,
        }),
    })?;
    let answer = app.clients.tenants.clone().update_tenant(request).await.map_err(Error::from)?.into_inner();
    if let Ok(tenant) = id.parse::<TenantId>() {
        app.invalidations.publish(Invalidation::Tenant(tenant));
    }
    let tenant =
        answer.tenant.ok_or_else(|| Error::broken_contract("UpdateTenant answered without the tenant"))?;
    Ok(JsonBody(tenants::with_base_url(&tenant, &origin)))
}

/// Adds a tenant's version, dialect and settings to what is shown of it.
pub(super) fn add(shown: &mut Value, tenant: &Tenant) {
    let setting = DIALECTS.iter().find(|(_, setting)| *setting == tenant.dialect_setting());
    shown["version"] = tenant.version.into();
    shown["dialect"] = setting.map_or("unknown", |(name, _)| name).into();
    shown["dialect_in_force"] = dialect_name(tenant.dialect()).into();
    if let Some(Recognition { dialect: _, sign, at_us }) = &tenant.recognised {
        let at = Timestamp::from_micros(*at_us).to_rfc3339();
        shown["recognised"] = json!({"dialect": dialect_name(tenant.dialect()), "sign": sign, "at": at});
    }
    if let Some(Settings { groups, user_create, user_update, user_delete }) = tenant.settings {
        let users = json!({"create": user_create, "update": user_update, "delete": user_delete});
        shown["settings"] = json!({"groups": groups, "users": users});
    }
}

fn dialect_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Entra => "entra",
        Dialect::Okta => "okta",
        Dialect::Rfc => "rfc",
        Dialect::Interop => "interop",
        Dialect::Unspecified => "unknown",
    }
}

fn named<T: Copy>(field: &str, given: Option<String>, names: &[(&str, T)]) -> Result<Option<T>> {
    let Some(given) = given else { return Ok(None) };
    let found = names.iter().find(|(name, _)| *name == given);
    let found = found.ok_or_else(|| {
        let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        invalid(field, &format!("must be one of {}", names.join(", ")))
    })?;
    Ok(Some(found.1))
}

fn invalid(field: &str, what: &str) -> Error {
    Error::new(ErrorKind::InvalidValue, format!("{field} {what}"))
}
