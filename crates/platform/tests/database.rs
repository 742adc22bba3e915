//! `Database::write` and the change log, on both databases.
#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use platform::clock::Timestamp;
use platform::db::Database;
use platform::db::changelog::{self, Entry, Position};
use platform::ids::TenantId;
use platform::{Error, clock::Clock};
use sea_orm::{ConnectionTrait, TransactionTrait};

fn entry(tenant: TenantId, version: i64) -> Entry {
    Entry {
        tenant,
        resource: tenant.uuid(),
        version,
        kind: "test.written",
        payload: serde_json::json!({ "version": version }),
        at: Timestamp::from_micros(version),
    }
}

async fn write(db: &Database, tenant: TenantId, version: i64) -> platform::Result<Position> {
    db.write(move |transaction| {
        Box::pin(async move { changelog::append(transaction, entry(tenant, version)).await })
    })
    .await
}

/// The log, once `count` entries are visible. On PostgreSQL that may take a moment: readers stop short of any open
/// transaction of the cluster, which the tests beside this one share.
async fn versions(db: &Database, count: usize) -> Vec<i64> {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let records = changelog::read_after(db.read(), Position::default(), 1000).await.unwrap();
        if records.len() >= count || Instant::now() > patience {
            return records.iter().map(|record| record.version).collect();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

testkit::store_tests! {
    service: Identity;

    async fn an_answered_write_is_read(db: Database) {
        let tenant = TenantId::new(&Clock::system());
        let first = write(&db, tenant, 1).await.unwrap();
        let second = write(&db, tenant, 2).await.unwrap();
        assert!(first < second);
        assert_eq!(versions(&db, 2).await, [1, 2]);
        let records = changelog::read_after(db.read(), first, 10).await.unwrap();
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].position, second);
        assert_eq!(records[0].tenant, tenant);
        assert_eq!(records[0].payload["version"], 2);
        assert_eq!(changelog::latest(db.read()).await.unwrap(), second);
        assert_eq!(second.to_string().parse::<Position>().unwrap(), second);
    }

    async fn a_failed_write_leaves_nothing_and_spares_its_neighbours(db: Database) {
        let tenant = TenantId::new(&Clock::system());
        let mut writes = Vec::new();
        for version in 1..=60 {
            let db = db.clone();
            writes.push(tokio::spawn(async move {
                db.write(move |transaction| Box::pin(async move {
                    changelog::append(transaction, entry(tenant, version)).await?;
                    if version % 3 == 0 {
                        return Err(Error::invalid_value("every third is refused"));
                    }
                    Ok(())
                })).await
            }));
        }
        for (version, write) in (1..).zip(writes) {
            assert_eq!(write.await.unwrap().is_err(), version % 3 == 0, "{version}");
        }
        let mut seen = versions(&db, 40).await;
        seen.sort_unstable();
        assert_eq!(seen, (1..=60).filter(|version| version % 3 != 0).collect::<Vec<_>>());
    }

    async fn a_database_error_inside_is_contained(db: Database) {
        let tenant = TenantId::new(&Clock::system());
        let broken = db.write(move |transaction| Box::pin(async move {
            changelog::append(transaction, entry(tenant, 1)).await?;
            transaction.execute_unprepared("INSERT INTO no_such_table VALUES (1)").await?;
            Ok(())
        })).await;
        assert_eq!(broken.unwrap_err().kind, scim::ErrorKind::Internal);
        write(&db, tenant, 2).await.unwrap();
        assert_eq!(versions(&db, 1).await, [2]);
    }

    /// Many writers and a reader that follows: it sees every change exactly once, in an order it never has to revise.
    async fn a_follower_misses_nothing(db: Database) {
        const WRITERS: i64 = 8;
        const EACH: i64 = 25;
        let tenant = TenantId::new(&Clock::system());
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let db = db.clone();
            writers.spawn(async move {
                for n in 0..EACH {
                    write(&db, tenant, writer * EACH + n).await.unwrap();
                }
            });
        }
        let mut commits = db.commits();
        let (mut cursor, mut seen) = (Position::default(), Vec::new());
        while seen.len() < usize::try_from(WRITERS * EACH).unwrap() {
            for record in changelog::read_after(db.read(), cursor, 7).await.unwrap() {
                assert!(record.position > cursor);
                cursor = record.position;
                seen.push(record.version);
            }
            let _ = tokio::time::timeout(Duration::from_millis(20), commits.changed()).await;
        }
        writers.join_all().await;
        seen.sort_unstable();
        assert_eq!(seen, (0..WRITERS * EACH).collect::<Vec<_>>());
    }
}

/// The case a bare sequence number gets wrong: the earlier transaction commits later.
#[test]
fn a_transaction_that_commits_late_is_not_skipped() {
    testkit::db::run(testkit::db::Backend::Postgres, testkit::db::Service::Identity, |db| async move {
        let tenant = TenantId::new(&Clock::system());
        let slow = db.read().begin().await.unwrap();
        changelog::append(&slow, entry(tenant, 1)).await.unwrap();
        write(&db, tenant, 2).await.unwrap();
        assert!(versions(&db, 0).await.is_empty(), "2 must wait: the transaction of 1 is still open");
        slow.commit().await.unwrap();
        assert_eq!(versions(&db, 2).await, [1, 2]);
    });
}

/// SQLite has one writing task: a panic in one request must not take the others' database away.
#[test]
fn a_panic_in_a_transaction_is_contained() {
    testkit::db::run(testkit::db::Backend::Sqlite, testkit::db::Service::Identity, |db| async move {
        let tenant = TenantId::new(&Clock::system());
        let panicking: platform::Result<()> = db
            .write(move |transaction| {
                Box::pin(async move {
                    changelog::append(transaction, entry(tenant, 1)).await?;
                    panic!("the panic of this test")
                })
            })
            .await;
        assert_eq!(panicking.unwrap_err().kind, scim::ErrorKind::Internal);
        write(&db, tenant, 2).await.unwrap();
        assert_eq!(versions(&db, 1).await, [2]);
    });
}

/// Waiting writers share commits: far fewer of them than writes.
#[test]
fn waiting_writers_share_a_commit() {
    testkit::db::run(testkit::db::Backend::Sqlite, testkit::db::Service::Identity, |db| async move {
        let tenant = TenantId::new(&Clock::system());
        let db = Arc::new(db);
        let commits = db.commits();
        let writes: Vec<_> = (0..200)
            .map(|version| {
                let db = db.clone();
                tokio::spawn(async move { write(&db, tenant, version).await })
            })
            .collect();
        for write in writes {
            write.await.unwrap().unwrap();
        }
        let count = *commits.borrow();
        assert!(count < 150, "200 concurrent writes took {count} commits");
        assert_eq!(versions(&db, 200).await.len(), 200);
    });
}
