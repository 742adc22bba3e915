//! The provisioning log: exchanges, whom each is about, and the names those had.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (uuid, text, clustered) = match manager.get_database_backend() {
            DbBackend::Postgres => ("uuid", r#"text COLLATE "C""#, ""),
            _ => ("blob", "text", "WITHOUT ROWID"),
        };
        let sql = format!(
            r#"
            -- What is searched by has columns, the rest is JSON in `facts`, `bytes` long. Text, because nothing is ever searched
            -- in it, and jsonb has no NUL, which a request may.
            CREATE TABLE exchanges (
                tenant_id {uuid} NOT NULL,
                id {uuid} NOT NULL,
                at_us bigint NOT NULL,
                outcome smallint NOT NULL,
                request_id {text} NOT NULL,
                expires_at_us bigint NOT NULL,
                facts {text} NOT NULL,
                bytes integer NOT NULL,
                PRIMARY KEY (tenant_id, id)
            );
            CREATE INDEX exchanges_outcome ON exchanges (tenant_id, outcome, at_us, id);
            CREATE INDEX exchanges_request ON exchanges (tenant_id, request_id, at_us, id);
            CREATE INDEX exchanges_expiry ON exchanges (tenant_id, expires_at_us);

            -- Users and groups that an exchange is about. `outcome` and `at_us` are those of the exchange: a search begins here.
            CREATE TABLE exchange_subjects (
                tenant_id {uuid} NOT NULL,
                subject_id {uuid} NOT NULL,
                outcome smallint NOT NULL,
                at_us bigint NOT NULL,
                exchange_id {uuid} NOT NULL,
                PRIMARY KEY (tenant_id, subject_id, outcome, at_us, exchange_id)
            ) {clustered};
            CREATE INDEX exchange_subjects_exchange ON exchange_subjects (tenant_id, exchange_id, subject_id);

            -- The names under which a subject was seen, as a hash; also of those that are gone meanwhile.
            CREATE TABLE subject_names (
                tenant_id {uuid} NOT NULL,
                name_id {uuid} NOT NULL,
                subject_id {uuid} NOT NULL,
                expires_at_us bigint NOT NULL,
                PRIMARY KEY (tenant_id, name_id, subject_id)
            ) {clustered};
            CREATE INDEX subject_names_expiry ON subject_names (tenant_id, expires_at_us);
            "#
        );
        manager.get_connection().execute_unprepared(&sql).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "DROP TABLE subject_names; DROP TABLE exchange_subjects; DROP TABLE exchanges;";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}
