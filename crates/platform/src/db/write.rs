//! Writing: [`Database::write`] on both kinds of database.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sea_orm::{DatabaseConnection, DbErr, RuntimeErr, TransactionTrait};
use tokio::sync::{Mutex, mpsc, watch};

use super::transaction::{State, Transaction};
use super::{Database, sqlite};
use crate::error::{Error, Result};

/// What a transaction's closure returns: `Box::pin(async move { … })`.
pub type TxFuture<'c, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>>;

/// How often a PostgreSQL transaction is run before its conflict becomes the caller's.
const ATTEMPTS: u32 = 8;
/// How often it is run again because the connection was lost.
const LOSSES: u32 = 3;
const AFTER_LOSS: Duration = Duration::from_millis(50);
/// The migrator's connection to SQLite is closed again when it was idle for so long.
const MIGRATOR_KEPT: Duration = Duration::from_secs(5);
/// Writers that wait for SQLite; more are refused, so that the wait stays below a client's patience.
const QUEUE: usize = 4096;

#[derive(Clone)]
pub(super) struct Writer {
    /// On SQLite one for the migrator alone; writes go through `shared`.
    pub(super) connection: DatabaseConnection,
    pub(super) commits: Arc<watch::Sender<u64>>,
    shared: Option<Shared>,
    patience: Duration,
}

/// SQLite's writer.
#[derive(Clone)]
struct Shared {
    queue: mpsc::Sender<sqlite::Job>,
    connection: Arc<Mutex<sqlite::Connection>>,
}

impl Writer {
    /// SQLite: a task owns the one writing connection.
    pub(super) async fn shared_commits(
        options: SqliteConnectOptions,
        patience: Duration,
    ) -> Result<Self, DbErr> {
        let migrator = SqlitePoolOptions::new().max_connections(1).idle_timeout(MIGRATOR_KEPT);
        let connection = DatabaseConnection::from(migrator.connect_lazy_with(options.clone()));
        let opened = sqlite::Connection::open(options).await?;
        let commits = Arc::new(watch::Sender::new(0));
        let (queue, jobs) = mpsc::channel(QUEUE);
        let shared = Shared { queue, connection: Arc::new(Mutex::new(opened)) };
        tokio::spawn(sqlite::run(shared.connection.clone(), jobs, commits.clone()));
        Ok(Self { connection, commits, shared: Some(shared), patience })
    }

    /// PostgreSQL: a transaction each.
    pub(super) fn transactions(connection: DatabaseConnection, patience: Duration) -> Self {
        Self { connection, commits: Arc::new(watch::Sender::new(0)), shared: None, patience }
    }

    pub(super) async fn close(self) -> Result<(), DbErr> {
        if let Some(shared) = self.shared {
            shared.connection.lock().await.close().await?;
        }
        self.connection.close().await
    }
}

impl Database {
    /// Runs `work` in one transaction and returns once it is durable: all of it or, on `Err`, none of it.
    ///
    /// `work` may run more than once (PostgreSQL, after a serialization failure, a deadlock, or when the connection was lost before
    /// the commit; SQLite, when another that shares the commit failed in the middle), so it must leave no trace but in the transaction. It must not wait for anything but the database.
    ///
    /// # Errors
    /// What `work` returns; `Unavailable` when the database or its queue of writers has no room, or when `work` takes
    /// longer than [`super::Patience::write`].
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c Transaction) -> TxFuture<'c, T> + Send + Sync + 'static,
    {
        match &self.writer.shared {
            Some(shared) => sqlite::submit(&shared.queue, self.writer.patience, work).await,
            None => self.transaction(work).await,
        }
    }

    async fn transaction<T, F>(&self, work: F) -> Result<T>
    where
        F: for<'c> Fn(&'c Transaction) -> TxFuture<'c, T>,
    {
        let (mut attempt, mut losses) = (1, 0);
        loop {
            match self.attempt(&work).await {
                Err(Failed { error, .. }) if attempt < ATTEMPTS && is_conflict(&error) => {
                    // A little later each time, so that the same two don't meet again.
                    tokio::time::sleep(Duration::from_millis(u64::from(attempt * attempt))).await;
                    attempt += 1;
                }
                Err(Failed { error, .. }) if is_conflict(&error) => {
                    return Err(Error::unavailable(
                        "too many changes of the same resource at once; try again shortly",
                    )
                    .with_cause(error));
                }
                // Nothing was committed, and another connection may lead to a server that lives.
                Err(Failed { error, committing: false }) if losses < LOSSES && is_lost(&error) => {
                    losses += 1;
                    tokio::time::sleep(AFTER_LOSS * losses).await;
                }
                Err(Failed { error, committing: true }) if is_lost(&error) => {
                    return Err(Error::unavailable(
                        "the connection to the database was lost while the change was being committed: it may or may not \
                         have been made; look before you try again",
                    )
                    .with_cause(error));
                }
                Err(Failed { error, .. }) => return Err(error),
                Ok(value) => {
                    self.writer.commits.send_modify(|count| *count += 1);
                    return Ok(value);
                }
            }
        }
    }

    async fn attempt<T, F>(&self, work: &F) -> Result<T, Failed>
    where
        F: for<'c> Fn(&'c Transaction) -> TxFuture<'c, T>,
    {
        let before = |error| Failed { error, committing: false };
        let begun = self.writer.connection.begin().await.map_err(|error| before(error.into()))?;
        let transaction = Transaction(State::Postgres(begun));
        // The commit is not timed: cut off, it would leave nobody knowing whether the change was made.
        let patience = self.writer.patience;
        let outcome = tokio::time::timeout(patience, work(&transaction)).await;
        match outcome.unwrap_or_else(|_| Err(took_too_long(patience))) {
            Ok(value) => match transaction.end().await {
                Ok(()) => Ok(value),
                Err(error) => Err(Failed { error: error.into(), committing: true }),
            },
            Err(error) => {
                if let Err(rollback) = transaction.roll_back().await {
                    // The connection is no good, and goes; the server has rolled back with it.
                    tracing::debug!(%rollback, "a transaction could not be rolled back: {rollback}");
                }
                Err(before(error))
            }
        }
    }
}

/// An attempt that came to nothing, as far as anybody knows.
struct Failed {
    error: Error,
    /// Whether the commit had been sent.
    committing: bool,
}

fn is_lost(error: &Error) -> bool {
    let cause = error.cause.as_ref().and_then(|cause| cause.downcast_ref::<DbErr>());
    cause.is_some_and(super::is_lost)
}

/// What a change is refused with that kept the database busy for too long. Nothing of it was done.
pub(super) fn took_too_long(patience: Duration) -> Error {
    let seconds = patience.as_secs_f32();
    Error::unavailable(format!(
        "the change took longer than {seconds} s and was not made; make smaller changes"
    ))
}

/// Whether PostgreSQL gave the transaction up for another's sake: serialization_failure or deadlock_detected.
fn is_conflict(error: &Error) -> bool {
    let Some(cause) = error.cause.as_ref().and_then(|cause| cause.downcast_ref::<DbErr>()) else {
        return false;
    };
    let (DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause))) = cause
    else {
        return false;
    };
    let code = cause.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}
