//! The change log as the audit: latest first.

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement, Value};
use uuid::Uuid;

use platform::Result;
use platform::clock::Timestamp;
use platform::ids::TenantId;

use super::Store;
use crate::domain::audit::{Event, Place, Query};

const COLUMNS: &str = "SELECT seq, tenant_id, resource_id, kind, payload, at_us FROM change_log";
/// The index `change_log_audit`, backwards.
const OF_TENANT: &str = "WHERE tenant_id = $1 AND at_us >= $2 AND (at_us, seq) < ($3, $4) \
                         ORDER BY at_us DESC, seq DESC LIMIT $5";
/// The index `change_log_time`, backwards.
const OF_ALL: &str = "WHERE at_us >= $1 AND (at_us, seq) < ($2, $3) ORDER BY at_us DESC, seq DESC LIMIT $4";

impl Store {
    /// A page of the audit, latest first, which may be some seconds old.
    ///
    /// # Errors
    /// The database's.
    pub async fn audit(&self, query: &Query, now: Timestamp) -> Result<Vec<Event>> {
        let statement = statement(self.db.backend(), query, COLUMNS);
        let db = self.db.read_page_of_log(query.after.map(|place| place.at), now);
        let rows = db.query_all_raw(statement).await?;
        rows.iter().map(event).collect()
    }
}

/// `select` with the place, order and length of the page.
fn statement(backend: DbBackend, query: &Query, select: &str) -> Statement {
    let Query { tenant, from, until, after, limit } = query;
    let from = from.map_or(i64::MIN, Timestamp::micros);
    // Before any event of that microsecond.
    let end = until.map_or((i64::MAX, i64::MAX), |until| (until.micros(), i64::MIN));
    let end = after.map_or(end, |after| end.min((after.at.micros(), after.seq)));
    let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
    let bounds: [Value; 4] = [from.into(), end.0.into(), end.1.into(), limit.into()];
    let (sql, values) = match tenant {
        Some(tenant) => (OF_TENANT, [vec![tenant.uuid().into()], bounds.to_vec()].concat()),
        None => (OF_ALL, bounds.to_vec()),
    };
    let sql = format!("{select} {sql}");
    let sql = if backend == DbBackend::Postgres { sql } else { sql.replace('$', "?") };
    Statement::from_sql_and_values(backend, sql, values)
}

fn event(row: &QueryResult) -> Result<Event> {
    let tenant: Uuid = row.try_get("", "tenant_id")?;
    let mut payload: serde_json::Value = row.try_get("", "payload")?;
    let mut take =
        |name: &str| payload.get_mut(name).map(serde_json::Value::take).filter(|value| !value.is_null());
    let text = |value: Option<serde_json::Value>| match value {
        Some(serde_json::Value::String(text)) => text,
        _ => String::new(),
    };
    Ok(Event {
        place: Place { at: Timestamp::from_micros(row.try_get("", "at_us")?), seq: row.try_get("", "seq")? },
        actor: text(take("by")),
        tenant: (!tenant.is_nil()).then_some(TenantId::from_uuid(tenant)),
        action: row.try_get("", "kind")?,
        resource: row.try_get("", "resource_id")?,
        before: take("before"),
        after: take("after"),
        request_id: text(take("request_id")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How the database goes about a query.
    async fn plan(db: &platform::db::Database, query: &Query) -> String {
        let explain = if db.backend() == DbBackend::Postgres { "EXPLAIN " } else { "EXPLAIN QUERY PLAN " };
        let statement = statement(db.backend(), query, &format!("{explain}{COLUMNS}"));
        let rows = db.read().query_all_raw(statement).await.unwrap();
        let column = if db.backend() == DbBackend::Postgres { "QUERY PLAN" } else { "detail" };
        let lines: Vec<String> = rows.iter().map(|row| row.try_get("", column).unwrap()).collect();
        lines.join("\n")
    }

    const MANY: &str = "INSERT INTO change_log (tenant_id, resource_id, version, kind, payload, at_us) ";

    testkit::store_tests! {
        service: Token;

        async fn a_page_is_read_from_an_index_whatever_is_asked(db: Database) {
            let tenant = Uuid::from_u128(7);
            // One tenant has nearly everything, so that nothing but the index makes the other one's page cheap.
            let sql = match db.backend() {
                DbBackend::Postgres => format!(
                    "{MANY} SELECT CASE WHEN n % 1000 = 0 THEN '{tenant}'::uuid ELSE '{}'::uuid END, '{tenant}', 1, 'k', '{{}}', n \
                     FROM generate_series(1, 50000) n; ANALYZE change_log",
                    Uuid::from_u128(8)
                ),
                _ => format!(
                    "{MANY} WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 50000) \
                     SELECT CASE WHEN n % 1000 = 0 THEN x'{}' ELSE x'{}' END, x'00', 1, 'k', '{{}}', n FROM s",
                    tenant.simple(),
                    Uuid::from_u128(8).simple()
                ),
            };
            db.write(move |txn| {
                let sql = sql.clone();
                Box::pin(async move { Ok(txn.execute_unprepared(&sql).await.map(|_| ())?) })
            })
            .await
            .unwrap();
            let all = Query { limit: 100, ..Query::default() };
            let until = Some(Timestamp::from_micros(40_000));
            let from = Some(Timestamp::from_micros(10_000));
            let after = Some(Place { at: Timestamp::from_micros(30_000), seq: 30_000 });
            for (tenant, index) in [(None, "change_log_time"), (Some(TenantId::from_uuid(tenant)), "change_log_audit")] {
                let all = Query { tenant, ..all.clone() };
                let bounded = Query { until, from, ..all.clone() };
                for query in [all, bounded.clone(), Query { after, ..bounded }] {
                    let plan = plan(&db, &query).await;
                    assert!(plan.contains(index), "{query:?}\n{plan}");
                    assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{query:?}\n{plan}");
                }
            }
        }
    }
}
