//! A provisioning secret's facts.

use std::time::Duration;

use platform::clock::Timestamp;
use platform::ids::{CredentialId, TenantId};
use platform::{Error, Result};
use serde_json::{Value, json};

/// The most live secrets of a tenant.
pub const MAX_LIVE: usize = 20;
/// A revoked or expired secret stays in the list this long.
pub const REMEMBERED: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is known of a provisioning secret; never the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its id, part of the secret.
    pub id: CredentialId,
    /// Whose.
    pub tenant: TenantId,
    /// For people.
    pub label: String,
    /// Creation.
    pub created_at: Timestamp,
    /// It is dead from then on.
    pub expires_at: Option<Timestamp>,
    /// Exact to a minute.
    pub last_used_at: Option<Timestamp>,
    /// It is dead since then.
    pub revoked_at: Option<Timestamp>,
    /// The secret it was made to replace, and how that went.
    pub rotation: Option<Rotation>,
}

/// One secret taking the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The secret that is replaced.
    pub replaces: CredentialId,
    /// How far it is.
    pub stage: Stage,
}

/// How far a rotation is. The two ends are for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Both secrets work.
    Started,
    /// The secret that was to be replaced is revoked.
    Completed,
    /// The successor is revoked.
    Cancelled,
}

impl Stage {
    const ALL: [Stage; 3] = [Stage::Started, Stage::Completed, Stage::Cancelled];

    /// As it stands in the column.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Started => "started",
            Stage::Completed => "completed",
            Stage::Cancelled => "cancelled",
        }
    }

    /// The stage of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

impl Credential {
    /// A new one, never used.
    pub fn new(
        id: CredentialId,
        tenant: TenantId,
        label: String,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            tenant,
            label,
            created_at: now,
            expires_at,
            last_used_at: None,
            revoked_at: None,
            rotation: None,
        }
    }

    /// Whether it lets anybody in.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| now < at)
    }

    /// For the audit.
    pub fn facts(&self) -> Value {
        let Self {
            id: _,
            tenant: _,
            label,
            created_at: _,
            expires_at,
            last_used_at: _,
            revoked_at,
            rotation,
        } = self;
        json!({
            "label": label,
            "expires_at_us": expires_at.map(Timestamp::micros),
            "revoked_at_us": revoked_at.map(Timestamp::micros),
            "replaces": rotation.map(|it| it.replaces.to_string()),
            "rotation": rotation.map(|it| it.stage.name()),
        })
    }

    /// The secret that this one is about to replace.
    pub fn replacing(&self) -> Option<CredentialId> {
        let under_way = self.rotation.filter(|it| it.stage == Stage::Started && self.revoked_at.is_none());
        under_way.map(|it| it.replaces)
    }
}

/// Reads an expiry from the wire: 0 is none.
///
/// # Errors
/// `InvalidValue` unless it lies in the future.
pub fn expiry(expires_at_us: i64, now: Timestamp) -> Result<Option<Timestamp>> {
    let at = Timestamp::from_micros(expires_at_us);
    match expires_at_us {
        0 => Ok(None),
        _ if now < at => Ok(Some(at)),
        _ => Err(Error::invalid_value(
            "expires_at_us must lie in the future (microseconds since the Unix epoch), or be 0 for a secret that does not expire",
        )
        .with_attribute("expires_at_us")),
    }
}

/// The beginning of the minute.
pub fn minute(at: Timestamp) -> Timestamp {
    const MINUTE_US: i64 = 60_000_000;
    Timestamp::from_micros(at.micros().div_euclid(MINUTE_US) * MINUTE_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_none_or_in_the_future() {
        let now = Timestamp::from_micros(10);
        assert_eq!(expiry(0, now).unwrap(), None);
        assert_eq!(expiry(11, now).unwrap(), Some(Timestamp::from_micros(11)));
        assert!(expiry(10, now).is_err());
        assert!(expiry(-1, now).is_err());
    }

    #[test]
    fn minutes_begin_at_zero_seconds() {
        assert_eq!(minute(Timestamp::from_micros(60_000_000)).micros(), 60_000_000);
        assert_eq!(minute(Timestamp::from_micros(119_999_999)).micros(), 60_000_000);
    }
}
