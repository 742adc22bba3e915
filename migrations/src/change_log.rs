//! The change log's table, the same in every service's schema (version 1, frozen as every migration is).

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Creates `change_log`. PostgreSQL's sequence numbers become visible out of order when transactions overlap, so each
/// row carries its transaction's id and readers stop short of the oldest one still open
/// (`platform::db::changelog`). SQLite has one writer: `seq` alone is the order, and `xid` is 0.
///
/// The order is the service's, over all tenants: the one index that does not start with `tenant_id`.
pub(crate) async fn create_v1(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    match manager.get_database_backend() {
        DbBackend::Postgres => {
            connection
                .execute_unprepared(
                    r#"CREATE TABLE change_log (
                        seq bigint GENERATED ALWAYS AS IDENTITY,
                        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
                        tenant_id uuid NOT NULL,
                        resource_id uuid NOT NULL,
                        version bigint NOT NULL,
                        kind text COLLATE "C" NOT NULL,
                        payload jsonb NOT NULL,
                        at_us bigint NOT NULL,
                        PRIMARY KEY (tenant_id, seq)
                    );
                    CREATE INDEX change_log_order ON change_log (xid, seq);"#,
                )
                .await?;
        }
        _ => {
            connection
                .execute_unprepared(
                    "CREATE TABLE change_log (
                        seq integer PRIMARY KEY AUTOINCREMENT,
                        xid integer NOT NULL DEFAULT 0,
                        tenant_id blob NOT NULL,
                        resource_id blob NOT NULL,
                        version integer NOT NULL,
                        kind text NOT NULL,
                        payload text NOT NULL,
                        at_us integer NOT NULL
                    );
                    CREATE INDEX change_log_tenant ON change_log (tenant_id, seq);",
                )
                .await?;
        }
    }
    Ok(())
}

/// Creates `change_log_horizon`, one row: the place up to which rows may have been removed from the log. On PostgreSQL also an
/// index for whoever follows one tenant in the log's order; SQLite has one from the beginning.
pub(crate) async fn create_horizon_v1(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let sql = match manager.get_database_backend() {
        DbBackend::Postgres => {
            "CREATE TABLE change_log_horizon (
                id smallint PRIMARY KEY CHECK (id = 1),
                xid xid8 NOT NULL DEFAULT '0',
                seq bigint NOT NULL DEFAULT 0
            );
            INSERT INTO change_log_horizon (id) VALUES (1);
            CREATE INDEX change_log_tenant_order ON change_log (tenant_id, xid, seq);"
        }
        _ => {
            "CREATE TABLE change_log_horizon (
                id integer PRIMARY KEY CHECK (id = 1),
                xid integer NOT NULL DEFAULT 0,
                seq integer NOT NULL DEFAULT 0
            );
            INSERT INTO change_log_horizon (id) VALUES (1);"
        }
    };
    manager.get_connection().execute_unprepared(sql).await?;
    Ok(())
}
