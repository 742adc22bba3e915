//! Reading: what [`super::Database::read`] gives. PostgreSQL is read through sea-orm's pool. SQLite's connections are kept here,
//! because each is a thread, and sqlx's pool sends it three messages more for every statement (the time limit before, a ping
//! behind, the connection's return): five times the thread switches of the statement itself.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sea_orm::sqlx::{self, Connection as _};
use sea_orm::{
    AccessMode, ConnAcquireErr, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    ExecResult, IsolationLevel, QueryResult, Statement, StreamTrait, TransactionTrait,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::replica::Standby;
use super::statement::{self, failed, not_opened};
use super::transaction::{State, Transaction};
use crate::error::Result;

/// Steps of SQLite's virtual machine between two looks at the clock: about a millisecond.
const STEPS: i32 = 50_000;

/// Where statements that only read are run. Clones share connections.
#[derive(Clone)]
pub struct Reader(Kind);

#[derive(Clone)]
enum Kind {
    Pool(DatabaseConnection),
    Replica(Arc<Standby>),
    Sqlite(Arc<Connections>),
}

impl Reader {
    /// Through a pool of sea-orm.
    pub(super) fn pool(connection: DatabaseConnection) -> Self {
        Self(Kind::Pool(connection))
    }

    /// Through a read replica, and through the primary when that does not do.
    pub(super) fn replica(standby: Arc<Standby>) -> Self {
        Self(Kind::Replica(standby))
    }

    /// The read replica, where it is one.
    pub(super) fn standby(&self) -> Option<&Standby> {
        match &self.0 {
            Kind::Replica(standby) => Some(standby),
            Kind::Pool(_) | Kind::Sqlite(_) => None,
        }
    }

    /// From a SQLite file, with at most `connections`, each opened when it is wanted. A statement is given up after `limit`.
    pub(super) fn sqlite(options: SqliteConnectOptions, connections: u32, limit: Duration) -> Self {
        let turns = Arc::new(Semaphore::new(usize::try_from(connections).unwrap_or(1)));
        let began = Instant::now();
        let (idle, open) = (Mutex::default(), AtomicU32::new(0));
        Self(Kind::Sqlite(Arc::new(Connections { options, limit, turns, connections, idle, open, began })))
    }

    /// Hands the rows of a statement to `row`, one after the other, until it has had enough: what is not wanted is not read.
    ///
    /// # Errors
    /// The database's, and what `row` returns.
    pub async fn each<F>(&self, statement: Statement, mut row: F) -> Result<()>
    where
        F: FnMut(QueryResult) -> Result<ControlFlow<()>> + Send,
    {
        match &self.0 {
            Kind::Pool(connection) => {
                let mut rows = connection.stream_raw(statement).await?;
                while let Some(next) = rows.try_next().await? {
                    if row(next)?.is_break() {
                        break;
                    }
                }
                Ok(())
            }
            Kind::Replica(standby) => standby.each(statement, &mut row).await,
            Kind::Sqlite(connections) => {
                let mut lease = connections.lease().await?;
                let mut rows = statement::stream(lease.connection(), statement);
                while let Some(next) = rows.try_next().await.map_err(failed)? {
                    if row(next.into())?.is_break() {
                        return Ok(());
                    }
                }
                drop(rows);
                Ok(lease.ended(Ok(()))?)
            }
        }
    }

    /// Several statements that see one state of the data, until [`Transaction::end`] or until it is dropped.
    ///
    /// # Errors
    /// The database's.
    pub async fn snapshot(&self) -> Result<Transaction, DbErr> {
        match &self.0 {
            Kind::Pool(connection) => Ok(Transaction(State::Postgres(snapshot_of(connection).await?))),
            Kind::Replica(standby) => Ok(Transaction(State::Postgres(standby.snapshot().await?))),
            Kind::Sqlite(connections) => {
                let mut lease = connections.lease().await?;
                lease.in_transaction = true;
                statement::run(lease.connection(), "BEGIN").await.map_err(failed)?;
                Ok(Transaction::reading(lease))
            }
        }
    }

    /// Whether the database answers.
    pub(super) async fn ping(&self) -> Result<(), DbErr> {
        match &self.0 {
            Kind::Pool(connection) => connection.ping().await,
            Kind::Replica(standby) => standby.ping().await,
            Kind::Sqlite(connections) => {
                let mut lease = connections.lease().await?;
                let answer = lease.connection().ping().await;
                lease.ended(answer)
            }
        }
    }

    /// Waits for the statements under way and closes the connections; there are no others afterwards.
    pub(super) async fn close(self) -> Result<(), DbErr> {
        match self.0 {
            Kind::Pool(connection) => connection.close().await,
            Kind::Replica(standby) => standby.close().await,
            Kind::Sqlite(connections) => connections.close().await,
        }
    }

    /// All connections, and those of them that nobody uses.
    pub(super) fn size(&self) -> (u64, u64) {
        match &self.0 {
            Kind::Pool(connection) => {
                let pool = connection.get_postgres_connection_pool();
                (u64::from(pool.size()), u64::try_from(pool.num_idle()).unwrap_or(0))
            }
            Kind::Replica(standby) => standby.size(),
            Kind::Sqlite(connections) => {
                let idle = u64::try_from(connections.idle().len()).unwrap_or(0);
                (u64::from(connections.open.load(Ordering::Relaxed)), idle)
            }
        }
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        match &self.0 {
            Kind::Pool(connection) => connection.get_database_backend(),
            Kind::Replica(_) => DbBackend::Postgres,
            Kind::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Kind::Pool(connection) => connection.execute_raw(statement).await,
            Kind::Replica(_) => Err(only_reads()),
            Kind::Sqlite(connections) => {
                connections.run(statement, statement::execute).await.map(ExecResult::from)
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.0 {
            Kind::Pool(connection) => connection.execute_unprepared(sql).await,
            Kind::Replica(_) => Err(only_reads()),
            Kind::Sqlite(_) => self.execute_raw(Statement::from_string(DbBackend::Sqlite, sql)).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.0 {
            Kind::Pool(connection) => connection.query_one_raw(statement).await,
            Kind::Replica(standby) => standby.query_one(statement).await,
            Kind::Sqlite(connections) => {
                Ok(connections.run(statement, statement::query_one).await?.map(QueryResult::from))
            }
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.0 {
            Kind::Pool(connection) => connection.query_all_raw(statement).await,
            Kind::Replica(standby) => standby.query_all(statement).await,
            Kind::Sqlite(connections) => Ok(connections
                .run(statement, statement::query_all)
                .await?
                .into_iter()
                .map(QueryResult::from)
                .collect()),
        }
    }
}

/// The connections of one process to one file.
struct Connections {
    options: SqliteConnectOptions,
    limit: Duration,
    turns: Arc<Semaphore>,
    connections: u32,
    /// The one used last is on top: its page cache and statements are warm, and those below may stay small.
    idle: Mutex<Vec<Connection>>,
    open: AtomicU32,
    began: Instant,
}

struct Connection {
    sqlite: SqliteConnection,
    /// When what it does is given up: microseconds since `Connections::began`.
    until: Arc<AtomicU64>,
}

impl Connections {
    async fn run<T>(
        self: &Arc<Self>,
        statement: Statement,
        how: impl AsyncFnOnce(&mut SqliteConnection, Statement) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbErr> {
        let mut lease = self.lease().await?;
        let outcome = how(lease.connection(), statement).await;
        lease.ended(outcome)
    }

    async fn lease(self: &Arc<Self>) -> Result<Lease, DbErr> {
        let turn = match self.turns.clone().try_acquire_owned() {
            Ok(turn) => turn,
            Err(_) => self.turns.clone().acquire_owned().await.map_err(|_| closed())?,
        };
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open().await.map_err(not_opened)?,
        };
        connection.until.store(self.now().saturating_add(micros(self.limit)), Ordering::Relaxed);
        Ok(Lease {
            connections: self.clone(),
            connection: Some(connection),
            turn: Some(turn),
            in_transaction: false,
            done: false,
        })
    }

    async fn open(&self) -> Result<Connection, sqlx::Error> {
        let mut sqlite = SqliteConnection::connect_with(&self.options).await?;
        let until = Arc::new(AtomicU64::new(u64::MAX));
        let (deadline, began) = (until.clone(), self.began);
        sqlite
            .lock_handle()
            .await?
            .set_progress_handler(STEPS, move || micros(began.elapsed()) < deadline.load(Ordering::Relaxed));
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Connection { sqlite, until })
    }

    async fn close(&self) -> Result<(), DbErr> {
        // Another clone may have been first.
        let Ok(everybody) = self.turns.acquire_many(self.connections).await else { return Ok(()) };
        self.turns.close();
        drop(everybody);
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            self.open.fetch_sub(1, Ordering::Relaxed);
            connection.sqlite.close().await.map_err(failed)?;
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        micros(self.began.elapsed())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One state of PostgreSQL's data.
pub(super) async fn snapshot_of(connection: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    connection.begin_with_config(Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly)).await
}

/// What it returns no rows of could change something where the primary is asked instead.
fn only_reads() -> DbErr {
    DbErr::Custom("a read replica is asked questions only".to_owned())
}

fn closed() -> DbErr {
    DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A connection while a statement runs on it.
pub(super) struct Lease {
    connections: Arc<Connections>,
    /// None only while it is dropped.
    connection: Option<Connection>,
    turn: Option<OwnedSemaphorePermit>,
    /// A transaction was begun and has not ended.
    in_transaction: bool,
    done: bool,
}

impl Lease {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection.as_mut().expect("taken only when the lease is dropped").sqlite
    }

    pub(super) async fn end_transaction(mut self) -> Result<(), DbErr> {
        let ended = statement::run(self.connection(), "COMMIT").await;
        self.in_transaction = ended.is_err();
        self.ended(ended)
    }

    /// Its statement has ended, and the connection is good for the next, unless it is the connection that failed.
    fn ended<T>(mut self, outcome: Result<T, sqlx::Error>) -> Result<T, DbErr> {
        self.done = !matches!(outcome, Err(sqlx::Error::WorkerCrashed));
        outcome.map_err(failed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(mut connection), turn) = (self.connection.take(), self.turn.take()) else { return };
        let connections = self.connections.clone();
        if self.done && !self.in_transaction {
            connections.idle().push(connection);
            return;
        }
        // Its caller has gone, or has seen enough. The statement is to end before another begins.
        connection.until.store(0, Ordering::Relaxed);
        let in_transaction = self.in_transaction;
        tokio::spawn(async move {
            let mut outcome = connection.sqlite.ping().await;
            if in_transaction && outcome.is_ok() {
                connection.until.store(u64::MAX, Ordering::Relaxed);
                outcome = statement::run(&mut connection.sqlite, "ROLLBACK").await;
            }
            match outcome {
                Ok(()) => connections.idle().push(connection),
                Err(_) => {
                    connections.open.fetch_sub(1, Ordering::Relaxed);
                }
            }
            drop(turn);
        });
    }
}
