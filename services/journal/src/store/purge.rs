//! The end of a tenant.
//!
//! Exchanges of a purged tenant may still be on their way, from a gateway's queue. A tombstone, which every batch looks for, keeps
//! them out. On PostgreSQL, where a batch could have looked just before, both take a lock: batches share it, a tombstone is
//! set alone.

use platform::Result;
use platform::clock::Timestamp;
use platform::db::Transaction;
use platform::ids::TenantId;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use super::Store;

/// Rows per transaction, so that others get their turn in between.
const BATCH: u64 = 5000;

/// What a tenant has; the exchanges last, so that work that was cut off is seen to be unfinished.
const DELETES: [&str; 3] = [
    "DELETE FROM exchange_subjects WHERE (tenant_id, subject_id, outcome, at_us, exchange_id) IN \
        (SELECT tenant_id, subject_id, outcome, at_us, exchange_id FROM exchange_subjects WHERE tenant_id = $1 LIMIT $2)",
    "DELETE FROM subject_names WHERE (tenant_id, name_id, subject_id) IN \
        (SELECT tenant_id, name_id, subject_id FROM subject_names WHERE tenant_id = $1 LIMIT $2)",
    "DELETE FROM exchanges WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM exchanges WHERE tenant_id = $1 LIMIT $2)",
];

/// Before a batch looks for tombstones: none is set until it is committed.
pub(super) async fn keep_off(txn: &Transaction) -> Result<()> {
    if txn.get_database_backend() == DbBackend::Postgres {
        txn.execute_unprepared(
            "SELECT pg_advisory_xact_lock_shared(hashtext('rollcall journal tombstones'))",
        )
        .await?;
    }
    Ok(())
}

impl Store {
    /// Removes everything of a tenant, for good. Idempotent; interrupted, it goes on when called again.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn purge(&self, tenant: TenantId, now: Timestamp) -> Result<()> {
        self.db
            .write(move |txn| {
                Box::pin(async move {
                    let backend = txn.get_database_backend();
                    if backend == DbBackend::Postgres {
                        let alone = "SELECT pg_advisory_xact_lock(hashtext('rollcall journal tombstones'))";
                        txn.execute_unprepared(alone).await?;
                    }
                    let sql = "INSERT INTO purged_tenants (tenant_id, at) VALUES ($1, $2) ON CONFLICT (tenant_id) DO NOTHING";
                    let values = [tenant.uuid().into(), now.micros().into()];
                    txn.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
                    Ok(())
                })
            })
            .await?;
        for sql in DELETES {
            while self.delete(sql, tenant).await? == BATCH {}
        }
        Ok(())
    }

    async fn delete(&self, sql: &'static str, tenant: TenantId) -> Result<u64> {
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        self.db
            .write(move |txn| {
                Box::pin(async move {
                    let values = [tenant.uuid().into(), limit.into()];
                    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
                    Ok(txn.execute_raw(statement).await?.rows_affected())
                })
            })
            .await
    }
}
