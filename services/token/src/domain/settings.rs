//! What a tenant's client may do, and how much of it.

use serde::{Deserialize, Serialize};

use platform::{Error, Result};

/// The longest that a deleted user is kept: ten years.
const MAX_KEEP_DELETED_DAYS: i32 = 3650;
/// The longest that the provisioning log is kept: ten years.
const MAX_LOG_RETENTION_DAYS: i32 = 3650;
/// What Entra asks of a SCIM endpoint at least, requests per second: no tenant is given less.
const LEAST_REQUESTS: i32 = 25;
/// Far above what a gateway answers; keeps the arithmetic of limiters within bounds.
const MOST_REQUESTS: i32 = 1_000_000;
const MOST_CONCURRENT: i32 = 10_000;

/// A tenant's settings, as they rest in its row (JSON). What a later version wrote beside is read over, so that replicas
/// of two versions can run on one database; that presets have nothing beside, a test checks. What an earlier version did
/// not write yet has a default here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Whether `/Groups` is offered.
    pub groups: bool,
    /// Whether adding and deleting people elsewhere than by SCIM is refused while provisioning is on.
    pub lock_local_changes: bool,
    /// For how many days a user that SCIM deleted can be restored; 0: not at all.
    #[serde(default)]
    pub keep_deleted_days: i32,
    /// For how many days the provisioning log is kept.
    #[serde(default = "default_log_retention_days")]
    pub log_retention_days: i32,
    /// How much the client may ask.
    #[serde(default)]
    pub limits: Limits,
    /// What the client may do to users.
    pub users: UserActions,
    /// The extension with role and teams, where the tenant has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_and_teams: Option<RoleAndTeams>,
}

/// How much a tenant may ask of each gateway; 0 is what the platform is configured for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Requests per second; -1 is without limit.
    pub requests_per_second: i32,
    /// So many at once after a quiet time.
    pub burst: i32,
    /// Requests under way at a time.
    pub concurrent: i32,
}

/// What a client may do to users; reading is always allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserActions {
    /// POST.
    pub create: bool,
    /// PUT and PATCH.
    pub update: bool,
    /// DELETE.
    pub delete: bool,
}

/// Where role and teams of a user stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleAndTeams {
    /// The URN of the extension schema that has `role` and `teams`.
    pub extension: String,
}

fn default_log_retention_days() -> i32 {
    30
}

/// Checks for how many days deleted users are kept.
///
/// # Errors
/// `InvalidValue` that says what it can be.
pub fn check_keep_deleted_days(days: i32) -> Result<i32> {
    within("keep_deleted_days", days, 0, MAX_KEEP_DELETED_DAYS, "days; 0 deletes at once")
}

/// Checks for how many days the provisioning log is kept.
///
/// # Errors
/// `InvalidValue` that says what it can be.
pub fn check_log_retention_days(days: i32) -> Result<i32> {
    within("log_retention_days", days, 1, MAX_LOG_RETENTION_DAYS, "days")
}

impl Limits {
    /// Checks all three.
    ///
    /// # Errors
    /// `InvalidValue` that names the field and says what it can be.
    pub fn check(self) -> Result<Self> {
        let Self { requests_per_second, burst, concurrent } = self;
        let as_configured = "or 0: as the platform is configured";
        if requests_per_second != 0 && requests_per_second != -1 {
            let words = "or 0: as the platform is configured, or -1: without limit";
            within("limits.requests_per_second", requests_per_second, LEAST_REQUESTS, MOST_REQUESTS, words)?;
        }
        if burst != 0 {
            within("limits.burst", burst, LEAST_REQUESTS, MOST_REQUESTS, as_configured)?;
        }
        if concurrent != 0 {
            within("limits.concurrent", concurrent, 1, MOST_CONCURRENT, as_configured)?;
        }
        Ok(self)
    }
}

fn within(field: &'static str, value: i32, least: i32, most: i32, words: &str) -> Result<i32> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    let detail = format!("{field} must be {least} to {most}, {words}; it is {value}");
    Err(Error::invalid_value(detail).with_attribute(field))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_of_the_version_before_have_the_defaults() {
        let row = json!({"groups": true, "lock_local_changes": false, "users": {"create": true, "update": true, "delete": true}});
        let read: Settings = serde_json::from_value(row).unwrap();
        assert_eq!(
            (read.keep_deleted_days, read.log_retention_days, read.limits),
            (0, 30, Limits::default())
        );
    }

    #[test]
    fn limits_stand_in_bounds_and_errors_name_the_field() {
        let limits =
            |requests_per_second, burst, concurrent| Limits { requests_per_second, burst, concurrent };
        for fine in
            [limits(0, 0, 0), limits(-1, 0, 0), limits(25, 25, 1), limits(1_000_000, 1_000_000, 10_000)]
        {
            assert_eq!(fine.check().unwrap(), fine);
        }
        let wrong = [
            (limits(24, 0, 0), "limits.requests_per_second"),
            (limits(-2, 0, 0), "limits.requests_per_second"),
            (limits(1_000_001, 0, 0), "limits.requests_per_second"),
            (limits(25, 24, 0), "limits.burst"),
            (limits(25, -1, 0), "limits.burst"),
            (limits(25, 25, -1), "limits.concurrent"),
            (limits(25, 25, 10_001), "limits.concurrent"),
        ];
        for (wrong, field) in wrong {
            let error = wrong.check().unwrap_err();
            assert_eq!(error.attribute.as_deref(), Some(field), "{wrong:?}");
            assert!(error.detail.starts_with(field), "{error}");
        }
    }

    #[test]
    fn days_stand_in_bounds() {
        assert!(check_keep_deleted_days(0).is_ok() && check_keep_deleted_days(3650).is_ok());
        assert!(check_keep_deleted_days(-1).is_err() && check_keep_deleted_days(3651).is_err());
        assert!(check_log_retention_days(1).is_ok() && check_log_retention_days(3650).is_ok());
        assert!(check_log_retention_days(0).is_err() && check_log_retention_days(3651).is_err());
    }
}
