//! Tenants that are gone for good.
//!
//! A request may be under way while its tenant is deleted. What it then wrote would stay for ever: nobody could see it, and
//! nobody could delete it again. So a service that purges a tenant first leaves a tombstone, which every later writer finds
//! ([`super::changelog::append_for_living`]), and begins to delete when the writers before it are done.
//! Needs the tables `purged_tenants` and `change_log`.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::Database;
use crate::clock::Timestamp;
use crate::error::{Error, Result};
use crate::ids::TenantId;

/// How often it looks whether earlier writers are done.
const INTERVAL: Duration = Duration::from_millis(20);
/// Longer than a transaction may last ([`super::Patience::write`]).
const LONGEST_WAIT: Duration = Duration::from_secs(18);

/// Marks the tenant as purged. When it returns, nobody writes for it any more, and what was written before can be seen.
/// Idempotent.
///
/// # Errors
/// The database's; `Unavailable` when a writer does not end.
pub async fn mark(db: &Database, tenant: TenantId, at: Timestamp) -> Result<()> {
    db.write(move |transaction| {
        Box::pin(async move {
            let sql = "INSERT INTO purged_tenants (tenant_id, at) VALUES ($1, $2) ON CONFLICT (tenant_id) DO NOTHING";
            let values = [tenant.uuid().into(), at.micros().into()];
            let backend = transaction.get_database_backend();
            transaction.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
            Ok(())
        })
    })
    .await?;
    // SQLite has one writer: those before are done.
    if db.backend() != DbBackend::Postgres {
        return Ok(());
    }
    tokio::time::timeout(LONGEST_WAIT, earlier_writers(db))
        .await
        .unwrap_or_else(|_| Err(Error::unavailable("a change under way does not end; try again shortly")))
}

/// Whether the tenant was purged.
///
/// # Errors
/// The database's.
pub async fn contains<C: ConnectionTrait>(db: &C, tenant: TenantId) -> Result<bool> {
    let sql = "SELECT 1 AS found FROM purged_tenants WHERE tenant_id = $1";
    let statement = Statement::from_sql_and_values(db.get_database_backend(), sql, [tenant.uuid().into()]);
    Ok(db.query_one_raw(statement).await?.is_some())
}

/// What a writer is told that comes too late: the same as with its next request.
pub(super) fn gone() -> Error {
    Error::unauthenticated("the tenant of this token was deleted")
}

/// Waits for every transaction that has appended to the change log by now. Any other one takes its snapshot for that after
/// it has the table's lock, so after now, and sees the tombstone.
async fn earlier_writers(db: &Database) -> Result<()> {
    let mut waiting_for = writers(db).await?;
    while !waiting_for.is_empty() {
        tokio::time::sleep(INTERVAL).await;
        let still = writers(db).await?;
        waiting_for.retain(|writer| still.contains(writer));
    }
    Ok(())
}

/// The transactions that write to the change log.
async fn writers(db: &Database) -> Result<Vec<String>> {
    let sql = "SELECT virtualtransaction AS writer FROM pg_locks \
         WHERE locktype = 'relation' AND relation = 'change_log'::regclass AND mode = 'RowExclusiveLock' AND granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let rows = db.read().query_all_raw(Statement::from_string(db.backend(), sql)).await?;
    let mut writers = Vec::with_capacity(rows.len());
    for row in &rows {
        writers.push(row.try_get("", "writer")?);
    }
    Ok(writers)
}
