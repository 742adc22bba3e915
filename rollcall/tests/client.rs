//! `rollcall-client`, as an internal service uses it, on the real server: every question, and a watch that survives the server.
#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use rollcall_client::check_result::Outcome;
use rollcall_client::watch_response::Event;
use rollcall_client::{Client, Config, Error, WatchResponse, group, user};
use serde_json::{Value, json};
use testkit::client::Client as Scim;
use testkit::server::{Standalone, Tenant};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_rollcall"))
}

/// The client of an internal service of this tenant.
async fn service(server: &Standalone, tenant: &Tenant) -> Client {
    let body = json!({"name": format!("service of {}", tenant.tenant.name), "tenant": tenant.tenant.id, "scopes": ["memberships:read"]});
    let (_, made) = server.admin(reqwest::Method::POST, "/clients", Some(body)).await.unwrap();
    let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("{made}")).to_owned();
    let mut config =
        Config::new(server.http.as_str(), server.grpc.as_str(), text("client_id"), text("client_secret"));
    config.deadline = Duration::from_secs(20);
    Client::new(config).unwrap()
}

async fn new_user(scim: &Scim, name: &str) -> String {
    let body =
        json!({"schemas": [USER], "userName": name, "externalId": format!("x-{name}"), "active": true});
    scim.post("/Users", &body).await.unwrap().id().unwrap()
}

async fn new_group(scim: &Scim, name: &str, members: &[&str]) -> String {
    let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
    let body = json!({"schemas": [GROUP], "displayName": name, "members": members});
    scim.post("/Groups", &body).await.unwrap().id().unwrap()
}

#[tokio::test]
async fn every_question_has_an_answer() {
    let server = Standalone::shared(binary());
    let tenant = server.tenant("client: questions", "entra").await.unwrap();
    let (scim, rollcall) = (tenant.client(), service(server, &tenant).await);
    let anna = new_user(&scim, "anna@example.com").await;
    new_user(&scim, "bert@example.com").await;
    let berlin = new_group(&scim, "Berlin", &[&anna]).await;
    let sales = new_group(&scim, "Sales", &[&berlin]).await;

    // By any name, in any case; and read at least as fresh as the write whose revision is known.
    let add = json!({"schemas": [PATCH], "Operations": [{"op": "Add", "path": "displayName", "value": "Sales EMEA"}]});
    let written = scim.patch(&format!("/Groups/{sales}"), &add).await.unwrap();
    let fresh = rollcall.at_least_as_fresh(written.header("rollcall-revision"));
    assert!(fresh.check(user::name("ANNA@example.com"), group::name("sales emea")).await.unwrap());
    assert!(rollcall.check(user::external_id("x-anna@example.com"), group::id(&sales)).await.unwrap());
    assert!(rollcall.fully_consistent().check(user::id(&anna), group::id(&berlin)).await.unwrap());
    assert!(!rollcall.check(user::name("bert@example.com"), group::id(&sales)).await.unwrap());
    let unknown = rollcall.check(user::name("nobody@example.com"), group::id(&sales)).await;
    assert!(matches!(unknown, Err(Error::NotFound(_))), "{unknown:?}");

    let pairs = [
        ("anna@example.com", "Berlin"),
        ("bert@example.com", "Berlin"),
        ("nobody", "Berlin"),
        ("anna@example.com", "Bonn"),
    ];
    let pairs = pairs.map(|(who, what)| (user::name(who), group::name(what)));
    let outcomes: Vec<Outcome> =
        rollcall.check_all(pairs).await.unwrap().iter().map(|result| result.outcome()).collect();
    assert_eq!(outcomes, [Outcome::Member, Outcome::NotMember, Outcome::UnknownUser, Outcome::UnknownGroup]);

    let groups = rollcall.groups_of(user::id(&anna)).await.unwrap();
    let names: BTreeMap<&str, bool> = groups.iter().map(|g| (g.display_name.as_str(), g.direct)).collect();
    assert_eq!(names, BTreeMap::from([("Berlin", true), ("Sales EMEA", false)]));
    let members: Vec<_> = rollcall.members_of(group::id(&sales)).try_concat().await.unwrap();
    assert_eq!(members.iter().map(|member| member.user_id.as_str()).collect::<Vec<_>>(), [anna.as_str()]);
    let all = rollcall.membership_of(user::id(&anna)).await.unwrap();
    assert_eq!((all.user_name.as_str(), all.groups.len(), all.active), ("anna@example.com", 2, true));
    let why = rollcall.explain(user::id(&anna), group::id(&sales)).await.unwrap();
    let path: Vec<&str> = why.paths[0].edges.iter().map(|edge| edge.group_name.as_str()).collect();
    assert_eq!((why.member, path), (true, vec!["Berlin", "Sales EMEA"]));
}

#[tokio::test]
async fn a_client_of_one_tenant_learns_nothing_of_another() {
    let server = Standalone::shared(binary());
    let (ours, theirs) = (
        server.tenant("client: ours", "entra").await.unwrap(),
        server.tenant("client: theirs", "entra").await.unwrap(),
    );
    let anna = new_user(&theirs.client(), "anna@example.com").await;
    let sales = new_group(&theirs.client(), "Sales", &[&anna]).await;
    let rollcall = service(server, &ours).await;
    assert!(matches!(rollcall.check(user::id(&anna), group::id(&sales)).await, Err(Error::NotFound(_))));
    let other = rollcall.for_tenant(&theirs.tenant.id);
    assert!(matches!(other.check(user::id(&anna), group::id(&sales)).await, Err(Error::Refused(_))));
    let watched = other.watch("").next().await.unwrap();
    assert!(matches!(watched, Err(Error::Refused(_))), "{watched:?}");
}

/// What a watch tells, put together.
#[derive(Debug, Default, PartialEq, Eq)]
struct Directory {
    users: BTreeMap<String, bool>,
    groups: BTreeMap<String, String>,
    members: BTreeSet<(String, String)>,
}

impl Directory {
    fn apply(&mut self, event: Option<Event>) {
        match event {
            Some(Event::User(user)) => {
                self.users.insert(user.id, user.active);
            }
            Some(Event::DeletedUserId(id)) => {
                self.users.remove(&id);
                self.members.retain(|(_, member)| *member != id);
            }
            Some(Event::Group(group)) => {
                self.groups.insert(group.id, group.display_name);
            }
            Some(Event::DeletedGroupId(id)) => {
                self.groups.remove(&id);
                self.members.retain(|(group, member)| *group != id && *member != id);
            }
            Some(Event::EmptiedGroupId(id)) => self.members.retain(|(group, _)| *group != id),
            Some(Event::MembersAdded(added)) => {
                self.members.extend(added.member_ids.into_iter().map(|id| (added.group_id.clone(), id)));
            }
            Some(Event::MembersRemoved(removed)) => {
                for id in removed.member_ids {
                    self.members.remove(&(removed.group_id.clone(), id));
                }
            }
            Some(Event::SnapshotComplete(_) | Event::Heartbeat(_)) | None => {}
        }
    }
}

/// xorshift: the same history for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides).unwrap()).unwrap()
    }
}

/// A history of edits at random, with the process killed in between: whoever follows by cursor has the directory that SCIM shows, and
/// every answer is what that directory says.
#[tokio::test]
async fn a_watch_replay_is_the_directory_though_the_server_is_killed() {
    let seed: u64 =
        std::env::var("ROLLCALL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_122);
    println!("ROLLCALL_SEED={seed}");
    let mut dice = Dice(seed);
    let dir = testkit::server::data_dir().unwrap();
    let mut server = Standalone::start(binary(), dir.path(), &[]).unwrap();
    let tenant = server.tenant("watched", "entra").await.unwrap();
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    let (mut followed, mut cursor) = (Directory::default(), String::new());
    for round in 0..4 {
        // A start takes other ports.
        let base_url = format!("{}/scim/v2", server.http);
        let scim = Scim::new(&base_url, &tenant.token);
        for step in 0..40 {
            edit(&mut dice, &scim, &mut users, &mut groups, &format!("{round}-{step}")).await;
        }
        if round % 2 == 0 {
            let rollcall = service_again(&server, &tenant, round).await;
            (followed, cursor) = follow(&rollcall, followed, cursor, &format!("round {round}"), &scim).await;
            assert_eq!(followed, shown(&scim).await, "seed {seed}, round {round}");
        }
        server.kill().unwrap();
        server = Standalone::start(binary(), dir.path(), &[]).unwrap();
        // Whoever is asked first after the crash, the database or the index that is loaded anew.
        let scim = Scim::new(&format!("{}/scim/v2", server.http), &tenant.token);
        let rollcall = service_again(&server, &tenant, 10 + round).await;
        let shown = shown(&scim).await;
        for asked in [&rollcall, &rollcall.fully_consistent()] {
            compare(asked, &shown, &format!("seed {seed}, after crash {round}")).await;
        }
    }
    let scim = Scim::new(&format!("{}/scim/v2", server.http), &tenant.token);
    let rollcall = service_again(&server, &tenant, 99).await;
    let (followed, _) = follow(&rollcall, followed, cursor, "the end", &scim).await;
    assert_eq!(followed, shown(&scim).await, "seed {seed}, behind the last cursor");
    let (anew, _) = follow(&rollcall, Directory::default(), String::new(), "anew", &scim).await;
    assert_eq!(anew, followed, "seed {seed}, from a snapshot");
    server.kill().unwrap();
}

/// Every user in every group: each answer is what walking down from the group by hand finds.
async fn compare(rollcall: &Client, shown: &Directory, when: &str) {
    let mut pairs = Vec::new();
    let mut expected = Vec::new();
    for group_id in shown.groups.keys() {
        let mut inside = BTreeSet::from([group_id]);
        let mut waiting = vec![group_id];
        while let Some(above) = waiting.pop() {
            let direct = shown.members.iter().filter(|(group, _)| group == above);
            waiting.extend(direct.map(|(_, member)| member).filter(|member| inside.insert(*member)));
        }
        for (user_id, active) in &shown.users {
            pairs.push((user::id(user_id), group::id(group_id)));
            let member = *active && inside.contains(user_id);
            expected.push((user_id, group_id, if member { Outcome::Member } else { Outcome::NotMember }));
        }
    }
    let answers = rollcall.check_all(pairs).await.unwrap();
    assert_eq!(answers.len(), expected.len());
    for ((user_id, group_id, outcome), answer) in expected.into_iter().zip(answers) {
        assert_eq!(answer.outcome(), outcome, "{when}: user {user_id} in group {group_id}");
    }
}

async fn service_again(server: &Standalone, tenant: &Tenant, round: usize) -> Client {
    let tenant = Tenant { base_url: String::new(), token: String::new(), tenant: tenant.tenant.clone() };
    let named =
        testkit::server::TenantName { name: format!("{} {round}", tenant.tenant.name), ..tenant.tenant };
    service(server, &Tenant { tenant: named, ..tenant }).await
}

async fn edit(dice: &mut Dice, scim: &Scim, users: &mut Vec<String>, groups: &mut Vec<String>, name: &str) {
    let operation = |operation: Value| json!({"schemas": [PATCH], "Operations": [operation]});
    match dice.roll(10) {
        0 | 1 => users.push(new_user(scim, name).await),
        2 => groups.push(new_group(scim, name, &[]).await),
        3 if !users.is_empty() => {
            let gone = users.swap_remove(dice.roll(users.len()));
            scim.delete(&format!("/Users/{gone}")).await.unwrap();
        }
        4 if groups.len() > 2 => {
            let gone = groups.swap_remove(dice.roll(groups.len()));
            scim.delete(&format!("/Groups/{gone}")).await.unwrap();
        }
        5 if !users.is_empty() => {
            let id = &users[dice.roll(users.len())];
            let active = operation(json!({"op": "Replace", "path": "active", "value": dice.roll(2) == 0}));
            scim.patch(&format!("/Users/{id}"), &active).await.unwrap();
        }
        6 if !groups.is_empty() => {
            let id = &groups[dice.roll(groups.len())];
            let rename = operation(
                json!({"op": "Replace", "path": "displayName", "value": format!("renamed {name}")}),
            );
            scim.patch(&format!("/Groups/{id}"), &rename).await.unwrap();
        }
        _ if !groups.is_empty() && !users.is_empty() => {
            let group = &groups[dice.roll(groups.len())];
            let member = match dice.roll(4) {
                0 => &groups[dice.roll(groups.len())],
                _ => &users[dice.roll(users.len())],
            };
            let op = if dice.roll(3) == 0 { "Remove" } else { "Add" };
            let change = operation(json!({"op": op, "path": "members", "value": [{"value": member}]}));
            scim.patch(&format!("/Groups/{group}"), &change).await.unwrap();
        }
        _ => users.push(new_user(scim, name).await),
    }
}

/// Follows until it has heard of a group made and deleted just now, or of the whole snapshot, and knows what SCIM shows: what a crash
/// cut in two is repaired from identity's log, and comes later.
async fn follow(
    rollcall: &Client,
    mut directory: Directory,
    mut cursor: String,
    mark: &str,
    scim: &Scim,
) -> (Directory, String) {
    let mark = new_group(scim, &format!("mark {mark}"), &[]).await;
    scim.delete(&format!("/Groups/{mark}")).await.unwrap();
    let shown = shown(scim).await;
    let mut events = rollcall.watch(cursor.as_str());
    let mut heard = false;
    loop {
        let next = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
        let next = next.unwrap_or_else(|_| panic!("nothing more comes; told {directory:?}, shown {shown:?}"));
        let WatchResponse { cursor: behind, event } = next.unwrap().unwrap();
        heard |= matches!(&event, Some(Event::SnapshotComplete(_)));
        heard |= matches!(&event, Some(Event::DeletedGroupId(id)) if *id == mark);
        let is_silent = matches!(&event, Some(Event::Heartbeat(_)));
        directory.apply(event);
        if !behind.is_empty() {
            cursor = behind;
        }
        if heard && directory == shown {
            return (directory, cursor);
        }
        assert!(!(heard && is_silent), "told {directory:?}, shown {shown:?}");
    }
}

/// The directory as SCIM shows it.
async fn shown(scim: &Scim) -> Directory {
    let mut shown = Directory::default();
    for path in ["/Users", "/Groups"] {
        let mut cursor = String::new();
        loop {
            let answer = scim.get(&format!("{path}?cursor={cursor}&count=100")).await.unwrap();
            for resource in
                answer.body["Resources"].as_array().unwrap_or_else(|| panic!("{path}: {}", answer.text))
            {
                let id = resource["id"].as_str().unwrap().to_owned();
                if path == "/Users" {
                    shown.users.insert(id, resource["active"].as_bool().unwrap_or(true));
                    continue;
                }
                for member in resource["members"].as_array().into_iter().flatten() {
                    shown.members.insert((id.clone(), member["value"].as_str().unwrap().to_owned()));
                }
                shown.groups.insert(id, resource["displayName"].as_str().unwrap().to_owned());
            }
            cursor = answer.body["nextCursor"].as_str().unwrap_or_default().to_owned();
            if cursor.is_empty() {
                break;
            }
        }
    }
    shown
}
