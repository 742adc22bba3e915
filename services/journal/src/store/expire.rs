//! What is past its time goes: tenant by tenant, in small transactions. Two replicas at once delete the same rows, which is
//! wasteful and harmless.

use platform::Result;
use platform::clock::Timestamp;
use sea_orm::{ConnectionTrait, Statement, Value};
use uuid::Uuid;

use super::Store;

/// Exchanges at a time, and rows of one of them in a transaction: one may be about 40,000 members.
const EXCHANGES: i64 = 200;
const ROWS: u64 = 5000;

/// A table of which the tenants are walked.
#[derive(Clone, Copy)]
struct Table {
    first: &'static str,
    next: &'static str,
}

const OF_EXCHANGES: Table = Table {
    first: "SELECT tenant_id FROM exchanges ORDER BY tenant_id LIMIT 1",
    next: "SELECT tenant_id FROM exchanges WHERE tenant_id > $1 ORDER BY tenant_id LIMIT 1",
};
const OF_NAMES: Table = Table {
    first: "SELECT tenant_id FROM subject_names ORDER BY tenant_id LIMIT 1",
    next: "SELECT tenant_id FROM subject_names WHERE tenant_id > $1 ORDER BY tenant_id LIMIT 1",
};

const EXPIRED: &str =
    "SELECT id FROM exchanges WHERE tenant_id = $1 AND expires_at_us <= $2 ORDER BY expires_at_us LIMIT $3";
const NAMES: &str = "DELETE FROM subject_names WHERE (tenant_id, name_id, subject_id) IN \
    (SELECT tenant_id, name_id, subject_id FROM subject_names WHERE tenant_id = $1 AND expires_at_us <= $2 LIMIT $3)";

impl Store {
    /// Deletes what is past its time; how many exchanges that were.
    ///
    /// # Errors
    /// The database's.
    pub(crate) async fn expire(&self, now: Timestamp) -> Result<u64> {
        let mut deleted = 0;
        let mut tenant = None;
        while let Some(next) = self.tenant_after(OF_EXCHANGES, tenant).await? {
            deleted += self.expire_exchanges(next, now).await?;
            tenant = Some(next);
        }
        let mut tenant = None;
        while let Some(next) = self.tenant_after(OF_NAMES, tenant).await? {
            let limit = i64::try_from(ROWS).unwrap_or(i64::MAX);
            let values: Vec<Value> = vec![next.into(), now.micros().into(), limit.into()];
            while self.execute(NAMES.to_owned(), values.clone()).await? == ROWS {}
            tenant = Some(next);
        }
        Ok(deleted)
    }

    async fn tenant_after(&self, table: Table, last: Option<Uuid>) -> Result<Option<Uuid>> {
        let backend = self.db.backend();
        let statement = match last {
            None => Statement::from_string(backend, table.first),
            Some(last) => Statement::from_sql_and_values(backend, table.next, [last.into()]),
        };
        match self.db.read().query_one_raw(statement).await? {
            Some(row) => Ok(Some(row.try_get("", "tenant_id")?)),
            None => Ok(None),
        }
    }

    async fn expire_exchanges(&self, tenant: Uuid, now: Timestamp) -> Result<u64> {
        let mut deleted = 0;
        loop {
            let values = [tenant.into(), now.micros().into(), EXCHANGES.into()];
            let statement = Statement::from_sql_and_values(self.db.backend(), EXPIRED, values);
            let rows = self.db.read().query_all_raw(statement).await?;
            if rows.is_empty() {
                return Ok(deleted);
            }
            let mut values: Vec<Value> = vec![tenant.into()];
            for row in &rows {
                values.push(row.try_get::<Uuid>("", "id")?.into());
            }
            let places: Vec<String> = (2..=values.len()).map(|place| format!("${place}")).collect();
            let places = places.join(", ");
            // The exchange goes last: until then the next run finds it again.
            let subjects = format!(
                "DELETE FROM exchange_subjects WHERE (tenant_id, subject_id, outcome, at_us, exchange_id) IN \
                 (SELECT tenant_id, subject_id, outcome, at_us, exchange_id FROM exchange_subjects \
                  WHERE tenant_id = $1 AND exchange_id IN ({places}) LIMIT {ROWS})"
            );
            while self.execute(subjects.clone(), values.clone()).await? == ROWS {}
            let exchanges = format!("DELETE FROM exchanges WHERE tenant_id = $1 AND id IN ({places})");
            deleted += self.execute(exchanges, values).await?;
        }
    }

    async fn execute(&self, sql: String, values: Vec<Value>) -> Result<u64> {
        self.db
            .write(move |txn| {
                let statement =
                    Statement::from_sql_and_values(txn.get_database_backend(), &sql, values.clone());
                Box::pin(async move { Ok(txn.execute_raw(statement).await?.rows_affected()) })
            })
            .await
    }
}
