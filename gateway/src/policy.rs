//! What a tenant's settings allow its client: the one place that refuses. Whoever carries out a write asks [`Policy::write`],
//! whoever shows groups asks [`Policy::groups`] (refuse) or [`Policy::has_groups`] (leave them out), discovery tells the same.

use ::scim::ErrorKind;
use proto::token::v1::{Limits, Settings};

use crate::error::{Error, Result};
use crate::scim::write::{Kind, Write};

/// The settings of a tenant, as far as they allow or refuse something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    groups: bool,
    user_create: bool,
    user_update: bool,
    user_delete: bool,
    keep_deleted_days: i32,
    limits: Limits,
}

impl From<Settings> for Policy {
    fn from(settings: Settings) -> Self {
        let Settings {
            groups,
            user_create,
            user_update,
            user_delete,
            lock_local_changes: _,
            keep_deleted_days,
            log_retention_days: _,
            limits,
        } = settings;
        Self {
            groups,
            user_create,
            user_update,
            user_delete,
            keep_deleted_days,
            limits: limits.unwrap_or_default(),
        }
    }
}

impl Policy {
    /// Whether there are groups at all.
    pub(crate) fn has_groups(self) -> bool {
        self.groups
    }

    /// What is refused to a tenant's client is not refused to administrators.
    pub(crate) fn of_administrators(self) -> Self {
        Self { user_create: true, user_update: true, user_delete: true, ..self }
    }

    /// How much the tenant may ask.
    pub(crate) fn limits(self) -> Limits {
        self.limits
    }

    /// For how many days a deleted user is kept, suspended; 0 deletes for good.
    pub(crate) fn keep_deleted_days(self) -> i32 {
        self.keep_deleted_days
    }

    /// Whether there is anything that PATCH is for.
    pub(crate) fn has_patch(self) -> bool {
        self.groups || self.user_update
    }

    /// Lets through what is about groups.
    ///
    /// # Errors
    /// `Forbidden` that names the setting.
    pub(crate) fn groups(self) -> Result<()> {
        allow(self.groups, "this tenant has no groups", "groups")
    }

    /// Lets a write through.
    ///
    /// # Errors
    /// `Forbidden` that names the setting.
    pub(crate) fn write(self, kind: Kind, write: &Write) -> Result<()> {
        match (kind, write) {
            (Kind::Group, _) => self.groups(),
            (Kind::User, Write::Create { .. }) => {
                allow(self.user_create, "users of this tenant cannot be created", "users.create")
            }
            (Kind::User, Write::Replace { .. } | Write::Patch { .. }) => {
                allow(self.user_update, "users of this tenant cannot be changed", "users.update")
            }
            (Kind::User, Write::Delete { .. }) => {
                allow(self.user_delete, "users of this tenant cannot be deleted", "users.delete")
            }
        }
    }
}

fn allow(allowed: bool, what: &str, setting: &str) -> Result<()> {
    if allowed {
        return Ok(());
    }
    let detail = format!(
        "{what} by SCIM: its setting `{setting}` is off; an administrator of the platform can switch it on"
    );
    Err(Error::new(ErrorKind::Forbidden, detail))
}
