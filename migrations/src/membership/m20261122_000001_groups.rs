//! Groups, their members as rows, the projection of users, the follower's cursor, the change log.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

use crate::change_log;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m20261122_000001_groups"
    }
}

/// How the two databases spell a column's type. Text is compared and ordered byte by byte on both.
struct Types {
    uuid: &'static str,
    text: &'static str,
    json: &'static str,
    /// Rows in the order of the primary key: reading a group's members by id reads neighbours.
    clustered: &'static str,
}

const POSTGRES: Types = Types { uuid: "uuid", text: r#"text COLLATE "C""#, json: "jsonb", clustered: "" };
const SQLITE: Types = Types { uuid: "blob", text: "text", json: "text", clustered: "WITHOUT ROWID" };

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let types = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        manager.get_connection().execute_unprepared(&tables(&types)).await?;
        change_log::create_v1(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .get_connection()
            .execute_unprepared(
                r#"DROP TABLE change_log; DROP TABLE follower_cursor; DROP TABLE users; DROP TABLE group_members; DROP TABLE "groups";"#,
            )
            .await?;
        Ok(())
    }
}

fn tables(types: &Types) -> String {
    let Types { uuid, text, json, clustered } = types;
    format!(
        r#"
        CREATE TABLE "groups" (
            tenant_id {uuid} NOT NULL,
            id {uuid} NOT NULL,
            display_name {text} NOT NULL,
            display_name_key {text} NOT NULL,
            external_id {text},
            created_at bigint NOT NULL,
            updated_at bigint NOT NULL,
            version bigint NOT NULL,
            attributes {json} NOT NULL,
            search {json} NOT NULL,
            PRIMARY KEY (tenant_id, id)
        );
        CREATE UNIQUE INDEX groups_display_name_key ON "groups" (tenant_id, display_name_key);
        CREATE INDEX groups_external_id ON "groups" (tenant_id, external_id);
        CREATE INDEX groups_updated_at ON "groups" (tenant_id, updated_at, id);

        -- member_type: 0 not known (yet), 1 user, 2 group.
        CREATE TABLE group_members (
            tenant_id {uuid} NOT NULL,
            group_id {uuid} NOT NULL,
            member_id {uuid} NOT NULL,
            member_type smallint NOT NULL,
            added_at bigint NOT NULL,
            PRIMARY KEY (tenant_id, group_id, member_id)
        ) {clustered};
        CREATE INDEX group_members_member ON group_members (tenant_id, member_id, group_id);
        -- The graph of groups alone, so that walking down it does not read the users on the way.
        CREATE INDEX group_members_nesting ON group_members (tenant_id, group_id, member_id) WHERE member_type = 2;

        -- Identity's users as far as membership needs them. Names are not unique here: changes may arrive out of order.
        CREATE TABLE users (
            tenant_id {uuid} NOT NULL,
            user_id {uuid} NOT NULL,
            version bigint NOT NULL,
            deleted boolean NOT NULL,
            user_name {text} NOT NULL,
            user_name_key {text} NOT NULL,
            external_id {text},
            display_name {text},
            active boolean NOT NULL,
            PRIMARY KEY (tenant_id, user_id)
        );
        CREATE INDEX users_user_name_key ON users (tenant_id, user_name_key);
        CREATE INDEX users_external_id ON users (tenant_id, external_id);

        -- How far each followed log was applied. Of the service, not of a tenant.
        CREATE TABLE follower_cursor (
            log {text} PRIMARY KEY NOT NULL,
            cursor {text} NOT NULL,
            updated_at bigint NOT NULL
        );
        "#
    )
}
