//! Provisioning on and off, rotation of secrets, idempotency keys, and indexes for the audit.

use sea_orm_migration::prelude::*;

use super::statements;

/// Every tenant that is there has provisioning on, and so has one that the version before creates. That version does not
/// write `rotation`: what it revokes while a secret is being replaced is recognised by `revoked_at_us`.
///
/// `change_log_time` is, like the log's own order, an index over all tenants: the operator's audit.
const STATEMENTS: [&str; 8] = [
    "ALTER TABLE tenants ADD COLUMN scim_enabled boolean NOT NULL DEFAULT true",
    "ALTER TABLE tenants ADD COLUMN scim_enabled_at_us {integer} NOT NULL DEFAULT 0",
    "ALTER TABLE credentials ADD COLUMN replaces {uuid}",
    "ALTER TABLE credentials ADD COLUMN rotation {text}",
    "CREATE TABLE idempotency_keys (
        subject {text} NOT NULL,
        key_sha256 {bytes} NOT NULL,
        fingerprint {bytes} NOT NULL,
        state {text} NOT NULL,
        sealed_answer {bytes},
        began_at_us {integer} NOT NULL,
        PRIMARY KEY (subject, key_sha256)
    )",
    "CREATE INDEX idempotency_keys_age ON idempotency_keys (began_at_us)",
    "CREATE INDEX change_log_audit ON change_log (tenant_id, at_us, seq)",
    "CREATE INDEX change_log_time ON change_log (at_us, seq)",
];

/// See the module.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261122_000003_scim_and_rotation"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        statements::run(manager, &STATEMENTS).await
    }
}
