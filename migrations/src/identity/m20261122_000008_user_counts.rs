//! How many users a tenant has.

use sea_orm_migration::prelude::*;

use crate::kept_counts;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        kept_counts::create_v1(manager, "users", "user_counts").await
    }
}
