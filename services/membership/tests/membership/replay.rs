//! Whoever replays a Watch has the directory: random histories, written by several at once, followed from the beginning, from
//! the middle and across broken connections.

use std::collections::{BTreeMap, BTreeSet};

use proto::identity::v1::UserChange;
use proto::membership::v1::watch_response::Event;
use proto::membership::v1::{self as v1, WatchResponse};
use serde_json::json;
use testkit::db::{Backend, Service};

use crate::support::{App, Dice, app, user_id, values};

const WRITERS: u64 = 4;
const STEPS: usize = 60;
const USERS: usize = 12;

/// What a follower keeps.
#[derive(Debug, Default, PartialEq, Eq)]
struct Directory {
    groups: BTreeMap<String, String>,
    /// Active or not.
    users: BTreeMap<String, bool>,
    members: BTreeSet<(String, String)>,
}

impl Directory {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Group(group) => drop(self.groups.insert(group.id, group.display_name)),
            Event::User(user) => drop(self.users.insert(user.id, user.active)),
            Event::MembersAdded(v1::WatchedMembers { group_id, member_ids }) => {
                self.members.extend(member_ids.into_iter().map(|member| (group_id.clone(), member)));
            }
            Event::MembersRemoved(v1::WatchedMembers { group_id, member_ids }) => {
                for member in member_ids {
                    self.members.remove(&(group_id.clone(), member));
                }
            }
            Event::EmptiedGroupId(id) => self.members.retain(|(group, _)| *group != id),
            Event::DeletedGroupId(id) => {
                self.groups.remove(&id);
                self.members.retain(|(group, member)| *group != id && *member != id);
            }
            Event::DeletedUserId(id) => {
                self.users.remove(&id);
                self.members.retain(|(_, member)| *member != id);
            }
            Event::SnapshotComplete(_) | Event::Heartbeat(_) => {}
        }
    }

    /// Memberships that count: both ends exist.
    fn effective(mut self) -> Self {
        let (groups, users) = (&self.groups, &self.users);
        let exists = |id: &String| groups.contains_key(id) || users.contains_key(id);
        self.members.retain(|(group, member)| groups.contains_key(group) && exists(member));
        self
    }
}

/// The directory as the service answers for it.
async fn directory(app: &App, users: &[String]) -> Directory {
    let mut directory = Directory::default();
    let listed = app
        .list(v1::ListGroupsRequest { page: page(50), with_members: true, ..Default::default() })
        .await
        .unwrap();
    assert_eq!(listed.head.total_results, listed.head.items, "one page holds them");
    for (group, members) in listed.groups {
        let attributes: serde_json::Value = serde_json::from_slice(&group.json).unwrap();
        directory.members.extend(members.into_iter().map(|member| (group.id.clone(), member.id)));
        directory.groups.insert(group.id, attributes["displayName"].as_str().unwrap().to_owned());
    }
    for id in users {
        let user = Some(v1::UserRef { r#ref: Some(crate::support::by_id(id)) });
        let request = v1::GetUserMembershipRequest { user, ..Default::default() };
        if let Ok(found) = app.memberships().get_user_membership(app.request(request)).await {
            directory.users.insert(id.clone(), found.into_inner().active);
        }
    }
    directory
}

fn page(count: i64) -> Option<proto::common::v1::Page> {
    Some(proto::common::v1::Page { start_index: 1, count: Some(count), cursor: None })
}

/// One writer's part of the history. Groups and users are everybody's; what is refused (it is gone, the name is taken) is part
/// of life.
async fn write(app: App, users: Vec<String>, seed: u64) {
    let mut dice = Dice::new(seed);
    for step in 0..STEPS {
        let listed = app.list(v1::ListGroupsRequest { page: page(50), ..Default::default() }).await.unwrap();
        let groups = listed.ids();
        if groups.len() < 3 || (groups.len() < 20 && dice.roll(8) == 0) {
            let _ = app.create(json!({ "displayName": format!("G {seed} {step}") })).await;
            continue;
        }
        let group = groups[dice.roll(groups.len())].clone();
        let anybody = |dice: &mut Dice| match dice.roll(3) {
            0 => groups[dice.roll(groups.len())].clone(),
            _ => users[dice.roll(users.len())].clone(),
        };
        let some = [anybody(&mut dice), anybody(&mut dice)];
        let some = values(&[&some[0], &some[1]]);
        let member = |op: &str| json!([{ "op": op, "path": "members", "value": some }]);
        match dice.roll(12) {
            0 => drop(app.delete(&group).await),
            1 => {
                let name = format!("R {seed} {step}");
                let rename = json!([{ "op": "replace", "path": "displayName", "value": name }]);
                drop(app.patch(&group, rename).await);
            }
            2 => drop(app.patch(&group, json!([{ "op": "remove", "path": "members" }])).await),
            3 => drop(app.patch(&group, member("replace")).await),
            4 => drop(app.patch(&group, member("remove")).await),
            5..=8 => drop(app.patch(&group, member("add")).await),
            _ => {
                let user = &users[dice.roll(users.len())];
                // Changes of several writers arrive in any order; the highest version decides.
                let version = i64::try_from(step * 10 + dice.roll(10)).unwrap() + 1;
                // Those that only arrive meanwhile stay: nobody can hold what is not there yet against its end and return.
                let stays = users[USERS / 2..].contains(user);
                let (deleted, active) = (!stays && dice.roll(3) == 0, dice.roll(3) > 0);
                app.apply(UserChange { version, deleted, active, ..app.change(user) }).await.unwrap();
            }
        }
    }
}

/// Follows until the group named `End` was told, hanging up now and then.
async fn follow(app: App, seed: u64) -> Directory {
    let mut dice = Dice::new(seed);
    let (mut directory, mut cursor) = (Directory::default(), String::new());
    loop {
        let request = v1::WatchRequest { tenant_id: String::new(), after_cursor: cursor.clone() };
        let mut stream = app.memberships().watch(app.request(request)).await.unwrap().into_inner();
        let mut patience = 5 + dice.roll(200);
        if cursor.is_empty() {
            directory = Directory::default();
        }
        while patience > 0 || cursor.is_empty() {
            patience = patience.saturating_sub(1);
            let WatchResponse { cursor: behind, event } = stream.message().await.unwrap().unwrap();
            cursor = behind;
            directory.apply(event.unwrap());
            if !cursor.is_empty() && directory.groups.values().any(|name| name == "End") {
                return directory.effective();
            }
        }
    }
}

async fn history(app: App, seed: u64) {
    let users: Vec<String> = (0..USERS).map(|_| user_id()).collect();
    app.arrive(&users[..USERS / 2]).await;
    let mut followers = tokio::task::JoinSet::new();
    followers.spawn(follow(app.clone(), seed * 100));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(app.clone(), users.clone(), seed * 10 + writer));
    }
    let mut done = 0;
    while let Some(written) = writers.join_next().await {
        written.unwrap();
        done += 1;
        followers.spawn(follow(app.clone(), seed * 100 + done));
    }
    app.group("End").await;
    let expected = directory(&app, &users).await;
    assert!(!expected.members.is_empty() && !expected.users.is_empty(), "the history says something");
    for follower in followers.join_all().await {
        assert_eq!(follower, expected, "seed {seed}");
    }
}

fn histories(backend: Backend, seeds: std::ops::Range<u64>) {
    testkit::db::run(backend, Service::Membership, move |db| async move {
        let service = app(db);
        for seed in seeds {
            history(service.other_tenant(), seed).await;
        }
    });
}

#[test]
fn sqlite_replayed_watches_are_the_directory() {
    histories(Backend::Sqlite, 1..5);
}

#[test]
fn postgres_replayed_watches_are_the_directory() {
    histories(Backend::Postgres, 1..5);
}
