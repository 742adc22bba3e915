//! Clients that prove themselves with keys or with another issuer's tokens; trusted issuers of tenants.

use sea_orm_migration::prelude::*;

use super::statements;

/// `clients.secret_sha256` stays the newest secret, empty for a client without one: the version before reads it alone and
/// takes an empty one for a secret that nothing matches. Earlier secrets that still work rest in `client_secrets`.
///
/// Empty text in `trusted_issuers` stands for a claim that is not looked at, so that the unique index counts it.
const STATEMENTS: [&str; 12] = [
    "ALTER TABLE clients ADD COLUMN version {integer} NOT NULL DEFAULT 1",
    "ALTER TABLE clients ADD COLUMN token_epoch {integer} NOT NULL DEFAULT 0",
    "ALTER TABLE clients ADD COLUMN jwks {text}",
    "ALTER TABLE clients ADD COLUMN federation_issuer {text}",
    "ALTER TABLE clients ADD COLUMN federation_audience {text}",
    "ALTER TABLE clients ADD COLUMN federation_subject {text}",
    "CREATE UNIQUE INDEX clients_federation ON clients (federation_issuer, federation_audience, federation_subject)",
    "CREATE TABLE client_secrets (
        client_id {uuid} NOT NULL,
        secret_sha256 {bytes} NOT NULL,
        ends_at_us {integer} NOT NULL,
        PRIMARY KEY (client_id, secret_sha256)
    )",
    "CREATE TABLE used_assertions (
        client_id {uuid} NOT NULL,
        jti_sha256 {bytes} NOT NULL,
        ends_at_us {integer} NOT NULL,
        PRIMARY KEY (client_id, jti_sha256)
    )",
    "CREATE INDEX used_assertions_end ON used_assertions (ends_at_us)",
    "CREATE TABLE trusted_issuers (
        tenant_id {uuid} NOT NULL,
        id {uuid} NOT NULL,
        label {text} NOT NULL,
        issuer {text} NOT NULL,
        audience {text} NOT NULL,
        directory_id {text} NOT NULL,
        app_id {text} NOT NULL,
        subject {text} NOT NULL,
        created_at_us {integer} NOT NULL,
        PRIMARY KEY (tenant_id, id)
    )",
    "CREATE UNIQUE INDEX trusted_issuers_tokens ON trusted_issuers (issuer, audience, directory_id, app_id, subject)",
];

/// See the module.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261122_000004_federation"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        statements::run(manager, &STATEMENTS).await
    }
}
