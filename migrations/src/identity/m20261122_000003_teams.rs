//! The registry of teams, and who is in which: what users name in their role-and-teams extension.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let (uuid, text) = match manager.get_database_backend() {
            DbBackend::Postgres => ("uuid", r#"text COLLATE "C""#),
            _ => ("blob", "text"),
        };
        manager.get_connection().execute_unprepared(&tables(uuid, text)).await?;
        Ok(())
    }
}

/// `slug_key` is the slug as it compares, folded in Rust. `user_teams` repeats what the users' attributes say, so that the
/// users of a team are found without reading all; its rows have no foreign key to `teams`, since a team goes out of the
/// registry first and off its users in batches after that.
fn tables(uuid: &str, text: &str) -> String {
    format!(
        "
        CREATE TABLE teams (
            tenant_id  {uuid} NOT NULL,
            id         {uuid} NOT NULL,
            slug       {text} NOT NULL,
            slug_key   {text} NOT NULL,
            name       {text} NOT NULL,
            created_at bigint NOT NULL,
            updated_at bigint NOT NULL,
            -- Being deleted: nobody can be put into it any more, and its slug is free again.
            is_going   boolean NOT NULL,
            PRIMARY KEY (tenant_id, id)
        );
        CREATE UNIQUE INDEX teams_slug ON teams (tenant_id, slug_key) WHERE NOT is_going;

        CREATE TABLE user_teams (
            tenant_id {uuid} NOT NULL,
            team_id   {uuid} NOT NULL,
            user_id   {uuid} NOT NULL,
            PRIMARY KEY (tenant_id, team_id, user_id),
            FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
        );
        CREATE INDEX user_teams_user ON user_teams (tenant_id, user_id);

        -- The `urn_key` of the extension whose `role` and `teams` these are.
        ALTER TABLE schema_states ADD COLUMN role_and_teams {text};
        "
    )
}
