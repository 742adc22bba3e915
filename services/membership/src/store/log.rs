//! Rows of the change log. They name ids, never names.

use platform::Result;
use platform::clock::Timestamp;
use platform::db::changelog::{self, Entry, Position};
use platform::ids::TenantId;
use sea_orm::DatabaseTransaction;
use serde_json::Value;
use uuid::Uuid;

use super::Author;

/// What happened to one group or user.
pub(super) struct Event {
    pub(super) resource: Uuid,
    /// Its version after the change.
    pub(super) version: i64,
    /// `group.created`, `group.updated`, `group.deleted`, `members.added`, `members.removed`, `user.projected`.
    pub(super) kind: &'static str,
    /// A JSON object.
    pub(super) payload: Value,
    pub(super) at: Timestamp,
}

/// Appends what was done on request.
pub(super) async fn append(txn: &DatabaseTransaction, author: &Author, event: Event) -> Result<Position> {
    let Event { resource, version, kind, mut payload, at } = event;
    if !author.request_id.is_empty() {
        payload["request_id"] = author.request_id.as_str().into();
    }
    changelog::append_for_living(txn, Entry { tenant: author.tenant, resource, version, kind, payload, at })
        .await
}

/// Appends what followed from a change elsewhere.
pub(super) async fn append_derived(
    txn: &DatabaseTransaction,
    tenant: TenantId,
    event: Event,
) -> Result<Position> {
    append(txn, &Author { tenant, request_id: String::new() }, event).await
}

/// The position of the last row this transaction appended, else of the log.
pub(super) async fn position_or_latest(
    txn: &DatabaseTransaction,
    position: Option<Position>,
) -> Result<Position> {
    match position {
        Some(position) => Ok(position),
        None => changelog::latest(txn).await,
    }
}
