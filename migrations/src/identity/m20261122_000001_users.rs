//! Users, what they are found by, and the change log.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        crate::change_log::create_v1(manager).await?;
        let tables = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        let connection = manager.get_connection();
        connection.execute_unprepared(tables).await?;
        connection.execute_unprepared(INDEXES).await?;
        Ok(())
    }
}

/// `*_key` columns hold text as it compares without case, folded in Rust; `search` is the folded copy of `attributes`
/// that filters look at. Everything else is as the client spelled it. Text compares byte by byte on both databases.
const POSTGRES: &str = r#"
CREATE TABLE users (
    tenant_id        uuid    NOT NULL,
    id               uuid    NOT NULL,
    user_name        text    COLLATE "C" NOT NULL,
    user_name_key    text    COLLATE "C" NOT NULL,
    external_id      text    COLLATE "C",
    display_name     text    COLLATE "C",
    display_name_key text    COLLATE "C",
    active           boolean NOT NULL,
    created_at       bigint  NOT NULL,
    updated_at       bigint  NOT NULL,
    version          bigint  NOT NULL,
    attributes       jsonb   NOT NULL,
    search           jsonb   NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE TABLE user_emails (
    tenant_id  uuid    NOT NULL,
    user_id    uuid    NOT NULL,
    ord        integer NOT NULL,
    value_key  text    COLLATE "C",
    type_key   text    COLLATE "C",
    is_primary boolean,
    PRIMARY KEY (tenant_id, user_id, ord),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
"#;

const SQLITE: &str = "
CREATE TABLE users (
    tenant_id        blob    NOT NULL,
    id               blob    NOT NULL,
    user_name        text    NOT NULL,
    user_name_key    text    NOT NULL,
    external_id      text,
    display_name     text,
    display_name_key text,
    active           boolean NOT NULL,
    created_at       integer NOT NULL,
    updated_at       integer NOT NULL,
    version          integer NOT NULL,
    attributes       text    NOT NULL,
    search           text    NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE TABLE user_emails (
    tenant_id  blob    NOT NULL,
    user_id    blob    NOT NULL,
    ord        integer NOT NULL,
    value_key  text,
    type_key   text,
    is_primary boolean,
    PRIMARY KEY (tenant_id, user_id, ord),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id) ON DELETE CASCADE
);
";

/// With `id` at the end, since lists are in its order: SQLite would rather walk the whole tenant than sort a few rows.
const INDEXES: &str = "
CREATE UNIQUE INDEX users_user_name ON users (tenant_id, user_name_key);
CREATE INDEX users_external_id ON users (tenant_id, external_id, id);
CREATE INDEX users_display_name ON users (tenant_id, display_name_key, id);
CREATE INDEX users_active ON users (tenant_id, active, id);
CREATE INDEX users_updated ON users (tenant_id, updated_at, id);
CREATE INDEX user_emails_value ON user_emails (tenant_id, value_key);
";
