//! Trimming and compacting a change log, on both databases, while others write and read.
#![expect(clippy::unwrap_used, reason = "helpers of tests may")]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use platform::clock::{Clock, Timestamp};
use platform::db::Database;
use platform::db::changelog::{self, Entry, Position, Record};
use platform::db::retention::{compact, keeps, trim};
use platform::ids::TenantId;
use sea_orm::TransactionTrait;
use uuid::Uuid;

fn entry(tenant: TenantId, resource: u128, version: i64, kind: &'static str, at: i64) -> Entry {
    let payload = serde_json::json!({ "version": version });
    let at = Timestamp::from_micros(at);
    Entry { tenant, resource: Uuid::from_u128(resource), version, kind, payload, at }
}

async fn write(db: &Database, entry: Entry) -> Position {
    db.write(move |txn| {
        let entry = entry.clone();
        Box::pin(async move { changelog::append(txn, entry).await })
    })
    .await
    .unwrap()
}

fn tenant() -> TenantId {
    TenantId::new(&Clock::system())
}

/// Until readers see this row: transactions of other tests may hold it back for a moment.
async fn seen(db: &Database, position: Position) {
    while changelog::latest(db.read()).await.unwrap() < position {
        tokio::task::yield_now().await;
    }
}

/// Everything behind a position, a few rows at a time; `None` when that is not kept.
async fn rest(db: &Database, mut after: Position) -> Option<Vec<Record>> {
    let mut all = Vec::new();
    loop {
        let records = changelog::read_kept(db.read(), after, 3).await.unwrap()?;
        let Some(last) = records.last() else { return Some(all) };
        after = last.position;
        all.extend(records);
    }
}

testkit::store_tests! {
    service: Membership;

    async fn what_is_old_goes_and_whoever_missed_it_is_told(db: Database) {
        let tenant = tenant();
        let mut places = vec![Position::default()];
        for version in 1..=6 {
            places.push(write(&db, entry(tenant, 1, version, "t", version)).await);
        }
        seen(&db, places[6]).await;
        assert!(keeps(db.read(), places[0]).await.unwrap());
        assert_eq!(trim(&db, Timestamp::from_micros(1)).await.unwrap(), 0);
        assert_eq!(rest(&db, places[0]).await.unwrap().len(), 6);

        assert_eq!(trim(&db, Timestamp::from_micros(4)).await.unwrap(), 3);
        for (version, place) in places.iter().enumerate() {
            let left = rest(&db, *place).await.map(|records| records.len());
            assert_eq!(left, (version >= 3).then_some(6 - version), "behind {version}");
            assert_eq!(keeps(db.read(), *place).await.unwrap(), version >= 3);
            let of_tenant = changelog::read_kept_of(db.read(), tenant, *place, 10).await.unwrap();
            assert_eq!(of_tenant.map(|records| records.len()), left);
        }
        // The order decides, not the age: one that is young keeps those behind it.
        write(&db, entry(tenant, 1, 7, "t", 99)).await;
        let last = write(&db, entry(tenant, 1, 8, "t", 1)).await;
        seen(&db, last).await;
        assert_eq!(trim(&db, Timestamp::from_micros(50)).await.unwrap(), 3);
        assert_eq!(rest(&db, places[6]).await.unwrap().len(), 2);

        assert_eq!(trim(&db, Timestamp::from_micros(1000)).await.unwrap(), 2);
        assert_eq!(changelog::latest(db.read()).await.unwrap(), last, "an empty log knows its place");
        assert_eq!(rest(&db, last).await.unwrap().len(), 0);
        assert!(rest(&db, places[6]).await.is_none(), "nothing to read is not nothing missed");
        let next = write(&db, entry(tenant, 1, 9, "t", 9)).await;
        assert!(next > last);
    }

    /// A reader that is told nothing has missed nothing, however the trimming falls between its reads.
    async fn a_reader_overtaken_by_the_trimming_is_told(db: Database) {
        const WRITERS: u128 = 4;
        const EACH: i64 = 150;
        let tenant = tenant();
        let writing = Arc::new(AtomicBool::new(true));
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let db = db.clone();
            writers.spawn(async move {
                for version in 1..=EACH {
                    write(&db, entry(tenant, writer, version, "t", version)).await;
                }
            });
        }
        let trimmer = tokio::spawn({
            let (db, writing) = (db.clone(), writing.clone());
            async move {
                let mut removed = 0;
                while writing.load(Ordering::Relaxed) {
                    removed += trim(&db, Timestamp::from_micros(EACH * 2)).await.unwrap();
                    tokio::task::yield_now().await;
                }
                removed
            }
        });
        let reader = tokio::spawn({
            let (db, writing) = (db.clone(), writing.clone());
            async move {
                let (mut cursor, mut told) = (Position::default(), 0);
                let mut last: HashMap<Uuid, i64> = HashMap::new();
                while writing.load(Ordering::Relaxed) {
                    match changelog::read_kept(db.read(), cursor, 5).await.unwrap() {
                        None => {
                            told += 1;
                            cursor = changelog::latest(db.read()).await.unwrap();
                            last.clear();
                        }
                        Some(records) => {
                            for record in records {
                                assert!(record.position > cursor);
                                cursor = record.position;
                                // A writer's rows are committed one after the other.
                                let before = last.insert(record.resource, record.version);
                                assert!(before.is_none_or(|before| before + 1 == record.version), "a gap without a word");
                            }
                        }
                    }
                    tokio::task::yield_now().await;
                }
                told
            }
        });
        writers.join_all().await;
        writing.store(false, Ordering::Relaxed);
        let removed = trimmer.await.unwrap();
        let told = reader.await.unwrap();
        let end = trim(&db, Timestamp::from_micros(EACH * 2)).await.unwrap();
        println!("{removed} rows removed while writing, {end} at the end; the reader was told {told} times");
    }

    async fn compaction_leaves_the_last_state_of_everything(db: Database) {
        let tenant = tenant();
        let mut places = vec![Position::default()];
        let mut all = Vec::new();
        let mut versions: HashMap<u128, i64> = HashMap::new();
        for at in 1..=40_i64 {
            let resource = u128::try_from(at * 7 % 5).unwrap();
            let version = versions.entry(resource).and_modify(|version| *version += 1).or_insert(1);
            let kind = if at % 10 == 0 { "schema.put" } else { "user.updated" };
            let position = write(&db, entry(tenant, resource, *version, kind, at)).await;
            places.push(position);
            all.push((resource, *version, kind));
        }
        seen(&db, places[40]).await;
        let states = |records: Vec<Record>| {
            let mut states = BTreeMap::new();
            for record in records.into_iter().filter(|record| record.kind == "user.updated") {
                states.insert(record.resource, record.version);
            }
            states
        };
        let mut before = Vec::new();
        for place in &places {
            before.push(states(rest(&db, *place).await.unwrap()));
        }
        assert!(compact(&db, Timestamp::from_micros(31), &["user.updated"]).await.unwrap() > 20);
        assert_eq!(compact(&db, Timestamp::from_micros(31), &["user.updated"]).await.unwrap(), 0);
        for (place, before) in places.iter().zip(before) {
            assert_eq!(states(rest(&db, *place).await.unwrap()), before, "read on from {place}");
        }
        let left = rest(&db, places[0]).await.unwrap();
        assert_eq!(left.iter().filter(|record| record.kind == "schema.put").count(), 4, "other kinds stay");
        assert!(places[31..].iter().all(|place| left.iter().any(|record| record.position == *place)), "young ones stay");
    }
}

/// A transaction that is still open may commit rows before newer ones: the trimming waits for it, as readers do.
#[test]
fn nothing_is_trimmed_past_an_open_transaction() {
    testkit::db::run(testkit::db::Backend::Postgres, testkit::db::Service::Membership, |db| async move {
        let tenant = tenant();
        let slow = db.migrator().begin().await.unwrap();
        changelog::append(&slow, entry(tenant, 1, 1, "t", 1)).await.unwrap();
        let last = write(&db, entry(tenant, 2, 1, "t", 1)).await;
        assert_eq!(trim(&db, Timestamp::from_micros(50)).await.unwrap(), 0);
        slow.commit().await.unwrap();
        seen(&db, last).await;
        assert_eq!(rest(&db, Position::default()).await.unwrap().len(), 2);
        assert_eq!(trim(&db, Timestamp::from_micros(50)).await.unwrap(), 2);
    });
}
