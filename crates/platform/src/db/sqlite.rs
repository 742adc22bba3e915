//! SQLite's one writer. Jobs that wait share a transaction, each in a savepoint: one fsync answers them all.
//!
//! When the disk is full or fails, SQLite may roll the whole transaction back by itself, and the driver's count of open
//! transactions is wrong from then on: its next "BEGIN" would be a savepoint and its "COMMIT" no commit. So the first error
//! of a transaction's own statements (begin, savepoint, release, rollback, commit) fails everybody in the batch and
//! costs the connection.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use sea_orm::{
    ConnectOptions, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::write::{TxFuture, took_too_long};
use crate::error::{Error, Result};

/// At most this many jobs share a commit, so that the first does not wait long for the last.
const JOBS_PER_COMMIT: usize = 128;
/// A job whose caller has gone is stopped when it has run this long; a shorter one is not worth it.
const UNWATCHED: Duration = Duration::from_secs(1);

type Run = Box<
    dyn for<'c> FnOnce(&'c DatabaseTransaction) -> Pin<Box<dyn Future<Output = (Answer, Intact)> + Send + 'c>>
        + Send,
>;
/// Whether the transaction is still what the driver takes it for.
type Intact = Result<(), DbErr>;
/// Tells the waiting caller; called once it is known whether the commit succeeded.
type Answer = Box<dyn FnOnce(Result<(), Arc<DbErr>>) + Send>;

pub(super) struct Job {
    run: Run,
    /// Cancelled when nobody waits for it any more.
    abandoned: CancellationToken,
}

/// Queues `work` and waits for the commit that contains it. Once begun, `work` is stopped after `patience`.
pub(super) async fn submit<T, F>(queue: &mpsc::Sender<Job>, patience: Duration, work: F) -> Result<T>
where
    T: Send + 'static,
    F: for<'c> Fn(&'c DatabaseTransaction) -> TxFuture<'c, T> + Send + Sync + 'static,
{
    let (reply, answer) = oneshot::channel::<Result<T>>();
    let abandoned = CancellationToken::new();
    let _abandoned_on_drop = abandoned.clone().drop_guard();
    let watched = abandoned.clone();
    let run: Run = Box::new(move |transaction| {
        Box::pin(async move {
            let stopped = async {
                tokio::time::sleep(UNWATCHED.min(patience)).await;
                let _ = tokio::time::timeout(patience.saturating_sub(UNWATCHED), watched.cancelled()).await;
                took_too_long(patience)
            };
            let (outcome, intact) = match in_savepoint(transaction, &work, stopped).await {
                Ok(outcome) => (outcome, Ok(())),
                // What it says is not heard: the whole batch fails.
                Err(error) => (Err(Error::internal("the transaction is broken")), Err(error)),
            };
            let answer: Answer = Box::new(move |committed| {
                let outcome = match committed {
                    Ok(()) => outcome,
                    Err(error) => {
                        Err(Error::unavailable("the database could not save the change; try again shortly")
                            .with_cause(error))
                    }
                };
                // The caller may have gone away; what is committed stays committed.
                let _ = reply.send(outcome);
            });
            (answer, intact)
        })
    });
    let job = Job { run, abandoned };
    queue
        .try_send(job)
        .map_err(|_| Error::unavailable("too many writes are waiting for the database; try again shortly"))?;
    answer.await.map_err(|_| {
        Error::unavailable(
            "the change was not made: the server is stopping or its database fails; try again shortly",
        )
    })?
}

/// Runs `work` unless `stopped` comes first. A statement under way is not interrupted, which would roll back what other jobs
/// did in this transaction: `work` ends with it. The outer error is the savepoint's own.
async fn in_savepoint<T, F>(
    transaction: &DatabaseTransaction,
    work: &F,
    stopped: impl Future<Output = Error>,
) -> Result<Result<T>, DbErr>
where
    F: for<'c> Fn(&'c DatabaseTransaction) -> TxFuture<'c, T>,
{
    let savepoint = transaction.begin().await?;
    let outcome = tokio::select! {
        outcome = AssertUnwindSafe(work(&savepoint)).catch_unwind() => outcome,
        error = stopped => Ok(Err(error)),
    };
    match outcome.unwrap_or_else(|_| Err(Error::internal("a transaction panicked"))) {
        Ok(value) => {
            savepoint.commit().await?;
            Ok(Ok(value))
        }
        Err(error) => {
            savepoint.rollback().await?;
            Ok(Err(error))
        }
    }
}

/// The writing connection, and how to make it anew.
pub(super) struct Connection {
    options: ConnectOptions,
    current: DatabaseConnection,
}

impl Connection {
    /// Opens it; `options` allow one connection.
    pub(super) async fn open(options: ConnectOptions) -> Result<Self, DbErr> {
        let current = sea_orm::Database::connect(options.clone()).await?;
        Ok(Self { options, current })
    }

    /// As it is now; another one after a failure.
    pub(super) fn current(&self) -> &DatabaseConnection {
        &self.current
    }

    async fn renew(&mut self) {
        let closed = self.current.close_by_ref().await;
        match sea_orm::Database::connect(self.options.clone()).await {
            Ok(connection) => self.current = connection,
            // The old one is closed, so that every write fails until a later one gets through here.
            Err(error) => tracing::error!(%error, ?closed, "the database cannot be opened again: {error}"),
        }
    }
}

/// Serves the queue until every sender is gone.
pub(super) async fn run(
    connection: Arc<Mutex<Connection>>,
    mut jobs: mpsc::Receiver<Job>,
    commits: Arc<watch::Sender<u64>>,
) {
    let mut batch = Vec::with_capacity(JOBS_PER_COMMIT);
    while jobs.recv_many(&mut batch, JOBS_PER_COMMIT).await > 0 {
        let mut connection = connection.lock().await;
        let Batch { answers, committed } = commit_together(&connection.current, &mut batch).await;
        let committed = committed.map_err(Arc::new);
        if let Err(error) = &committed {
            tracing::error!(%error, jobs = answers.len(), "the database did not save a batch of changes: {error}");
            connection.renew().await;
        } else if !answers.is_empty() {
            commits.send_modify(|count| *count += 1);
        }
        for answer in answers {
            answer(committed.clone());
        }
    }
}

/// What became of the jobs of one transaction. Those that were left out are dropped, which tells their callers.
struct Batch {
    answers: Vec<Answer>,
    committed: Result<(), DbErr>,
}

async fn commit_together(connection: &DatabaseConnection, batch: &mut Vec<Job>) -> Batch {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let mut answers = Vec::with_capacity(batch.len());
    let transaction = match connection.begin_with_options(options).await {
        Ok(transaction) => transaction,
        Err(error) => {
            batch.clear();
            return Batch { answers, committed: Err(error) };
        }
    };
    for job in batch.drain(..) {
        // Nobody waits for it any more, and it has not begun: leave it out.
        if job.abandoned.is_cancelled() {
            continue;
        }
        let (answer, intact) = (job.run)(&transaction).await;
        answers.push(answer);
        if intact.is_err() {
            return Batch { answers, committed: intact };
        }
    }
    let committed = transaction.commit().await;
    Batch { answers, committed }
}
