//! Attempts: who has taken an idempotency key, so that one that counts as lost cannot settle it for the next.

use sea_orm_migration::prelude::*;

use super::statements;

/// Null for a key that was taken by the version before. That takes a lost one over without touching the column, so an attempt
/// names the moment in which it began, too (`began_at_us`).
const STATEMENTS: [&str; 1] = ["ALTER TABLE idempotency_keys ADD COLUMN attempt {text}"];

/// See the module.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261122_000005_attempts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        statements::run(manager, &STATEMENTS).await
    }
}
