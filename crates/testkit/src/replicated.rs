//! A test's database on PostgreSQL, opened with a streaming replica that is asked what may be old.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use platform::db::{Config, Database, Patience, Replica};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use crate::db::Fresh;
use crate::postgres;

/// How long a replica may take for anything.
const PATIENCE: Duration = Duration::from_secs(30);

/// A database as a service opens it that has a replica.
pub struct Replicated {
    /// With the replica.
    pub database: Database,
    /// What it was opened with.
    pub config: Config,
    /// The replica's server.
    pub server: postgres::Replica,
    /// Straight to the replica's database.
    pub replica: DatabaseConnection,
}

impl Replicated {
    /// Makes a replica of its own for a database, and waits until it is asked. Its lag is looked at twenty times a second, and a
    /// statement takes at most 5 s.
    ///
    /// # Errors
    /// When the database is not PostgreSQL's, or there can be no replica.
    pub async fn open(fresh: &Fresh, max_lag: Duration) -> Result<Self> {
        let Config::Postgres { url, schema, pool, .. } = fresh.config.clone() else {
            bail!("only PostgreSQL has replicas");
        };
        let row = one(fresh.database.read(), "current_database()::text").await?;
        let name: String = row.try_get("", "found")?;
        let server = tokio::task::spawn_blocking(postgres::replica).await??;
        let mut options = ConnectOptions::new(server.url(&name));
        options.max_connections(1).sqlx_logging(false);
        let replica = sea_orm::Database::connect(options).await?;
        let config = Replica {
            look_every: Duration::from_millis(50),
            ..Replica::at(server.url(&name).into(), max_lag)
        };
        let config = Config::Postgres { url, schema, pool, replica: Some(config) };
        let patience = Patience { statement: Duration::from_secs(5), ..Patience::default() };
        let database = Database::connect_with(&config, patience).await?;
        let replicated = Self { database, config, server, replica };
        replicated.wait_until_asked(true).await?;
        Ok(replicated)
    }

    /// Until the replica is asked, or is not any more.
    ///
    /// # Errors
    /// When it never comes to that.
    pub async fn wait_until_asked(&self, asked: bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while is_so(self.database.read_stale(), "pg_is_in_recovery()").await? != asked {
            ensure!(Instant::now() < until, "in vain for the replica to be asked: {asked}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// From now on the replica stays as it is.
    ///
    /// # Errors
    /// The replica's.
    pub async fn pause(&self) -> Result<()> {
        self.replica.execute_unprepared("SELECT pg_wal_replay_pause()").await?;
        self.wait_until("pg_get_wal_replay_pause_state() = 'paused'").await
    }

    /// The replica catches up again.
    ///
    /// # Errors
    /// The replica's.
    pub async fn resume(&self) -> Result<()> {
        self.replica.execute_unprepared("SELECT pg_wal_replay_resume()").await?;
        Ok(())
    }

    /// Until this, in SQL, is so on the replica.
    ///
    /// # Errors
    /// When it never is.
    pub async fn wait_until(&self, what: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !is_so(&self.replica, what).await? {
            ensure!(Instant::now() < until, "in vain until the replica says {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }
}

/// Whether this, in SQL, is so.
///
/// # Errors
/// The database's.
pub async fn is_so(database: &impl ConnectionTrait, what: &str) -> Result<bool> {
    Ok(one(database, what).await?.try_get("", "found")?)
}

async fn one(database: &impl ConnectionTrait, what: &str) -> Result<sea_orm::QueryResult> {
    let statement = Statement::from_string(DbBackend::Postgres, format!("SELECT {what} AS found"));
    database.query_one_raw(statement).await?.context("a question without a table has one answer")
}
