//! A tenant's state, dialect and settings: how they are shown and changed.

use ::scim::ErrorKind;
use axum::Json as JsonBody;
use axum::extract::State;
use proto::common::v1::Dialect;
use proto::token::v1::{DialectSetting, Limits, Settings, SettingsChange, TenantState, UpdateTenantRequest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, promised};
use super::request::{self, Json, Named};
use super::tenants::{Origin, TenantWithUrl};
use crate::App;
use crate::error::Error;
use crate::tenant::Administrator;

/// Life of a tenant: in service, switched off (every token answers 401), or being deleted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = TenantState)]
pub(crate) enum ShownState {
    Active,
    Disabled,
    Deleting,
    Unknown,
}

/// What a tenant can be switched to.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = NewTenantState)]
pub(crate) enum NewState {
    Active,
    Disabled,
}

/// How a client's requests are read. `auto`: by the traffic, once a client is recognised.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = DialectSetting)]
pub(crate) enum ShownDialectSetting {
    Entra,
    Okta,
    Rfc,
    Interop,
    Auto,
    Unknown,
}

/// What a client's requests can be read as. `auto` again forgets what was recognised.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = NewDialectSetting)]
pub(crate) enum NewDialectSetting {
    Entra,
    Okta,
    Rfc,
    Interop,
    Auto,
}

/// How a client's requests are read.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Dialect)]
pub(crate) enum ShownDialect {
    Entra,
    Okta,
    Rfc,
    Interop,
    Unknown,
}

/// What a tenant's client may do, and what becomes of what it did.
#[derive(Serialize, ToSchema)]
#[schema(as = Settings)]
pub(crate) struct ShownSettings {
    /// Whether there are groups.
    groups: bool,
    users: ShownUserSettings,
    /// While SCIM is on, users cannot be created or deleted by this API.
    lock_local_changes: bool,
    /// 0: DELETE of a user deletes. Otherwise it suspends: gone for SCIM at once, kept for so many days, then purged.
    keep_deleted_days: i32,
    /// For how many days the provisioning log is kept.
    log_retention_days: i32,
    limits: ShownLimits,
}

/// What a tenant's client may do with users.
#[derive(Serialize, ToSchema)]
#[schema(as = UserSettings)]
pub(crate) struct ShownUserSettings {
    create: bool,
    /// Deactivating a user is an update.
    update: bool,
    delete: bool,
}

/// How much a tenant may ask of each gateway. Above it: 429 with Retry-After.
#[derive(Serialize, ToSchema)]
#[schema(as = Limits)]
pub(crate) struct ShownLimits {
    /// Requests a second. 0: as the platform is configured. -1: without limit.
    requests_per_second: i32,
    /// So many at once after a quiet time. 0: as the platform is configured.
    burst: i32,
    /// Requests under way at a time; more wait for their turn. 0: as the platform is configured.
    concurrent: i32,
}

/// What is to be otherwise; what is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TenantChange, example = json!({"settings": {"keep_deleted_days": 30, "limits": {"burst": 2000}}}))]
pub(crate) struct Change {
    /// The `version` that the tenant must have: else 412.
    #[schema(minimum = 1)]
    expected_version: Option<i64>,
    state: Option<NewState>,
    dialect: Option<NewDialectSetting>,
    #[serde(default)]
    settings: ChangeOfSettings,
}

/// See Settings; what is left out stays as it is.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SettingsChange)]
struct ChangeOfSettings {
    groups: Option<bool>,
    #[serde(default)]
    users: ChangeOfUsers,
    lock_local_changes: Option<bool>,
    #[schema(minimum = 0, maximum = 3650)]
    keep_deleted_days: Option<i32>,
    #[schema(minimum = 1, maximum = 3650)]
    log_retention_days: Option<i32>,
    limits: Option<ChangeOfLimits>,
}

/// See UserSettings; what is left out stays as it is.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserSettingsChange)]
struct ChangeOfUsers {
    create: Option<bool>,
    update: Option<bool>,
    delete: Option<bool>,
}

/// See Limits; what is left out stays as it is.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LimitsChange)]
struct ChangeOfLimits {
    /// -1, 0, or at least 25.
    #[schema(minimum = -1)]
    requests_per_second: Option<i32>,
    #[schema(minimum = 0)]
    burst: Option<i32>,
    #[schema(minimum = 0)]
    concurrent: Option<i32>,
}

/// Changes a tenant.
///
/// Its very next request finds it changed. Answers as GET does.
#[utoipa::path(
    patch, path = "/tenants/{tenant}", operation_id = "updateTenant", tag = "Tenants",
    request_body = Change,
    responses(
        (status = 200, description = "The tenant as it is now.", body = TenantWithUrl),
        (status = 409, description = "It is being deleted."),
        (status = 412, description = "It has another version than expected."),
    ),
)]
pub(crate) async fn change(
    State(app): State<App>,
    administrator: Administrator,
    origin: Origin,
    Named(id_or_name): Named<String>,
    Json(change): Json<Change>,
) -> Answer<JsonBody<TenantWithUrl>> {
    let Change { expected_version, state, dialect, settings } = change;
    if expected_version.is_some_and(|version| version < 1) {
        let detail = "expected_version must be the `version` that was shown: versions count from 1";
        return Err(Error::new(ErrorKind::InvalidValue, detail).into());
    }
    let tenant = request::tenant(&app, &administrator, &id_or_name).await?;
    let limits = tenant.settings.and_then(|settings| settings.limits).unwrap_or_default();
    let request = administrator.call(UpdateTenantRequest {
        id: tenant.id.clone(),
        expected_version: expected_version.unwrap_or(0),
        state: state.map_or(TenantState::Unspecified, TenantState::from).into(),
        dialect_setting: dialect.map_or(DialectSetting::Unspecified, DialectSetting::from).into(),
        settings: Some(settings.over(limits)),
    })?;
    let answer = app.clients.tenants.clone().update_tenant(request).await?.into_inner();
    request::forget_tenant(&app, &tenant.id);
    let tenant = promised(answer.tenant, "UpdateTenant answered without the tenant")?;
    Ok(JsonBody(TenantWithUrl::of(tenant, &origin)?))
}

impl ChangeOfSettings {
    /// The limits are changed as a whole, so what is left out of them is taken from those that there are.
    fn over(self, limits: Limits) -> SettingsChange {
        let Self { groups, users, lock_local_changes, keep_deleted_days, log_retention_days, limits: change } =
            self;
        let ChangeOfUsers { create, update, delete } = users;
        let limits = change.map(|ChangeOfLimits { requests_per_second, burst, concurrent }| Limits {
            requests_per_second: requests_per_second.unwrap_or(limits.requests_per_second),
            burst: burst.unwrap_or(limits.burst),
            concurrent: concurrent.unwrap_or(limits.concurrent),
        });
        SettingsChange {
            groups,
            user_create: create,
            user_update: update,
            user_delete: delete,
            lock_local_changes,
            keep_deleted_days,
            log_retention_days,
            limits,
        }
    }
}

impl From<Settings> for ShownSettings {
    fn from(settings: Settings) -> Self {
        let Settings {
            groups,
            user_create,
            user_update,
            user_delete,
            lock_local_changes,
            keep_deleted_days,
            log_retention_days,
            limits,
        } = settings;
        let Limits { requests_per_second, burst, concurrent } = limits.unwrap_or_default();
        Self {
            groups,
            users: ShownUserSettings { create: user_create, update: user_update, delete: user_delete },
            lock_local_changes,
            keep_deleted_days,
            log_retention_days,
            limits: ShownLimits { requests_per_second, burst, concurrent },
        }
    }
}

impl From<TenantState> for ShownState {
    fn from(state: TenantState) -> Self {
        match state {
            TenantState::Active => Self::Active,
            TenantState::Disabled => Self::Disabled,
            TenantState::Deleting => Self::Deleting,
            TenantState::Unspecified => Self::Unknown,
        }
    }
}

impl From<NewState> for TenantState {
    fn from(state: NewState) -> Self {
        match state {
            NewState::Active => Self::Active,
            NewState::Disabled => Self::Disabled,
        }
    }
}

impl From<DialectSetting> for ShownDialectSetting {
    fn from(setting: DialectSetting) -> Self {
        match setting {
            DialectSetting::Entra => Self::Entra,
            DialectSetting::Okta => Self::Okta,
            DialectSetting::Rfc => Self::Rfc,
            DialectSetting::Interop => Self::Interop,
            DialectSetting::Auto => Self::Auto,
            DialectSetting::Unspecified => Self::Unknown,
        }
    }
}

impl From<NewDialectSetting> for DialectSetting {
    fn from(setting: NewDialectSetting) -> Self {
        match setting {
            NewDialectSetting::Entra => Self::Entra,
            NewDialectSetting::Okta => Self::Okta,
            NewDialectSetting::Rfc => Self::Rfc,
            NewDialectSetting::Interop => Self::Interop,
            NewDialectSetting::Auto => Self::Auto,
        }
    }
}

impl From<Dialect> for ShownDialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Entra => Self::Entra,
            Dialect::Okta => Self::Okta,
            Dialect::Rfc => Self::Rfc,
            Dialect::Interop => Self::Interop,
            Dialect::Unspecified => Self::Unknown,
        }
    }
}
