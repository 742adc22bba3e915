//! Rows of the change log: the one place that names their kinds and the shape of their payloads. They name ids, never names.
//!
//! | kind | resource | payload |
//! |---|---|---|
//! | `group.created`, `group.updated` | the group | `{}`: read the group as it is now |
//! | `group.deleted` | the group | `{}`: gone, with the memberships in it and of it |
//! | `members.added` | the group | `{"ids": […]}`, at most [`IDS_PER_ROW`] |
//! | `members.removed` | the group | `{"ids": […]}`, or `{"all": true, "count": n}` |
//! | `user.projected` | the user | `{"deleted": bool, "active": bool}`; a deleted one left every group |
//! | `tenant.purged` | the tenant | `{}`: everything of it is gone, its earlier rows too |
//!
//! `request_id` stands in the payload of whatever a request did. Rows of kinds that are not in the table come from a newer
//! version and are passed over.
//!
//! **Order.** The rows of one group follow one another as its changes did, for each locks the group's row first; and the end and
//! the return of a user have transactions of their own that begin with the user's lock, so that they stand where they
//! took effect among the rows that add it. Not so other changes of a user on PostgreSQL: the follower of identity's log
//! applies many users in one transaction, whose place is that of its beginning, so the row of version 6 may come before that
//! of version 5. Whoever keeps users compares versions, or reads the user as it is now.
//!
//! A user that was deleted and comes back with a higher version is a member of nothing: what a race left of its
//! memberships is removed with a row of its own.

use platform::Result;
use platform::clock::Timestamp;
use platform::db::Transaction;
use platform::db::changelog::{self, Entry, Position, Record};
use platform::ids::TenantId;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Author;

/// Ids in one row.
pub(crate) const IDS_PER_ROW: usize = 1000;

/// What happened to the resource of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A group is there.
    GroupCreated,
    /// Its attributes changed.
    GroupUpdated,
    /// It is gone, with its memberships and its places in other groups.
    GroupDeleted,
    /// These are direct members of the group now.
    MembersAdded(Vec<Uuid>),
    /// These are direct members of the group no more.
    MembersRemoved(Vec<Uuid>),
    /// Nobody is a direct member of the group any more; so many were.
    Emptied(u64),
    /// Something about a user changed.
    UserProjected {
        /// It is gone, and in no group any more.
        deleted: bool,
        /// Whether it counts as a member.
        active: bool,
    },
    /// Everything of the tenant is gone.
    TenantPurged,
}

impl Change {
    /// What a row says; `None` for a kind that this version does not know.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let payload = &record.payload;
        Some(match record.kind.as_str() {
            "group.created" => Self::GroupCreated,
            "group.updated" => Self::GroupUpdated,
            "group.deleted" => Self::GroupDeleted,
            "members.added" => Self::MembersAdded(ids(payload)),
            "members.removed" if payload["all"] == true => {
                Self::Emptied(payload["count"].as_u64().unwrap_or_default())
            }
            "members.removed" => Self::MembersRemoved(ids(payload)),
            "user.projected" => {
                Self::UserProjected { deleted: payload["deleted"] == true, active: payload["active"] == true }
            }
            "tenant.purged" => Self::TenantPurged,
            _ => return None,
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::GroupCreated => "group.created",
            Self::GroupUpdated => "group.updated",
            Self::GroupDeleted => "group.deleted",
            Self::MembersAdded(_) => "members.added",
            Self::MembersRemoved(_) | Self::Emptied(_) => "members.removed",
            Self::UserProjected { .. } => "user.projected",
            Self::TenantPurged => "tenant.purged",
        }
    }

    fn payload(&self) -> Value {
        match self {
            Self::GroupCreated | Self::GroupUpdated | Self::GroupDeleted | Self::TenantPurged => json!({}),
            Self::MembersAdded(ids) | Self::MembersRemoved(ids) => json!({ "ids": ids }),
            Self::Emptied(count) => json!({ "all": true, "count": count }),
            Self::UserProjected { deleted, active } => json!({ "deleted": deleted, "active": active }),
        }
    }
}

fn ids(payload: &Value) -> Vec<Uuid> {
    let ids = payload["ids"].as_array().map(Vec::as_slice).unwrap_or_default();
    ids.iter().filter_map(|id| Uuid::try_parse(id.as_str()?).ok()).collect()
}

/// A change of one group, user or tenant.
pub(super) struct Event {
    pub(super) resource: Uuid,
    /// Its version after the change.
    pub(super) version: i64,
    pub(super) change: Change,
    pub(super) at: Timestamp,
}

impl Event {
    fn entry(self, author: &Author) -> Entry {
        let Event { resource, version, change, at } = self;
        let mut payload = change.payload();
        if !author.request_id.is_empty() {
            payload["request_id"] = author.request_id.as_str().into();
        }
        Entry { tenant: author.tenant, resource, version, kind: change.kind(), payload, at }
    }
}

/// Appends what was done on request.
pub(super) async fn append(txn: &Transaction, author: &Author, event: Event) -> Result<Position> {
    changelog::append_for_living(txn, event.entry(author)).await
}

/// Appends what followed from a change elsewhere.
pub(super) async fn append_derived(txn: &Transaction, tenant: TenantId, event: Event) -> Result<Position> {
    append(txn, &Author { tenant, request_id: String::new() }, event).await
}

/// Appends the last row there is of a tenant.
pub(super) async fn append_end(txn: &Transaction, tenant: TenantId, at: Timestamp) -> Result<Position> {
    let event = Event { resource: tenant.uuid(), version: 1, change: Change::TenantPurged, at };
    changelog::append(txn, event.entry(&Author { tenant, request_id: String::new() })).await
}

/// The position of the last row this transaction appended; else one that includes whatever it saw of the tenant.
pub(super) async fn position_or_latest(
    txn: &Transaction,
    tenant: TenantId,
    position: Option<Position>,
) -> Result<Position> {
    match position {
        Some(position) => Ok(position),
        None => changelog::latest_seen(txn, tenant).await,
    }
}

#[cfg(test)]
mod tests {
    use platform::clock::Clock;

    use super::*;

    fn read_back(kind: &str, payload: Value) -> Option<Change> {
        let clock = Clock::system();
        Change::of(&Record {
            position: Position::default(),
            tenant: TenantId::new(&clock),
            resource: Uuid::nil(),
            version: 1,
            kind: kind.to_owned(),
            payload,
            at: clock.now(),
        })
    }

    #[test]
    fn what_is_written_is_understood() {
        let changes = [
            Change::GroupCreated,
            Change::GroupUpdated,
            Change::GroupDeleted,
            Change::MembersAdded(vec![Uuid::from_u128(1), Uuid::from_u128(2)]),
            Change::MembersRemoved(vec![Uuid::from_u128(3)]),
            Change::Emptied(7),
            Change::UserProjected { deleted: false, active: true },
            Change::UserProjected { deleted: true, active: false },
            Change::TenantPurged,
        ];
        for change in changes {
            assert_eq!(read_back(change.kind(), change.payload()), Some(change));
        }
        assert_eq!(read_back("group.painted", json!({})), None);
    }
}
