//! The projection of users: identity's changes, applied once each, in any order.

use std::collections::{BTreeMap, HashMap};

use platform::clock::Timestamp;
use platform::db::changelog::Position;
use platform::db::{Database, Transaction};
use platform::{Error, Result};
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};
use uuid::Uuid;

use super::log::{self, Change, Event};
use super::{CHUNK, Store};
use crate::domain::user::UserState;

impl Store {
    /// Applies one change. Of several in any order, the one of the highest version decides; a repetition does nothing.
    ///
    /// # Errors
    /// The database's.
    pub async fn apply_user(&self, state: UserState) -> Result<Position> {
        let at = self.now();
        self.db
            .write(move |txn| {
                let state = state.clone();
                Box::pin(async move {
                    let position = apply(txn, &state, at).await?;
                    log::position_or_latest(txn, state.tenant, position).await
                })
            })
            .await
    }
}

/// Applies one change inside a transaction; `None` when it was known already, or its tenant is gone: an error would stop
/// the log for all tenants.
pub(crate) async fn apply(txn: &Transaction, state: &UserState, at: Timestamp) -> Result<Option<Position>> {
    let before = Before::of(txn, state).await?;
    if before.purged {
        return Ok(None);
    }
    let mut position = None;
    if state.facts.is_none() {
        lock(txn, state).await?;
    } else if before.ended {
        lock(txn, state).await?;
        position = leave_what_a_race_left(txn, state, at).await?;
    }
    let applied = !before.known && upsert(txn, state).await?;
    let key = [Value::from(state.tenant.uuid()), state.id.uuid().into()];
    // PostgreSQL always, and behind the user's row: a membership that was parked meanwhile, by whoever did not see the user yet, or
    // while another applied the same change, was not there before.
    let may_race = txn.get_database_backend() == DbBackend::Postgres;
    if state.facts.is_some() && (before.parked || may_race) {
        heal(txn, std::slice::from_ref(state)).await?;
    } else if state.facts.is_none() && applied {
        execute(txn, "DELETE FROM group_members WHERE tenant_id = $1 AND member_id = $2", key).await?;
    }
    if !applied {
        return Ok(position);
    }
    let event = Event {
        resource: state.id.uuid(),
        version: state.version,
        change: Change::UserProjected {
            deleted: state.facts.is_none(),
            active: state.facts.as_ref().is_some_and(|facts| facts.active),
        },
        at,
    };
    log::append_derived(txn, state.tenant, event).await.map(Some)
}

/// Those changes that are not known yet, in their order, and the rest: mostly the gateway has brought them before the log does.
///
/// # Errors
/// The database's.
pub(crate) async fn news(db: &Database, states: Vec<UserState>) -> Result<(Vec<UserState>, Vec<UserState>)> {
    let mut versions: HashMap<(Uuid, Uuid), i64> = HashMap::with_capacity(states.len());
    for (tenant, users) in by_tenant(&states) {
        for users in users.chunks(CHUNK) {
            let (places, values) = listed(tenant, users);
            let sql =
                format!("SELECT user_id, version FROM users WHERE tenant_id = $1 AND user_id IN ({places})");
            let statement = Statement::from_sql_and_values(db.backend(), sql, values);
            for row in db.read().query_all_raw(statement).await? {
                versions.insert((tenant, row.try_get("", "user_id")?), row.try_get("", "version")?);
            }
        }
    }
    let is_known = |state: &UserState| {
        versions.get(&(state.tenant.uuid(), state.id.uuid())).is_some_and(|version| *version >= state.version)
    };
    Ok(states.into_iter().partition(|state| !is_known(state)))
}

/// Finds the memberships of known users that were parked while they were first applied.
///
/// # Errors
/// The database's.
pub(crate) async fn heal(txn: &Transaction, known: &[UserState]) -> Result<()> {
    for (tenant, users) in by_tenant(known) {
        for users in users.chunks(CHUNK) {
            let (places, values) = listed(tenant, users);
            let sql = heal_sql(&places);
            execute(txn, &sql, values).await?;
        }
    }
    Ok(())
}

/// `places` are those of the users. They are looked up by index first: by the condition on `member_type` alone, which no index has,
/// SQLite would read all members of the tenant, with each change of a user.
fn heal_sql(places: &str) -> String {
    format!(
        "UPDATE group_members SET member_type = 1 \
         WHERE (tenant_id, group_id, member_id) IN ( \
                 SELECT m.tenant_id, m.group_id, m.member_id FROM group_members m \
                 WHERE m.tenant_id = $1 AND m.member_id IN ({places})) \
             AND member_type = 0 AND EXISTS ( \
                 SELECT 1 FROM users u WHERE u.tenant_id = $1 AND u.user_id = group_members.member_id AND NOT u.deleted)"
    )
}

fn by_tenant(states: &[UserState]) -> BTreeMap<Uuid, Vec<Uuid>> {
    let mut tenants: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for state in states {
        tenants.entry(state.tenant.uuid()).or_default().push(state.id.uuid());
    }
    tenants
}

/// The tenant as `$1` and the users behind it. The last is repeated up to a power of two: each length is a statement of its own,
/// and connections remember many.
fn listed(tenant: Uuid, users: &[Uuid]) -> (String, Vec<Value>) {
    let length = users.len().next_power_of_two();
    let places: Vec<String> = (2..length + 2).map(|place| format!("${place}")).collect();
    let repeated = users.last().into_iter().cycle().take(length - users.len());
    let values = std::iter::once(&tenant).chain(users).chain(repeated).copied().map(Value::from).collect();
    (places.join(","), values)
}

/// What there is before a change is applied: most are known, since the gateway brings them before the log does.
struct Before {
    /// The tenant is gone.
    purged: bool,
    /// The user was deleted by an earlier version.
    ended: bool,
    /// This version or a later one was applied.
    known: bool,
    /// The user is a member of groups that did not know it.
    parked: bool,
}

/// The members are looked up by index first, as in [`heal_sql`].
const BEFORE: &str = "SELECT \
    EXISTS (SELECT 1 FROM purged_tenants WHERE tenant_id = $1) AS purged, \
    EXISTS (SELECT 1 FROM users WHERE tenant_id = $1 AND user_id = $2 AND deleted AND version < $3) AS ended, \
    EXISTS (SELECT 1 FROM users WHERE tenant_id = $1 AND user_id = $2 AND version >= $3) AS known, \
    EXISTS ( \
        SELECT 1 FROM group_members m JOIN group_members p \
            ON p.tenant_id = m.tenant_id AND p.group_id = m.group_id AND p.member_id = m.member_id \
        WHERE m.tenant_id = $1 AND m.member_id = $2 AND p.member_type = 0) AS parked";

impl Before {
    async fn of(txn: &Transaction, state: &UserState) -> Result<Self> {
        let values = [state.tenant.uuid().into(), state.id.uuid().into(), state.version.into()];
        let statement = Statement::from_sql_and_values(txn.get_database_backend(), BEFORE, values);
        let row = txn.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| Error::internal("a SELECT of values answered without a row"))?;
        let is = |name| row.try_get::<bool>("", name);
        Ok(Self { purged: is("purged")?, ended: is("ended")?, known: is("known")?, parked: is("parked")? })
    }
}

/// Whether the change ends a user or brings one back: it then has a transaction of its own, which begins with the user's lock. So
/// the order of the log, which is that of the transactions' beginnings, is the order in which memberships went.
///
/// # Errors
/// The database's.
pub(crate) async fn stands_alone(db: &Database, state: &UserState) -> Result<bool> {
    Ok(state.facts.is_none() || is_tombstone(db.read(), state).await?)
}

async fn is_tombstone<C: ConnectionTrait>(db: &C, state: &UserState) -> Result<bool> {
    let sql =
        "SELECT 1 AS found FROM users WHERE tenant_id = $1 AND user_id = $2 AND deleted AND version < $3";
    let values = [state.tenant.uuid().into(), state.id.uuid().into(), state.version.into()];
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, values);
    Ok(db.query_one_raw(statement).await?.is_some())
}

/// Waits for whoever is adding this user to a group, who holds its row by a weaker lock. Other changes of users don't wait.
async fn lock(txn: &Transaction, state: &UserState) -> Result<()> {
    if txn.get_database_backend() == DbBackend::Postgres {
        let sql = "SELECT 1 FROM users WHERE tenant_id = $1 AND user_id = $2 FOR UPDATE";
        execute(txn, sql, [state.tenant.uuid().into(), state.id.uuid().into()]).await?;
    }
    Ok(())
}

/// A user that was deleted and comes back is a member of nothing. Its rows went when it was deleted, but for one that was parked
/// at that very moment: it goes now, and the log says so, for whoever follows it may have kept the membership.
async fn leave_what_a_race_left(
    txn: &Transaction,
    state: &UserState,
    at: Timestamp,
) -> Result<Option<Position>> {
    let sql = "DELETE FROM group_members WHERE tenant_id = $1 AND member_id = $2 AND EXISTS ( \
             SELECT 1 FROM users u WHERE u.tenant_id = $1 AND u.user_id = $2 AND u.deleted AND u.version < $3) \
         RETURNING group_id";
    let values = [state.tenant.uuid().into(), state.id.uuid().into(), state.version.into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    let mut position = None;
    for row in txn.query_all_raw(statement).await? {
        let group: Uuid = row.try_get("", "group_id")?;
        let change = Change::MembersRemoved(vec![state.id.uuid()]);
        // The version of the group says that the group itself was changed: it was not.
        let event = Event { resource: group, version: 0, change, at };
        position = Some(log::append_derived(txn, state.tenant, event).await?);
    }
    Ok(position)
}

/// Whether the change was news.
async fn upsert(txn: &Transaction, state: &UserState) -> Result<bool> {
    let facts = state.facts.as_ref();
    let user_name = facts.map(|facts| facts.user_name.clone()).unwrap_or_default();
    let team_ids = facts.map(|facts| facts.team_ids.clone()).unwrap_or_default();
    let team_slugs = facts.map(|facts| facts.team_slugs.clone()).unwrap_or_default();
    let values: [Value; 12] = [
        state.tenant.uuid().into(),
        state.id.uuid().into(),
        state.version.into(),
        facts.is_none().into(),
        scim::fold_str(&user_name).into(),
        user_name.into(),
        facts.and_then(|facts| facts.external_id.clone()).into(),
        facts.and_then(|facts| facts.display_name.clone()).into(),
        facts.is_some_and(|facts| facts.active).into(),
        facts.and_then(|facts| facts.role.clone()).into(),
        serde_json::Value::from(team_ids).into(),
        serde_json::Value::from(team_slugs).into(),
    ];
    let sql = "INSERT INTO users (tenant_id, user_id, version, deleted, user_name_key, user_name, external_id, display_name, active, \
             role, team_ids, team_slugs) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (tenant_id, user_id) DO UPDATE SET version = excluded.version, deleted = excluded.deleted, \
             user_name_key = excluded.user_name_key, user_name = excluded.user_name, \
             external_id = excluded.external_id, display_name = excluded.display_name, active = excluded.active, \
             role = excluded.role, team_ids = excluded.team_ids, team_slugs = excluded.team_slugs \
         WHERE users.version < excluded.version";
    Ok(execute(txn, sql, values).await? > 0)
}

async fn execute(txn: &Transaction, sql: &str, values: impl IntoIterator<Item = Value>) -> Result<u64> {
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    Ok(txn.execute_raw(statement).await?.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::super::plan_within_the_tenant;
    use super::*;

    /// A change of one user reads that user's memberships: not the tenant's, of which there may be millions.
    #[test]
    fn a_users_change_reads_no_others_memberships() {
        testkit::db::run(testkit::db::Backend::Sqlite, testkit::db::Service::Membership, |db| async move {
            for sql in [BEFORE.to_owned(), heal_sql("$2,$3")] {
                let steps = plan_within_the_tenant(&db, &sql).await;
                let members: Vec<String> = steps.into_iter().filter(|step| step.contains("member")).collect();
                assert!(!members.is_empty());
                for step in members {
                    assert!(step.contains("member_id=?"), "{step} in {sql}");
                }
            }
        });
    }
}
