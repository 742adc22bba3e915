//! The macro gives each test a database of its own, with the service's schema, on both backends.

use sea_orm::ConnectionTrait;

testkit::store_tests! {
    service: Identity;

    async fn write_a_table(db: Database) {
        assert_migrated(&db).await;
        db.read().execute_unprepared("CREATE TABLE only_here (n bigint)").await.unwrap();
    }

    async fn nobody_elses_table_is_here(db: Database) {
        db.read().execute_unprepared("CREATE TABLE only_here (n bigint)").await.unwrap();
    }

    async fn a_second_replica_sees_the_first(fresh: &Fresh) {
        let other = testkit::db::Database::connect(&fresh.config).await.unwrap();
        assert_migrated(&other).await;
        fresh.database.read().execute_unprepared("CREATE TABLE shared (n bigint)").await.unwrap();
        other.read().execute_unprepared("INSERT INTO shared VALUES (1)").await.unwrap();
    }
}

#[cfg(test)]
async fn assert_migrated(db: &testkit::db::Database) {
    let pending = migrations::state(db.migrator(), testkit::db::Service::Identity).await.unwrap().pending;
    assert_eq!(pending, Vec::<String>::new());
}
