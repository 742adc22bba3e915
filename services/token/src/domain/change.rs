//! A change of a tenant by an administrator, field by field.

use platform::{Error, Result};
use scim::ErrorKind;
use serde_json::{Map, Value, json};

use super::dialect::{Choice, Dialect};
use super::settings::{
    Limits, RoleAndTeams, Settings, UserActions, check_keep_deleted_days, check_log_retention_days,
};
use super::tenant::{State, Tenant};

/// What is to be otherwise: `None` leaves it as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The version the tenant must have.
    pub expected_version: Option<i64>,
    /// Where it is to stand.
    pub state: Option<State>,
    /// How its requests are to be read.
    pub dialect: Option<Choice>,
    /// Whether `/Groups` is offered.
    pub groups: Option<bool>,
    /// Whether the client may create users.
    pub user_create: Option<bool>,
    /// Whether the client may change users.
    pub user_update: Option<bool>,
    /// Whether the client may delete users.
    pub user_delete: Option<bool>,
    /// Whether adding and deleting people elsewhere than by SCIM is refused.
    pub lock_local_changes: Option<bool>,
    /// For how many days a user that SCIM deleted can be restored.
    pub keep_deleted_days: Option<i32>,
    /// For how many days the provisioning log is kept.
    pub log_retention_days: Option<i32>,
    /// How much the client may ask: all three limits.
    pub limits: Option<Limits>,
}

impl Change {
    /// Only of the state.
    pub fn to(state: State) -> Self {
        Self { state: Some(state), ..Self::default() }
    }

    /// The tenant as it is after the change, one version on; the same version when nothing changes.
    ///
    /// # Errors
    /// `InvalidValue` for a number out of bounds; `VersionMismatch`; `Conflict` when the tenant is being deleted, from where
    /// nothing leads back.
    pub fn apply(&self, tenant: &Tenant) -> Result<Tenant> {
        let Self {
            expected_version,
            state,
            dialect,
            groups,
            user_create,
            user_update,
            user_delete,
            lock_local_changes,
            keep_deleted_days,
            log_retention_days,
            limits,
        } = self;
        if let Some(expected) = expected_version.filter(|expected| *expected != tenant.version) {
            let detail = format!(
                "the tenant has version {}, not {expected}: read it again and decide anew",
                tenant.version
            );
            return Err(Error::new(ErrorKind::VersionMismatch, detail));
        }
        let mut after = tenant.clone();
        let set = |field: &mut bool, wanted: &Option<bool>| *field = wanted.unwrap_or(*field);
        set(&mut after.settings.groups, groups);
        set(&mut after.settings.users.create, user_create);
        set(&mut after.settings.users.update, user_update);
        set(&mut after.settings.users.delete, user_delete);
        set(&mut after.settings.lock_local_changes, lock_local_changes);
        if let Some(days) = *keep_deleted_days {
            after.settings.keep_deleted_days = check_keep_deleted_days(days)?;
        }
        if let Some(days) = *log_retention_days {
            after.settings.log_retention_days = check_log_retention_days(days)?;
        }
        if let Some(limits) = *limits {
            after.settings.limits = limits.check()?;
        }
        after.state = state.unwrap_or(after.state);
        if let Some(choice) = dialect {
            after.dialect = Dialect::chosen(*choice);
        }
        if after == *tenant {
            return Ok(after);
        }
        if tenant.state == State::Deleting {
            return Err(being_deleted());
        }
        after.version += 1;
        Ok(after)
    }
}

/// Nothing is given to or changed of a tenant that is going.
pub fn being_deleted() -> Error {
    Error::new(ErrorKind::Conflict, "the tenant is being deleted")
}

/// For the audit: all that is worth knowing of a tenant. No secret is part of it.
pub fn facts(tenant: &Tenant) -> Map<String, Value> {
    let Tenant {
        id: _,
        name,
        state,
        preset,
        dialect,
        scim_path,
        settings,
        scim_enabled,
        scim_enabled_at,
        version: _,
        created_at: _,
    } = tenant;
    let Settings {
        groups,
        lock_local_changes,
        keep_deleted_days,
        log_retention_days,
        limits,
        users,
        role_and_teams,
    } = settings;
    let Limits { requests_per_second, burst, concurrent } = limits;
    let UserActions { create, update, delete } = users;
    let recognised =
        dialect.recognised.as_ref().map(|found| json!({"dialect": dialect.name, "sign": found.sign}));
    let extension = role_and_teams.as_ref().map(|RoleAndTeams { extension }| extension.as_str());
    let facts: [(&str, Value); 17] = [
        ("name", name.as_str().into()),
        ("state", state.name().into()),
        ("preset", preset.as_str().into()),
        ("dialect", dialect.choice().into()),
        ("recognised", recognised.into()),
        ("scim_path", scim_path.as_str().into()),
        ("scim_enabled", (*scim_enabled).into()),
        ("scim_enabled_at_us", scim_enabled_at.micros().into()),
        ("groups", (*groups).into()),
        ("user_create", (*create).into()),
        ("user_update", (*update).into()),
        ("user_delete", (*delete).into()),
        ("lock_local_changes", (*lock_local_changes).into()),
        ("keep_deleted_days", (*keep_deleted_days).into()),
        ("log_retention_days", (*log_retention_days).into()),
        (
            "limits",
            json!({"requests_per_second": requests_per_second, "burst": burst, "concurrent": concurrent}),
        ),
        ("role_and_teams", extension.into()),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use platform::clock::{Clock, Timestamp};
    use platform::ids::TenantId;

    use super::*;
    use crate::domain::audit;
    use crate::domain::dialect::recognition;
    use crate::domain::preset;
    use crate::domain::tenant::Name;

    fn difference(before: &Tenant, after: &Tenant) -> (Value, Value) {
        audit::difference(facts(before).into(), facts(after).into())
    }

    fn tenant() -> Tenant {
        let name = Name::parse("Contoso").unwrap();
        let now = Timestamp::from_micros(1);
        Tenant::new(TenantId::new(&Clock::system()), &name, &preset::by_name("").unwrap(), now)
    }

    #[test]
    fn only_what_is_named_changes_and_the_audit_shows_just_that() {
        let before = tenant();
        let change = Change { groups: Some(false), user_create: Some(true), ..Change::default() };
        let after = change.apply(&before).unwrap();
        assert_eq!((after.version, after.settings.groups, after.settings.users.delete), (2, false, true));
        assert_eq!(difference(&before, &after), (json!({"groups": true}), json!({"groups": false})));
        assert_eq!(change.apply(&after).unwrap(), after, "twice is once");
    }

    #[test]
    fn choosing_auto_again_forgets_the_client() {
        let open = Change { dialect: Some(Choice::Auto), ..Change::default() }.apply(&tenant()).unwrap();
        assert_eq!((open.dialect.name.as_str(), open.dialect.choice()), ("entra", "auto"));
        let mut pinned = open.clone();
        pinned.dialect = recognition("okta", "header User-Agent", Timestamp::from_micros(2)).unwrap();
        let again = Change { dialect: Some(Choice::Auto), ..Change::default() }.apply(&pinned).unwrap();
        assert_eq!((again.version, again.dialect.is_open()), (3, true));
        let (before, after) = difference(&pinned, &again);
        assert_eq!(before, json!({"recognised": {"dialect": "okta", "sign": "header User-Agent"}}));
        assert_eq!(after, json!({"recognised": null}));
    }

    #[test]
    fn another_version_and_a_tenant_that_is_going_are_refused() {
        let stale = Change { expected_version: Some(7), groups: Some(false), ..Change::default() };
        assert_eq!(stale.apply(&tenant()).unwrap_err().kind, ErrorKind::VersionMismatch);
        let going = Change::to(State::Deleting).apply(&tenant()).unwrap();
        assert_eq!(Change::to(State::Active).apply(&going).unwrap_err().kind, ErrorKind::Conflict);
        assert_eq!(Change::to(State::Deleting).apply(&going).unwrap(), going);
    }
}
