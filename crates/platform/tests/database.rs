//! `Database::write` and the change log, on both databases.
#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use platform::clock::Timestamp;
use platform::db::changelog::{self, Entry, Position};
use platform::db::{Database, Patience, purged};
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
        let slow = db.migrator().begin().await.unwrap();
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

/// A statement that was under way when its caller gave up is done by the connection all the same, and so is the first of several.
#[test]
fn nothing_is_left_of_what_failed_with_a_statement_under_way() {
    testkit::db::run(testkit::db::Backend::Sqlite, testkit::db::Service::Identity, |db| async move {
        let tenant = TenantId::new(&Clock::system());
        let given_up = db.write(move |transaction| {
            Box::pin(async move {
                let refused = async { Err::<(), _>(Error::invalid_value("refused")) };
                let append = changelog::append(transaction, entry(tenant, 1));
                futures::future::try_join(append, refused).await.map(|_| ())
            })
        });
        given_up.await.unwrap_err();
        let half_done = db.write(|transaction| {
            Box::pin(async move {
                let row = "INSERT INTO purged_tenants (tenant_id, at) VALUES (x'00', 1)";
                transaction.execute_unprepared(&format!("{row}; {row}")).await?;
                Ok(())
            })
        });
        half_done.await.unwrap_err();
        write(&db, tenant, 2).await.unwrap();
        assert_eq!(versions(&db, 1).await, [2]);
        let rows = db.read().query_all_raw(statement("SELECT 1 FROM purged_tenants")).await.unwrap();
        assert!(rows.is_empty());

        let other = db.clone();
        db.close().await.unwrap();
        write(&other, tenant, 3).await.unwrap_err();
        other.close().await.unwrap();
    });
}

/// Those who wait for SQLite run once each, unless one of them fails in the middle: then once more, and what took too long never.
#[test]
fn writers_are_run_again_only_for_one_that_failed_in_the_middle() {
    testkit::db::run_fresh(testkit::db::Backend::Sqlite, testkit::db::Service::Identity, async |fresh| {
        let db = Database::connect_with(&fresh.config, IMPATIENT).await.unwrap();
        let tenant = TenantId::new(&Clock::system());
        let runs: Arc<[AtomicU32; 5]> = Arc::default();
        // The first holds the writer until the others wait, so that they are one batch.
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let (go, may_go) = tokio::sync::oneshot::channel();
        let hold = Arc::new(std::sync::Mutex::new(Some((begun, may_go))));
        let holder = db.clone();
        let holding = tokio::spawn(async move {
            holder
                .write(move |_| {
                    let held = hold.lock().unwrap().take();
                    Box::pin(async move {
                        let (begun, may_go) = held.unwrap();
                        begun.send(()).unwrap();
                        may_go.await.unwrap();
                        Ok(())
                    })
                })
                .await
        });
        has_begun.await.unwrap();
        let write = |job: usize| {
            let (db, runs) = (db.clone(), runs.clone());
            Box::pin(async move {
                db.write(move |transaction| {
                    let runs = runs.clone();
                    Box::pin(async move {
                        runs[job].fetch_add(1, Ordering::Relaxed);
                        if job == 1 {
                            return Err(Error::invalid_value("refused before anything was written"));
                        }
                        changelog::append(transaction, entry(tenant, i64::try_from(job).unwrap())).await?;
                        match job {
                            2 => Err(Error::invalid_value("refused in the middle")),
                            3 => loop {
                                transaction.execute_unprepared("SELECT 1").await?;
                            },
                            _ => Ok(()),
                        }
                    })
                })
                .await
            })
        };
        let mut jobs = futures::future::join_all([write(0), write(1), write(2), write(3), write(4)]);
        assert!(futures::poll!(&mut jobs).is_pending(), "all of them are to wait");
        go.send(()).unwrap();
        let outcomes: Vec<bool> = jobs.await.iter().map(Result::is_ok).collect();
        holding.await.unwrap().unwrap();
        assert_eq!(outcomes, [true, false, false, false, true]);
        assert_eq!(versions(&db, 2).await, [0, 4]);
        let runs: Vec<u32> = runs.iter().map(|runs| runs.load(Ordering::Relaxed)).collect();
        // The second fails in the middle, so all begin again, with savepoints; there the fourth takes too long, once.
        assert_eq!(runs, [2, 2, 2, 1, 1]);
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

const IMPATIENT: Patience =
    Patience { statement: Duration::from_millis(300), write: Duration::from_millis(1300) };

/// Counts further than anybody waits.
const ENDLESS: &str = "WITH RECURSIVE up(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM up WHERE n < 1000000000000) \
    SELECT COUNT(*) FROM up";

/// A tenant's end waits for the transactions that may still write for it, and no later one gets in.
#[test]
fn a_tombstone_waits_for_writers_and_stops_later_ones() {
    testkit::db::run(testkit::db::Backend::Postgres, testkit::db::Service::Identity, |db| async move {
        let (tenant, other) = (TenantId::new(&Clock::system()), TenantId::new(&Clock::system()));
        let writer = db.migrator().begin().await.unwrap();
        changelog::append_for_living(&writer, entry(tenant, 1)).await.unwrap();
        let late = db.migrator().begin().await.unwrap();

        let marking = purged::mark(&db, tenant, Timestamp::from_micros(1));
        tokio::pin!(marking);
        tokio::time::timeout(Duration::from_millis(200), &mut marking)
            .await
            .expect_err("a writer is not done");
        let refused = changelog::append_for_living(&late, entry(tenant, 2)).await.unwrap_err();
        assert_eq!(refused.kind, scim::ErrorKind::Unauthenticated);
        changelog::append_for_living(&late, entry(other, 3)).await.unwrap();
        writer.commit().await.unwrap();
        // It does not wait for whoever came after it.
        marking.await.unwrap();
        late.commit().await.unwrap();
        assert_eq!(versions(&db, 2).await, [1, 3]);
    });
}

mod patience {
    use super::*;

    testkit::store_tests! {
        service: Identity;

        /// A statement that reads for too long is given up, and its connection is good for the next.
        async fn a_slow_statement_is_given_up(fresh: &Fresh) {
            let db = Database::connect_with(&fresh.config, IMPATIENT).await.unwrap();
            let mut slow = tokio::task::JoinSet::new();
            // As many as there are connections.
            for _ in 0..8 {
                let db = db.clone();
                slow.spawn(async move { db.read().execute_unprepared(ENDLESS).await });
            }
            while let Some(outcome) = slow.join_next().await {
                let error = Error::from(outcome.unwrap().unwrap_err());
                assert_eq!(error.kind, scim::ErrorKind::Unavailable, "{error:?}");
            }
            assert_eq!(versions(&db, 0).await, [0_i64; 0]);
        }

        /// A transaction that keeps the database busy is rolled back and the next one goes on; its neighbours are spared.
        async fn a_slow_transaction_is_given_up(fresh: &Fresh) {
            let db = Database::connect_with(&fresh.config, IMPATIENT).await.unwrap();
            let tenant = TenantId::new(&Clock::system());
            let slow = db.write::<(), _>(move |transaction| Box::pin(async move {
                changelog::append(transaction, entry(tenant, 1)).await?;
                loop {
                    transaction.execute_unprepared("SELECT 1").await?;
                }
            }));
            let (slow, quick) = tokio::join!(slow, write(&db, tenant, 2));
            assert_eq!(slow.unwrap_err().kind, scim::ErrorKind::Unavailable);
            quick.unwrap();
            write(&db, tenant, 3).await.unwrap();
            assert_eq!(versions(&db, 2).await, [2, 3]);
        }

        /// Whoever hangs up does not leave its transaction behind in everybody's way.
        async fn a_transaction_ends_with_its_caller(fresh: &Fresh) {
            let db = fresh.database.clone();
            let tenant = TenantId::new(&Clock::system());
            let (begun, has_begun) = tokio::sync::oneshot::channel();
            let begun = Arc::new(std::sync::Mutex::new(Some(begun)));
            let caller = db.write::<(), _>(move |transaction| {
                let begun = begun.clone();
                Box::pin(async move {
                    changelog::append(transaction, entry(tenant, 1)).await?;
                    if let Some(begun) = begun.lock().unwrap().take() {
                        let _ = begun.send(());
                    }
                    loop {
                        transaction.execute_unprepared("SELECT 1").await?;
                    }
                })
            });
            tokio::select! {
                outcome = caller => panic!("it ends by itself: {outcome:?}"),
                begun = has_begun => begun.unwrap(),
            }
            let started = Instant::now();
            write(&db, tenant, 2).await.unwrap();
            assert!(started.elapsed() < Patience::default().write / 2, "{:?}", started.elapsed());
            assert_eq!(versions(&db, 1).await, [2]);
        }
    }
}

/// What was answered while the disk filled up, and once there is room again, is there; what was refused is not.
#[test]
fn a_full_disk_loses_nothing_that_was_answered() {
    testkit::db::run(testkit::db::Backend::Sqlite, testkit::db::Service::Identity, |db| async move {
        let tenant = TenantId::new(&Clock::system());
        limit_pages(&db, 8).await;
        let (mut answered, refused) = write_many(&db, tenant, 0..40).await;
        assert!(!answered.is_empty() && !refused.is_empty(), "{} and {}", answered.len(), refused.len());
        limit_pages(&db, 10_000).await;
        let (more, refused) = write_many(&db, tenant, 40..80).await;
        assert!(refused.is_empty(), "there is room again");
        answered.extend(more);
        assert_eq!(seen(&db, answered.len()).await, answered);
    });
}

/// When the disk fails, SQLite may roll a transaction back on its own, and the driver does not notice: its next COMMIT would
/// be none. (Here a job rolls it back behind the driver's back.)
#[test]
fn a_transaction_that_sqlite_gave_up_loses_nothing_that_was_answered() {
    testkit::db::run(testkit::db::Backend::Sqlite, testkit::db::Service::Identity, |db| async move {
        let tenant = TenantId::new(&Clock::system());
        let saboteur = {
            let db = db.clone();
            tokio::spawn(async move {
                db.write(|transaction| {
                    Box::pin(async move {
                        transaction.execute_unprepared("ROLLBACK").await?;
                        Err::<(), _>(Error::unavailable("what the disk's error would have become"))
                    })
                })
                .await
            })
        };
        let (mut answered, _) = write_many(&db, tenant, 0..40).await;
        assert_eq!(saboteur.await.unwrap().unwrap_err().kind, scim::ErrorKind::Unavailable);
        let (more, refused) = write_many(&db, tenant, 40..80).await;
        assert!(refused.is_empty(), "the connection was not renewed");
        answered.extend(more);
        assert_eq!(seen(&db, answered.len()).await, answered);
    });
}

/// Lets the writing connection grow the database by this many pages.
async fn limit_pages(db: &Database, more: i64) {
    db.write(move |transaction| {
        Box::pin(async move {
            let row = transaction.query_one_raw(statement("PRAGMA page_count")).await?.unwrap();
            let limit = row.try_get::<i64>("", "page_count")? + more;
            transaction.execute_unprepared(&format!("PRAGMA max_page_count = {limit}")).await?;
            Ok(())
        })
    })
    .await
    .unwrap();
}

/// Writes at once; which were answered and which refused, in order.
async fn write_many(db: &Database, tenant: TenantId, all: std::ops::Range<i64>) -> (Vec<i64>, Vec<i64>) {
    let mut writes = Vec::new();
    for version in all {
        let db = db.clone();
        writes.push((version, tokio::spawn(async move { write_large(&db, tenant, version).await })));
    }
    let (mut answered, mut refused) = (Vec::new(), Vec::new());
    for (version, write) in writes {
        match write.await.unwrap() {
            Ok(_) => answered.push(version),
            Err(error) => {
                assert_eq!(error.kind, scim::ErrorKind::Unavailable, "{error} {:?}", error.cause);
                refused.push(version);
            }
        }
    }
    (answered, refused)
}

async fn seen(db: &Database, count: usize) -> Vec<i64> {
    let mut seen = versions(db, count).await;
    seen.sort_unstable();
    seen
}

async fn write_large(db: &Database, tenant: TenantId, version: i64) -> platform::Result<Position> {
    db.write(move |transaction| {
        Box::pin(async move {
            let payload = serde_json::json!({ "filler": "x".repeat(3000) });
            changelog::append(transaction, Entry { payload, ..entry(tenant, version) }).await
        })
    })
    .await
}

fn statement(sql: &str) -> sea_orm::Statement {
    sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, sql)
}
