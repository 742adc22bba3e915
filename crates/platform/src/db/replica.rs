//! A read replica: what [`super::Database::read_stale`] asks. It answers while it is known to be little behind, and the primary
//! whenever it is not, or fails.
//!
//! How far it is behind is measured against the primary, every few seconds and never per question: the primary says how far its
//! log (WAL) has come, and once the replica says that it has replayed so much, it has everything that was committed until the primary
//! was asked. That needs no clock but ours, and holds where PostgreSQL's own measures do not: the age of the last replayed
//! transaction (`pg_last_xact_replay_timestamp`) grows while nobody writes, and a replica that has lost its primary has replayed
//! all that it received.

use std::collections::VecDeque;
use std::future::Future;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, QueryResult, Statement,
    StreamTrait,
};
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use super::patience::ran_out;
use super::reader::snapshot_of;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::metrics;

/// A question waits so long for a connection to the replica, and then goes to the primary.
pub(super) const ACQUIRE: Duration = Duration::from_secs(1);
/// How long either may take to say how far it has come.
const PATIENCE: Duration = Duration::from_secs(2);
/// Places of the primary's log that the replica has not come to yet and that are kept: more than half an hour of them.
const MARKS: usize = 1024;
/// An event stands in the log at most so long after its own time: longer than any transaction takes.
const UNTIL_WRITTEN: Duration = Duration::from_secs(60);

/// How far the primary has come, bytes of its log.
const PRIMARY: &str = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS position, \
                       system_identifier::text AS cluster FROM pg_control_system()";
const REPLICA: &str = "SELECT pg_is_in_recovery() AS replica, \
                       pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint AS position, \
                       system_identifier::text AS cluster FROM pg_control_system()";

/// A streaming replica of a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct Replica {
    /// As the primary's.
    pub url: SecretString,
    /// One that is further behind is not asked.
    pub max_lag: Duration,
    /// How often it is looked at how far it is behind.
    pub look_every: Duration,
}

impl Replica {
    /// Looked at as often as suits production.
    pub fn at(url: SecretString, max_lag: Duration) -> Self {
        Self { url, max_lag, look_every: Duration::from_secs(2) }
    }
}

/// The replica's connections, and the primary's for when it does not do.
pub(super) struct Standby {
    pool: DatabaseConnection,
    primary: DatabaseConnection,
    max_lag: Duration,
    state: Arc<State>,
    watch: AbortHandle,
}

/// What is known of the replica.
struct State {
    is_fit: watch::Sender<bool>,
    /// When it last had everything that the primary had, as far as we know; before it ever had, when we began to look.
    current: Mutex<Instant>,
    /// Questions that the primary was asked because the replica was not fit, and because it failed.
    unfit: AtomicU64,
    failed: AtomicU64,
}

impl Standby {
    /// `watched` is a connection to the replica of its own, so that questions which keep all others busy do not make it look dead.
    /// Nobody is asked anything before it was looked at, from now on.
    pub(super) fn new(
        config: &Replica,
        pool: DatabaseConnection,
        watched: DatabaseConnection,
        primary: DatabaseConnection,
    ) -> Self {
        let state = Arc::new(State {
            is_fit: watch::Sender::new(false),
            current: Mutex::new(Instant::now()),
            unfit: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        });
        let watcher = Watcher {
            replica: watched,
            primary: primary.clone(),
            max_lag: config.max_lag,
            state: state.clone(),
            cluster: None,
            marks: VecDeque::new(),
            is_known: false,
        };
        let watch = tokio::spawn(watcher.run(config.look_every)).abort_handle();
        Self { pool, primary, max_lag: config.max_lag, state, watch }
    }

    pub(super) async fn query_one(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self.answer(self.pool.query_one_raw(statement.clone())).await {
            Some(answer) => answer,
            None => self.primary.query_one_raw(statement).await,
        }
    }

    pub(super) async fn query_all(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self.answer(self.pool.query_all_raw(statement.clone())).await {
            Some(answer) => answer,
            None => self.primary.query_all_raw(statement).await,
        }
    }

    pub(super) async fn snapshot(&self) -> Result<DatabaseTransaction, DbErr> {
        match self.answer(snapshot_of(&self.pool)).await {
            Some(begun) => begun,
            None => snapshot_of(&self.primary).await,
        }
    }

    /// As [`super::Reader::each`]. Once there were rows, nobody else is asked: they would come twice.
    pub(super) async fn each<F>(&self, statement: Statement, row: &mut F) -> Result<()>
    where
        F: FnMut(QueryResult) -> Result<ControlFlow<()>> + Send,
    {
        let first = async {
            let mut rows = self.pool.stream_raw(statement.clone()).await?;
            let first = rows.try_next().await?;
            Ok((first, rows))
        };
        let (mut next, mut rows) = match self.answer(first).await {
            Some(answer) => answer?,
            None => {
                let mut rows = self.primary.stream_raw(statement).await?;
                (rows.try_next().await?, rows)
            }
        };
        while let Some(found) = next {
            if row(found)?.is_break() {
                break;
            }
            next = rows.try_next().await?;
        }
        Ok(())
    }

    /// What the replica answers; none when the primary is to be asked. That is so whatever the replica failed with (it may lack the
    /// newest tables, or have given the statement up for the sake of replaying), but for a statement that took too long:
    /// there the primary would do no better.
    async fn answer<T>(&self, question: impl Future<Output = Result<T, DbErr>>) -> Option<Result<T, DbErr>> {
        let mut is_fit = self.state.is_fit.subscribe();
        if !*is_fit.borrow() {
            self.state.unfit.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        // One that has stopped answering may keep a statement for ever.
        let bad = async {
            let _ = is_fit.wait_for(|is_fit| !is_fit).await;
        };
        tokio::select! {
            answer = question => match answer {
                Err(error) if !ran_out(&error) => {
                    tracing::debug!(%error, "the replica failed, the primary is asked: {error}");
                    self.state.failed.fetch_add(1, Ordering::Relaxed);
                    None
                }
                answer => Some(answer),
            },
            () = bad => {
                self.state.unfit.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Whether whatever was recorded with this time is on a replica that is asked.
    pub(super) fn has_all_of(&self, at: Timestamp, now: Timestamp) -> bool {
        at < now.minus(self.max_lag + UNTIL_WRITTEN)
    }

    pub(super) async fn ping(&self) -> Result<(), DbErr> {
        self.pool.ping().await
    }

    pub(super) fn size(&self) -> (u64, u64) {
        let pool = self.pool.get_postgres_connection_pool();
        (u64::from(pool.size()), u64::try_from(pool.num_idle()).unwrap_or(0))
    }

    /// Whoever asks afterwards is answered by the primary, while that is open.
    pub(super) async fn close(&self) -> Result<(), DbErr> {
        self.watch.abort();
        self.state.is_fit.send_replace(false);
        self.pool.close_by_ref().await
    }

    /// Publishes its lag and how often the primary was asked instead, as metrics of `service`.
    pub(super) fn observe(&self, service: &'static str) {
        let state = self.state.clone();
        let describe = "How old the answers of the read replica may be.";
        metrics::metrics().observe_seconds("rollcall.db.replica.lag", describe, &[], move || {
            state.current.lock().unwrap_or_else(PoisonError::into_inner).elapsed().as_secs_f64()
        });
        let describe = "Questions for the read replica that the primary was asked, by service and reason.";
        for reason in ["failed", "unfit"] {
            let (state, labels) =
                (self.state.clone(), [("service", service.to_owned()), ("reason", reason.to_owned())]);
            metrics::metrics().observe_total("rollcall.db.replica.fallbacks", describe, &labels, move || {
                let count = if reason == "failed" { &state.failed } else { &state.unfit };
                count.load(Ordering::Relaxed)
            });
        }
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Keeps [`State`] in step with the replica.
struct Watcher {
    replica: DatabaseConnection,
    primary: DatabaseConnection,
    max_lag: Duration,
    state: Arc<State>,
    /// Which cluster the primary is.
    cluster: Option<String>,
    /// When the primary was asked, and how far it had come; those that the replica has not come to.
    marks: VecDeque<(Instant, i64)>,
    /// Whether it ever had everything.
    is_known: bool,
}

impl Watcher {
    async fn run(mut self, every: Duration) {
        let mut every = tokio::time::interval(every);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = None;
        loop {
            every.tick().await;
            let found = self.look().await;
            self.state
                .is_fit
                .send_if_modified(|is_fit| std::mem::replace(is_fit, found.is_ok()) != found.is_ok());
            if said == Some(found.is_ok()) {
                continue;
            }
            said = Some(found.is_ok());
            match found {
                Ok(()) => {
                    tracing::info!("the read replica is asked from now on what may be some seconds old")
                }
                Err(reason) => tracing::warn!("the read replica is not asked, but the primary: {reason}"),
            }
        }
    }

    /// Whether the replica is to be asked, and else why not.
    async fn look(&mut self) -> Result<(), String> {
        let asked = Instant::now();
        // When it does not answer there is no mark, and the replica seems to be further behind the longer that lasts.
        if let Ok(Ok((position, cluster))) = tokio::time::timeout(PATIENCE, of_primary(&self.primary)).await {
            self.cluster = Some(cluster);
            self.marks.push_back((asked, position));
            if self.marks.len() > MARKS {
                self.marks.pop_front();
            }
        }
        let Found { is_replica, replayed, cluster } =
            match tokio::time::timeout(PATIENCE, of_replica(&self.replica)).await {
                Ok(found) => found.map_err(|error| format!("it cannot be asked: {error}"))?,
                Err(_) => return Err("it does not answer".to_owned()),
            };
        if !is_replica {
            return Err("the server of replica_url is no replica (pg_is_in_recovery() is false)".to_owned());
        }
        let Some(own) = &self.cluster else { return Err("the primary does not answer".to_owned()) };
        if *own != cluster {
            return Err("the server of replica_url is a replica of another cluster".to_owned());
        }
        let Some(replayed) = replayed else {
            return Err("it does not say how far it has come (pg_last_wal_replay_lsn() is null)".to_owned());
        };
        let behind = {
            let mut current = self.state.current.lock().unwrap_or_else(PoisonError::into_inner);
            // After a failover positions may begin anew, lower: the latest one counts, whatever stands before it.
            if let Some(last) = self.marks.iter().rposition(|(_, position)| *position <= replayed) {
                for (at, _) in self.marks.drain(..=last) {
                    *current = at;
                }
                self.is_known = true;
            }
            current.elapsed()
        };
        if !self.is_known {
            return Err("it has not come to where the primary was at our start".to_owned());
        }
        if behind > self.max_lag {
            let (behind, most) = (behind.as_secs_f32(), self.max_lag.as_secs_f32());
            return Err(format!("it is {behind:.1} s behind, and {most} s is the most"));
        }
        Ok(())
    }
}

/// What a replica says of itself.
struct Found {
    is_replica: bool,
    replayed: Option<i64>,
    cluster: String,
}

async fn of_primary(primary: &DatabaseConnection) -> Result<(i64, String), DbErr> {
    let row = one(primary, PRIMARY).await?;
    Ok((row.try_get("", "position")?, row.try_get("", "cluster")?))
}

async fn of_replica(replica: &DatabaseConnection) -> Result<Found, DbErr> {
    let row = one(replica, REPLICA).await?;
    Ok(Found {
        is_replica: row.try_get("", "replica")?,
        replayed: row.try_get("", "position")?,
        cluster: row.try_get("", "cluster")?,
    })
}

async fn one(connection: &DatabaseConnection, sql: &str) -> Result<QueryResult, DbErr> {
    let row = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("a server that says where it is".to_owned()))
}
