//! What only shows from the inside: that a change that takes its time holds up nobody else, that a load comes to an end whatever
//! its tenant does, and what a row of the log means that is not there any more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use platform::clock::{Clock, Timestamp};
use platform::db::Database;
use platform::db::changelog::{self, Entry, Position, Record};
use platform::db::{purged, retention};
use platform::ids::TenantId;
use sea_orm::ConnectionTrait;
use serde_json::json;
use testkit::db::{Backend, Fresh, Service};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::feed::Outlook;
use super::load::HANDED_OVER;
use super::{Builder, Graph, Index, Refusal, Settings, Slot, State, load, read, write};
use crate::store::Store;

/// Far more than any answer takes, for a machine that has other things to do.
const LONG: Duration = Duration::from_secs(20);

fn index(db: Database) -> Index {
    index_with(db, Settings::default())
}

fn index_with(db: Database, settings: Settings) -> Index {
    Index::new(Store::new(db, Clock::system()), settings)
}

fn tenant() -> TenantId {
    TenantId::new(&Clock::system())
}

fn graph() -> Box<Graph> {
    Box::new(Builder::new(0, 0, 1 << 20).finish().unwrap())
}

/// A graph with one group in it.
fn graph_of_one() -> Box<Graph> {
    let mut graph = graph();
    graph
        .put_group(&super::Group {
            id: Uuid::from_u128(1),
            display_name_key: "g".to_owned(),
            external_id: None,
        })
        .unwrap();
    graph
}

fn with_slot(index: &Index, tenant: TenantId, state: State) -> std::sync::Arc<Slot> {
    let slot = std::sync::Arc::new(Slot::new(tenant, state, 0, 0));
    write(&index.shared.tenants).insert(tenant, slot.clone());
    slot
}

fn record(tenant: TenantId, kind: &str) -> Record {
    Record {
        position: Position::default(),
        tenant,
        resource: tenant.uuid(),
        version: 1,
        kind: kind.to_owned(),
        payload: json!({ "ids": [tenant.uuid()] }),
        at: Timestamp::from_micros(0),
    }
}

/// Has the feed bring a row of the tenant whenever the load has taken those before, and counts them.
async fn keep_writing(index: &Index, slot: &Slot, written: &AtomicUsize) {
    loop {
        let took_all = matches!(&*read(&slot.state), State::Loading(waiting) if waiting.is_empty());
        if took_all {
            index.distribute(slot.tenant, vec![record(slot.tenant, "group.updated")]).await.unwrap();
            written.fetch_add(1, Ordering::SeqCst);
        }
        tokio::task::yield_now().await;
    }
}

/// Appends a row of the log; where it stands, once its readers see it.
async fn append(db: &Database, tenant: TenantId) -> Position {
    let entry = Entry {
        tenant,
        resource: tenant.uuid(),
        version: 1,
        kind: "members.added",
        payload: json!({ "ids": [] }),
        at: Clock::system().now(),
    };
    let position = db.write(move |txn| Box::pin(changelog::append(txn, entry.clone()))).await.unwrap();
    while changelog::latest(db.read()).await.unwrap() < position {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    position
}

testkit::store_tests! {
    service: Membership;

    async fn nobody_waits_for_a_change_under_way(db: Database) {
        let index = index(db);
        let tenant = TenantId::new(&Clock::system());
        let slot = with_slot(&index, tenant, State::Ready(graph()));
        let stop = CancellationToken::new();
        let feed = tokio::spawn(index.clone().follow(stop.clone()));
        while !index.holds(tenant) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(index.ask(tenant, |_| ()).is_some());

        let (sender, answers) = mpsc::channel();
        let changing = write(&slot.state);
        let asking = index.clone();
        // A thread of its own: one that waits for the lock would wait as long as this test.
        let asked = std::thread::spawn(move || {
            let from_memory = asking.ask(tenant, |_| ()).is_some() || asking.holds(tenant);
            asking.want(tenant);
            let _ = sender.send((from_memory, asking.status().is_fed));
        });
        let answer = answers.recv_timeout(LONG);
        drop(changing);
        asked.join().unwrap();
        assert_eq!(answer.map(|(from_memory, _)| from_memory), Ok(false), "the database is there to answer");
        stop.cancel();
        feed.await.unwrap();
    }

    async fn the_end_of_a_tenant_reaches_a_load_under_way(db: Database) {
        let index = index(db);
        let tenant = TenantId::new(&Clock::system());
        let slot = with_slot(&index, tenant, State::Loading(vec![record(tenant, "tenant.purged")]));
        assert!(load::hand_over(&index, &slot, graph()).await.is_ok());
        assert!(matches!(&*write(&slot.state), State::Gone), "what was read may be from before the end");
        assert!(index.slot(tenant).is_none(), "the next question loads it anew");
    }

    async fn a_tenant_that_never_stops_writing_is_loaded(db: Database) {
        let index = index(db);
        let slot = with_slot(&index, tenant(), State::Loading(vec![record(tenant(), "group.updated")]));
        let load = tokio::time::timeout(LONG, load::load(&index, &slot));
        let written = AtomicUsize::new(0);
        // One task, and the feed first: whenever the load comes back from the database there are rows again.
        let loaded = tokio::select! {
            biased;
            () = keep_writing(&index, &slot, &written) => unreachable!(),
            loaded = load => loaded,
        };
        assert!(matches!(loaded, Ok(Ok(()))), "{loaded:?}");
        assert!(matches!(&*read(&slot.state), State::Ready(_)));
        assert_eq!(written.into_inner(), 0, "the feed waits until little is nothing");
    }

    async fn a_load_that_cannot_catch_up_gives_its_place_to_others(db: Database) {
        let index = index_with(db, Settings { catch_up: Duration::ZERO, loads: 1, ..Settings::default() });
        // Rows that take many steps each, and rows of which all are one.
        for kind in ["group.deleted", "members.added"] {
            let rows = vec![record(tenant(), kind); HANDED_OVER + 1];
            let slot = with_slot(&index, tenant(), State::Loading(rows));
            let loaded = load::load(&index, &slot).await;
            assert!(matches!(loaded, Err(Refusal::Busy)), "{kind}: {loaded:?}");
            assert_eq!(index.shared.loading.available_permits(), 1);
        }
    }

    async fn tenants_without_anything_in_them_are_kept_in_bounds(db: Database) {
        const TENANTS: usize = 8;
        let index = index_with(db, Settings { tenants: TENANTS, ..Settings::default() });
        let ready = with_slot(&index, tenant(), State::Ready(graph_of_one()));
        let stop = CancellationToken::new();
        let feed = tokio::spawn(index.clone().follow(stop.clone()));
        for _ in 0..5 * TENANTS {
            let asked = tenant();
            while !index.holds(asked) {
                index.want(asked);
                assert!(read(&index.shared.tenants).len() <= TENANTS, "{:?}", index.status());
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        assert!(index.holds(ready.tenant), "they make room before it does");
        stop.cancel();
        feed.await.unwrap();
    }

    async fn loads_that_wait_are_kept_in_bounds(db: Database) {
        let index = index(db);
        let stop = CancellationToken::new();
        let feed = tokio::spawn(index.clone().follow(stop.clone()));
        let taken = u32::try_from(index.shared.settings.loads).unwrap();
        let turns = index.shared.loading.clone().acquire_many_owned(taken).await.unwrap();
        while !index.status().is_fed {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..1000 {
            index.want(tenant());
        }
        assert_eq!(read(&index.shared.tenants).len(), super::MOST_LOADS);
        drop(turns);
        let late = tenant();
        while !index.holds(late) {
            index.want(late);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stop.cancel();
        feed.await.unwrap();
    }

    async fn a_tenant_refused_again_and_again_is_tried_less_and_less_often(db: Database) {
        let index = index(db);
        let tenant = tenant();
        let mut delays = Vec::new();
        for strikes in 0..7 {
            let slot = Slot::new(tenant, State::Loading(Vec::new()), 0, strikes);
            let before = Instant::now();
            index.refuse(&slot, Refusal::Busy);
            let State::Refused(until) = &*read(&slot.state) else { panic!("refused") };
            delays.push((*until - before).as_secs_f64().round() / index.shared.settings.retry.as_secs_f64());
            assert_eq!(slot.strikes(), strikes + 1);
        }
        assert_eq!(delays, [1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0]);
    }
}

/// A failover that lost rows is noticed by the last one read being gone. Only PostgreSQL has either.
#[test]
fn rows_removed_on_purpose_take_no_tenant_out_of_memory() {
    testkit::db::run_fresh(Backend::Postgres, Service::Membership, async |fresh: &Fresh| {
        let db = fresh.database.clone();
        let (index, mut outlook) = (index(db.clone()), Outlook::default());
        let (stays, goes) = (tenant(), tenant());
        let delete = async |tenant: TenantId| {
            let sql = format!("DELETE FROM change_log WHERE tenant_id = '{tenant}'");
            db.write(move |txn| {
                let sql = sql.clone();
                Box::pin(async move { Ok(txn.execute_unprepared(&sql).await.map(|_| ())?) })
            })
            .await
            .unwrap();
        };
        append(&db, stays).await;
        append(&db, goes).await;
        index.catch_up(&mut outlook).await.unwrap();
        let slot = with_slot(&index, stays, State::Ready(graph()));
        let is_ready = async |outlook: &mut Outlook| {
            outlook.look_again();
            index.is_up_to_date(outlook).await.unwrap();
            slot.is_ready()
        };
        assert!(is_ready(&mut outlook).await);

        // A purge whose last row is still to come.
        purged::mark(&db, goes, Clock::system().now()).await.unwrap();
        delete(goes).await;
        assert!(is_ready(&mut outlook).await, "a purge is no loss");

        // A log in which nothing happened for longer than it is kept.
        append(&db, stays).await;
        index.catch_up(&mut outlook).await.unwrap();
        let later = Clock::system().now().plus(Duration::from_secs(3600));
        assert_ne!(retention::trim(&db, later).await.unwrap(), 0);
        assert!(is_ready(&mut outlook).await, "age is no loss");

        append(&db, goes).await;
        append(&db, stays).await;
        index.catch_up(&mut outlook).await.unwrap();
        delete(goes).await;
        assert!(is_ready(&mut outlook).await);
        delete(stays).await;
        assert!(!is_ready(&mut outlook).await, "a row that nobody removed");
    });
}

/// A failover may lose what was written beside a purge.
#[test]
fn a_purge_does_not_hide_a_loss() {
    testkit::db::run_fresh(Backend::Postgres, Service::Membership, async |fresh: &Fresh| {
        let db = fresh.database.clone();
        let (index, mut outlook) = (index(db.clone()), Outlook::default());
        let (stays, goes) = (tenant(), tenant());
        append(&db, stays).await;
        append(&db, goes).await;
        index.catch_up(&mut outlook).await.unwrap();
        let slot = with_slot(&index, stays, State::Ready(graph()));
        purged::mark(&db, goes, Clock::system().now()).await.unwrap();
        db.write(|txn| {
            Box::pin(async move { Ok(txn.execute_unprepared("DELETE FROM change_log").await.map(|_| ())?) })
        })
        .await
        .unwrap();
        index.is_up_to_date(&mut outlook).await.unwrap();
        assert!(!slot.is_ready());
    });
}

#[test]
fn what_a_load_catches_up_with_ends_when_its_time_is_over() {
    use super::apply::Changes;
    use crate::store::log::Change;

    let gone = Changes::of_members(vec![(Uuid::nil(), Change::GroupDeleted); 2]);
    let soon = Instant::now() + LONG;
    assert!(gone.apply_all(&mut graph(), soon).is_ok());
    assert!(matches!(gone.apply_all(&mut graph(), Instant::now()), Err(Refusal::Busy)));
}

#[test]
fn nested_groups_change_one_at_a_time() {
    use super::apply::Changes;
    use super::graph::Group;
    use crate::store::log::Change;

    let id = |number| Uuid::from_u128(number);
    let mut graph = graph();
    for number in 1..=3 {
        let group = Group { id: id(number), display_name_key: number.to_string(), external_id: None };
        graph.put_group(&group).unwrap();
    }
    let changes = Changes::of_members(vec![
        (id(1), Change::MembersAdded(vec![id(2)])),
        (id(2), Change::MembersAdded(vec![id(3)])),
        (id(2), Change::MembersRemoved(vec![id(3)])),
        (id(3), Change::MembersAdded(vec![Uuid::from_u128(9)])),
    ]);
    let mut places = Vec::new();
    let mut place = 0;
    while let Some(next) = changes.apply_some(&mut graph, place).unwrap() {
        places.push(next);
        place = next;
    }
    assert_eq!(places, [1, 2, 3], "questions are answered in between");
}
