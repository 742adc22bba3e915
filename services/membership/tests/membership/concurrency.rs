//! Many clients change one group at once; what comes out is what some order of their requests gives.

use std::collections::BTreeSet;

use proptest::prelude::Rng;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proto::identity::v1::UserChange;
use proto::membership::v1;
use serde_json::json;

use crate::support::{App, app, sorted, user_id, values};

const CLIENTS: usize = 64;
const OPERATIONS: usize = 10_000;
/// Entra packs several operations into a request; so do these clients.
const PER_REQUEST: usize = 8;
const OWN_MEMBERS: usize = 6;

/// A reproducible source of randomness; the seed is printed, for a failure to be played again.
fn random(seed: u64) -> TestRng {
    println!("seed {seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    TestRunner::new_with_rng(Config::default(), rng).new_rng()
}

/// One operation of a request, and the same in the model.
fn operation(rng: &mut TestRng, own: &[String], model: &mut BTreeSet<String>) -> serde_json::Value {
    let pick = |rng: &mut TestRng| own[rng.next_u32() as usize % own.len()].clone();
    let (first, second) = (pick(rng), pick(rng));
    match rng.next_u32() % 4 {
        0 => {
            model.insert(first.clone());
            json!({ "op": "add", "path": "members", "value": values(&[&first]) })
        }
        1 => {
            model.extend([first.clone(), second.clone()]);
            json!({ "op": "Add", "path": "members", "value": values(&[&first, &second]) })
        }
        2 => {
            model.remove(&first);
            json!({ "op": "remove", "path": format!("members[value eq \"{first}\"]") })
        }
        _ => {
            model.remove(&first);
            model.remove(&second);
            json!({ "op": "Remove", "path": "members", "value": values(&[&first, &second]) })
        }
    }
}

/// One client: its own members, changed one request after the other; returns who of them must be in at the end.
async fn client(app: App, group: String, mut rng: TestRng) -> BTreeSet<String> {
    let own: Vec<String> = (0..OWN_MEMBERS).map(|_| user_id()).collect();
    app.arrive(&own).await;
    let mut model = BTreeSet::new();
    let mut left = OPERATIONS / CLIENTS;
    while left > 0 {
        let count = left.min(1 + rng.next_u32() as usize % PER_REQUEST);
        left -= count;
        let operations: Vec<_> = (0..count).map(|_| operation(&mut rng, &own, &mut model)).collect();
        app.patch(&group, operations.into()).await.unwrap();
    }
    model
}

testkit::store_tests! {
    service: Membership;

    /// The clients' members are disjoint, so every order of the requests comes to the same: what each client did.
    async fn clients_with_members_of_their_own_lose_nothing(db: Database) {
        let app = app(db);
        let group = app.group("Busy").await;
        let mut rng = random(0x5eed);
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let seed = u64::from(rng.next_u32());
            clients.push(tokio::spawn(client(app.clone(), group.clone(), random(seed))));
        }
        let mut expected = BTreeSet::new();
        for client in clients {
            expected.extend(client.await.unwrap());
        }
        let found: BTreeSet<String> = app.member_ids(&group).await.into_iter().collect();
        assert_eq!(found, expected);
    }

    /// Each request sets one of two members and unsets the other: whatever the order, exactly one is in at the end.
    async fn requests_take_effect_as_a_whole(db: Database) {
        let app = app(db);
        let (group, users) = (app.group("Busy").await, app.users(2).await);
        app.add(&group, &[&users[0]]).await;
        let mut clients = Vec::new();
        for turn in 0..16 {
            let (app, group) = (app.clone(), group.clone());
            let (come, go) = (users[turn % 2].clone(), users[(turn + 1) % 2].clone());
            clients.push(tokio::spawn(async move {
                for _ in 0..10 {
                    let operations = json!([
                        { "op": "remove", "path": "members", "value": values(&[&go]) },
                        { "op": "add", "path": "members", "value": values(&[&come]) },
                    ]);
                    app.patch(&group, operations).await.unwrap();
                    assert_eq!(app.member_ids(&group).await.len(), 1, "a reader never sees half of a request");
                }
            }));
        }
        for client in clients {
            client.await.unwrap();
        }
        assert_eq!(app.member_ids(&group).await.len(), 1);
    }

    async fn versions_count_every_effective_request(db: Database) {
        let app = app(db);
        let (group, users) = (app.group("Busy").await, app.users(16).await);
        let mut clients = Vec::new();
        for user in users {
            let (app, group) = (app.clone(), group.clone());
            clients.push(tokio::spawn(async move {
                for _ in 0..5 {
                    app.add(&group, &[&user]).await;
                    app.remove(&group, &[&user]).await;
                }
            }));
        }
        for client in clients {
            client.await.unwrap();
        }
        assert_eq!(app.version(&group).await, 1 + 16 * 10);
    }

    /// Members are added while their group and some of them go: no membership survives its group or its user.
    async fn deletions_leave_nothing_behind(db: Database) {
        let app = app(db);
        for _ in 0..4 {
            let (kept, doomed) = (app.group(&user_id()).await, app.group(&user_id()).await);
            let users = app.users(8).await;
            let mut clients = Vec::new();
            for (at, user) in users.clone().into_iter().enumerate() {
                let (app, kept, doomed) = (app.clone(), kept.clone(), doomed.clone());
                clients.push(tokio::spawn(async move {
                    app.add(&kept, &[&user, &doomed]).await;
                    let add = json!([{ "op": "add", "path": "members", "value": values(&[&user]) }]);
                    match app.patch(&doomed, add).await {
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.kind, scim::ErrorKind::NotFound),
                    }
                    if at == 3 {
                        app.delete(&doomed).await.unwrap();
                    }
                    if at % 2 == 0 {
                        let deleted = UserChange { version: 2, deleted: true, ..app.change(&user) };
                        app.apply(deleted).await.unwrap();
                    }
                }));
            }
            for client in clients {
                client.await.unwrap();
            }
            let left: Vec<&str> = users.iter().skip(1).step_by(2).map(String::as_str).collect();
            assert_eq!(app.member_ids(&kept).await, sorted(&left));
            let request = v1::ListGroupsOfUsersRequest { context: app.context(), user_ids: users.clone() };
            let answer = app.groups().list_groups_of_users(app.request(request)).await.unwrap().into_inner();
            for user in answer.users {
                assert_eq!(user.groups.iter().map(|group| &group.id).collect::<Vec<_>>(), [&kept]);
            }
        }
    }

    async fn a_name_is_given_once(db: Database) {
        let app = app(db);
        let mut clients = Vec::new();
        for _ in 0..16 {
            let app = app.clone();
            clients.push(tokio::spawn(async move { app.create(json!({ "displayName": "Sales" })).await }));
        }
        let mut made = 0;
        for client in clients {
            match client.await.unwrap() {
                Ok(_) => made += 1,
                Err(error) => assert_eq!(error.kind, scim::ErrorKind::Uniqueness),
            }
        }
        assert_eq!(made, 1);
    }
}
