//! Whether what membership keeps of a user agrees with what identity says.

use platform::{Error, Result};
use serde_json::Value;
use uuid::Uuid;

/// A user as identity exports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Who.
    pub id: Uuid,
    /// Counts its changes.
    pub version: i64,
    /// userName.
    pub user_name: String,
    /// externalId.
    pub external_id: Option<String>,
    /// displayName.
    pub display_name: Option<String>,
    /// Whether it is active; `None` when the resource does not say.
    pub active: Option<bool>,
}

impl Expected {
    /// From the JSON of an export.
    ///
    /// # Errors
    /// `InvalidValue` when it is none.
    pub fn read(json: &[u8]) -> Result<Self> {
        let user: Value = serde_json::from_slice(json).map_err(|error| invalid().with_cause(error))?;
        let resource = &user["resource"];
        let text = |name: &str| resource[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Ok(Self {
            id: user["id"].as_str().and_then(|id| Uuid::try_parse(id).ok()).ok_or_else(invalid)?,
            version: user["version"].as_i64().ok_or_else(invalid)?,
            user_name: text("userName").ok_or_else(invalid)?,
            external_id: text("externalId"),
            display_name: text("displayName"),
            active: resource["active"].as_bool(),
        })
    }
}

fn invalid() -> Error {
    Error::invalid_value("users must be the items of kind `user` of identity's ExportTenant, unchanged")
}

/// Two things that do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `user.missing`, `member.orphan` …
    pub what: &'static str,
    /// The user or member.
    pub id: Uuid,
    /// The group of a membership.
    pub group: Option<Uuid>,
    /// What is here and what should be.
    pub detail: String,
}

/// The most differences that are told.
pub const MOST_DIFFERENCES: usize = 1000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Of the tenant.
    pub groups: i64,
    /// Direct ones.
    pub memberships: i64,
    /// Whether the tenant was in the index.
    pub index_compared: bool,
    /// At most [`MOST_DIFFERENCES`].
    pub differences: Vec<Difference>,
    /// There are more.
    pub truncated: bool,
}

impl Report {
    /// Notes a difference.
    pub fn note(&mut self, what: &'static str, id: Uuid, group: Option<Uuid>, detail: impl Into<String>) {
        if self.differences.len() < MOST_DIFFERENCES {
            self.differences.push(Difference { what, id, group, detail: detail.into() });
        } else {
            self.truncated = true;
        }
    }
}
