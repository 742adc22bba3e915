//! One database handle on SQLite and PostgreSQL.
//!
//! Reads go to a pool. Writes go through [`Database::write`]: on PostgreSQL each is a transaction of its own, run again
//! when it fell victim to another; on SQLite, which has one writer, those that wait share a commit, so that durability
//! (synchronous=FULL) does not cost throughput.

pub mod changelog;
pub mod cursor;
pub mod filter;
pub mod page;
mod patience;
pub mod purged;
mod reader;
mod replica;
pub mod retention;
mod sqlite;
mod statement;
mod transaction;
mod write;

pub use patience::Patience;
pub(crate) use patience::{is_exhausted, is_lost, ran_out};
pub use reader::Reader;
pub use replica::Replica;
pub use transaction::Transaction;
pub use write::TxFuture;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::ConnectOptions as _;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, DbErr};
use secrecy::{ExposeSecret, SecretString};

use crate::clock::Timestamp;
use crate::error::Result;
use crate::metrics;
use replica::Standby;

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
        /// A read replica of it, where there is one. As many connections as to the primary are opened to it, and one more.
        replica: Option<Replica>,
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
    reader: Reader,
    /// The reader too, where there is no replica.
    stale: Reader,
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
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    .foreign_keys(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full)
                    .busy_timeout(Duration::from_secs(10))
                    .statement_cache_capacity(200)
                    // What is deleted is overwritten: a person who left does not stay readable in the file.
                    .pragma("secure_delete", "ON")
                    .disable_statement_logging();
                let writer = write::Writer::shared_commits(options.clone(), patience.write).await?;
                let reader = Reader::sqlite(options, SQLITE_READERS, patience.statement);
                Ok(Self { stale: reader.clone(), reader, readers: SQLITE_READERS, writer })
            }
            Config::Postgres { url, schema, pool, replica } => {
                let connection =
                    sea_orm::Database::connect(postgres(url, schema.as_deref(), pool, patience, false))
                        .await?;
                let writer = write::Writer::transactions(connection.clone(), patience.write);
                let reader = Reader::pool(connection.clone());
                let stale = match replica {
                    Some(replica) => {
                        // Nobody waits for it: it may come and go.
                        let acquire_timeout = pool.acquire_timeout.min(replica::ACQUIRE);
                        let pool = Pool { min_connections: 0, acquire_timeout, ..pool.clone() };
                        let open = async |pool: &Pool| {
                            let mut options = postgres(&replica.url, schema.as_deref(), pool, patience, true);
                            options.connect_lazy(true);
                            sea_orm::Database::connect(options).await
                        };
                        let watched = open(&Pool { max_connections: 1, ..pool.clone() }).await?;
                        let standby = Standby::new(replica, open(&pool).await?, watched, connection);
                        Reader::replica(Arc::new(standby))
                    }
                    None => reader.clone(),
                };
                Ok(Self { reader, stale, readers: pool.max_connections, writer })
            }
        }
    }

    /// For queries. Sees every write that was answered.
    pub fn read(&self) -> &Reader {
        &self.reader
    }

    /// For questions whose answer may be some seconds old, and which neither decide what is written nor are asked by whoever has
    /// just written: a read replica, where there is one that is not further behind than [`Replica::max_lag`] and some seconds, and
    /// otherwise the primary. Two questions in a row may see an older state second.
    pub fn read_stale(&self) -> &Reader {
        &self.stale
    }

    /// For a page of a log that is read latest first: as [`Database::read_stale`], unless it goes on behind a place so late that
    /// a replica may lack what stands there. The page before may have come from a server that had it, and there would be a gap.
    pub fn read_page_of_log(&self, behind: Option<Timestamp>, now: Timestamp) -> &Reader {
        match (self.stale.standby(), behind) {
            (Some(standby), Some(behind)) if !standby.has_all_of(behind, now) => &self.reader,
            _ => &self.stale,
        }
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
                let (size, idle) = reader.size();
                if state == "idle" { idle } else { size.saturating_sub(idle) }
            };
            metrics::metrics().observe("rollcall.db.connections", describe, &labels(state), read);
        }
        let max = u64::from(self.readers);
        let describe = "The most connections that this process opens to the database.";
        let labels = [("service", service.to_owned())];
        metrics::metrics().observe("rollcall.db.connections.max", describe, &labels, move || max);
        if let Some(standby) = self.stale.standby() {
            standby.observe(service);
        }
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
        if let Some(standby) = self.stale.standby() {
            standby.close().await?;
        }
        self.reader.close().await?;
        self.writer.close().await
    }
}

/// How to connect to a PostgreSQL server: the primary, or a replica that is only read.
fn postgres(
    url: &SecretString,
    schema: Option<&str>,
    pool: &Pool,
    patience: Patience,
    only_reads: bool,
) -> ConnectOptions {
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
    let name = format!("rollcall {}", schema.unwrap_or_default());
    options.map_sqlx_postgres_opts(move |options| {
        let options = options.application_name(name.trim_end()).options([
            ("statement_timeout", statement.as_str()),
            ("idle_in_transaction_session_timeout", idle.as_str()),
        ]);
        if only_reads { options.options([("default_transaction_read_only", "on")]) } else { options }
    });
    if let Some(schema) = schema {
        options.set_schema_search_path(schema);
    }
    options
}
