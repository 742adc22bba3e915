//! Dialects by the traffic; labels and revocation of admin secrets.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// The version before reads `dialect` alone, and goes on doing so: with `dialect_auto` that column holds the dialect in
/// force. One statement a column: SQLite adds no more at a time.
const COLUMNS: [&str; 5] = [
    "ALTER TABLE tenants ADD COLUMN dialect_auto boolean NOT NULL DEFAULT false",
    "ALTER TABLE tenants ADD COLUMN dialect_sign {text}",
    "ALTER TABLE tenants ADD COLUMN dialect_recognised_at_us bigint",
    "ALTER TABLE admin_credentials ADD COLUMN label {text} NOT NULL DEFAULT ''",
    "ALTER TABLE admin_credentials ADD COLUMN revoked_at_us bigint",
];

/// See the module.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261122_000002_settings"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let text = match manager.get_database_backend() {
            DbBackend::Postgres => "text COLLATE \"C\"",
            _ => "text",
        };
        for column in COLUMNS {
            manager.get_connection().execute_unprepared(&column.replace("{text}", text)).await?;
        }
        Ok(())
    }
}
