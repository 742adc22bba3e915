//! One request of a tenant's client and its answer.

use platform::clock::Timestamp;
use platform::ids::TenantId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What came of a request, as it is searched by. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i16)]
pub(crate) enum Outcome {
    Changed = 1,
    Unchanged = 2,
    Warning = 3,
    Refused = 4,
    Failed = 5,
}

impl Outcome {
    pub(crate) const ALL: [Outcome; 5] =
        [Outcome::Changed, Outcome::Unchanged, Outcome::Warning, Outcome::Refused, Outcome::Failed];

    pub(crate) fn number(self) -> i16 {
        self as i16
    }

    pub(crate) fn from_number(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.number() == number)
    }
}

/// One exchange: what it is searched by, and the rest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Exchange {
    pub(crate) tenant: TenantId,
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) outcome: Outcome,
    pub(crate) request_id: String,
    pub(crate) expires_at: Timestamp,
    pub(crate) facts: Facts,
}

/// What is only read, never searched by. Stored as JSON: a field that is added needs a default for the rows before it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Facts {
    pub(crate) actor_id: String,
    pub(crate) actor_label: String,
    pub(crate) action: String,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) status: i32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) error: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) detail: String,
    /// The number of `rollcall.common.v1.Dialect`.
    pub(crate) dialect: i32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) resource_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) resource_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) resource_external_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) resource_name: String,
    pub(crate) version: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<Warning>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) changes: Vec<Change>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) members_added: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) members_removed: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) members_truncated: bool,
    pub(crate) latency_us: i64,
}

/// What was skipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Warning {
    pub(crate) attribute: String,
    pub(crate) detail: String,
}

/// What became different in one attribute. The values are JSON, or empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) path: String,
    pub(crate) before: String,
    pub(crate) after: String,
}
