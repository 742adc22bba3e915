//! The end of a tenant while it is at work.

use platform::db::Database;
use scim::ErrorKind;
use sea_orm::{ConnectionTrait, Statement};
use serde_json::json;

use crate::support::{App, app, kind};

/// What is left of a tenant.
async fn rows(db: &Database, app: &App) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in
        ["users", "user_emails", "change_log", "teams", "suspended_users", "audit_events", "user_counts"]
    {
        let sql = format!("SELECT COUNT(*) AS rows FROM {table} WHERE tenant_id = $1");
        let statement = Statement::from_sql_and_values(db.backend(), sql, [app.tenant.uuid().into()]);
        counts.push(db.read().query_one_raw(statement).await.unwrap().unwrap().try_get("", "rows").unwrap());
    }
    counts
}

testkit::store_tests! {
    service: Identity;

    async fn nothing_comes_after_the_end(db: Database) {
        let app = app(db.clone());
        let user = app.user("anna").await;
        let left = app.user("left").await;
        app.suspend(&left, 3).await.unwrap();
        let administrator = app.with("admin");
        administrator.user("local").await;
        administrator.team("sales").await.unwrap();
        assert!(rows(&db, &app).await.iter().filter(|rows| **rows > 0).count() >= 5);
        app.purge().await;
        assert_eq!(kind(administrator.team("ghosts").await), ErrorKind::Unauthenticated);
        assert_eq!(kind(app.restore(&left).await), ErrorKind::NotFound);
        assert_eq!(kind(app.create(json!({ "userName": "ghost" })).await), ErrorKind::Unauthenticated);
        assert_eq!(kind(app.delete(&user).await), ErrorKind::NotFound);
        assert_eq!(rows(&db, &app).await, [0; 7]);
    }

    async fn a_purge_under_load_leaves_nothing(db: Database) {
        let app = app(db.clone());
        let other = app.other_tenant();
        other.user("anna").await;
        let mut load = tokio::task::JoinSet::new();
        let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
        for worker in 0..8 {
            let (app, begun) = (app.clone(), begun.clone());
            load.spawn(async move {
                for n in 0..2000 {
                    let body = json!({ "userName": format!("{worker} {n}"), "emails": [{ "value": "a@example.com" }] });
                    let made = app.create(body).await;
                    let _ = begun.try_send(());
                    if let Err(error) = made {
                        return error.kind;
                    }
                }
                panic!("the purge did not end it");
            });
        }
        has_begun.recv().await.unwrap();
        app.purge().await;
        for outcome in load.join_all().await {
            assert_eq!(outcome, ErrorKind::Unauthenticated);
        }
        assert_eq!(rows(&db, &app).await, [0; 7]);
        assert_eq!(rows(&db, &other).await[0], 1);
    }
}
