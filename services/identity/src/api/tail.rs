//! Following the change log: what all streams of changes have in common.
//!
//! A stream ends when its caller hangs up, when the service stops, and when what comes next is not in the log any more. Its
//! channel is short: while the caller does not read, nothing is read for it.

use std::time::Duration;

use platform::clock::Timestamp;
use platform::db::changelog::Position;
use platform::ids::TenantId;
use platform::{Error, Result};
use scim::ErrorKind;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::store::{Change, Store};

/// Answers that wait for a slow caller; behind that, reading waits too.
pub(super) const AHEAD: usize = 64;
/// Changes read at once.
const BATCH: u64 = 256;
/// How often it looks for what other replicas committed.
const INTERVAL: Duration = Duration::from_millis(250);
/// Commits wake it, but not more often than this: those of other tenants do too.
const BREATH: Duration = Duration::from_millis(10);
/// After this long without an answer a heartbeat shows that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The caller hung up, or the service stops.
#[derive(Debug)]
pub(super) struct Over;

/// Where answers go.
pub(super) struct Caller<T> {
    answers: mpsc::Sender<Result<T, Status>>,
    stop: CancellationToken,
}

impl<T> Caller<T> {
    pub(super) fn new(answers: mpsc::Sender<Result<T, Status>>, stop: CancellationToken) -> Self {
        Self { answers, stop }
    }

    /// Waits until there is room.
    pub(super) async fn send(&self, answer: T) -> Result<(), Over> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Over),
            sent = self.answers.send(Ok(answer)) => sent.map_err(|_| Over),
        }
    }

    /// The last that the caller hears. Whoever does not read by now misses it.
    pub(super) fn end(&self, status: Status) {
        let _ = self.answers.try_send(Err(status));
    }
}

/// Runs a stream to its end and tells the caller why, when there is a reason.
pub(super) async fn run<T>(caller: Caller<T>, stream: impl AsyncFnOnce(&Caller<T>) -> Result<(), Ended>) {
    match stream(&caller).await {
        Ok(()) | Err(Ended::Over) => {
            if caller.stop.is_cancelled() {
                caller.end(Status::unavailable("the service stops; continue elsewhere"));
            }
        }
        Err(Ended::Failed(status)) => caller.end(status),
    }
}

/// Why a stream is at its end.
pub(super) enum Ended {
    Over,
    Failed(Status),
}

impl From<Over> for Ended {
    fn from(_: Over) -> Self {
        Self::Over
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

/// A cursor whose continuation is gone.
pub(super) fn not_kept() -> Error {
    let detail = "the log does not reach back to this cursor any more: start again without one";
    Error::new(ErrorKind::ExpiredCursor, detail).with_attribute("after_cursor")
}

/// Where a stream of changes is.
pub(super) struct Place {
    /// Of which tenant; of all when none.
    pub(super) tenant: Option<TenantId>,
    /// Everything up to here was told.
    pub(super) position: Position,
    /// When the access token expires that opened the stream; never for the platform's own services.
    pub(super) expires_at: Option<Timestamp>,
}

/// Sends what `answer` makes of everything behind a place in the log, until the stream ends. Without a change only the cursor
/// moved: nothing happened for a while.
pub(super) async fn follow<T>(
    store: &Store,
    place: Place,
    caller: &Caller<T>,
    answer: impl Fn(Position, Option<Change>) -> T,
) -> Result<(), Ended> {
    let Place { tenant, mut position, expires_at } = place;
    let mut commits = store.commits();
    let mut last_sent = Instant::now();
    loop {
        // Before reading: what is committed from here on wakes us below.
        commits.borrow_and_update();
        if expires_at.is_some_and(|expires_at| store.now() >= expires_at) {
            let detail = "the access token has expired: go on behind the last cursor with a new one";
            return Err(Error::unavailable(detail).into());
        }
        let looked_at = Instant::now();
        // Before reading as well: when nothing is found, there was nothing up to here.
        let end = store.end_of_log().await?;
        let changes = store.changes_after(tenant, position, BATCH).await?.ok_or_else(not_kept)?;
        let has_read_all = changes.is_empty();
        for followed in changes {
            position = followed.position;
            // Something else than a user changed.
            if followed.change.is_none() {
                continue;
            }
            caller.send(answer(position, followed.change)).await?;
            last_sent = Instant::now();
        }
        if !has_read_all {
            continue;
        }
        position = position.max(end);
        if last_sent.elapsed() >= HEARTBEAT {
            caller.send(answer(position, None)).await?;
            last_sent = Instant::now();
        }
        tokio::select! {
            () = caller.stop.cancelled() => return Ok(()),
            () = caller.answers.closed() => return Ok(()),
            // The database handle is gone: the service stops.
            committed = commits.changed() => if committed.is_err() { return Ok(()) },
            () = tokio::time::sleep(INTERVAL) => {}
        }
        tokio::time::sleep_until(looked_at + BREATH).await;
    }
}
