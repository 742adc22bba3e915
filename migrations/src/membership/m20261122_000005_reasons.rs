//! What questions about a membership are answered with: the slugs of a user's teams, and by which request a member came.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// `team_slugs` is a JSON array beside `team_ids`, in the same order. `request_id` is null for what came before.
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (text, json) = match manager.get_database_backend() {
            DbBackend::Postgres => (r#"text COLLATE "C""#, "jsonb"),
            _ => ("text", "text"),
        };
        let connection = manager.get_connection();
        let team_slugs = format!("ALTER TABLE users ADD COLUMN team_slugs {json} NOT NULL DEFAULT '[]'");
        connection.execute_unprepared(&team_slugs).await?;
        let request_id = format!("ALTER TABLE group_members ADD COLUMN request_id {text}");
        connection.execute_unprepared(&request_id).await?;
        Ok(())
    }
}
