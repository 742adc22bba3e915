//! The projection of users: identity's changes, applied once each, in any order.

use platform::Result;
use platform::clock::Timestamp;
use platform::db::changelog::Position;
use platform::db::purged;
use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement, Value};
use serde_json::json;

use super::Store;
use super::log::{self, Event};
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
                    log::position_or_latest(txn, position).await
                })
            })
            .await
    }
}

/// Applies one change inside a transaction; `None` when it was known already, or its tenant is gone: an error would stop
/// the log for all tenants.
pub(crate) async fn apply(
    txn: &DatabaseTransaction,
    state: &UserState,
    at: Timestamp,
) -> Result<Option<Position>> {
    if purged::contains(txn, state.tenant).await? {
        return Ok(None);
    }
    let applied = upsert(txn, state).await?;
    let key = [Value::from(state.tenant.uuid()), state.id.uuid().into()];
    if state.facts.is_some() {
        // Also when the change was known: a membership that was parked while it was first applied is found now.
        let heal = "UPDATE group_members SET member_type = 1 \
             WHERE tenant_id = $1 AND member_id = $2 AND member_type = 0 AND EXISTS ( \
                 SELECT 1 FROM users u WHERE u.tenant_id = $1 AND u.user_id = $2 AND NOT u.deleted)";
        execute(txn, heal, key).await?;
    } else if applied {
        execute(txn, "DELETE FROM group_members WHERE tenant_id = $1 AND member_id = $2", key).await?;
    }
    if !applied {
        return Ok(None);
    }
    let event = Event {
        resource: state.id.uuid(),
        version: state.version,
        kind: "user.projected",
        payload: json!({
            "deleted": state.facts.is_none(),
            "active": state.facts.as_ref().is_some_and(|facts| facts.active),
        }),
        at,
    };
    log::append_derived(txn, state.tenant, event).await.map(Some)
}

/// Whether the change was news.
async fn upsert(txn: &DatabaseTransaction, state: &UserState) -> Result<bool> {
    let facts = state.facts.as_ref();
    let user_name = facts.map(|facts| facts.user_name.clone()).unwrap_or_default();
    let team_ids = facts.map(|facts| facts.team_ids.clone()).unwrap_or_default();
    let values: [Value; 11] = [
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
    ];
    let sql = "INSERT INTO users (tenant_id, user_id, version, deleted, user_name_key, user_name, external_id, display_name, active, \
             role, team_ids) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         ON CONFLICT (tenant_id, user_id) DO UPDATE SET version = excluded.version, deleted = excluded.deleted, \
             user_name_key = excluded.user_name_key, user_name = excluded.user_name, \
             external_id = excluded.external_id, display_name = excluded.display_name, active = excluded.active, \
             role = excluded.role, team_ids = excluded.team_ids \
         WHERE users.version < excluded.version";
    Ok(execute(txn, sql, values).await? > 0)
}

async fn execute(
    txn: &DatabaseTransaction,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Result<u64> {
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    Ok(txn.execute_raw(statement).await?.rows_affected())
}
