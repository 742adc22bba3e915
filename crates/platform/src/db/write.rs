//! Writing: [`Database::write`] on both kinds of database.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{DatabaseConnection, DatabaseTransaction, DbErr, RuntimeErr, TransactionTrait};
use tokio::sync::{mpsc, watch};

use super::{Database, sqlite};
use crate::error::{Error, Result};

/// What a transaction's closure returns: `Box::pin(async move { … })`.
pub type TxFuture<'c, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'c>>;

/// How often a PostgreSQL transaction is run before its conflict becomes the caller's.
const ATTEMPTS: u32 = 8;
/// Writers that wait for SQLite; more are refused, so that the wait stays below a client's patience.
const QUEUE: usize = 4096;

#[derive(Clone)]
pub(super) struct Writer {
    pub(super) connection: DatabaseConnection,
    pub(super) commits: Arc<watch::Sender<u64>>,
    queue: Option<mpsc::Sender<sqlite::Job>>,
    patience: Duration,
}

impl Writer {
    /// SQLite: a task owns the one writing connection.
    pub(super) fn shared_commits(connection: DatabaseConnection, patience: Duration) -> Self {
        let commits = Arc::new(watch::Sender::new(0));
        let (queue, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(sqlite::run(connection.clone(), jobs, commits.clone()));
        Self { connection, commits, queue: Some(queue), patience }
    }

    /// PostgreSQL: a transaction each.
    pub(super) fn transactions(connection: DatabaseConnection, patience: Duration) -> Self {
        Self { connection, commits: Arc::new(watch::Sender::new(0)), queue: None, patience }
    }

    pub(super) async fn close(self) -> Result<(), DbErr> {
        drop(self.queue);
        self.connection.close().await
    }
}

impl Database {
    /// Runs `work` in one transaction and returns once it is durable: all of it or, on `Err`, none of it.
    ///
    /// `work` may run more than once (PostgreSQL, after a serialization failure or deadlock), so it must leave no trace
    /// but in the transaction. It must not wait for anything but the database.
    ///
    /// # Errors
    /// What `work` returns; `Unavailable` when the database or its queue of writers has no room, or when `work` takes
    /// longer than [`super::Patience::write`].
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: for<'c> Fn(&'c DatabaseTransaction) -> TxFuture<'c, T> + Send + Sync + 'static,
    {
        match &self.writer.queue {
            Some(queue) => sqlite::submit(queue, self.writer.patience, work).await,
            None => {
                let outcome = tokio::time::timeout(self.writer.patience, self.transaction(work)).await;
                outcome.unwrap_or_else(|_| Err(took_too_long(self.writer.patience)))
            }
        }
    }

    async fn transaction<T, F>(&self, work: F) -> Result<T>
    where
        F: for<'c> Fn(&'c DatabaseTransaction) -> TxFuture<'c, T>,
    {
        let mut attempt = 1;
        loop {
            match self.attempt(&work).await {
                Err(error) if attempt < ATTEMPTS && is_conflict(&error) => {
                    // A little later each time, so that the same two don't meet again.
                    tokio::time::sleep(Duration::from_millis(u64::from(attempt * attempt))).await;
                    attempt += 1;
                }
                Err(error) if is_conflict(&error) => {
                    return Err(Error::unavailable(
                        "too many changes of the same resource at once; try again shortly",
                    )
                    .with_cause(error));
                }
                outcome => {
                    if outcome.is_ok() {
                        self.writer.commits.send_modify(|count| *count += 1);
                    }
                    return outcome;
                }
            }
        }
    }

    async fn attempt<T, F>(&self, work: &F) -> Result<T>
    where
        F: for<'c> Fn(&'c DatabaseTransaction) -> TxFuture<'c, T>,
    {
        let transaction = self.writer.connection.begin().await?;
        match work(&transaction).await {
            Ok(value) => {
                transaction.commit().await?;
                Ok(value)
            }
            Err(error) => {
                transaction.rollback().await?;
                Err(error)
            }
        }
    }
}

/// What a change is refused with that kept the database busy for too long. Nothing of it was done.
pub(super) fn took_too_long(patience: Duration) -> Error {
    let seconds = patience.as_secs_f32();
    Error::unavailable(format!("the change took longer than {seconds} s and was not made; make smaller changes"))
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
