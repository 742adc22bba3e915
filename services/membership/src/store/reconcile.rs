//! After a snapshot of identity: users that the projection has and the snapshot has not are gone.
//!
//! The follower was away for longer than identity's log is kept, so nobody tells it of deletions. The snapshot comes in the
//! order of tenant and id, as the projection is read here, so both are compared run by run, in bounded memory. A user that
//! changed here since the follower asked for the snapshot stays, whatever the snapshot says: it is newer.

use std::collections::HashSet;

use platform::Result;
use platform::clock::Timestamp;
use platform::db::Database;
use platform::db::changelog::{self, Position};
use platform::ids::{TenantId, UserId};
use sea_orm::{ConnectionTrait, Statement};
use uuid::Uuid;

use super::log::Change;
use crate::domain::user::UserState;

/// Users compared at once.
const RUN: usize = 1000;
/// Rows of the log read at once.
const BATCH: u64 = 1000;

/// Tenant and id of a user; the order of the snapshot.
pub(crate) type Place = (Uuid, Uuid);

/// Removes the users behind `after` and up to `until` (`None`: to the end) that are not in `present`, unless they changed
/// behind `since` in our own log. Returns how many.
///
/// # Errors
/// The database's.
pub(crate) async fn remove_missing(
    db: &Database,
    mut after: Place,
    until: Option<Place>,
    present: &HashSet<Place>,
    since: Position,
    at: Timestamp,
) -> Result<u64> {
    let mut removed = 0;
    loop {
        let (missing, next) = missing(db, after, until, present).await?;
        for (tenant, users) in by_tenant(missing) {
            let newer = changed_behind(db, tenant, since).await?;
            for (user, version) in users {
                if newer.contains(&user) {
                    continue;
                }
                let state =
                    UserState { tenant, id: UserId::from_uuid(user), version: version + 1, facts: None };
                let applied = db
                    .write(move |txn| {
                        let state = state.clone();
                        Box::pin(async move { super::apply_user(txn, &state, at).await })
                    })
                    .await?;
                removed += u64::from(applied.is_some());
            }
        }
        let Some(next) = next else { return Ok(removed) };
        after = next;
    }
}

/// Users of the next run that are not in `present`, with their versions, and where to go on; `None` at the end.
async fn missing(
    db: &Database,
    after: Place,
    until: Option<Place>,
    present: &HashSet<Place>,
) -> Result<(Vec<(Place, i64)>, Option<Place>)> {
    let until = until.unwrap_or((Uuid::max(), Uuid::max()));
    let sql = format!(
        "SELECT tenant_id, user_id, version, deleted FROM users \
         WHERE (tenant_id, user_id) > ($1, $2) AND (tenant_id, user_id) <= ($3, $4) \
         ORDER BY tenant_id, user_id LIMIT {RUN}"
    );
    let values = [after.0.into(), after.1.into(), until.0.into(), until.1.into()];
    let rows = db.read().query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values)).await?;
    let mut missing = Vec::new();
    let mut last = None;
    for row in &rows {
        let place = (row.try_get("", "tenant_id")?, row.try_get("", "user_id")?);
        last = Some(place);
        if !row.try_get::<bool>("", "deleted")? && !present.contains(&place) {
            missing.push((place, row.try_get("", "version")?));
        }
    }
    Ok((missing, last.filter(|_| rows.len() == RUN)))
}

fn by_tenant(missing: Vec<(Place, i64)>) -> Vec<(TenantId, Vec<(Uuid, i64)>)> {
    let of = |run: &[(Place, i64)]| run.iter().map(|((_, user), version)| (*user, *version)).collect();
    missing.chunk_by(|a, b| a.0.0 == b.0.0).map(|run| (TenantId::from_uuid(run[0].0.0), of(run))).collect()
}

/// Users of the tenant that changed here behind a position.
pub(super) async fn changed_behind(
    db: &Database,
    tenant: TenantId,
    since: Position,
) -> Result<HashSet<Uuid>> {
    let mut users = HashSet::new();
    let mut after = since;
    loop {
        let records = changelog::read_seen_of(db.read(), tenant, after, BATCH).await?;
        let Some(last) = records.last() else { return Ok(users) };
        after = last.position;
        let projected =
            |record: &&changelog::Record| matches!(Change::of(record), Some(Change::UserProjected { .. }));
        users.extend(records.iter().filter(projected).map(|record| record.resource));
    }
}
