//! The service's change log: what followers are told of users.

use platform::clock::Timestamp;
use platform::db::Transaction;
use platform::db::changelog::{self, Entry, Position, Record};
use platform::db::retention;
use platform::ids::{TeamId, TenantId, UserId};
use platform::{Error, Result};
use scim::Warning;
use sea_orm::{ConnectionTrait, DbBackend, Statement, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Author, Store};
use crate::domain::User;
use crate::domain::role_teams::{role_of, slugs_of, teams_of};

pub(super) const CREATED: &str = "user.created";
pub(super) const UPDATED: &str = "user.updated";
/// For good, or suspended: followers need not know which.
pub(super) const DELETED: &str = "user.deleted";
pub(super) const RESTORED: &str = "user.restored";

/// The rows that say all there is to know of a user, so that a later one supersedes those before. Rows of other kinds (`team.…`,
/// `schema.…`) tell that something was done and are no followers' business.
pub(crate) const FULL_STATES: [&str; 4] = [CREATED, UPDATED, DELETED, RESTORED];

/// What a follower needs to know of a user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    /// After the change; a deletion counts one up.
    pub(crate) version: i64,
    /// What the user is now; none when it is gone.
    pub(crate) state: Option<State>,
}

/// The part of a user that followers keep.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) user_name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) active: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) teams: Vec<TeamId>,
    /// Of the teams, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) slugs: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
}

/// The payload of an entry about a user.
#[derive(Serialize, Deserialize)]
struct Payload {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    request_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    actor: String,
    state: Option<State>,
    /// What was skipped of the request, for an administrator to see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Skipped>,
}

#[derive(Serialize, Deserialize)]
struct Skipped {
    attribute: String,
    detail: String,
}

/// A change and the position behind it.
pub(crate) struct Followed {
    pub(crate) position: Position,
    /// None for a change of something else than a user.
    pub(crate) change: Option<Change>,
}

impl Change {
    /// `role_teams` is the URN of the extension that has them.
    pub(crate) fn of(tenant: TenantId, user: &User, role_teams: Option<&str>) -> Self {
        let state = State {
            user_name: user.user_name().to_owned(),
            external_id: user.external_id().map(str::to_owned),
            display_name: user.display_name().map(str::to_owned),
            active: user.active(),
            role: role_teams.and_then(|urn| role_of(urn, &user.attributes)).map(str::to_owned),
            teams: role_teams.map(|urn| teams_of(urn, &user.attributes)).unwrap_or_default(),
            slugs: role_teams.map(|urn| slugs_of(urn, &user.attributes)).unwrap_or_default(),
            email: user.email().map(str::to_owned),
        };
        Self { tenant, user: user.id, version: user.version, state: Some(state) }
    }

    pub(super) fn deletion(tenant: TenantId, user: UserId, version: i64) -> Self {
        Self { tenant, user, version, state: None }
    }
}

impl Store {
    /// The changes behind a position, of one tenant or of all, oldest first. None when some of them are not kept any more.
    pub(crate) async fn changes_after(
        &self,
        of: Option<TenantId>,
        after: Position,
        limit: u64,
    ) -> Result<Option<Vec<Followed>>> {
        let db = self.db.read();
        let records = match of {
            Some(tenant) => changelog::read_kept_of(db, tenant, after, limit).await?,
            None => changelog::read_kept(db, after, limit).await?,
        };
        records.map(|records| records.into_iter().map(followed).collect()).transpose()
    }

    /// Where the log ends: whoever reads the tables after asking, and the log from there on, misses nothing.
    pub(crate) async fn end_of_log(&self) -> Result<Position> {
        changelog::latest(self.db.read()).await
    }

    /// Whether the log still has everything behind a position.
    pub(crate) async fn keeps(&self, after: Position) -> Result<bool> {
        retention::keeps(self.db.read(), after).await
    }

    /// Moves when this process commits a write.
    pub(crate) fn commits(&self) -> tokio::sync::watch::Receiver<u64> {
        self.db.commits()
    }
}

fn followed(record: Record) -> Result<Followed> {
    let Record { position, tenant, resource, version, kind, payload, at: _ } = record;
    if !FULL_STATES.contains(&kind.as_str()) {
        return Ok(Followed { position, change: None });
    }
    let payload: Payload = serde_json::from_value(payload).map_err(Error::internal)?;
    let change = Change { tenant, user: UserId::from_uuid(resource), version, state: payload.state };
    Ok(Followed { position, change: Some(change) })
}

pub(super) async fn append(
    transaction: &Transaction,
    author: &Author,
    change: &Change,
    warnings: &[Warning],
    kind: &'static str,
    at: Timestamp,
) -> Result<Position> {
    let skipped = |Warning { attribute, detail }: Warning| Skipped { attribute, detail };
    let payload = Payload {
        request_id: author.request_id.clone(),
        actor: author.actor.clone(),
        state: change.state.clone(),
        warnings: warnings.iter().cloned().map(skipped).collect(),
    };
    let entry = Entry {
        tenant: change.tenant,
        resource: change.user.uuid(),
        version: change.version,
        kind,
        payload: serde_json::to_value(payload).map_err(Error::internal)?,
        at,
    };
    changelog::append_for_living(transaction, entry).await
}

/// Tells that an administrator did something that is no change of a user. Its particulars are in the audit.
pub(super) async fn append_deed(
    transaction: &Transaction,
    author: &Author,
    kind: &'static str,
    resource: Uuid,
    version: i64,
    at: Timestamp,
) -> Result<Position> {
    let payload = json!({ "request_id": author.request_id, "actor": author.actor });
    let entry = Entry { tenant: author.tenant, resource, version, kind, payload, at };
    changelog::append_for_living(transaction, entry).await
}

/// Removes some of a tenant's entries: they name its people.
pub(super) async fn purge_batch(transaction: &Transaction, tenant: TenantId, limit: usize) -> Result<u64> {
    let backend = transaction.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => {
            "DELETE FROM change_log WHERE tenant_id = $1 AND seq IN \
             (SELECT seq FROM change_log WHERE tenant_id = $1 ORDER BY seq LIMIT $2)"
        }
        _ => {
            "DELETE FROM change_log WHERE tenant_id = ?1 AND seq IN \
             (SELECT seq FROM change_log WHERE tenant_id = ?1 ORDER BY seq LIMIT ?2)"
        }
    };
    let values: [Value; 2] = [tenant.uuid().into(), i64::try_from(limit).map_err(Error::internal)?.into()];
    let deleted = transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    Ok(deleted.rows_affected())
}
