//! Role and teams of a user, as identity's change log tells them.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261122_000002_role_and_teams"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// `team_ids` is a JSON array of UUIDs: it is read with its user and never searched by.
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (text, json) = match manager.get_database_backend() {
            DbBackend::Postgres => (r#"text COLLATE "C""#, "jsonb"),
            _ => ("text", "text"),
        };
        let connection = manager.get_connection();
        connection.execute_unprepared(&format!("ALTER TABLE users ADD COLUMN role {text}")).await?;
        let team_ids = format!("ALTER TABLE users ADD COLUMN team_ids {json} NOT NULL DEFAULT '[]'");
        connection.execute_unprepared(&team_ids).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection.execute_unprepared("ALTER TABLE users DROP COLUMN role").await?;
        connection.execute_unprepared("ALTER TABLE users DROP COLUMN team_ids").await?;
        Ok(())
    }
}
