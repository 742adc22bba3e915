//! Tenants, credentials, OAuth clients, signing keys.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// `{uuid}`, `{text}` … stand for what each database calls the type. Text that is compared or ordered collates as bytes.
///
/// `tenant_id` comes first wherever there is a tenant. What has none belongs to the platform: tenants themselves,
/// clients (which may be bound to one tenant), administrators, keys. `credentials_id` serves the one query that starts
/// without a tenant, because it finds the tenant of a secret.
const TABLES: &str = "
CREATE TABLE tenants (
    id {uuid} NOT NULL PRIMARY KEY,
    name {text} NOT NULL,
    name_key {text} NOT NULL,
    state {text} NOT NULL,
    preset {text} NOT NULL,
    dialect {text} NOT NULL,
    scim_path {text} NOT NULL,
    settings {json} NOT NULL,
    version {integer} NOT NULL,
    created_at_us {integer} NOT NULL,
    updated_at_us {integer} NOT NULL
);
CREATE UNIQUE INDEX tenants_name ON tenants (name_key);
CREATE TABLE credentials (
    tenant_id {uuid} NOT NULL,
    id {uuid} NOT NULL,
    label {text} NOT NULL,
    secret_sha256 {bytes} NOT NULL,
    created_at_us {integer} NOT NULL,
    expires_at_us {integer},
    last_used_at_us {integer},
    revoked_at_us {integer},
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX credentials_id ON credentials (id);
CREATE TABLE admin_credentials (
    id {uuid} NOT NULL PRIMARY KEY,
    secret_sha256 {bytes} NOT NULL,
    created_at_us {integer} NOT NULL,
    last_used_at_us {integer}
);
CREATE TABLE clients (
    id {uuid} NOT NULL PRIMARY KEY,
    is_system {boolean} NOT NULL,
    tenant_id {uuid},
    name {text} NOT NULL,
    name_key {text} NOT NULL,
    scopes {text} NOT NULL,
    secret_sha256 {bytes} NOT NULL,
    created_at_us {integer} NOT NULL
);
CREATE UNIQUE INDEX clients_name ON clients (is_system, name_key);
CREATE INDEX clients_tenant ON clients (tenant_id, id);
CREATE TABLE signing_keys (
    id {uuid} NOT NULL PRIMARY KEY,
    generation {integer} NOT NULL,
    public_key {bytes} NOT NULL,
    sealed_private_key {bytes} NOT NULL,
    created_at_us {integer} NOT NULL,
    signs_from_us {integer} NOT NULL
);
CREATE UNIQUE INDEX signing_keys_generation ON signing_keys (generation);
";

/// See the module.
pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261122_000001_token"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let types = match manager.get_database_backend() {
            DbBackend::Postgres => [
                ("{uuid}", "uuid"),
                ("{text}", "text COLLATE \"C\""),
                ("{json}", "jsonb"),
                ("{bytes}", "bytea"),
                ("{integer}", "bigint"),
                ("{boolean}", "boolean"),
            ],
            _ => [
                ("{uuid}", "blob"),
                ("{text}", "text"),
                ("{json}", "text"),
                ("{bytes}", "blob"),
                ("{integer}", "integer"),
                ("{boolean}", "boolean"),
            ],
        };
        let mut sql = TABLES.to_owned();
        for (placeholder, name) in types {
            sql = sql.replace(placeholder, name);
        }
        manager.get_connection().execute_unprepared(&sql).await?;
        crate::change_log::create_v1(manager).await
    }
}
