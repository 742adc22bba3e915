//! How many users there are in all: kept by the database as they come and go, never counted anew.

use futures::future::join_all;
use platform::db::Database;
use proto::common::v1::Page;
use scim::ErrorKind;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use serde_json::json;
use testkit::db::{Service, migrate};

use crate::random::Random;
use crate::support::{App, Asked, app, kind, names, replicas};

const MIGRATION: &str = "m20261122_000008_user_counts";

impl App {
    /// What a list without a filter says of all.
    async fn told(&self) -> i64 {
        let page = Some(Page { start_index: 1, count: Some(0), cursor: None });
        self.list(Asked { page, ..Asked::default() }).await.unwrap().total_results
    }

    /// What there are.
    async fn counted(&self, db: &Database) -> i64 {
        let sql = "SELECT COUNT(*) AS n FROM users WHERE tenant_id = $1";
        let statement = Statement::from_sql_and_values(db.backend(), sql, [self.tenant.uuid().into()]);
        db.read().query_one_raw(statement).await.unwrap().unwrap().try_get("", "n").unwrap()
    }
}

/// Takes back the migration, as if the database were of the version before it.
async fn undo(db: &Database) {
    let statements = match db.backend() {
        DbBackend::Postgres => {
            "DROP TRIGGER user_counts_insert ON users; DROP TRIGGER user_counts_delete ON users;
             DROP FUNCTION keep_user_counts(); DROP TABLE user_counts"
        }
        _ => "DROP TRIGGER user_counts_insert; DROP TRIGGER user_counts_delete; DROP TABLE user_counts",
    };
    db.migrator().execute_unprepared(statements).await.unwrap();
    let forget = format!("DELETE FROM identity_migrations WHERE version = '{MIGRATION}'");
    assert_eq!(db.migrator().execute_unprepared(&forget).await.unwrap().rows_affected(), 1);
}

testkit::store_tests! {
    service: Identity;

    async fn the_total_is_true_whatever_happens(db: Database) {
        let mut random = Random::new();
        let seed = random.seed;
        let first = app(db.clone());
        let mut tenants = [first.clone(), first.other_tenant(), first];
        tenants[2] = tenants[2].other_tenant();
        let mut users: [Vec<String>; 3] = Default::default();
        let mut kept = users.clone();
        for round in 0..250 {
            let which = random.below(tenants.len());
            let (app, alive, suspended) = (&mut tenants[which], &mut users[which], &mut kept[which]);
            match random.below(12) {
                5 if !alive.is_empty() => {
                    // What was counted before it was refused is taken back.
                    let user: &String = random.pick(alive);
                    let taken = names(&[app.get(user).await.unwrap()]).remove(0);
                    assert_eq!(kind(app.create(json!({ "userName": taken })).await), ErrorKind::Uniqueness);
                }
                6 if !alive.is_empty() => {
                    let title = json!([{ "op": "replace", "path": "title", "value": format!("title {round}") }]);
                    let user: &String = random.pick(alive);
                    app.patch(user, title).await.unwrap();
                }
                7 if !alive.is_empty() => {
                    let id = alive.swap_remove(random.below(alive.len()));
                    app.delete(&id).await.unwrap();
                    assert_eq!(kind(app.delete(&id).await), ErrorKind::NotFound);
                }
                8 | 9 if !alive.is_empty() => {
                    let id = alive.swap_remove(random.below(alive.len()));
                    app.suspend(&id, 3).await.unwrap();
                    suspended.push(id);
                }
                10 if !suspended.is_empty() => {
                    let id = suspended.swap_remove(random.below(suspended.len()));
                    app.restore(&id).await.unwrap();
                    alive.push(id);
                }
                11 if random.chance(20) => {
                    app.purge().await;
                    assert_eq!(app.told().await, 0, "seed {seed}, round {round}");
                    *app = app.other_tenant();
                    alive.clear();
                    suspended.clear();
                }
                _ => alive.push(app.user(&format!("user {round}")).await),
            }
            for (app, alive) in tenants.iter().zip(&users) {
                let counted = app.counted(&db).await;
                assert_eq!(counted, i64::try_from(alive.len()).unwrap(), "seed {seed}, round {round}");
                assert_eq!(app.told().await, counted, "seed {seed}, round {round}");
            }
        }
    }

    /// Of two replicas: none fails, and none is forgotten.
    async fn many_at_once_are_all_counted(fresh: &Fresh) {
        let apps = replicas(fresh).await;
        let load = (0..16).map(|worker| {
            let app = apps[worker % 2].clone();
            async move {
                for n in 0..12 {
                    let id = app.user(&format!("{worker} {n}")).await;
                    match n % 4 {
                        0 => drop(app.delete(&id).await.unwrap()),
                        1 => {
                            app.suspend(&id, 3).await.unwrap();
                            app.restore(&id).await.unwrap();
                        }
                        _ => {}
                    }
                }
            }
        });
        join_all(load).await;
        assert_eq!(apps[0].counted(&fresh.database).await, 16 * 9);
        assert_eq!(apps[1].told().await, 16 * 9);
    }

    /// A database of the version before, and that version at work in it.
    async fn an_upgrade_counts_who_is_there(db: Database) {
        let app = app(db.clone());
        let other = app.other_tenant();
        undo(&db).await;
        for n in 0..30 {
            app.user(&format!("user {n}")).await;
        }
        other.user("anna").await;
        let load = (0..4).map(|worker| {
            let app = app.clone();
            async move {
                for n in 0..25 {
                    let id = app.user(&format!("{worker} {n}")).await;
                    if n % 5 == 0 {
                        app.delete(&id).await.unwrap();
                    }
                }
            }
        });
        let (upgraded, _) = tokio::join!(migrate(db.migrator(), Service::Identity), join_all(load));
        upgraded.unwrap();
        assert_eq!((app.told().await, other.told().await), (30 + 4 * 20, 1));
        assert_eq!(app.counted(&db).await, 30 + 4 * 20);
    }

    /// `search_path` and rights are those of the writer, who need not know of the table.
    async fn whoever_may_write_counts(db: Database) {
        if db.backend() != DbBackend::Postgres {
            return;
        }
        let app = app(db.clone());
        undo(&db).await;
        let role = format!("counts_{}", app.tenant.uuid().simple());
        let run = async |sql: &str| db.migrator().execute_unprepared(&sql.replace("ROLE_NAME", &role)).await.unwrap();
        run(
            "CREATE ROLE ROLE_NAME; GRANT USAGE ON SCHEMA identity TO ROLE_NAME;
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA identity TO ROLE_NAME",
        )
        .await;
        migrate(db.migrator(), Service::Identity).await.unwrap();
        let (one, two) = (app.user("one").await, app.user("two").await);
        let deletion = format!(
            "BEGIN; SET LOCAL ROLE ROLE_NAME; SET LOCAL search_path = public;
             DELETE FROM identity.users WHERE id IN ('{one}', '{two}');
             COMMIT"
        );
        assert_eq!(app.told().await, 2);
        run(&deletion).await;
        assert_eq!(app.told().await, 0);
        run("DROP OWNED BY ROLE_NAME; DROP ROLE ROLE_NAME").await;
    }
}
