//! What this schema's migrations share since the third; frozen as they are.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend};

/// Runs statements in which `{uuid}`, `{text}`, `{bytes}` and `{integer}` stand for what each database calls the type.
pub(super) async fn run(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    let types = match manager.get_database_backend() {
        DbBackend::Postgres => [
            ("{uuid}", "uuid"),
            ("{text}", "text COLLATE \"C\""),
            ("{bytes}", "bytea"),
            ("{integer}", "bigint"),
        ],
        _ => [("{uuid}", "blob"), ("{text}", "text"), ("{bytes}", "blob"), ("{integer}", "integer")],
    };
    for statement in statements {
        let mut sql = (*statement).to_owned();
        for (placeholder, name) in types {
            sql = sql.replace(placeholder, name);
        }
        manager.get_connection().execute_unprepared(&sql).await?;
    }
    Ok(())
}
