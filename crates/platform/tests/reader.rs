//! Reading: connections come back whatever becomes of those who had them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::ops::ControlFlow;
use std::time::Duration;

use futures::future::join_all;
use platform::clock::Clock;
use platform::db::changelog::{self, Entry};
use platform::db::{Database, SQLITE_READERS};
use platform::ids::TenantId;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

/// Counts further than anybody waits.
const ENDLESS: &str = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 1000000000000) \
    SELECT COUNT(*) AS n FROM up";
/// The same, a row at a time.
const ENDLESS_ROWS: &str = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 1000000000000) \
    SELECT n FROM up";
/// Far less than a statement may take: it must have been stopped by something else.
const SOON: Duration = Duration::from_secs(5);

fn sqlite(sql: &str) -> Statement {
    Statement::from_string(DbBackend::Sqlite, sql)
}

async fn append(db: &Database, version: i64) {
    let tenant = TenantId::new(&Clock::system());
    let payload = serde_json::json!({});
    let at = Clock::system().now();
    let entry = Entry { tenant, resource: tenant.uuid(), version, kind: "test", payload, at };
    let appended = db.write(move |transaction| {
        let entry = entry.clone();
        Box::pin(async move { changelog::append(transaction, entry).await })
    });
    appended.await.unwrap();
}

async fn count<C: ConnectionTrait>(db: &C) -> i64 {
    let statement = Statement::from_string(db.get_database_backend(), "SELECT COUNT(*) AS n FROM change_log");
    db.query_one_raw(statement).await.unwrap().unwrap().try_get("", "n").unwrap()
}

/// As many questions at once as there are connections, each of which is needed.
async fn all_connections_answer(db: &Database) {
    let questions = (0..SQLITE_READERS).map(|_| count(db.read()));
    tokio::time::timeout(SOON, join_all(questions)).await.expect("a connection did not come back");
}

#[test]
fn a_statement_ends_with_its_caller() {
    testkit::db::run(testkit::db::Backend::Sqlite, testkit::db::Service::Identity, |db| async move {
        // So that all are open.
        let snapshots = join_all((0..SQLITE_READERS).map(|_| db.read().snapshot())).await;
        for snapshot in snapshots {
            snapshot.unwrap().end().await.unwrap();
        }
        let slow = (0..SQLITE_READERS).map(|_| db.read().query_one_raw(sqlite(ENDLESS)));
        let begun = tokio::time::timeout(Duration::from_millis(50), join_all(slow)).await;
        assert!(begun.is_err(), "it was to be endless");
        all_connections_answer(&db).await;
    });
}

#[test]
fn whoever_has_seen_enough_rows_gives_the_connection_back() {
    testkit::db::run(testkit::db::Backend::Sqlite, testkit::db::Service::Identity, |db| async move {
        for _ in 0..2 * SQLITE_READERS {
            let mut seen = Vec::new();
            let three = db.read().each(sqlite(ENDLESS_ROWS), |row| {
                seen.push(row.try_get::<i64>("", "n")?);
                Ok(if seen.len() == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            });
            tokio::time::timeout(SOON, three).await.unwrap().unwrap();
            assert_eq!(seen, [1, 2, 3]);
        }
        all_connections_answer(&db).await;
    });
}

testkit::store_tests! {
    service: Identity;

    async fn a_snapshot_sees_one_state(fresh: &Fresh) {
        let db = &fresh.database;
        append(db, 1).await;
        let snapshot = db.read().snapshot().await.unwrap();
        assert_eq!(count(&snapshot).await, 1);
        append(db, 2).await;
        assert_eq!((count(&snapshot).await, count(db.read()).await), (1, 2));
        snapshot.end().await.unwrap();
        assert_eq!(count(db.read()).await, 2);
    }

    /// Its connection would go on to see the old state, and keep it from being checkpointed.
    async fn a_snapshot_that_is_dropped_is_over(fresh: &Fresh) {
        let db = &fresh.database;
        for version in 1..=20 {
            let snapshot = db.read().snapshot().await.unwrap();
            assert_eq!(count(&snapshot).await, version - 1);
            drop(snapshot);
            append(db, version).await;
            assert_eq!(count(db.read()).await, version);
        }
        all_connections_answer(db).await;
    }
}
