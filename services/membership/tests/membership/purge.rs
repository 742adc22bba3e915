//! The end of a tenant while it is at work.

use platform::db::Database;
use proto::membership::v1;
use scim::ErrorKind;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::json;

use crate::support::{App, app, kind, user_id};

/// Everything that a tenant can have.
const TABLES: [&str; 5] = ["\"groups\"", "group_members", "users", "change_log", "group_counts"];

/// What is left of a tenant.
async fn rows(db: &Database, app: &App) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in TABLES {
        let sql = format!("SELECT COUNT(*) AS rows FROM {table} WHERE tenant_id = $1");
        let statement = Statement::from_sql_and_values(db.backend(), sql, [app.tenant.uuid().into()]);
        counts.push(db.read().query_one_raw(statement).await.unwrap().unwrap().try_get("", "rows").unwrap());
    }
    counts
}

async fn purge(app: &App) -> platform::Result<()> {
    let request = v1::PurgeTenantRequest { tenant_id: app.tenant.to_string() };
    app.tenant_data().purge_tenant(app.request(request)).await?;
    Ok(())
}

testkit::store_tests! {
    service: Membership;

    async fn nothing_comes_after_the_end(db: Database) {
        let app = app(db.clone());
        let (group, user) = (app.group("Sales").await, app.user().await);
        app.add(&group, &[&user]).await;
        purge(&app).await.unwrap();

        assert_eq!(kind(app.create(json!({ "displayName": "Ghosts" })).await), ErrorKind::Unauthenticated);
        // What identity tells late is left out without a word: it must not stop the log for everybody.
        app.apply(app.change(&user_id())).await.unwrap();
        let mut late = app.change(&user);
        late.version = 2;
        app.apply(late).await.unwrap();
        // In the log its end.
        assert_eq!(rows(&db, &app).await, [0, 0, 0, 1, 0]);
    }

    async fn a_purge_under_load_leaves_nothing(db: Database) {
        let app = app(db.clone());
        let other = app.other_tenant();
        other.group("Sales").await;
        let group = app.group("All").await;
        let mut load = tokio::task::JoinSet::new();
        let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
        for worker in 0..8 {
            let (app, group, begun) = (app.clone(), group.clone(), begun.clone());
            load.spawn(async move {
                for n in 0..2000 {
                    let user = user_id();
                    // Refused when the end comes in between, else left out.
                    if let Err(error) = app.apply(app.change(&user)).await {
                        return error.kind;
                    }
                    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": user }] }]);
                    let _ = app.patch(&group, add).await;
                    let made = app.create(json!({ "displayName": format!("{worker} {n}") })).await;
                    let _ = begun.try_send(());
                    if let Err(error) = made {
                        return error.kind;
                    }
                }
                panic!("the purge did not end it");
            });
        }
        has_begun.recv().await.unwrap();
        purge(&app).await.unwrap();
        for outcome in load.join_all().await {
            assert_eq!(outcome, ErrorKind::Unauthenticated);
        }
        // In the log its end.
        assert_eq!(rows(&db, &app).await, [0, 0, 0, 1, 0]);
        assert_eq!(rows(&db, &other).await[0], 1);
    }
}
