//! The end of a tenant.

use platform::Result;
use platform::db::purged;
use platform::ids::TenantId;
use sea_orm::{ConnectionTrait, Statement};

use super::{Store, log};

/// Rows per transaction, so that others get their turn in between.
const BATCH: u64 = 5000;

/// What a tenant has, in an order in which half the work leaves nothing inconsistent behind: members before groups, groups before their count.
const DELETES: [&str; 5] = [
    "DELETE FROM group_members WHERE (tenant_id, group_id, member_id) IN \
        (SELECT tenant_id, group_id, member_id FROM group_members WHERE tenant_id = $1 LIMIT $2)",
    r#"DELETE FROM "groups" WHERE (tenant_id, id) IN (SELECT tenant_id, id FROM "groups" WHERE tenant_id = $1 LIMIT $2)"#,
    "DELETE FROM group_counts WHERE (tenant_id, shard) IN (SELECT tenant_id, shard FROM group_counts WHERE tenant_id = $1 LIMIT $2)",
    "DELETE FROM users WHERE (tenant_id, user_id) IN (SELECT tenant_id, user_id FROM users WHERE tenant_id = $1 LIMIT $2)",
    "DELETE FROM change_log WHERE (tenant_id, seq) IN (SELECT tenant_id, seq FROM change_log WHERE tenant_id = $1 LIMIT $2)",
];

impl Store {
    /// Removes everything of a tenant, for good: what is still under way for it fails. Idempotent; interrupted, it goes on
    /// when called again.
    ///
    /// # Errors
    /// The database's.
    pub async fn purge(&self, tenant: TenantId) -> Result<()> {
        purged::mark(&self.db, tenant, self.now()).await?;
        for sql in DELETES {
            loop {
                let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
                let deleted = self
                    .db
                    .write(move |txn| {
                        Box::pin(async move {
                            let values = [tenant.uuid().into(), limit.into()];
                            let statement =
                                Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
                            Ok(txn.execute_raw(statement).await?.rows_affected())
                        })
                    })
                    .await?;
                if deleted < BATCH {
                    break;
                }
            }
        }
        // Whoever follows the log learns it by this row, the only one that is left.
        let at = self.now();
        self.db.write(move |txn| Box::pin(async move { log::append_end(txn, tenant, at).await })).await?;
        Ok(())
    }
}
