//! SQLite's one writer. Jobs that wait share a transaction: one fsync answers them all.
//!
//! Most succeed, or find out that they cannot before they write anything, so they run without savepoints, each of which takes two
//! statements. When one fails in the middle, all of it is rolled back and done again, each in a savepoint now.
//!
//! When the disk is full or fails, SQLite may roll the whole transaction back by itself; statements behind that would be
//! transactions of their own. So the first error of that kind, and the first of a transaction's own statements (begin,
//! savepoint, release, rollback, commit), fails everybody in the batch and costs the connection.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use sea_orm::DbErr;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sea_orm::sqlx::{self, Connection as _};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::statement::{failed, not_opened};
use super::transaction::Transaction;
use super::write::{TxFuture, took_too_long};
use crate::error::{Error, Result};

/// At most this many jobs share a commit, so that the first does not wait long for the last.
const JOBS_PER_COMMIT: usize = 128;
/// A job whose caller has gone is stopped when it has run this long; a shorter one is not worth it.
const UNWATCHED: Duration = Duration::from_secs(1);

type Run = Box<
    dyn for<'c> Fn(&'c Transaction, Protection) -> Pin<Box<dyn Future<Output = Ran> + Send + 'c>>
        + Send
        + Sync,
>;

/// What undoes the work of a job that fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protection {
    /// Only the rollback of the transaction, with whatever else is in it.
    None,
    Savepoint,
}

/// A job that was run.
struct Ran {
    answer: Answer,
    /// The error is the transaction's own, which is broken then.
    left: Result<Left, DbErr>,
}

/// What is left of a job in the transaction.
enum Left {
    /// All of it or nothing.
    Whole,
    /// Some: it failed in the middle.
    Part {
        /// It may be run once more. What took too long may not.
        again: bool,
    },
}

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
    F: for<'c> Fn(&'c Transaction) -> TxFuture<'c, T> + Send + Sync + 'static,
{
    let (reply, answer) = oneshot::channel::<Result<T>>();
    let abandoned = CancellationToken::new();
    let _abandoned_on_drop = abandoned.clone().drop_guard();
    let watched = abandoned.clone();
    let shared = Arc::new((work, std::sync::Mutex::new(Some(reply))));
    let run: Run = Box::new(move |transaction, protection| {
        let (shared, watched) = (shared.clone(), watched.clone());
        Box::pin(async move {
            let stopped = async {
                tokio::time::sleep(UNWATCHED.min(patience)).await;
                let _ = tokio::time::timeout(patience.saturating_sub(UNWATCHED), watched.cancelled()).await;
                took_too_long(patience)
            };
            let (outcome, left) = match protected(transaction, protection, &shared.0, stopped).await {
                Ok((outcome, left)) => (outcome, Ok(left)),
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
                let reply = shared.1.lock().unwrap_or_else(PoisonError::into_inner).take();
                // The caller may have gone away; what is committed stays committed.
                let _ = reply.map(|reply| reply.send(outcome));
            });
            Ran { answer, left }
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
async fn protected<T, F>(
    transaction: &Transaction,
    protection: Protection,
    work: &F,
    stopped: impl Future<Output = Error>,
) -> Result<(Result<T>, Left), DbErr>
where
    F: for<'c> Fn(&'c Transaction) -> TxFuture<'c, T>,
{
    if protection == Protection::Savepoint {
        transaction.run("SAVEPOINT job").await?;
    }
    transaction.forget_writes();
    let mut again = true;
    let outcome = tokio::select! {
        outcome = AssertUnwindSafe(work(transaction)).catch_unwind() => outcome,
        error = stopped => {
            again = false;
            Ok(Err(error))
        }
    };
    let outcome = outcome.unwrap_or_else(|_| Err(Error::internal("a transaction panicked")));
    let left = match protection {
        Protection::None if outcome.is_ok() || (again && !transaction.has_written()) => Left::Whole,
        Protection::None => Left::Part { again },
        Protection::Savepoint => {
            if outcome.is_err() {
                transaction.run("ROLLBACK TO job").await?;
            }
            transaction.run("RELEASE job").await?;
            Left::Whole
        }
    };
    Ok((outcome, left))
}

/// The writing connection, and how to make it anew.
pub(super) struct Connection {
    options: SqliteConnectOptions,
    /// None when it was lost, or closed.
    current: Option<SqliteConnection>,
    is_closed: bool,
}

impl Connection {
    pub(super) async fn open(options: SqliteConnectOptions) -> Result<Self, DbErr> {
        let current = SqliteConnection::connect_with(&options).await.map_err(not_opened)?;
        Ok(Self { options, current: Some(current), is_closed: false })
    }

    /// For the transaction that comes next.
    async fn take(&mut self) -> Result<SqliteConnection, sqlx::Error> {
        match self.current.take() {
            Some(connection) => Ok(connection),
            None if self.is_closed => Err(sqlx::Error::PoolClosed),
            None => SqliteConnection::connect_with(&self.options).await,
        }
    }

    pub(super) async fn close(&mut self) -> Result<(), DbErr> {
        self.is_closed = true;
        match self.current.take() {
            Some(connection) => connection.close().await.map_err(failed),
            None => Ok(()),
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
        let jobs = batch.len();
        let Batch { answers, committed } = commit_together(&mut connection, &mut batch).await;
        let committed = committed.map_err(Arc::new);
        if let Err(error) = &committed {
            tracing::error!(%error, jobs, "the database did not save a batch of changes: {error}");
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

async fn commit_together(connection: &mut Connection, batch: &mut Vec<Job>) -> Batch {
    let mut jobs = std::mem::take(batch);
    // Nobody waits for them any more, and they have not begun: leave them out.
    jobs.retain(|job| !job.abandoned.is_cancelled());
    let mut answers = Vec::with_capacity(jobs.len());
    if jobs.is_empty() {
        return Batch { answers, committed: Ok(()) };
    }
    let transaction = match connection.take().await {
        Ok(current) => Transaction::writing(current),
        Err(error) => return Batch { answers, committed: Err(failed(error)) },
    };
    // After an error the connection goes with the transaction.
    let committed = run_all(&transaction, jobs, &mut answers).await;
    if committed.is_ok() {
        connection.current = transaction.into_connection();
    }
    Batch { answers, committed }
}

async fn run_all(
    transaction: &Transaction,
    mut jobs: Vec<Job>,
    answers: &mut Vec<Answer>,
) -> Result<(), DbErr> {
    let mut protection = Protection::None;
    transaction.run("BEGIN IMMEDIATE").await?;
    while let Some(failed) = run_until_one_fails(transaction, &jobs, protection, answers).await? {
        transaction.run("ROLLBACK").await?;
        let Failed { place, again, answer } = failed;
        if !again || jobs.len() == 1 {
            // There is nothing more to it; the others are to be done again without it.
            jobs.remove(place);
            answers.push(answer);
        }
        if jobs.is_empty() {
            return Ok(());
        }
        protection = Protection::Savepoint;
        transaction.run("BEGIN IMMEDIATE").await?;
    }
    transaction.run("COMMIT").await
}

/// A job that left a part of itself in the transaction.
struct Failed {
    place: usize,
    again: bool,
    answer: Answer,
}

async fn run_until_one_fails(
    transaction: &Transaction,
    jobs: &[Job],
    protection: Protection,
    answers: &mut Vec<Answer>,
) -> Result<Option<Failed>, DbErr> {
    // Of a pass that was rolled back only what was left out stays answered.
    let mut answered = Vec::with_capacity(jobs.len());
    for (place, job) in jobs.iter().enumerate() {
        let Ran { answer, left } = (job.run)(transaction, protection).await;
        transaction.check()?;
        match left? {
            Left::Whole => answered.push(answer),
            Left::Part { again } => return Ok(Some(Failed { place, again, answer })),
        }
    }
    answers.append(&mut answered);
    Ok(None)
}
