//! The tombstones of purged tenants.

use sea_orm_migration::prelude::*;

use crate::purged_tenants;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        purged_tenants::create_v1(manager).await
    }
}
