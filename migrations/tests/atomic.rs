//! A process that dies while it migrates leaves a database that the next one can migrate.

use migrations::Service;
use sea_orm_migration::sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr};

async fn open(path: &std::path::Path) -> DatabaseConnection {
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", path.display()));
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.expect("a file in a temporary directory opens")
}

/// Makes the last statement of a migration fail: its index is already there under the name it wants.
async fn sabotaged(service: Service, table: &str, statement: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let db = open(&directory.path().join("db")).await;
    db.execute_unprepared(statement).await.expect("the sabotage itself works");
    let broken: Result<(), DbErr> = migrations::up(&db, service).await;
    assert!(broken.is_err(), "{service:?}: the sabotage must break the migration");
    db.execute_unprepared(&format!("DROP TABLE {table}")).await.expect("only the sabotage is left");
    migrations::up(&db, service).await.expect("nothing of the broken run stands in the way");
    assert_eq!(migrations::state(&db, service).await.expect("readable"), migrations::State::default());
}

#[tokio::test]
async fn a_broken_run_leaves_nothing() {
    // What comes last in each service's first migration.
    for service in [Service::Identity, Service::Membership, Service::Token] {
        sabotaged(service, "change_log", "CREATE TABLE change_log (id integer)").await;
    }
    sabotaged(Service::Journal, "subject_names", "CREATE TABLE subject_names (id integer)").await;
}

#[tokio::test]
async fn migrating_again_changes_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let db = open(&directory.path().join("db")).await;
    for _ in 0..2 {
        migrations::up(&db, Service::Identity).await.expect("idempotent");
    }
}
