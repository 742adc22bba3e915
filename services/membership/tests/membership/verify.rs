//! Comparing what membership keeps with where it comes from.

use platform::Result;
use platform::db::Database;
use platform::db::changelog::{self, Position};
use proto::identity::v1::UserChange;
use proto::membership::v1;
use scim::ErrorKind;
use sea_orm::{ConnectionTrait, Statement, Value};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::support::{App, app_of, kind, service, token, user_id};

/// As identity exports it.
fn exported(user: &UserChange) -> Vec<u8> {
    let mut resource =
        json!({ "userName": user.user_name, "externalId": user.external_id, "active": user.active });
    if !user.display_name.is_empty() {
        resource["displayName"] = user.display_name.as_str().into();
    }
    json!({ "id": user.user_id, "version": user.version, "resource": resource }).to_string().into()
}

/// What comes of all runs together.
async fn verify(app: &App, users: &[UserChange]) -> Result<v1::VerifyTenantResponse> {
    let mut client = v1::maintenance_client::MaintenanceClient::new(app.transport.clone());
    let mut request = v1::VerifyTenantRequest { tenant_id: app.tenant.to_string(), ..Default::default() };
    let mut differences = Vec::new();
    let mut runs: Vec<&[UserChange]> = vec![&[]];
    runs.extend(users.chunks(3));
    for run in &runs {
        request.users = run.iter().map(|user| exported(user).into()).collect();
        let found = client.verify_tenant(app.request(request.clone())).await?.into_inner();
        request.since = found.since;
        request.after_id = run.last().map(|user| user.user_id.clone()).unwrap_or_default();
        differences.extend(found.differences);
    }
    let last = v1::VerifyTenantRequest { users: Vec::new(), is_last: true, ..request };
    let found = client.verify_tenant(app.request(last)).await?.into_inner();
    differences.extend(found.differences);
    Ok(v1::VerifyTenantResponse { differences, ..found })
}

async fn execute(db: &Database, sql: &str, values: Vec<Value>) {
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    assert_eq!(db.read().execute_raw(statement).await.unwrap().rows_affected(), 1);
}

fn uuid(id: &str) -> Uuid {
    id.parse().unwrap()
}

testkit::store_tests! {
    service: Membership;

    async fn differences_are_found_and_nothing_else(db: Database) {
        let service = service(db.clone());
        let (index, stop) = (service.index(), CancellationToken::new());
        let _feed = AbortOnDropHandle::new(tokio::spawn(index.follow(stop)));
        let app = app_of(&service);
        let mut users: Vec<String> = (0..8).map(|_| user_id()).collect();
        users.sort();
        app.arrive(&users).await;
        let group = app.group("Sales").await;
        let nested = app.group("Nested").await;
        app.add(&group, &[&users[0], &nested]).await;
        app.add(&nested, &[&users[1], &user_id()]).await;
        app.apply(UserChange { version: 2, active: false, ..app.change(&users[1]) }).await.unwrap();
        let mut identity: Vec<UserChange> = users.iter().map(|user| app.change(user)).collect();
        identity[1].version = 2;
        identity[1].active = false;

        let found = verify(&app, &identity).await.unwrap();
        assert_eq!(found.differences, [], "a member that is parked is none");
        assert_eq!((found.groups, found.memberships), (2, 4));
        assert!(found.index_compared && !found.truncated);

        // What is newer here than in the export is right.
        let last = app.apply(UserChange { version: 5, ..app.change(&users[7]) }).await.unwrap().revision;
        let last: Position = last.parse().unwrap();
        while changelog::latest(db.read()).await.unwrap() < last {
            tokio::task::yield_now().await;
        }

        // And now what can never be: each as a fault would leave it.
        let tenant: Value = app.tenant.uuid().into();
        let of = |user: &str| vec![tenant.clone(), uuid(user).into()];
        execute(&db, "UPDATE users SET external_id = 'other' WHERE tenant_id = $1 AND user_id = $2", of(&users[2])).await;
        execute(&db, "DELETE FROM users WHERE tenant_id = $1 AND user_id = $2", of(&users[3])).await;
        identity[4].version = 9;
        let surplus = identity.remove(5);
        let orphan = user_id();
        let add = "INSERT INTO group_members (tenant_id, group_id, member_id, member_type, added_at) VALUES ($1, $2, $3, 1, 0)";
        execute(&db, add, vec![tenant.clone(), uuid(&group).into(), uuid(&orphan).into()]).await;
        execute(&db, add, vec![tenant.clone(), uuid(&group).into(), uuid(&users[6]).into()]).await;
        let retype = "UPDATE group_members SET member_type = 0 WHERE tenant_id = $1 AND member_id = $2";
        execute(&db, retype, of(&users[0])).await;

        let found = verify(&app, &identity).await.unwrap();
        let mut told: Vec<(&str, &str, &str)> = Vec::new();
        for difference in &found.differences {
            told.push((&difference.what, &difference.id, &difference.group_id));
        }
        told.sort_unstable();
        let mut expected = vec![
            ("user.different", users[2].as_str(), ""),
            ("user.missing", &users[3], ""),
            ("user.behind", &users[4], ""),
            ("user.surplus", &surplus.user_id, ""),
            ("member.orphan", &orphan, &group),
            ("member.type", &users[0], &group),
            ("index.groups", &users[6], ""),
        ];
        expected.sort_unstable();
        assert_eq!(told, expected);
        assert!(found.differences.iter().all(|difference| !difference.detail.contains('@')), "no names");
    }

    async fn only_an_administrator_asks_and_in_order(db: Database) {
        let app = app_of(&service(db));
        let mut reader = app.clone();
        reader.token = token(&app.tenant.to_string(), "scim memberships:read");
        assert_eq!(kind(verify(&reader, &[]).await), ErrorKind::Forbidden);
        let users = [app.change(&user_id()), app.change(&user_id())];
        let backwards: Vec<UserChange> = users.iter().rev().cloned().collect();
        assert_eq!(kind(verify(&app, &backwards).await), ErrorKind::InvalidValue);
    }
}
