//! What administrators did.

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

/// Not in the change log, which is kept for days only. `id` is a UUIDv7: its order is that of time, so the primary key serves
/// the audit of a tenant, and `audit_events_order` that of the platform.
fn tables(uuid: &str, text: &str, json: &str) -> String {
    format!(
        "
        CREATE TABLE audit_events (
            tenant_id    {uuid} NOT NULL,
            id           {uuid} NOT NULL,
            at_us        bigint NOT NULL,
            actor        {text} NOT NULL,
            action       {text} NOT NULL,
            resource     {text} NOT NULL,
            state_before {json},
            state_after  {json},
            request_id   {text} NOT NULL,
            PRIMARY KEY (tenant_id, id)
        );
        CREATE INDEX audit_events_order ON audit_events (id);
        "
    )
}
