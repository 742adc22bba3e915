//! What SQLite can do by itself: rows like those of users, each with a commit of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DbBackend, Statement};

/// Inserts a second, by so many connections at once, into a new file in `dir`: as durable as ours.
pub async fn commits(dir: &Path, connections: u64, rows: u64) -> Result<f64> {
    let own = tempfile::Builder::new().prefix("commits-").tempdir_in(dir)?;
    let file = own.path().join("rows.sqlite");
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", file.display()));
    options.max_connections(u32::try_from(connections)?).sqlx_logging(false).map_sqlx_sqlite_opts(
        |options| {
            options
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(Duration::from_secs(10))
        },
    );
    let db = Database::connect(options).await?;
    db.execute_unprepared(
        "CREATE TABLE rows (id integer PRIMARY KEY, name text NOT NULL UNIQUE, body text NOT NULL)",
    )
    .await?;
    let body = "x".repeat(1000);
    let begun = Instant::now();
    let mut writers = Vec::new();
    for connection in 0..connections {
        let (db, body) = (db.clone(), body.clone());
        writers.push(tokio::spawn(async move {
            for row in 0..rows / connections {
                let values = [format!("{connection}-{row}").into(), body.clone().into()];
                let sql = "INSERT INTO rows (name, body) VALUES ($1, $2)";
                db.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
            }
            Ok::<_, sea_orm::DbErr>(())
        }));
    }
    for writer in writers {
        writer.await.context("a writer panicked")??;
    }
    let rate = (rows / connections * connections) as f64 / begun.elapsed().as_secs_f64();
    db.close().await?;
    Ok(rate)
}
