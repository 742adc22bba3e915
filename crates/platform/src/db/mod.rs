//! One database handle on SQLite and PostgreSQL.
//!
//! Reads go to a pool. Writes go through [`Database::write`]: on PostgreSQL each is a transaction of its own, run again
//! when it fell victim to another; on SQLite, which has one writer, those that wait share a commit, each in a savepoint
//! of its own, so that durability (synchronous=FULL) does not cost throughput.

pub mod changelog;
pub mod cursor;
pub mod filter;
pub mod page;
mod patience;
pub mod purged;
mod sqlite;
mod write;

pub use patience::Patience;
pub(crate) use patience::{is_exhausted, ran_out};
pub use write::TxFuture;

use std::path::PathBuf;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, DatabaseConnection, DbBackend, DbErr};
use secrecy::{ExposeSecret, SecretString};

use crate::error::Result;

/// Connections that read a SQLite file at once.
pub const SQLITE_READERS: u32 = 8;

/// Where a service's data rests.
#[derive(Clone, Debug)]
pub enum Config {
    /// A SQLite file, made when it is not there.
    Sqlite {
        /// The file; its directory must exist.
        path: PathBuf,
    },
    /// A PostgreSQL database.
    Postgres {
        /// `postgres://user:password@host:port/database?sslmode=verify-full&sslrootcert=…`
        url: SecretString,
        /// The service's schema, first in the search path; it must exist.
        schema: Option<String>,
        /// The most connections this process opens.
        max_connections: u32,
    },
}

/// A service's database. Clones share connections.
#[derive(Clone)]
pub struct Database {
    reader: DatabaseConnection,
    readers: u32,
    writer: write::Writer,
}

impl Database {
    /// Connects. Does not migrate.
    ///
    /// # Errors
    /// When the database cannot be reached or opened.
    pub async fn connect(config: &Config) -> Result<Self, DbErr> {
        Self::connect_with(config, Patience::default()).await
    }

    /// Connects, with other bounds on how long one request may keep the database busy.
    ///
    /// # Errors
    /// When the database cannot be reached or opened.
    pub async fn connect_with(config: &Config, patience: Patience) -> Result<Self, DbErr> {
        match config {
            Config::Sqlite { path } => {
                let url = format!("sqlite://{}?mode=rwc", path.display());
                let mut options = ConnectOptions::new(url);
                options.sqlx_logging(false).map_sqlx_sqlite_opts(|options| {
                    options
                        .foreign_keys(true)
                        .journal_mode(SqliteJournalMode::Wal)
                        .synchronous(SqliteSynchronous::Full)
                        .busy_timeout(Duration::from_secs(10))
                        .statement_cache_capacity(500)
                        // What is deleted is overwritten: a person who left does not stay readable in the file.
                        .pragma("secure_delete", "ON")
                });
                let mut writing = options.clone();
                writing.max_connections(1).min_connections(1);
                let writer = write::Writer::shared_commits(writing, patience.write).await?;
                options.max_connections(SQLITE_READERS).map_sqlx_sqlite_pool_opts(move |pool| {
                    patience::interrupting(pool.test_before_acquire(false), patience.statement)
                });
                let reader = sea_orm::Database::connect(options).await?;
                Ok(Self { reader, readers: SQLITE_READERS, writer })
            }
            Config::Postgres { url, schema, max_connections } => {
                let mut options = ConnectOptions::new(url.expose_secret());
                options
                    .sqlx_logging(false)
                    .max_connections(*max_connections)
                    .acquire_timeout(Duration::from_secs(5))
                    .connect_timeout(Duration::from_secs(5));
                let milliseconds = patience.statement.as_millis().to_string();
                options.map_sqlx_postgres_opts(move |options| {
                    options.options([("statement_timeout", milliseconds.as_str())])
                });
                if let Some(schema) = schema {
                    options.set_schema_search_path(schema);
                }
                let reader = sea_orm::Database::connect(options).await?;
                let writer = write::Writer::transactions(reader.clone(), patience.write);
                Ok(Self { reader, readers: *max_connections, writer })
            }
        }
    }

    /// For queries. Sees every write that was answered.
    pub fn read(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// For the migrator only: the connection that may change the schema.
    pub fn migrator(&self) -> &DatabaseConnection {
        &self.writer.connection
    }

    /// Which kind of database this is.
    pub fn backend(&self) -> DbBackend {
        self.reader.get_database_backend()
    }

    /// How many statements of one tenant may read at once ([`crate::fairness`]): some three in eight of what there is.
    pub fn share_of_a_tenant(&self) -> usize {
        usize::try_from(self.readers * 3 / 8).unwrap_or(1).max(1)
    }

    /// Counts committed writes of this process: whoever follows the change log waits for it to move, and polls for what
    /// other processes commit.
    pub fn commits(&self) -> tokio::sync::watch::Receiver<u64> {
        self.writer.commits.subscribe()
    }

    /// Waits for writes under way and closes the connections.
    ///
    /// # Errors
    /// When the database does not close cleanly; what was answered is safe all the same.
    pub async fn close(self) -> Result<(), DbErr> {
        self.reader.close().await?;
        self.writer.close().await
    }
}
