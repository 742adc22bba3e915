//! Statements that belong together: what [`super::Database::write`] runs, and [`super::Reader::snapshot`].

use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::sqlx;
use sea_orm::sqlx::sqlite::SqliteConnection;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement};
use tokio::sync::Mutex;

use super::patience::leaves_the_transaction;
use super::reader::Lease;
use super::statement::{self, failed};

/// A transaction. It is begun and ended by whoever made it.
pub struct Transaction(pub(super) State);

pub(super) enum State {
    Postgres(DatabaseTransaction),
    Sqlite(Held),
}

/// A connection to SQLite.
pub(super) enum Held {
    /// The one that writes.
    Writing(Box<Writing>),
    /// One of those that read.
    Reading(Box<Mutex<Lease>>),
}

impl Held {
    async fn run<T>(
        &self,
        statement: Statement,
        how: impl AsyncFnOnce(&mut SqliteConnection, Statement) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbErr> {
        match self {
            Self::Writing(writing) => writing.run(statement, how).await,
            Self::Reading(lease) => how(lease.lock().await.connection(), statement).await.map_err(failed),
        }
    }
}

/// What is known of a transaction of SQLite's writer.
pub(super) struct Writing {
    connection: Mutex<SqliteConnection>,
    /// A statement changed something, or may have, since [`Transaction::forget_writes`].
    written: AtomicBool,
    /// A statement failed in a way by which SQLite may have rolled everything back.
    broken: AtomicBool,
}

impl Writing {
    /// Runs a statement and learns from how it went. It counts as a write from its beginning: who drops the future leaves the
    /// statement with the connection's thread, which ends it.
    async fn run<T>(
        &self,
        statement: Statement,
        how: impl AsyncFnOnce(&mut SqliteConnection, Statement) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbErr> {
        let mut connection = self.connection.lock().await;
        if self.broken.load(Ordering::Relaxed) {
            return Err(ended_by_itself());
        }
        // Of several statements in one text the first may write and the second fail.
        let is_one = !statement.sql.contains(';');
        let had_written = self.written.load(Ordering::Relaxed);
        if !is_one || writes(&statement) {
            self.written.store(true, Ordering::Relaxed);
        }
        let outcome = how(&mut connection, statement).await;
        match &outcome {
            Err(error) if !leaves_the_transaction(error) => self.broken.store(true, Ordering::Relaxed),
            Err(_) if is_one => self.written.store(had_written, Ordering::Relaxed),
            Ok(_) | Err(_) => {}
        }
        outcome.map_err(failed)
    }
}

fn ended_by_itself() -> DbErr {
    DbErr::Custom("a statement failed, and the transaction may have ended with it".to_owned())
}

/// Whether a statement may change something.
fn writes(statement: &Statement) -> bool {
    let first = statement.sql.split_ascii_whitespace().next().unwrap_or_default();
    !first.eq_ignore_ascii_case("select")
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        match &self.0 {
            State::Postgres(_) => DbBackend::Postgres,
            State::Sqlite(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.0 {
            State::Postgres(transaction) => transaction.execute_raw(statement).await,
            State::Sqlite(held) => Ok(held.run(statement, statement::execute).await?.into()),
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.0 {
            State::Postgres(transaction) => transaction.execute_unprepared(sql).await,
            State::Sqlite(_) => self.execute_raw(Statement::from_string(DbBackend::Sqlite, sql)).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.0 {
            State::Postgres(transaction) => transaction.query_one_raw(statement).await,
            State::Sqlite(held) => {
                Ok(held.run(statement, statement::query_one).await?.map(QueryResult::from))
            }
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.0 {
            State::Postgres(transaction) => transaction.query_all_raw(statement).await,
            State::Sqlite(held) => Ok(held
                .run(statement, statement::query_all)
                .await?
                .into_iter()
                .map(QueryResult::from)
                .collect()),
        }
    }
}

impl Transaction {
    /// Of SQLite's writing connection. It is begun and ended by [`Transaction::run`].
    pub(super) fn writing(connection: SqliteConnection) -> Self {
        let connection = Mutex::new(connection);
        let (written, broken) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(State::Sqlite(Held::Writing(Box::new(Writing { connection, written, broken }))))
    }

    /// One that sees one state of the data, on a connection on which it was begun.
    pub(super) fn reading(lease: Lease) -> Self {
        Self(State::Sqlite(Held::Reading(Box::new(Mutex::new(lease)))))
    }

    fn writer(&self) -> Option<&Writing> {
        match &self.0 {
            State::Sqlite(Held::Writing(writing)) => Some(writing),
            State::Sqlite(Held::Reading(_)) | State::Postgres(_) => None,
        }
    }

    /// Begins to look for writes.
    pub(super) fn forget_writes(&self) {
        if let Some(writing) = self.writer() {
            writing.written.store(false, Ordering::Relaxed);
        }
    }

    /// Whether something was written since.
    pub(super) fn has_written(&self) -> bool {
        self.writer().is_some_and(|writing| writing.written.load(Ordering::Relaxed))
    }

    /// Whether the transaction is still there.
    ///
    /// # Errors
    /// When SQLite may have rolled it back.
    pub(super) fn check(&self) -> Result<(), DbErr> {
        match self.writer() {
            Some(writing) if writing.broken.load(Ordering::Relaxed) => Err(ended_by_itself()),
            _ => Ok(()),
        }
    }

    /// A statement of SQLite's writer, as the transaction's begin and end.
    pub(super) async fn run(&self, sql: &'static str) -> Result<(), DbErr> {
        match self.writer() {
            Some(writing) => statement::run(&mut *writing.connection.lock().await, sql).await.map_err(failed),
            None => self.execute_unprepared(sql).await.map(|_| ()),
        }
    }

    /// SQLite's writing connection.
    pub(super) fn into_connection(self) -> Option<SqliteConnection> {
        match self.0 {
            State::Sqlite(Held::Writing(writing)) => Some(writing.connection.into_inner()),
            _ => None,
        }
    }

    pub(super) async fn roll_back(self) -> Result<(), DbErr> {
        match self.0 {
            State::Postgres(transaction) => transaction.rollback().await,
            _ => self.run("ROLLBACK").await,
        }
    }

    /// Ends a snapshot, which gives its connection back, or commits a transaction of PostgreSQL.
    ///
    /// # Errors
    /// The database's.
    pub async fn end(self) -> Result<(), DbErr> {
        match self.0 {
            State::Postgres(transaction) => transaction.commit().await,
            State::Sqlite(Held::Reading(lease)) => lease.into_inner().end_transaction().await,
            // It is no snapshot: whoever has the connection ends it.
            State::Sqlite(Held::Writing(_)) => Ok(()),
        }
    }
}
