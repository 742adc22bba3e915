//! How many groups there are in all: kept by the database as they come and go, never counted anew.

use futures::future::join_all;
use platform::db::Database;
use proto::common::v1::Page;
use proto::membership::v1;
use scim::ErrorKind;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::json;
use testkit::db::{Service, migrate};

use crate::support::{App, app, kind};

impl App {
    /// What a list without a filter says of all.
    async fn told(&self) -> i64 {
        let page = Some(Page { start_index: 1, count: Some(0), cursor: None });
        self.list(v1::ListGroupsRequest { page, ..Default::default() }).await.unwrap().head.total_results
    }

    /// What there are.
    async fn counted(&self, db: &Database) -> i64 {
        let sql = r#"SELECT COUNT(*) AS n FROM "groups" WHERE tenant_id = $1"#;
        let statement = Statement::from_sql_and_values(db.backend(), sql, [self.tenant.uuid().into()]);
        db.read().query_one_raw(statement).await.unwrap().unwrap().try_get("", "n").unwrap()
    }
}

/// Takes back the migration, as if the database were of the version before it.
async fn undo(db: &Database) {
    let statements = match db.backend() {
        DbBackend::Postgres => {
            r#"DROP TRIGGER group_counts_insert ON "groups"; DROP TRIGGER group_counts_delete ON "groups";
             DROP FUNCTION keep_group_counts(); DROP TABLE group_counts"#
        }
        _ => "DROP TRIGGER group_counts_insert; DROP TRIGGER group_counts_delete; DROP TABLE group_counts",
    };
    db.migrator().execute_unprepared(statements).await.unwrap();
    let forget = "DELETE FROM membership_migrations WHERE version = 'm20261122_000006_group_counts'";
    assert_eq!(db.migrator().execute_unprepared(forget).await.unwrap().rows_affected(), 1);
}

testkit::store_tests! {
    service: Membership;

    async fn the_total_is_true_whatever_happens(db: Database) {
        let app = app(db.clone());
        let other = app.other_tenant();
        let load = (0..16).map(|worker| {
            let (app, other) = (app.clone(), other.clone());
            async move {
                for n in 0..8 {
                    let name = format!("{worker} {n}");
                    let id = app.group(&name).await;
                    // What was counted before it was refused is taken back.
                    assert_eq!(kind(app.create(json!({ "displayName": name })).await), ErrorKind::Uniqueness);
                    if n % 2 == 0 {
                        app.delete(&id).await.unwrap();
                        assert_eq!(kind(app.delete(&id).await), ErrorKind::NotFound);
                    }
                    other.group(&name).await;
                }
            }
        });
        join_all(load).await;
        assert_eq!((app.told().await, app.counted(&db).await), (64, 64));
        assert_eq!((other.told().await, other.counted(&db).await), (128, 128));
        let request = v1::PurgeTenantRequest { tenant_id: app.tenant.to_string() };
        app.tenant_data().purge_tenant(app.request(request)).await.unwrap();
        assert_eq!((app.told().await, other.told().await), (0, 128));
    }

    /// A database of the version before, and that version at work in it.
    async fn an_upgrade_counts_what_is_there(db: Database) {
        let app = app(db.clone());
        undo(&db).await;
        for n in 0..30 {
            app.group(&format!("group {n}")).await;
        }
        let load = (0..4).map(|worker| {
            let app = app.clone();
            async move {
                for n in 0..25 {
                    app.group(&format!("{worker} {n}")).await;
                }
            }
        });
        let (upgraded, _) = tokio::join!(migrate(db.migrator(), Service::Membership), join_all(load));
        upgraded.unwrap();
        assert_eq!((app.told().await, app.counted(&db).await), (130, 130));
    }
}
