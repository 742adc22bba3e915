//! The table of tenants that are gone for good, the same in every service's schema that keeps data of tenants
//! (version 1, frozen as every migration is). What it is for: `platform::db::purged`.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Creates `purged_tenants`.
pub(crate) async fn create_v1(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let uuid = match manager.get_database_backend() {
        DbBackend::Postgres => "uuid",
        _ => "blob",
    };
    let sql =
        format!("CREATE TABLE purged_tenants (tenant_id {uuid} PRIMARY KEY NOT NULL, at bigint NOT NULL)");
    manager.get_connection().execute_unprepared(&sql).await?;
    Ok(())
}
