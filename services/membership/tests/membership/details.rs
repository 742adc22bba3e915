//! What a user is, why, and what a write says that it did.

use proto::identity::v1::UserChange;
use proto::membership::v1::{self as v1, team_ref};
use scim::ErrorKind;
use serde_json::json;

use crate::support::{App, app, by_id, group_by_id, kind, sorted, user_id, values};

fn user(id: &str) -> Option<v1::UserRef> {
    Some(v1::UserRef { r#ref: Some(by_id(id)) })
}

async fn membership(app: &App, id: &str, include_inactive: bool) -> v1::GetUserMembershipResponse {
    let request = v1::GetUserMembershipRequest { user: user(id), include_inactive, ..Default::default() };
    app.memberships().get_user_membership(app.request(request)).await.unwrap().into_inner()
}

async fn is_in_team(app: &App, id: &str, team: team_ref::Ref) -> platform::Result<bool> {
    let team = Some(v1::TeamRef { r#ref: Some(team) });
    let request = v1::CheckRequest { user: user(id), team, ..Default::default() };
    Ok(app.memberships().check(app.request(request)).await?.into_inner().member)
}

async fn explain(app: &App, id: &str, group: &str, max_paths: i32) -> v1::ExplainResponse {
    let group = Some(v1::GroupRef { r#ref: Some(group_by_id(group)) });
    let request = v1::ExplainRequest { user: user(id), group, max_paths, ..Default::default() };
    app.memberships().explain(app.request(request)).await.unwrap().into_inner()
}

/// The names along each path.
fn names(answer: &v1::ExplainResponse) -> Vec<Vec<String>> {
    let along = |path: &v1::Path| path.edges.iter().map(|edge| edge.group_name.clone()).collect();
    answer.paths.iter().map(along).collect()
}

testkit::store_tests! {
    service: Membership;

    async fn role_teams_and_groups_of_a_user(db: Database) {
        let app = app(db);
        let (id, team) = (user_id(), user_id());
        let change = UserChange {
            role: "admin".into(),
            team_ids: vec![team.clone()],
            team_slugs: vec!["Red-Team".into()],
            ..app.change(&id)
        };
        app.apply(change.clone()).await.unwrap();
        let (outer, inner) = (app.group("Outer").await, app.group("Inner").await);
        app.add(&outer, &[&inner]).await;
        app.add(&inner, &[&id]).await;

        let found = membership(&app, &id, false).await;
        assert_eq!((found.user_id.as_str(), found.role.as_str(), found.active), (id.as_str(), "admin", true));
        assert_eq!(found.teams, [v1::Team { id: team.clone(), slug: "Red-Team".into() }]);
        let groups: Vec<_> = found.groups.iter().map(|group| (group.id.clone(), group.direct)).collect();
        let mut expected = vec![(outer, false), (inner, true)];
        expected.sort();
        assert_eq!(groups, expected);
        assert!(!found.groups_truncated && !found.revision.is_empty());

        assert!(is_in_team(&app, &id, team_ref::Ref::Slug("red-team".into())).await.unwrap());
        assert!(is_in_team(&app, &id, team_ref::Ref::Id(team.clone())).await.unwrap());
        assert!(!is_in_team(&app, &id, team_ref::Ref::Id(user_id())).await.unwrap());
        assert!(!is_in_team(&app, &id, team_ref::Ref::Slug("blue-team".into())).await.unwrap());
        assert_eq!(kind(is_in_team(&app, &id, team_ref::Ref::Slug(String::new())).await), ErrorKind::InvalidValue);
        assert_eq!(kind(is_in_team(&app, &user_id(), team_ref::Ref::Id(team.clone())).await), ErrorKind::NotFound);

        app.apply(UserChange { version: 2, active: false, ..change }).await.unwrap();
        assert!(!is_in_team(&app, &id, team_ref::Ref::Id(team)).await.unwrap());
        let found = membership(&app, &id, false).await;
        assert!(!found.active && found.role.is_empty() && found.teams.is_empty() && found.groups.is_empty());
        let found = membership(&app, &id, true).await;
        assert!(!found.active && found.role == "admin" && found.teams.len() == 1 && found.groups.len() == 2);
    }

    async fn every_path_with_when_and_by_which_request(db: Database) {
        let app = app(db);
        let id = app.user().await;
        let mut groups = Vec::new();
        for name in ["A", "B", "C", "Top"] {
            groups.push(app.group(name).await);
        }
        let [a, b, c, top] = groups.as_slice() else { panic!("four groups") };
        // A circle, and two ways round it.
        for (group, member) in [(top, a), (top, b), (b, a), (a, b), (c, top), (top, c)] {
            app.add(group, &[member]).await;
        }
        assert_eq!(names(&explain(&app, &id, top, 0).await), Vec::<Vec<String>>::new());
        let mut late = app.clone();
        late.request_id = "req-42".into();
        late.add(a, &[&id]).await;
        let found = explain(&app, &id, top, 0).await;
        assert!(found.member && found.active && !found.truncated);
        assert_eq!(names(&found), [vec!["A", "Top"], vec!["A", "B", "Top"]]);
        let edge = &found.paths[0].edges[0];
        assert_eq!((edge.member_id.as_str(), edge.group_id.as_str()), (id.as_str(), a.as_str()));
        assert_eq!((edge.member_name.as_str(), edge.request_id.as_str()), (format!("{id}@Example.com").as_str(), "req-42"));
        assert!(edge.added_at_us > 1_700_000_000_000_000);
        assert_eq!(found.paths[0].edges[1].member_name, "A");

        let one = explain(&app, &id, top, 1).await;
        assert!(one.truncated && one.paths.len() == 1);
        app.apply(UserChange { version: 2, active: false, ..app.change(&id) }).await.unwrap();
        let found = explain(&app, &id, top, 0).await;
        assert!(!found.member && !found.active && found.paths.len() == 2);
    }

    async fn a_write_says_what_it_changed(db: Database) {
        let app = app(db);
        let users = app.users(3).await;
        let body = json!({ "displayName": "Sales", "members": values(&[&users[0]]) });
        let created = app.create(body).await.unwrap();
        let group = created.resource.unwrap().id;
        assert_eq!(created.members.unwrap(), v1::MembersChange { added: vec![users[0].clone()], ..Default::default() });
        assert!(created.changes.iter().any(|change| change.path == "displayName" && change.before.is_empty() && change.after == "\"Sales\""));

        let operations = json!([
            { "op": "replace", "path": "displayName", "value": "Support" },
            { "op": "add", "path": "members", "value": values(&[&users[0], &users[1]]) },
        ]);
        let patched = app.patch(&group, operations).await.unwrap();
        assert_eq!(patched.members.unwrap(), v1::MembersChange { added: vec![users[1].clone()], ..Default::default() });
        let changes: Vec<_> = patched.changes.iter().map(|change| (change.path.as_str(), change.before.as_str(), change.after.as_str())).collect();
        assert_eq!(changes, [("displayName", "\"Sales\"", "\"Support\"")]);

        // Cleared and filled again by one request: only the difference counts.
        let operations = json!([
            { "op": "remove", "path": "members[type eq \"user\"]" },
            { "op": "add", "path": "members", "value": values(&[&users[1], &users[2]]) },
        ]);
        let patched = app.patch(&group, operations).await.unwrap();
        let expected = v1::MembersChange { added: vec![users[2].clone()], removed: vec![users[0].clone()], truncated: false };
        assert_eq!(patched.members.unwrap(), expected);
        assert!(patched.changes.is_empty());

        let again = app.add(&group, &[&users[1]]).await;
        assert_eq!(again.members.unwrap(), v1::MembersChange::default());
        assert_eq!(again.revision, patched.revision, "nothing changed since");

        let replaced = app.replace(&group, json!({ "displayName": "Support" })).await.unwrap();
        assert_eq!(replaced.members.unwrap().removed, sorted(&[&users[1], &users[2]]));
        app.add(&group, &[&users[0]]).await;
        let deleted = app.delete(&group).await.unwrap();
        assert_eq!(deleted.members.unwrap().removed, [users[0].clone()]);
        assert!(deleted.changes.iter().any(|change| change.path == "displayName" && change.after.is_empty()));
    }
}

/// Readers of the log wait for a transaction that is still open; the answer to a write that changed nothing must not.
#[test]
fn the_revision_of_nothing_includes_what_was_seen() {
    use platform::db::changelog::Position;
    use sea_orm::{ConnectionTrait, TransactionTrait};

    testkit::db::run(testkit::db::Backend::Postgres, testkit::db::Service::Membership, |db| async move {
        let app = app(db.clone());
        let (group, id) = (app.group("Sales").await, app.user().await);
        let open = db.migrator().begin().await.unwrap();
        open.execute_unprepared("SELECT pg_current_xact_id()").await.unwrap();
        let added: Position = app.add(&group, &[&id]).await.revision.parse().unwrap();
        let nothing: Position = app.add(&group, &[&id]).await.revision.parse().unwrap();
        open.rollback().await.unwrap();
        assert_eq!(nothing, added);
    });
}
