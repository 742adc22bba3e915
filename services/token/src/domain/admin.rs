//! An administrator's secret: its facts.

use platform::clock::Timestamp;
use platform::ids::CredentialId;
use serde_json::{Value, json};

/// The most live secrets of administrators.
pub const MAX_LIVE: usize = 100;

/// What is known of an administrator's secret; never the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Its id, part of the secret.
    pub id: CredentialId,
    /// For people.
    pub label: String,
    /// Creation.
    pub created_at: Timestamp,
    /// Exact to a minute.
    pub last_used_at: Option<Timestamp>,
    /// It is dead since then.
    pub revoked_at: Option<Timestamp>,
}

impl Admin {
    /// A new one, never used.
    pub fn new(id: CredentialId, label: String, now: Timestamp) -> Self {
        Self { id, label, created_at: now, last_used_at: None, revoked_at: None }
    }

    /// For the audit.
    pub fn facts(&self) -> Value {
        let Self { id: _, label, created_at: _, last_used_at: _, revoked_at } = self;
        json!({"label": label, "revoked_at_us": revoked_at.map(Timestamp::micros)})
    }
}
