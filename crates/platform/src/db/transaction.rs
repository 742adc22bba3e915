//! Statements that belong together: what [`super::Database::write`] runs, and [`super::Reader::snapshot`].

use std::sync::atomic::{AtomicBool, Ordering};

use sea_orm::sqlx;
use sea_orm::sqlx::sqlite::SqliteConnection;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement};
use tokio::sync::Mutex;

use super::reader::Lease;
use super::statement::{self, failed};

/// A transaction. It is begun and ended by whoever made it.
pub struct Transaction(pub(super) State);

pub(super) enum State {
    Postgres(DatabaseTransaction),
    /// SQLite's writing connection.
    Writing(Box<Writing>),
    /// One of SQLite's reading connections.
    Reading(Box<Mutex<Lease>>),
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
        writes: bool,
        how: impl AsyncFnOnce(&mut SqliteConnection, Statement) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbErr> {
        let mut connection = self.connection.lock().await;
        if self.broken.load(Ordering::Relaxed) {
            return Err(ended_by_itself());
        }
        let had_written = self.written.load(Ordering::Relaxed);
        if writes {
            self.written.store(true, Ordering::Relaxed);
        }
        // Of several statements in one text the first may have written.
        let is_one = !statement.sql.contains(';');
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

/// Whether it is a statement's error and nothing more. Others may have rolled the transaction back:
/// <https://www.sqlite.org/lang_transaction.html>, section 3.
fn leaves_the_transaction(error: &sqlx::Error) -> bool {
    const BUSY: u32 = 5;
    const NOMEM: u32 = 7;
    const INTERRUPT: u32 = 9;
    const IOERR: u32 = 10;
    const FULL: u32 = 13;
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().and_then(|code| code.parse::<u32>().ok());
            code.is_some_and(|code| !matches!(code & 0xff, BUSY | NOMEM | INTERRUPT | IOERR | FULL))
        }
        // About what a value is, before or behind the statement.
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        _ => false,
    }
}

/// Whether a statement that answers with rows also changes something, as `INSERT … RETURNING` does.
fn writes(statement: &Statement) -> bool {
    let first = statement.sql.split_ascii_whitespace().next().unwrap_or_default();
    !first.eq_ignore_ascii_case("select")
}

#[async_trait::async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        match &self.0 {
            State::Postgres(_) => DbBackend::Postgres,
            State::Writing(_) | State::Reading(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let done = match &self.0 {
            State::Postgres(transaction) => return transaction.execute_raw(statement).await,
            State::Writing(writing) => writing.run(statement, true, statement::execute).await?,
            State::Reading(lease) => {
                statement::execute(lease.lock().await.connection(), statement).await.map_err(failed)?
            }
        };
        Ok(ExecResult::from(done))
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match &self.0 {
            State::Postgres(transaction) => transaction.execute_unprepared(sql).await,
            _ => self.execute_raw(Statement::from_string(DbBackend::Sqlite, sql)).await,
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let row = match &self.0 {
            State::Postgres(transaction) => return transaction.query_one_raw(statement).await,
            State::Writing(writing) => {
                let writes = writes(&statement);
                writing.run(statement, writes, statement::query_one).await?
            }
            State::Reading(lease) => {
                statement::query_one(lease.lock().await.connection(), statement).await.map_err(failed)?
            }
        };
        Ok(row.map(QueryResult::from))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let rows = match &self.0 {
            State::Postgres(transaction) => return transaction.query_all_raw(statement).await,
            State::Writing(writing) => {
                let writes = writes(&statement);
                writing.run(statement, writes, statement::query_all).await?
            }
            State::Reading(lease) => {
                statement::query_all(lease.lock().await.connection(), statement).await.map_err(failed)?
            }
        };
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }
}

impl Transaction {
    /// Of SQLite's writing connection. It is begun and ended by [`Transaction::run`].
    pub(super) fn writing(connection: SqliteConnection) -> Self {
        let connection = Mutex::new(connection);
        let (written, broken) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(State::Writing(Box::new(Writing { connection, written, broken })))
    }

    /// Begins to look for writes.
    pub(super) fn forget_writes(&self) {
        if let State::Writing(writing) = &self.0 {
            writing.written.store(false, Ordering::Relaxed);
        }
    }

    /// Whether something was written since.
    pub(super) fn has_written(&self) -> bool {
        match &self.0 {
            State::Writing(writing) => writing.written.load(Ordering::Relaxed),
            State::Postgres(_) | State::Reading(_) => false,
        }
    }

    /// Whether the transaction is still there.
    ///
    /// # Errors
    /// When SQLite may have rolled it back.
    pub(super) fn check(&self) -> Result<(), DbErr> {
        match &self.0 {
            State::Writing(writing) if writing.broken.load(Ordering::Relaxed) => Err(DbErr::Custom(
                "a statement failed, and the transaction may have ended with it".to_owned(),
            )),
            _ => Ok(()),
        }
    }

    /// A statement of SQLite's writer, as the transaction's begin and end.
    pub(super) async fn run(&self, sql: &'static str) -> Result<(), DbErr> {
        match &self.0 {
            State::Writing(writing) => {
                statement::run(&mut *writing.connection.lock().await, sql).await.map_err(failed)
            }
            _ => self.execute_unprepared(sql).await.map(|_| ()),
        }
    }

    /// SQLite's writing connection.
    pub(super) fn into_connection(self) -> Option<SqliteConnection> {
        match self.0 {
            State::Writing(writing) => Some(writing.connection.into_inner()),
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
            State::Reading(lease) => lease.into_inner().end_transaction().await,
            // It is no snapshot: whoever has the connection ends it.
            State::Writing(_) => Ok(()),
        }
    }
}
