//! Transitive questions against brute force, on random graphs of groups and users, with cycles.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use proto::membership::v1::{self as v1, Depth};
use testkit::db::{Backend, Fresh, Service};

use crate::support::{App, app, by_id, group_by_id};

const GROUPS: usize = 8;
const USERS: usize = 6;
const GRAPHS: u32 = 16;

/// Edges from group to member; members from `GROUPS` up are users.
type Edges = Vec<(usize, usize)>;

fn edges() -> impl Strategy<Value = Edges> {
    vec((0..GROUPS, 0..GROUPS + USERS), 0..30)
}

/// Who is below a group, by following every edge until nothing new is found.
fn below(edges: &Edges, group: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut frontier = vec![group];
    while let Some(at) = frontier.pop() {
        for (from, to) in edges {
            if *from == at && found.insert(*to) {
                frontier.push(*to);
            }
        }
    }
    found
}

async fn compare(app: &App, edges: &Edges) {
    let mut ids = Vec::new();
    for at in 0..GROUPS {
        ids.push(app.group(&format!("G{at}")).await);
    }
    ids.extend(app.users(USERS).await);
    for group in 0..GROUPS {
        let members: Vec<&str> =
            edges.iter().filter(|(from, _)| *from == group).map(|(_, to)| ids[*to].as_str()).collect();
        app.add(&ids[group], &members).await;
    }

    let mut groups_of: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for group in 0..GROUPS {
        let expected: BTreeSet<usize> = below(edges, group).into_iter().filter(|at| *at >= GROUPS).collect();
        for user in &expected {
            groups_of.entry(*user).or_default().insert(group);
        }
        let mut by_id: Vec<&String> = expected.iter().map(|at| &ids[*at]).collect();
        by_id.sort();
        let (members, _) = app.walk(&ids[group], Depth::Transitive, false, "").await.unwrap();
        assert_eq!(members.iter().map(|member| &member.user_id).collect::<Vec<_>>(), by_id);
        for member in &members {
            let at = ids.iter().position(|id| *id == member.user_id).unwrap();
            assert_eq!(member.direct, edges.contains(&(group, at)));
        }
        let questions = (GROUPS..GROUPS + USERS).map(async |user| {
            let ask = async |depth| {
                app.ask(self::by_id(&ids[user]), group_by_id(&ids[group]), depth).await.unwrap()
            };
            assert_eq!(ask(Depth::Transitive).await, expected.contains(&user));
            assert_eq!(ask(Depth::Direct).await, edges.contains(&(group, user)));
        });
        futures::future::join_all(questions).await;
    }

    let request =
        v1::ListUserIdsOfGroupsRequest { context: app.context(), group_ids: ids[..GROUPS].to_vec() };
    let answer = app.groups().list_user_ids_of_groups(app.request(request)).await.unwrap().into_inner();
    for (group, listed) in answer.groups.iter().enumerate() {
        let below = below(edges, group);
        let expected: BTreeSet<&String> =
            below.iter().filter(|at| **at >= GROUPS).map(|at| &ids[*at]).collect();
        assert_eq!(listed.user_ids.len(), expected.len(), "each once");
        assert_eq!(listed.user_ids.iter().collect::<BTreeSet<_>>(), expected);
    }

    let request = v1::ListGroupsOfUsersRequest { context: app.context(), user_ids: ids[GROUPS..].to_vec() };
    let answer = app.groups().list_groups_of_users(app.request(request)).await.unwrap().into_inner();
    let mut found: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for user in answer.users {
        let at = |id: &String| ids.iter().position(|known| known == id).unwrap();
        found.insert(at(&user.user_id), user.groups.iter().map(|group| at(&group.id)).collect());
    }
    assert_eq!(found, groups_of);
}

fn on(backend: Backend) {
    testkit::db::run_fresh(backend, Service::Membership, async |fresh: &Fresh| {
        let app = app(fresh.database.clone());
        let mut runner = TestRunner::deterministic();
        for _ in 0..GRAPHS {
            let edges = edges().new_tree(&mut runner).unwrap().current();
            // Printed only when the test fails: the graph to play again.
            println!("graph {edges:?}");
            compare(&app.other_tenant(), &edges).await;
        }
    });
}

#[test]
fn sqlite_agrees_with_brute_force() {
    on(Backend::Sqlite);
}

#[test]
fn postgres_agrees_with_brute_force() {
    on(Backend::Postgres);
}
