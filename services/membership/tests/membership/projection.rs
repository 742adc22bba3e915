//! The projection of users: any order, any number of times.

use platform::db::changelog::Position;
use proto::identity::v1::UserChange;
use proto::membership::v1::{self as v1, Depth, user_ref};
use scim::ErrorKind;

use crate::support::{App, app, by_id, error, group_by_id, kind, token, user_id};

/// What a user went through: created, renamed, deactivated, deleted.
fn history(app: &App, user: &str) -> Vec<UserChange> {
    let first = app.change(user);
    let second = UserChange { version: 2, user_name: "renamed@example.com".into(), ..first.clone() };
    let third = UserChange { version: 3, active: false, ..second.clone() };
    let fourth = UserChange {
        version: 4,
        deleted: true,
        user_name: String::new(),
        external_id: String::new(),
        active: false,
        ..third.clone()
    };
    vec![first, second, third, fourth]
}

/// Every order of the numbers below `count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for shorter in orders(count - 1) {
        for at in 0..count {
            let mut order = shorter.clone();
            order.insert(at, count - 1);
            all.push(order);
        }
    }
    all
}

async fn by_name(app: &App, name: &str, group: &str) -> platform::Result<bool> {
    app.ask(user_ref::Ref::UserName(name.into()), group_by_id(group), Depth::Direct).await
}

testkit::store_tests! {
    service: Membership;

    async fn role_and_teams_are_kept_by_version(db: Database) {
        use sea_orm::{ConnectionTrait, Statement};

        let app = app(db.clone());
        let user = user_id();
        let teams = vec![user_id(), user_id()];
        let kept = async || {
            let sql = "SELECT role, team_ids FROM users WHERE tenant_id = $1";
            let statement = Statement::from_sql_and_values(db.backend(), sql, [app.tenant.uuid().into()]);
            let row = db.read().query_one_raw(statement).await.unwrap().unwrap();
            let role: Option<String> = row.try_get("", "role").unwrap();
            let team_ids: serde_json::Value = row.try_get("", "team_ids").unwrap();
            (role, team_ids)
        };
        let second = UserChange { version: 2, role: "owner".into(), team_ids: teams.clone(), ..app.change(&user) };
        app.apply(second).await.unwrap();
        app.apply(UserChange { role: "user".into(), ..app.change(&user) }).await.unwrap();
        assert_eq!(kept().await, (Some("owner".to_owned()), serde_json::json!(teams)), "the later version counts");
        app.apply(UserChange { version: 3, deleted: true, ..Default::default() }.of(&app, &user)).await.unwrap();
        assert_eq!(kept().await, (None, serde_json::json!([])));
    }

    async fn changes_in_any_order_and_repeated_come_to_the_same(db: Database) {
        let app = app(db);
        let group = app.group("Sales").await;
        // Without the deletion the third change decides, with it the fourth.
        for count in [3, 4] {
            for order in orders(count) {
                let user = user_id();
                app.add(&group, &[&user]).await;
                let history = history(&app, &user);
                for at in order.iter().chain(&order) {
                    app.apply(history[*at].clone()).await.unwrap();
                }
                let found = app.ask(by_id(&user), group_by_id(&group), Depth::Direct).await;
                let shown = app.member_ids(&group).await.contains(&user);
                if count == 3 {
                    assert!(!found.unwrap(), "{order:?}: deactivated, so in nothing");
                    assert!(shown, "{order:?}: but still listed by the group");
                    let name = by_name(&app, &app.change(&user).user_name, &group).await;
                    assert_eq!(kind(name), ErrorKind::NotFound, "{order:?}: the old name is gone");
                    app.apply(UserChange { version: 4, deleted: true, ..Default::default() }.of(&app, &user)).await.unwrap();
                } else {
                    assert_eq!(kind(found), ErrorKind::NotFound, "{order:?}");
                    assert!(!shown, "{order:?}");
                }
            }
        }
    }

    async fn a_deactivated_user_is_a_member_of_nothing_until_it_is_back(db: Database) {
        let app = app(db);
        let (group, user) = (app.group("Sales").await, app.user().await);
        app.add(&group, &[&user]).await;
        assert!(app.is_in(&user, &group).await);
        app.apply(UserChange { version: 2, active: false, ..app.change(&user) }).await.unwrap();
        assert!(!app.is_in(&user, &group).await);
        assert_eq!(app.member_ids(&group).await, [user.as_str()]);
        let (active, _) = app.walk(&group, Depth::Direct, false, "").await.unwrap();
        let (all, _) = app.walk(&group, Depth::Direct, true, "").await.unwrap();
        assert_eq!((active.len(), all.len()), (0, 1));
        assert!(!all[0].active);
        let ask = |include_inactive| v1::ListUserGroupsRequest {
            user: Some(v1::UserRef { r#ref: Some(by_id(&user)) }),
            include_inactive,
            ..Default::default()
        };
        for (include_inactive, expected) in [(false, 0), (true, 1)] {
            let answer = app.memberships().list_user_groups(app.request(ask(include_inactive))).await.unwrap();
            assert_eq!(answer.into_inner().groups.len(), expected);
        }
        app.apply(UserChange { version: 3, ..app.change(&user) }).await.unwrap();
        assert!(app.is_in(&user, &group).await, "its memberships were kept");
    }

    async fn a_deleted_user_leaves_its_groups_and_stays_away(db: Database) {
        let app = app(db);
        let (group, user) = (app.group("Sales").await, app.user().await);
        app.add(&group, &[&user]).await;
        let version = app.version(&group).await;
        app.apply(UserChange { version: 2, deleted: true, ..Default::default() }.of(&app, &user)).await.unwrap();
        assert_eq!(app.member_ids(&group).await, Vec::<String>::new());
        assert_eq!(app.version(&group).await, version, "the group itself was not changed");
        let answer = app.add(&group, &[&user]).await;
        assert_eq!(answer.warnings.len(), 1);
        assert_eq!(answer.resource.unwrap().version, version, "a deleted user is not parked");
        app.apply(app.change(&user)).await.unwrap();
        assert_eq!(app.member_ids(&group).await, Vec::<String>::new(), "an older change does not bring it back");
    }

    async fn revisions_move_with_writes_only(db: Database) {
        let app = app(db);
        let user = user_id();
        let revision = async |change: UserChange| app.apply(change).await.unwrap().revision.parse::<Position>().unwrap();
        let first = revision(app.change(&user)).await;
        // At most: what other tests do on the same server may hold the newest revision back for a moment.
        assert!(revision(app.change(&user)).await <= first);
        assert!(revision(UserChange { version: 2, ..app.change(&user) }).await > first);
    }

    async fn changes_need_the_scope_and_valid_ids(db: Database) {
        let app = app(db);
        let mut reader = app.clone();
        reader.token = token(&app.tenant.to_string(), "memberships:read");
        assert_eq!(kind(reader.apply(app.change(&user_id())).await), ErrorKind::Forbidden);
        let mut platform = app.clone();
        platform.token = token("*", "internal");
        platform.apply(app.change(&user_id())).await.unwrap();
        let refused = error(app.apply(app.change("bob")).await);
        assert_eq!(refused.kind, ErrorKind::InvalidValue);
        assert!(refused.detail.contains("user_id"), "{}", refused.detail);
        let refused = error(app.apply(UserChange { version: 0, ..app.change(&user_id()) }).await);
        assert!(refused.detail.contains("version"), "{}", refused.detail);
    }
}

/// Fills in who is meant.
trait Of {
    fn of(self, app: &App, user: &str) -> Self;
}

impl Of for UserChange {
    fn of(self, app: &App, user: &str) -> Self {
        Self { tenant_id: app.tenant.to_string(), user_id: user.into(), ..self }
    }
}
