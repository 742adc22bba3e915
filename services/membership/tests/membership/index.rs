//! The index behind the service: every answer as fresh as asked for and right, whatever becomes of its feed and its memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::TryStreamExt;
use membership::index::{Index, Settings};
use platform::db::Database;
use platform::db::changelog::Position;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use proto::identity::v1::UserChange;
use proto::membership::v1::check_result::Outcome;
use proto::membership::v1::consistency::Requirement;
use proto::membership::v1::{self as v1, Depth};
use scim::ErrorKind;
use sea_orm::{ConnectionTrait, TransactionTrait};
use testkit::db::{Backend, Fresh, Service};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{App, app_of, by_id, error, group_by_id, kind, service, user_id};

const USERS: usize = 5;
const GROUPS: usize = 6;
const HISTORIES: usize = 6;
const DEPTHS: [Depth; 2] = [Depth::Direct, Depth::Transitive];

/// A service whose index is fed.
struct Indexed {
    app: App,
    index: Index,
    stop: CancellationToken,
    _feed: AbortOnDropHandle<()>,
}

fn indexed(db: Database, settings: Settings) -> Indexed {
    let service = service(db).with_index(settings);
    let (index, stop) = (service.index(), CancellationToken::new());
    let feed = AbortOnDropHandle::new(tokio::spawn(index.clone().follow(stop.clone())));
    Indexed { app: app_of(&service), index, stop, _feed: feed }
}

impl Indexed {
    /// Asks until the answers come from memory. Transactions of other tests may hold the feed back for a while.
    async fn warm(&self, app: &App) {
        while !self.index.holds(app.tenant) {
            let _ = batch(app, &[], &[], Depth::Direct, None).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn as_fresh(revision: &str) -> Option<Requirement> {
    Some(Requirement::AtLeastAsFresh(revision.to_owned()))
}

fn fully() -> Option<Requirement> {
    Some(Requirement::FullyConsistent(true))
}

/// Asks about every user and every group.
async fn batch(
    app: &App,
    users: &[String],
    groups: &[String],
    depth: Depth,
    requirement: Option<Requirement>,
) -> platform::Result<(Vec<Outcome>, String)> {
    let mut items = Vec::new();
    for user in users {
        for group in groups {
            let user = Some(v1::UserRef { r#ref: Some(by_id(user)) });
            items.push(v1::CheckItem { user, group: Some(v1::GroupRef { r#ref: Some(group_by_id(group)) }) });
        }
    }
    let request = v1::BatchCheckRequest {
        items,
        depth: depth.into(),
        consistency: Some(v1::Consistency { requirement }),
        ..Default::default()
    };
    let answer = app.memberships().batch_check(app.request(request)).await?.into_inner();
    Ok((answer.results.iter().map(v1::CheckResult::outcome).collect(), answer.revision))
}

async fn check(
    app: &App,
    user: &str,
    group: &str,
    requirement: Option<Requirement>,
) -> platform::Result<v1::CheckResponse> {
    let request = v1::CheckRequest {
        user: Some(v1::UserRef { r#ref: Some(by_id(user)) }),
        group: Some(v1::GroupRef { r#ref: Some(group_by_id(group)) }),
        consistency: Some(v1::Consistency { requirement }),
        ..Default::default()
    };
    Ok(app.memberships().check(app.request(request)).await?.into_inner())
}

async fn groups_of(
    app: &App,
    user: &str,
    depth: Depth,
    requirement: Option<Requirement>,
) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListUserGroupsRequest {
            user: Some(v1::UserRef { r#ref: Some(by_id(user)) }),
            depth: depth.into(),
            page_size: 2,
            page_token,
            consistency: Some(v1::Consistency { requirement: requirement.clone() }),
            ..Default::default()
        };
        let page = app.memberships().list_user_groups(app.request(request)).await.unwrap().into_inner();
        found.extend(page.groups.into_iter().map(|group| (group.id, group.direct)));
        if page.next_page_token.is_empty() {
            return found;
        }
        page_token = page.next_page_token;
    }
}

async fn members_of(
    app: &App,
    group: &str,
    depth: Depth,
    after: &str,
    requirement: Option<Requirement>,
) -> Vec<v1::ListGroupMembersResponse> {
    let request = v1::ListGroupMembersRequest {
        group: Some(v1::GroupRef { r#ref: Some(group_by_id(group)) }),
        depth: depth.into(),
        after_cursor: after.into(),
        consistency: Some(v1::Consistency { requirement }),
        ..Default::default()
    };
    let runs = app.memberships().list_group_members(app.request(request)).await.unwrap().into_inner();
    runs.try_collect().await.unwrap()
}

/// What the tables hold, by number.
#[derive(Clone, Debug, Default)]
struct Model {
    /// Version and whether it is active, of those that exist.
    users: BTreeMap<usize, bool>,
    /// Those that were created and not deleted.
    groups: BTreeSet<usize>,
    /// (group, member): members from `GROUPS` up are users, parked ones included.
    rows: BTreeSet<(usize, usize)>,
}

impl Model {
    fn below(&self, group: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([group]);
        let mut waiting = vec![group];
        while let Some(at) = waiting.pop() {
            for (_, member) in self.rows.range((at, 0)..(at, GROUPS)) {
                if self.groups.contains(member) && found.insert(*member) {
                    waiting.push(*member);
                }
            }
        }
        found
    }

    fn outcome(&self, user: usize, group: usize, depth: Depth) -> Outcome {
        if !self.users.contains_key(&user) {
            return Outcome::UnknownUser;
        }
        if !self.groups.contains(&group) {
            return Outcome::UnknownGroup;
        }
        let groups = if depth == Depth::Direct { BTreeSet::from([group]) } else { self.below(group) };
        let member =
            self.users[&user] && groups.iter().any(|group| self.rows.contains(&(*group, user + GROUPS)));
        if member { Outcome::Member } else { Outcome::NotMember }
    }

    fn outcomes(&self, depth: Depth) -> Vec<Outcome> {
        let pairs = (0..USERS).flat_map(|user| (0..GROUPS).map(move |group| (user, group)));
        pairs.map(|(user, group)| self.outcome(user, group, depth)).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A user comes, comes back, or changes.
    User(usize, bool),
    UserGone(usize),
    Group(usize),
    GroupGone(usize),
    Add(usize, BTreeSet<usize>),
    Remove(usize, BTreeSet<usize>),
    Empty(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let members = proptest::collection::btree_set(0..GROUPS + USERS, 1..4);
    let step = prop_oneof![
        4 => (0..USERS, prop::bool::weighted(0.7)).prop_map(|(user, active)| Step::User(user, active)),
        1 => (0..USERS).prop_map(Step::UserGone),
        3 => (0..GROUPS).prop_map(Step::Group),
        1 => (0..GROUPS).prop_map(Step::GroupGone),
        6 => (0..GROUPS, members.clone()).prop_map(|(group, members)| Step::Add(group, members)),
        3 => (0..GROUPS, members).prop_map(|(group, members)| Step::Remove(group, members)),
        1 => (0..GROUPS).prop_map(Step::Empty),
    ];
    proptest::collection::vec(step, 40)
}

/// A tenant, and what its tables hold.
struct History {
    model: Model,
    users: Vec<String>,
    versions: Vec<i64>,
    groups: Vec<String>,
    names: usize,
}

impl History {
    fn new() -> Self {
        Self {
            model: Model::default(),
            users: (0..USERS).map(|_| user_id()).collect(),
            versions: vec![0; USERS],
            // Until they are created they are ids that nobody has.
            groups: (0..GROUPS).map(|_| user_id()).collect(),
            names: 0,
        }
    }

    fn ids(&self, members: &BTreeSet<usize>) -> Vec<&str> {
        let id = |at: &usize| if *at < GROUPS { &self.groups[*at] } else { &self.users[*at - GROUPS] };
        members.iter().map(|at| id(at).as_str()).collect()
    }

    /// Does it; the revision, unless there was nothing to do.
    async fn apply(&mut self, app: &App, step: &Step) -> Option<String> {
        match step {
            Step::User(user, active) => {
                self.versions[*user] += 1;
                let change = UserChange {
                    version: self.versions[*user],
                    active: *active,
                    ..app.change(&self.users[*user])
                };
                self.model.users.insert(*user, *active);
                Some(app.apply(change).await.unwrap().revision)
            }
            Step::UserGone(user) => {
                self.versions[*user] += 1;
                let version = self.versions[*user];
                let change = UserChange { version, deleted: true, ..app.change(&self.users[*user]) };
                self.model.users.remove(user);
                self.model.rows.retain(|row| row.1 != user + GROUPS);
                Some(app.apply(change).await.unwrap().revision)
            }
            Step::Group(group) => {
                if !self.model.groups.insert(*group) {
                    return None;
                }
                self.names += 1;
                let body = serde_json::json!({ "displayName": format!("G{}", self.names) });
                let created = app.create(body).await.unwrap();
                // A new group has a new id: the rows that named the old one name nobody any more.
                self.model.rows.retain(|row| row.1 != *group);
                self.groups[*group] = created.resource.unwrap().id;
                Some(created.revision)
            }
            Step::GroupGone(group) => {
                if !self.model.groups.remove(group) {
                    return None;
                }
                self.model.rows.retain(|row| row.0 != *group && row.1 != *group);
                Some(app.delete(&self.groups[*group]).await.unwrap().revision)
            }
            Step::Add(group, members) => {
                if !self.model.groups.contains(group) {
                    return None;
                }
                for member in members {
                    // Somebody who was deleted is not taken in.
                    let gone = |user: usize| self.versions[user] > 0 && !self.model.users.contains_key(&user);
                    if *member < GROUPS || !gone(*member - GROUPS) {
                        self.model.rows.insert((*group, *member));
                    }
                }
                Some(app.add(&self.groups[*group], &self.ids(members)).await.revision)
            }
            Step::Remove(group, members) => {
                if !self.model.groups.contains(group) {
                    return None;
                }
                self.model.rows.retain(|row| row.0 != *group || !members.contains(&row.1));
                Some(app.remove(&self.groups[*group], &self.ids(members)).await.revision)
            }
            Step::Empty(group) => {
                if !self.model.groups.contains(group) {
                    return None;
                }
                self.model.rows.retain(|row| row.0 != *group);
                let empty = serde_json::json!([{ "op": "replace", "path": "members", "value": [] }]);
                Some(app.patch(&self.groups[*group], empty).await.unwrap().revision)
            }
        }
    }

    /// Lists agree with the checks.
    async fn compare_lists(&self, app: &App, requirement: Option<Requirement>) {
        for depth in DEPTHS {
            let direct = |user, group| self.model.outcome(user, group, Depth::Direct) == Outcome::Member;
            let is_in = |user, group| self.model.outcome(user, group, depth) == Outcome::Member;
            for user in self.model.users.keys().copied() {
                let groups = self.model.groups.iter().filter(|group| is_in(user, **group));
                let mut expected: Vec<(String, bool)> =
                    groups.map(|group| (self.groups[*group].clone(), direct(user, *group))).collect();
                expected.sort();
                assert_eq!(groups_of(app, &self.users[user], depth, requirement.clone()).await, expected);
            }
            for group in self.model.groups.iter().copied() {
                let users = (0..USERS).filter(|user| is_in(*user, group));
                let mut expected: Vec<(String, bool)> =
                    users.map(|user| (self.users[user].clone(), direct(user, group))).collect();
                expected.sort();
                let runs = members_of(app, &self.groups[group], depth, "", requirement.clone()).await;
                let members = runs.into_iter().flat_map(|run| run.members);
                let found: Vec<_> = members.map(|member| (member.user_id, member.direct)).collect();
                assert_eq!(found, expected);
            }
        }
    }
}

/// Plays a history, and asks after every step at every consistency.
async fn play(indexed: &Indexed, app: &App, steps: &[Step]) {
    let mut history = History::new();
    // The states so far, with the ids that groups had then, and the revision that each began with.
    let mut states: Vec<(Position, Model, Vec<String>)> = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        println!("{step:?}");
        let Some(revision) = history.apply(app, step).await else { continue };
        if at == 8 {
            // From here on in memory; what came before is loaded, what follows is fed.
            indexed.warm(app).await;
        }
        let position: Position = revision.parse().unwrap();
        states.push((position, history.model.clone(), history.groups.clone()));
        for depth in DEPTHS {
            let expected = history.model.outcomes(depth);
            let ask = async |requirement| {
                batch(app, &history.users, &history.groups, depth, requirement).await.unwrap()
            };
            assert_eq!(ask(fully()).await.0, expected);
            let (outcomes, reached) = ask(as_fresh(&revision)).await;
            assert_eq!(outcomes, expected);
            assert!(reached.parse::<Position>().unwrap() >= position, "{reached} includes {revision}");

            let (outcomes, reached) = ask(None).await;
            let reached: Position = reached.parse().unwrap();
            let oldest = states.iter().rposition(|(position, ..)| *position <= reached).unwrap_or(0);
            let possible = states[oldest..].iter().filter(|(_, _, groups)| *groups == history.groups);
            let mut possible = possible.map(|(_, model, _)| model.outcomes(depth));
            // While a group has just got its id, the state before it knew another one.
            let renamed = states[oldest..].iter().any(|(_, _, groups)| *groups != history.groups);
            assert!(
                renamed || possible.any(|possible| possible == outcomes),
                "as of {reached}: {outcomes:?}"
            );
        }
        if at % 8 == 7 {
            history.compare_lists(app, as_fresh(&revision)).await;
            history.compare_lists(app, fully()).await;
        }
    }
}

fn histories(backend: Backend) {
    testkit::db::run_fresh(backend, Service::Membership, async |fresh: &Fresh| {
        let indexed = indexed(fresh.database.clone(), Settings::default());
        let mut runner = TestRunner::deterministic();
        for _ in 0..HISTORIES {
            let steps = steps().new_tree(&mut runner).unwrap().current();
            // Printed only when the test fails: the history to play again.
            println!("{steps:?}");
            play(&indexed, &indexed.app.other_tenant(), &steps).await;
        }
        let status = indexed.index.status();
        assert!(status.from_index > 100 && status.refusals == 0, "{status:?}");
    });
}

#[test]
fn every_answer_is_right_at_its_revision_on_sqlite() {
    histories(Backend::Sqlite);
}

#[test]
fn every_answer_is_right_at_its_revision_on_postgres() {
    histories(Backend::Postgres);
}

/// A group with two users in it, one of them deactivated, nested in another.
async fn small(app: &App) -> (Vec<String>, Vec<String>) {
    let users = app.users(3).await;
    let groups = vec![app.group("Inner").await, app.group("Outer").await];
    app.add(&groups[0], &[&users[0], &users[1]]).await;
    app.add(&groups[1], &[&groups[0]]).await;
    app.apply(UserChange { version: 2, active: false, ..app.change(&users[1]) }).await.unwrap();
    (users, groups)
}

testkit::store_tests! {
    service: Membership;

    async fn names_lead_to_the_same_answers_from_memory(db: Database) {
        let indexed = indexed(db, Settings::default());
        let app = &indexed.app;
        let (users, groups) = small(app).await;
        indexed.warm(app).await;
        let before = indexed.index.status().from_index;
        let request = |user: v1::user_ref::Ref, group: v1::group_ref::Ref| v1::CheckRequest {
            user: Some(v1::UserRef { r#ref: Some(user) }),
            group: Some(v1::GroupRef { r#ref: Some(group) }),
            ..Default::default()
        };
        let ask = async |user, group| app.memberships().check(app.request(request(user, group))).await.map_err(platform::Error::from);
        let by_name = |user: &str| v1::user_ref::Ref::UserName(format!("{user}@EXAMPLE.com"));
        let by_external_id = |user: &str| v1::user_ref::Ref::ExternalId(format!("ext-{user}"));
        let outer = || v1::group_ref::Ref::DisplayName("OUTER".into());
        for (user, expected) in [(&users[0], true), (&users[1], false), (&users[2], false)] {
            for named in [by_id(user), by_name(user), by_external_id(user)] {
                assert_eq!(ask(named, outer()).await.unwrap().into_inner().member, expected);
            }
        }
        assert_eq!(indexed.index.status().from_index, before + 9, "none of them asked the database");
        assert_eq!(kind(ask(by_name("nobody"), outer()).await), ErrorKind::NotFound);
        // Two users of one external id are nobody in particular.
        let external_id = format!("ext-{}", users[0]);
        let renamed = UserChange { version: 2, external_id: external_id.clone(), ..app.change(&users[2]) };
        let revision = app.apply(renamed).await.unwrap().revision;
        let mut both = request(v1::user_ref::Ref::ExternalId(external_id), group_by_id(&groups[0]));
        both.consistency = Some(v1::Consistency { requirement: as_fresh(&revision) });
        let refused = app.memberships().check(app.request(both)).await.map_err(platform::Error::from);
        assert_eq!(kind(refused), ErrorKind::Conflict);
    }

    async fn revisions_that_are_none_are_refused(db: Database) {
        let indexed = indexed(db.clone(), Settings::default());
        let app = &indexed.app;
        let (users, groups) = small(app).await;
        let future = match db.backend() {
            sea_orm::DbBackend::Postgres => "999999999999.1",
            _ => "0.999999999",
        };
        for in_memory in [false, true] {
            if in_memory {
                indexed.warm(app).await;
            }
            for none in ["", "x", "1", "1.x", "-1.1"] {
                let refused = error(check(app, &users[0], &groups[0], as_fresh(none)).await);
                assert_eq!((refused.kind, refused.attribute.as_deref()), (ErrorKind::InvalidValue, Some("consistency")), "{none}");
            }
            let ask = check(app, &users[0], &groups[0], as_fresh(future));
            let refused = error(tokio::time::timeout(Duration::from_secs(5), ask).await.expect("it does not wait"));
            assert_eq!((refused.kind, refused.attribute.as_deref()), (ErrorKind::VersionMismatch, Some("consistency")));
        }
    }

    async fn without_a_feed_the_database_answers(db: Database) {
        let indexed = indexed(db, Settings::default());
        let app = &indexed.app;
        let (users, groups) = small(app).await;
        indexed.warm(app).await;
        assert!(check(app, &users[0], &groups[1], None).await.unwrap().member);
        indexed.stop.cancel();
        while indexed.index.holds(app.tenant) {
            tokio::task::yield_now().await;
        }
        assert!(!indexed.index.status().is_fed);
        // What is written now would not be in memory: each answer knows it all the same.
        app.remove(&groups[0], &[&users[0]]).await;
        let revision = app.add(&groups[1], &[&users[2]]).await.revision;
        for requirement in [None, as_fresh(&revision), fully()] {
            assert!(!check(app, &users[0], &groups[1], requirement.clone()).await.unwrap().member);
            assert!(check(app, &users[2], &groups[1], requirement).await.unwrap().member);
        }
    }

    async fn tenants_make_room_for_one_another(db: Database) {
        let first = indexed(db.clone(), Settings::default());
        let tenant = &first.app;
        small(tenant).await;
        first.warm(tenant).await;
        let bytes = usize::try_from(first.index.status().bytes).unwrap();

        let settings = Settings { budget: bytes * 5 / 2, residence: Duration::ZERO, ..Settings::default() };
        let tight = indexed(db, settings);
        let tenants: Vec<App> = (0..5).map(|_| tight.app.other_tenant()).collect();
        let mut names = Vec::new();
        for tenant in &tenants {
            names.push(small(tenant).await);
        }
        for _ in 0..3 {
            for (tenant, (users, groups)) in tenants.iter().zip(&names) {
                tight.warm(tenant).await;
                assert!(check(tenant, &users[0], &groups[1], None).await.unwrap().member);
                assert!(!check(tenant, &users[1], &groups[1], None).await.unwrap().member);
                assert!(tight.index.status().bytes <= bytes as u64 * 5 / 2);
            }
        }
        let status = tight.index.status();
        assert!(status.evictions >= 10 && status.tenants <= 2, "{status:?}");
    }

    async fn a_tenant_that_is_too_large_is_answered_for_from_the_database(db: Database) {
        let indexed = indexed(db, Settings { budget: 1000, ..Settings::default() });
        let app = &indexed.app;
        let (users, groups) = small(app).await;
        while indexed.index.status().refusals == 0 {
            assert!(check(app, &users[0], &groups[1], None).await.unwrap().member);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(check(app, &users[0], &groups[1], None).await.unwrap().member);
        let status = indexed.index.status();
        assert_eq!((status.tenants, status.bytes, status.from_index), (0, 0, 0));
    }

    async fn a_tenant_is_loaded_while_it_changes(db: Database) {
        let indexed = indexed(db, Settings::default());
        for _ in 0..3 {
            let app = &indexed.app.other_tenant();
            let users: Vec<String> = (0..60).map(|_| user_id()).collect();
            let mut groups = Vec::new();
            for at in 0..8 {
                groups.push(app.group(&format!("G{at}")).await);
            }
            // Half of them arrive after they were made members, in any order.
            let arrivals = async {
                for user in &users {
                    app.apply(app.change(user)).await.unwrap();
                }
            };
            let members = async {
                for (at, user) in users.iter().rev().enumerate() {
                    app.add(&groups[at % 8], &[user]).await;
                    app.add(&groups[(at + 3) % 8], &[user]).await;
                    app.remove(&groups[(at + 3) % 8], &[user]).await;
                }
            };
            let nesting = async {
                for at in 0..7 {
                    app.add(&groups[at], &[&groups[at + 1]]).await;
                }
            };
            tokio::join!(arrivals, members, nesting, indexed.warm(app));
            let last = app.group("Last").await;
            let revision = app.add(&last, &[&groups[0], &users[0]]).await.revision;
            for depth in DEPTHS {
                let expected = batch(app, &users, &groups, depth, fully()).await.unwrap().0;
                let members = expected.iter().filter(|outcome| **outcome == Outcome::Member).count();
                assert!(if depth == Depth::Direct { members == 60 } else { members > 60 });
                // Until it is the index that gives it: PostgreSQL may hold the feed back.
                loop {
                    let before = indexed.index.status().from_index;
                    assert_eq!(batch(app, &users, &groups, depth, as_fresh(&revision)).await.unwrap().0, expected);
                    if indexed.index.status().from_index > before {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
    }

    async fn members_are_walked_from_memory_as_from_the_database(db: Database) {
        let indexed = indexed(db, Settings::default());
        let app = &indexed.app;
        let (outer, inner) = (app.group("Outer").await, app.group("Inner").await);
        let ids: Vec<String> = (0..2300).map(|_| user_id()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        app.add(&outer, &ids[..1500]).await;
        app.add(&inner, &ids[700..]).await;
        app.add(&outer, &[&inner]).await;
        app.arrive(&ids).await;
        let last = app.apply(UserChange { version: 2, active: false, ..app.change(ids[5]) }).await.unwrap().revision;
        indexed.warm(app).await;
        for depth in DEPTHS {
            let expected = members_of(app, &outer, depth, "", fully()).await;
            let found = members_of(app, &outer, depth, "", as_fresh(&last)).await;
            let members = |runs: &[v1::ListGroupMembersResponse]| -> Vec<v1::GroupMember> {
                runs.iter().flat_map(|run| run.members.clone()).collect()
            };
            assert_eq!(members(&found), members(&expected));
            assert_eq!(members(&found).len(), if depth == Depth::Direct { 1499 } else { 2299 });
            for (run, from) in found.iter().enumerate() {
                for requirement in [as_fresh(&last), fully()] {
                    let rest = members_of(app, &outer, depth, &from.cursor, requirement).await;
                    assert_eq!(members(&rest), members(&found[run + 1..]));
                }
            }
        }
        assert!(indexed.index.status().from_index > 0);
    }

    async fn a_purged_tenant_is_forgotten(db: Database) {
        let indexed = indexed(db, Settings::default());
        let app = &indexed.app;
        let (users, groups) = small(app).await;
        indexed.warm(app).await;
        let request = app.request(v1::PurgeTenantRequest { tenant_id: app.tenant.to_string() });
        app.tenant_data().purge_tenant(request).await.unwrap();
        while check(app, &users[0], &groups[0], None).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(kind(check(app, &users[0], &groups[0], None).await), ErrorKind::NotFound);
    }
}

/// A transaction that stays open holds back the readers of the log, in all of the cluster: so it has one of its own.
#[test]
fn a_feed_that_is_held_back_is_lost_and_comes_back() {
    testkit::db::run_fresh(Backend::Postgres, Service::Membership, async |fresh: &Fresh| {
        let settings = Settings { lost_after: Duration::from_millis(300), ..Settings::default() };
        let indexed = indexed(fresh.database.clone(), settings);
        let app = &indexed.app;
        let (users, groups) = small(app).await;
        indexed.warm(app).await;

        let other = Database::connect(&fresh.config).await.unwrap();
        let open = other.migrator().begin().await.unwrap();
        open.execute_unprepared("SELECT pg_current_xact_id()").await.unwrap();
        let revision = app.remove(&groups[0], &[&users[0]]).await.revision;
        // At once, where it was asked for.
        for requirement in [as_fresh(&revision), fully()] {
            assert!(!check(app, &users[0], &groups[1], requirement).await.unwrap().member);
        }
        // And for everybody as soon as the feed is known to be behind.
        while check(app, &users[0], &groups[1], None).await.unwrap().member {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!indexed.index.status().is_fed);
        open.rollback().await.unwrap();
        indexed.warm(app).await;
        assert!(!check(app, &users[0], &groups[1], None).await.unwrap().member);
    });
}

#[test]
fn what_one_replica_writes_another_one_answers() {
    testkit::db::run_fresh(Backend::Postgres, Service::Membership, async |fresh: &Fresh| {
        let writer = indexed(fresh.database.clone(), Settings::default());
        let other = indexed(Database::connect(&fresh.config).await.unwrap(), Settings::default());
        let here = &writer.app;
        let there = &App { transport: other.app.transport.clone(), ..here.clone() };
        let (users, groups) = small(here).await;
        other.warm(there).await;
        for _ in 0..20 {
            let removed = here.remove(&groups[0], &[&users[0]]).await.revision;
            assert!(!check(there, &users[0], &groups[1], as_fresh(&removed)).await.unwrap().member);
            let added = here.add(&groups[0], &[&users[0]]).await.revision;
            assert!(check(there, &users[0], &groups[1], as_fresh(&added)).await.unwrap().member);
        }
        here.remove(&groups[0], &[&users[0]]).await;
        while check(there, &users[0], &groups[1], None).await.unwrap().member {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(other.index.status().from_index > 0);
    });
}

#[test]
fn changes_that_a_failover_lost_are_forgotten() {
    testkit::db::run_fresh(Backend::Postgres, Service::Membership, async |fresh: &Fresh| {
        let indexed = indexed(fresh.database.clone(), Settings::default());
        let app = &indexed.app;
        let (users, groups) = small(app).await;
        indexed.warm(app).await;
        app.remove(&groups[0], &[&users[0]]).await;
        while check(app, &users[0], &groups[1], None).await.unwrap().member {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // The new primary never heard of it.
        let (tenant, group, user) = (app.tenant, &groups[0], &users[0]);
        let again = format!(
            "BEGIN; DELETE FROM change_log WHERE seq = (SELECT max(seq) FROM change_log); \
             INSERT INTO group_members (tenant_id, group_id, member_id, member_type, added_at) \
             VALUES ('{tenant}', '{group}', '{user}', 1, 0); COMMIT"
        );
        fresh.database.read().execute_unprepared(&again).await.unwrap();
        while !check(app, &users[0], &groups[1], None).await.unwrap().member {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        indexed.warm(app).await;
        assert!(check(app, &users[0], &groups[1], None).await.unwrap().member);
    });
}
