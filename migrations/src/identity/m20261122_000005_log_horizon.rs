//! How far back the change log reaches.

use sea_orm_migration::prelude::*;

use crate::change_log;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        change_log::create_horizon_v1(manager).await
    }
}
