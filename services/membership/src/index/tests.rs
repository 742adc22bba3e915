//! What only shows from the inside: that a change that takes its time holds up nobody else, and that a tenant's end reaches a load
//! that is under way.

use std::sync::mpsc;
use std::time::Duration;

use platform::clock::{Clock, Timestamp};
use platform::db::Database;
use platform::db::changelog::{Position, Record};
use platform::ids::TenantId;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Builder, Graph, Index, Settings, Slot, State, load, write};
use crate::store::Store;

/// Far more than any answer takes, for a machine that has other things to do.
const LONG: Duration = Duration::from_secs(20);

fn index(db: Database) -> Index {
    Index::new(Store::new(db, Clock::system()), Settings::default())
}

fn graph() -> Box<Graph> {
    Box::new(Builder::new(0, 0, 1 << 20).finish().unwrap())
}

fn with_slot(index: &Index, tenant: TenantId, state: State) -> std::sync::Arc<Slot> {
    let slot = std::sync::Arc::new(Slot { tenant, state: state.into(), bytes: 0.into(), used_at: 0.into() });
    write(&index.shared.tenants).insert(tenant, slot.clone());
    slot
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
        let end = Record {
            position: Position::default(),
            tenant,
            resource: tenant.uuid(),
            version: 1,
            kind: "tenant.purged".to_owned(),
            payload: json!({}),
            at: Timestamp::from_micros(0),
        };
        let slot = with_slot(&index, tenant, State::Loading(vec![end]));
        assert!(load::catch_up(&index, &slot, graph()).await.is_ok());
        assert!(matches!(&*write(&slot.state), State::Gone), "what was read may be from before the end");
        assert!(index.slot(tenant).is_none(), "the next question loads it anew");
    }
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
