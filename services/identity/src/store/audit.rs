//! The audit: what administrators did, in the transaction that did it. What provisioning clients do stands in the provisioning
//! log.

use std::time::Duration;

use platform::Result;
use platform::clock::{Clock, Timestamp};
use platform::db::Transaction;
use platform::db::page::json_bytes;
use platform::ids::{TenantId, UserId};
use scim::{Difference, Map};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use serde_json::Value;
use uuid::Uuid;

use super::entities::audit_events;
use super::{Author, Store};

/// Bytes of events after which a page ends, full or not: schemas can be large.
const PAGE_BYTES: usize = 2 * 1024 * 1024;
/// Between an event's time and that of its id, which is made a moment later.
const SLACK: Duration = Duration::from_secs(1);

/// Something that was done.
#[derive(Debug)]
pub(super) struct Deed {
    /// `team.created`
    pub(super) action: &'static str,
    /// An id or a URN.
    pub(super) resource: String,
    /// What was otherwise before, and how it is now.
    pub(super) before: Map,
    pub(super) after: Map,
}

/// Which events are wanted, latest first.
#[derive(Clone, Debug)]
pub(crate) struct AuditQuery {
    /// Of all tenants when none.
    pub(crate) tenant: Option<TenantId>,
    /// Not before.
    pub(crate) from: Option<Timestamp>,
    /// Before.
    pub(crate) until: Option<Timestamp>,
    /// Behind this one, in the order of the list.
    pub(crate) after: Option<Uuid>,
    pub(crate) limit: u64,
}

/// An event as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AuditEvent {
    pub(crate) id: Uuid,
    pub(crate) at: Timestamp,
    pub(crate) actor: String,
    pub(crate) tenant: TenantId,
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) before: Option<Value>,
    pub(crate) after: Option<Value>,
    pub(crate) request_id: String,
}

impl Deed {
    /// Of a user: what became different, hidden where the schema says so.
    pub(super) fn to_user(action: &'static str, user: UserId, differences: &[Difference]) -> Self {
        let (mut before, mut after) = (Map::new(), Map::new());
        for Difference { path, before: old, after: new } in differences {
            note(&mut before, path, old.as_deref());
            note(&mut after, path, new.as_deref());
        }
        Self { action, resource: user.to_string(), before, after }
    }

    /// Of something else: of its states before and after only what is not the same.
    pub(super) fn between(action: &'static str, resource: String, mut before: Map, mut after: Map) -> Self {
        let same: Vec<String> = before
            .iter()
            .filter(|(name, value)| after.get(*name) == Some(value))
            .map(|it| it.0.clone())
            .collect();
        for name in same {
            before.remove(&name);
            after.remove(&name);
        }
        Self { action, resource, before, after }
    }
}

/// Puts a value under its path; several of one path (elements of an attribute) become an array.
fn note(state: &mut Map, path: &str, json: Option<&str>) {
    let Some(value) = json.and_then(|json| serde_json::from_str::<Value>(json).ok()) else { return };
    match state.get_mut(path) {
        None => _ = state.insert(path.to_owned(), value),
        Some(Value::Array(several)) => several.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// Records a deed. The transaction must append to the change log too: that is what keeps a purged tenant's data away.
pub(super) async fn record(
    transaction: &Transaction,
    clock: &Clock,
    author: &Author,
    deed: Deed,
) -> Result<()> {
    let Deed { action, resource, before, after } = deed;
    let state = |state: Map| Some(Value::Object(state)).filter(|state| state != &Value::Object(Map::new()));
    let event = audit_events::ActiveModel {
        tenant_id: Set(author.tenant.uuid()),
        at_us: Set(clock.now().micros()),
        id: Set(platform::ids::new_uuid(clock)),
        actor: Set(author.actor.clone()),
        action: Set(action.to_owned()),
        resource: Set(resource),
        state_before: Set(state(before)),
        state_after: Set(state(after)),
        request_id: Set(author.request_id.clone()),
    };
    audit_events::Entity::insert(event).exec_without_returning(transaction).await?;
    Ok(())
}

impl Store {
    /// A page of the audit, which may be some seconds old, and behind which event the next one begins.
    #[expect(clippy::disallowed_methods, reason = "the operator's audit is that of all tenants")]
    pub(crate) async fn audit(&self, query: AuditQuery) -> Result<(Vec<AuditEvent>, Option<Uuid>)> {
        use audit_events::Column::{AtUs, Id, TenantId as Tenant};

        let AuditQuery { tenant, from, until, after, limit } = query;
        let mut select = audit_events::Entity::find();
        if let Some(tenant) = tenant {
            select = select.filter(Tenant.eq(tenant.uuid()));
        }
        // Ids are in the order of time, so that the bounds are a range of the index.
        if let Some(from) = from {
            select = select.filter(Id.gte(first_id(from.minus(SLACK)))).filter(AtUs.gte(from.micros()));
        }
        if let Some(until) = until {
            select = select.filter(Id.lt(first_id(until.plus(SLACK)))).filter(AtUs.lt(until.micros()));
        }
        if let Some(after) = after {
            select = select.filter(Id.lt(after));
        }
        // One more than the page tells whether there is another.
        let db = self.db.read_page_of_log(after.map(time_of), self.clock.now());
        let rows = select.order_by_desc(Id).limit(limit + 1).all(db).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut events: Vec<AuditEvent> = Vec::new();
        let mut bytes = 0;
        for row in rows {
            let event = event(row);
            bytes += [&event.before, &event.after].into_iter().flatten().map(json_bytes).sum::<usize>();
            let is_full = events.len() == limit || (bytes > PAGE_BYTES && !events.is_empty());
            if is_full {
                let last = events.last().map(|last| last.id);
                return Ok((events, last));
            }
            events.push(event);
        }
        Ok((events, None))
    }
}

/// No id made at that time or later is smaller.
fn first_id(at: Timestamp) -> Uuid {
    const LATEST_MILLISECOND: u64 = (1 << 48) - 1;
    let milliseconds = u64::try_from(at.micros().div_euclid(1000)).unwrap_or(0).min(LATEST_MILLISECOND);
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &[0; 10]).into_uuid()
}

/// When an id of an event was made.
fn time_of(id: Uuid) -> Timestamp {
    let milliseconds = i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX);
    Timestamp::from_micros(milliseconds.saturating_mul(1000))
}

fn event(row: audit_events::Model) -> AuditEvent {
    let audit_events::Model {
        tenant_id,
        id,
        at_us,
        actor,
        action,
        resource,
        state_before,
        state_after,
        request_id,
    } = row;
    AuditEvent {
        id,
        at: Timestamp::from_micros(at_us),
        actor,
        tenant: TenantId::from_uuid(tenant_id),
        action,
        resource,
        before: state_before,
        after: state_after,
        request_id,
    }
}

/// Removes some of a tenant's events.
pub(super) async fn purge_batch(transaction: &Transaction, tenant: TenantId, limit: u64) -> Result<u64> {
    let some = of_tenant(tenant).select_only().column(audit_events::Column::Id).limit(limit);
    let ids: Vec<Uuid> = some.into_tuple().all(transaction).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let deleted = audit_events::Entity::delete_many()
        .filter(audit_events::Column::TenantId.eq(tenant.uuid()))
        .filter(audit_events::Column::Id.is_in(ids))
        .exec(transaction)
        .await?;
    Ok(deleted.rows_affected)
}

#[expect(clippy::disallowed_methods, reason = "limits a query to a tenant, as `in_tenant` does for users")]
fn of_tenant(tenant: TenantId) -> Select<audit_events::Entity> {
    audit_events::Entity::find().filter(audit_events::Column::TenantId.eq(tenant.uuid()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_of_a_time_are_not_below_its_first_and_below_the_next() {
        let at = Timestamp::from_micros(1_795_000_000_123_456);
        let clock = Clock::manual(at);
        for _ in 0..100 {
            let id = platform::ids::new_uuid(&clock);
            assert!(first_id(at) <= id && id < first_id(at.plus(Duration::from_millis(1))));
        }
        assert!(first_id(Timestamp::from_micros(i64::MIN)) < first_id(at));
        assert!(first_id(Timestamp::from_micros(i64::MAX)) > first_id(at));
    }

    #[test]
    fn what_stayed_the_same_is_no_news() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let deed = Deed::between(
            "x",
            "y".into(),
            map(json!({ "a": 1, "b": 2 })),
            map(json!({ "a": 1, "b": 3, "c": 4 })),
        );
        assert_eq!((deed.before, deed.after), (map(json!({ "b": 2 })), map(json!({ "b": 3, "c": 4 }))));
        let mut state = Map::new();
        for json in [Some("1"), None, Some("2"), Some("3")] {
            note(&mut state, "a", json);
        }
        assert_eq!(state, map(json!({ "a": [1, 2, 3] })));
    }
}
