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
pub mod retention;
mod sqlite;
mod write;

pub use patience::Patience;
pub(crate) use patience::{is_exhausted, is_lost, ran_out};
pub use write::TxFuture;

use std::path::PathBuf;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, DatabaseConnection, DbBackend, DbErr};
use secrecy::{ExposeSecret, SecretString};

use crate::error::Result;
use crate::metrics;

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
        /// How connections are kept.
        pool: Pool,
    },
}

/// The connections of one process to PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Kept open even when idle.
    pub min_connections: u32,
    /// The most this process opens. Requests wait for one, up to `acquire_timeout`.
    pub max_connections: u32,
    /// How long a request waits for a connection before it is told to try again.
    pub acquire_timeout: Duration,
    /// How long opening one may take.
    pub connect_timeout: Duration,
    /// One that was idle for so long is closed, down to the minimum.
    pub idle_timeout: Duration,
    /// One is replaced after so long: after a failover, say, none stays with the old server for ever.
    pub max_lifetime: Duration,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            min_connections: 0,
            max_connections: 16,
            acquire_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(600),
            max_lifetime: Duration::from_secs(1800),
        }
    }
}

impl Pool {
    /// With the default times.
    pub fn of(max_connections: u32) -> Self {
        Self { max_connections, ..Self::default() }
    }
}

/// A connection that was idle for longer than this is asked whether it still is one. One that broke in between costs the statement
/// that finds out, which is tried again where it may be (`write.rs`).
const TEST_IF_IDLE_FOR: Duration = Duration::from_secs(2);
/// A transaction of ours waits for nobody but the database. One that is idle for so long has lost its process, and holds back the
/// readers of the change log.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(30);

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
            Config::Postgres { url, schema, pool } => {
                let mut options = ConnectOptions::new(url.expose_secret());
                options
                    .sqlx_logging(false)
                    .min_connections(pool.min_connections)
                    .max_connections(pool.max_connections)
                    .acquire_timeout(pool.acquire_timeout)
                    .connect_timeout(pool.connect_timeout)
                    .idle_timeout(pool.idle_timeout)
                    .max_lifetime(pool.max_lifetime)
                    .test_before_acquire_if_idle_for(TEST_IF_IDLE_FOR);
                let statement = patience.statement.as_millis().to_string();
                let idle = IDLE_IN_TRANSACTION.as_millis().to_string();
                let name = format!("rollcall {}", schema.as_deref().unwrap_or_default());
                options.map_sqlx_postgres_opts(move |options| {
                    options.application_name(name.trim_end()).options([
                        ("statement_timeout", statement.as_str()),
                        ("idle_in_transaction_session_timeout", idle.as_str()),
                    ])
                });
                if let Some(schema) = schema {
                    options.set_schema_search_path(schema);
                }
                let reader = sea_orm::Database::connect(options).await?;
                let writer = write::Writer::transactions(reader.clone(), patience.write);
                Ok(Self { reader, readers: pool.max_connections, writer })
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

    /// Publishes how many connections there are and how many of them are busy, as metrics of `service`.
    pub fn observe(&self, service: &'static str) {
        let labels = |state: &str| [("service", service.to_owned()), ("state", state.to_owned())];
        let describe = "Connections to the database, by service and state.";
        for state in ["idle", "used"] {
            let reader = self.reader.clone();
            let read = move || {
                let (size, idle) = pool_size(&reader);
                if state == "idle" { idle } else { size.saturating_sub(idle) }
            };
            metrics::metrics().observe("rollcall.db.connections", describe, &labels(state), read);
        }
        let max = u64::from(self.readers);
        let describe = "The most connections that this process opens to the database.";
        let labels = [("service", service.to_owned())];
        metrics::metrics().observe("rollcall.db.connections.max", describe, &labels, move || max);
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// `Unavailable` when it does not.
    pub async fn ping(&self) -> Result<()> {
        Ok(self.reader.ping().await?)
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

/// All connections, and those of them that nobody uses.
fn pool_size(connection: &DatabaseConnection) -> (u64, u64) {
    let (size, idle) = match connection.get_database_backend() {
        DbBackend::Postgres => {
            let pool = connection.get_postgres_connection_pool();
            (pool.size(), pool.num_idle())
        }
        _ => {
            let pool = connection.get_sqlite_connection_pool();
            (pool.size(), pool.num_idle())
        }
    };
    (u64::from(size), u64::try_from(idle).unwrap_or(0))
}
