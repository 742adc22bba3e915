//! SQLite's one writer. Jobs that wait share a transaction, each in a savepoint: one fsync answers them all.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use sea_orm::{
    DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::write::{TxFuture, took_too_long};
use crate::error::{Error, Result};

/// At most this many jobs share a commit, so that the first does not wait long for the last.
const JOBS_PER_COMMIT: usize = 128;
/// A job whose caller has gone is stopped when it has run this long; a shorter one is not worth it.
const UNWATCHED: Duration = Duration::from_secs(1);

type Run = Box<
    dyn for<'c> FnOnce(&'c DatabaseTransaction) -> Pin<Box<dyn Future<Output = Answer> + Send + 'c>> + Send,
>;
/// Tells the waiting caller; called once it is known whether the commit succeeded.
type Answer = Box<dyn FnOnce(Result<(), Arc<sea_orm::DbErr>>) + Send>;

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
            let outcome = in_savepoint(transaction, &work, stopped).await;
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
            answer
        })
    });
    let job = Job { run, abandoned };
    queue
        .try_send(job)
        .map_err(|_| Error::unavailable("too many writes are waiting for the database; try again shortly"))?;
    answer.await.map_err(|_| Error::unavailable("the server is stopping; the change was not made"))?
}

/// Runs `work` unless `stopped` comes first. A statement under way is not interrupted, which would roll back what other jobs
/// did in this transaction: `work` ends with it.
async fn in_savepoint<T, F>(
    transaction: &DatabaseTransaction,
    work: &F,
    stopped: impl Future<Output = Error>,
) -> Result<T>
where
    F: for<'c> Fn(&'c DatabaseTransaction) -> TxFuture<'c, T>,
{
    let savepoint = transaction.begin().await?;
    let outcome = tokio::select! {
        outcome = AssertUnwindSafe(work(&savepoint)).catch_unwind() => outcome,
        error = stopped => Ok(Err(error)),
    };
    match outcome {
        Ok(Ok(value)) => {
            savepoint.commit().await?;
            Ok(value)
        }
        Ok(Err(error)) => {
            savepoint.rollback().await?;
            Err(error)
        }
        Err(_) => {
            savepoint.rollback().await?;
            Err(Error::internal("a transaction panicked"))
        }
    }
}

/// Serves the queue until every sender is gone.
pub(super) async fn run(
    connection: DatabaseConnection,
    mut jobs: mpsc::Receiver<Job>,
    commits: Arc<watch::Sender<u64>>,
) {
    let mut batch = Vec::with_capacity(JOBS_PER_COMMIT);
    while jobs.recv_many(&mut batch, JOBS_PER_COMMIT).await > 0 {
        let answers = match commit_together(&connection, &mut batch).await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::error!(%error, "a transaction could not be started: {error}");
                batch.clear();
                continue;
            }
        };
        if !answers.is_empty() {
            commits.send_modify(|count| *count += 1);
        }
        for (answer, committed) in answers {
            answer(committed);
        }
    }
}

type Answers = Vec<(Answer, Result<(), Arc<sea_orm::DbErr>>)>;

async fn commit_together(
    connection: &DatabaseConnection,
    batch: &mut Vec<Job>,
) -> Result<Answers, sea_orm::DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let transaction = connection.begin_with_options(options).await?;
    let mut answers = Vec::with_capacity(batch.len());
    for job in batch.drain(..) {
        // Nobody waits for it any more, and it has not begun: leave it out.
        if !job.abandoned.is_cancelled() {
            answers.push((job.run)(&transaction).await);
        }
    }
    let committed = transaction.commit().await.map_err(Arc::new);
    Ok(answers.into_iter().map(|answer| (answer, committed.clone())).collect())
}
