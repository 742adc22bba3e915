//! Users that were deleted and are kept for a while.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (uuid, text, json) = match manager.get_database_backend() {
            DbBackend::Postgres => ("uuid", r#"text COLLATE "C""#, "jsonb"),
            _ => ("blob", "text", "text"),
        };
        manager.get_connection().execute_unprepared(&tables(uuid, text, json)).await?;
        Ok(())
    }
}

/// A table of its own, so that no query of users can find them and their names are free. `version` is that of the deletion.
/// The index `suspended_users_due` is for the job that purges for all tenants, hence without a tenant.
fn tables(uuid: &str, text: &str, json: &str) -> String {
    format!(
        "
        CREATE TABLE suspended_users (
            tenant_id    {uuid} NOT NULL,
            user_id      {uuid} NOT NULL,
            user_name    {text} NOT NULL,
            attributes   {json} NOT NULL,
            version      bigint NOT NULL,
            created_at   bigint NOT NULL,
            suspended_at bigint NOT NULL,
            purge_at     bigint NOT NULL,
            PRIMARY KEY (tenant_id, user_id)
        );
        CREATE INDEX suspended_users_latest ON suspended_users (tenant_id, suspended_at, user_id);
        CREATE INDEX suspended_users_due ON suspended_users (purge_at);
        "
    )
}
