//! The extension schemas that tenants define.

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

/// A row of `extension_schemas` outlives the extension (`is_live`), since values of it stay with the users: its `version`
/// goes on, and `names` says how each attribute was ever spelled, which is how the values are stored.
///
/// `schema_states` has one row per tenant that ever defined an extension. `stamp` is new with each change: writers read it
/// in their transaction, so that no user is written by a schema that is no longer. `reindexed_to` is the last user whose
/// searchable copy was made anew since the last change that asks for that.
fn tables(uuid: &str, text: &str, json: &str) -> String {
    format!(
        "
        CREATE TABLE extension_schemas (
            tenant_id    {uuid}  NOT NULL,
            urn_key      {text}  NOT NULL,
            id           {uuid}  NOT NULL,
            urn          {text}  NOT NULL,
            is_live      boolean NOT NULL,
            is_required  boolean NOT NULL,
            document     {json}  NOT NULL,
            names        {json}  NOT NULL,
            version      bigint  NOT NULL,
            created_at   bigint  NOT NULL,
            updated_at   bigint  NOT NULL,
            is_reindexing boolean NOT NULL,
            PRIMARY KEY (tenant_id, urn_key)
        );

        CREATE TABLE schema_states (
            tenant_id    {uuid} NOT NULL,
            stamp        {uuid} NOT NULL,
            reindexed_to {uuid},
            PRIMARY KEY (tenant_id)
        );
        "
    )
}
