//! Keeps the projection of users in step with identity's change log.
//!
//! The gateway applies each change of a user right after the write; this task repairs what a crash cut in two, and is how a
//! new membership database is filled. The cursor rests in the same transaction as the changes, so nothing is left out;
//! what is applied twice, after a crash or by two replicas, changes nothing.
//!
//! Who was away for longer than identity's log is kept gets a snapshot of all users, and removes whoever is not in it
//! (`store/reconcile.rs`).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use platform::auth::{TokenSource, with_token};
use platform::clock::{Clock, Timestamp};
use platform::db::Database;
use platform::db::Transaction;
use platform::db::changelog::{self, Position};
use platform::metrics::metrics;
use platform::transport::Transport;
use platform::{Error, Result};
use proto::identity::v1::changes_client::ChangesClient;
use proto::identity::v1::{WatchChangesRequest, WatchChangesResponse};
use sea_orm::{ConnectionTrait, Statement};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::api::user_state;
use crate::domain::user::UserState;
use crate::store;
use crate::store::reconcile::{self, Place};

/// The log, in the table of cursors.
const LOG: &str = "identity";
/// Changes per transaction, of those that have arrived.
const BATCH: usize = 256;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Follows identity's log until `stop` is cancelled. Errors are logged and tried again, after a pause that doubles.
pub async fn follow(
    db: Database,
    clock: Clock,
    changes: ChangesClient<Transport>,
    tokens: TokenSource,
    stop: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    let heard = Heard::observed();
    loop {
        let session = watch(&db, &clock, changes.clone(), &tokens, &mut pause, &heard);
        let outcome = tokio::select! {
            () = stop.cancelled() => return,
            outcome = session => outcome,
        };
        match outcome {
            Ok(()) => tracing::debug!("identity closed its change log; connecting again"),
            Err(error) => {
                tracing::warn!(%error, cause = ?error.cause, "identity's change log cannot be followed: {error}; trying again");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// When something from identity's log was last applied, for the metrics. Identity sends a heartbeat at least every 10 s.
#[derive(Clone)]
struct Heard {
    began: Instant,
    /// Milliseconds since it began.
    last: Arc<AtomicU64>,
}

impl Heard {
    fn observed() -> Self {
        let heard = Self { began: Instant::now(), last: Arc::default() };
        let observed = heard.clone();
        metrics().observe_seconds(
            "rollcall.membership.follower.silence",
            "Since when nothing of identity's change log was applied, heartbeats included.",
            &[],
            move || {
                let last = Duration::from_millis(observed.last.load(Ordering::Relaxed));
                observed.began.elapsed().saturating_sub(last).as_secs_f64()
            },
        );
        heard
    }

    fn now(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }
}

/// One connection, until it ends. `pause` is reset by whatever arrives.
async fn watch(
    db: &Database,
    clock: &Clock,
    mut changes: ChangesClient<Transport>,
    tokens: &TokenSource,
    pause: &mut Duration,
    heard: &Heard,
) -> Result<()> {
    let after_cursor = cursor(db).await?;
    // Before identity takes the place of its snapshot, if it sends one: who changes here from now on is newer than that.
    let since = changelog::latest(db.read()).await?;
    let mut snapshot = None;
    let token = tokens.token().await?;
    let is_first = after_cursor.is_empty();
    let request = with_token(WatchChangesRequest { after_cursor }, &token)?;
    let mut arriving = changes.watch_changes(request).await?.into_inner().ready_chunks(BATCH);
    while let Some(batch) = arriving.next().await {
        let mut run = Run::default();
        let mut failed = None;
        for message in batch {
            match message {
                Ok(WatchChangesResponse { is_reset: true, cursor: _, change: _ }) => {
                    if !is_first {
                        tracing::warn!(
                            "identity sends all its users: its log no longer keeps what came behind our cursor"
                        );
                    }
                    snapshot = Some(Snapshot { since, place: (Uuid::nil(), Uuid::nil()) });
                }
                Ok(message) => {
                    let complete = snapshot.is_some() && !message.cursor.is_empty();
                    run.push(message);
                    if complete && let Some(mut snapshot) = snapshot.take() {
                        let cursor = std::mem::take(&mut run.cursor);
                        let gone = snapshot.apply(db, &mut run, true, clock.now()).await?;
                        if !is_first {
                            tracing::info!(
                                gone,
                                "all users of identity have arrived; {gone} of ours were gone"
                            );
                        }
                        run.cursor = cursor;
                    }
                }
                Err(status) => failed = Some(status),
            }
        }
        match &mut snapshot {
            Some(snapshot) => drop(snapshot.apply(db, &mut run, false, clock.now()).await?),
            None => run.apply(db, clock.now()).await?,
        }
        *pause = FIRST_PAUSE;
        heard.now();
        if let Some(status) = failed {
            return Err(status.into());
        }
    }
    Ok(())
}

/// A run of the log.
#[derive(Default)]
struct Run {
    states: Vec<UserState>,
    /// Behind it; empty within a snapshot.
    cursor: String,
}

impl Run {
    fn push(&mut self, message: WatchChangesResponse) {
        let WatchChangesResponse { cursor, change, is_reset: _ } = message;
        match change.map(user_state) {
            Some(Ok(state)) => self.states.push(state),
            // Stopping here would stop the log for every tenant.
            Some(Err(error)) => {
                tracing::error!(%error, cursor, "a change in identity's log was left out, it is not valid: {error}");
            }
            None => {}
        }
        self.cursor = cursor;
    }

    /// Applies it and remembers its end, which rests in the last transaction.
    async fn apply(&mut self, db: &Database, at: Timestamp) -> Result<()> {
        let Run { states, cursor } = std::mem::take(self);
        let (news, known) = store::news(db, states).await?;
        let mut together = Vec::new();
        for state in news {
            if store::stands_alone(db, &state).await? {
                commit(db, std::mem::take(&mut together), Vec::new(), String::new(), at).await?;
                commit(db, vec![state], Vec::new(), String::new(), at).await?;
            } else {
                together.push(state);
            }
        }
        commit(db, together, known, cursor, at).await
    }
}

async fn commit(
    db: &Database,
    news: Vec<UserState>,
    known: Vec<UserState>,
    cursor: String,
    at: Timestamp,
) -> Result<()> {
    if news.is_empty() && known.is_empty() && cursor.is_empty() {
        return Ok(());
    }
    let work = Arc::new((news, known, cursor));
    db.write(move |txn| {
        let work = work.clone();
        Box::pin(async move {
            let (news, known, cursor) = &*work;
            for state in news {
                store::apply_user(txn, state, at).await?;
            }
            store::heal(txn, known).await?;
            if cursor.is_empty() { Ok(()) } else { remember(txn, cursor, at).await }
        })
    })
    .await
}

/// A snapshot that is arriving, in the order of tenant and id.
struct Snapshot {
    /// Our own log when it was asked for.
    since: Position,
    /// How far it came.
    place: Place,
}

impl Snapshot {
    /// Applies a run of it, and removes whoever should have been in it; at the `end` also whoever comes behind it. Returns
    /// how many were removed.
    async fn apply(&mut self, db: &Database, run: &mut Run, end: bool, at: Timestamp) -> Result<u64> {
        let mut last = self.place;
        let mut present = HashSet::with_capacity(run.states.len());
        for state in &run.states {
            let place = (state.tenant.uuid(), state.id.uuid());
            if place <= last {
                return Err(Error::internal("identity's snapshot is not in the order of tenant and id"));
            }
            last = place;
            present.insert(place);
        }
        run.apply(db, at).await?;
        let until = (!end).then_some(last);
        let removed = reconcile::remove_missing(db, self.place, until, &present, self.since, at).await?;
        self.place = last;
        Ok(removed)
    }
}

async fn cursor(db: &Database) -> Result<String> {
    let sql = "SELECT cursor FROM follower_cursor WHERE log = $1";
    let statement = Statement::from_sql_and_values(db.backend(), sql, [LOG.into()]);
    match db.read().query_one_raw(statement).await? {
        Some(row) => row.try_get("", "cursor").map_err(Error::from),
        None => Ok(String::new()),
    }
}

async fn remember(txn: &Transaction, cursor: &str, at: Timestamp) -> Result<()> {
    let sql = "INSERT INTO follower_cursor (log, cursor, updated_at) VALUES ($1, $2, $3) \
         ON CONFLICT (log) DO UPDATE SET cursor = excluded.cursor, updated_at = excluded.updated_at";
    let values = [LOG.into(), cursor.into(), at.micros().into()];
    let statement = Statement::from_sql_and_values(txn.get_database_backend(), sql, values);
    txn.execute_raw(statement).await?;
    Ok(())
}
