//! Follows membership's own change log and keeps the graphs in step with it; one task in each process.
//!
//! What this process commits wakes it at once; for what others commit it looks every few milliseconds. It knows how far it has
//! come (a [`Position`], over all tenants) and whether that is near the log's end. It is not when the database does not answer,
//! or, on PostgreSQL, while a transaction that stays open holds the readers of the log back: then the feed is lost, the index
//! answers nothing, and takes up again by itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use platform::db::changelog::{Position, Record};
use platform::ids::TenantId;
use platform::{Error, Result};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{Index, State, apply, read, write};

/// Rows read at once.
const BATCH: u64 = 1000;
/// What takes longer is a failure, and tried again.
const LONGEST_READ: Duration = Duration::from_secs(5);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);
/// How often PostgreSQL is asked whether it holds rows back.
const LOOK_FOR_HELD_BACK: Duration = Duration::from_millis(250);
/// A tenant that is being loaded is given up when more rows than this come meanwhile.
pub(super) const MOST_WAITING: usize = 200_000;

/// How far the index has come, and whether that is near enough.
pub(super) struct Feed {
    position: watch::Sender<Position>,
    wake: Notify,
    began: Instant,
    lost_after: Duration,
    /// When it was last known to be at the end of the log, milliseconds since `began`; 0 for never.
    up_to_date_at: AtomicU64,
    /// Whether the loss was told.
    told: AtomicBool,
}

impl Feed {
    pub(super) fn new(lost_after: Duration) -> Self {
        Self {
            position: watch::Sender::new(Position::default()),
            wake: Notify::new(),
            began: Instant::now(),
            lost_after,
            up_to_date_at: AtomicU64::new(0),
            told: AtomicBool::new(false),
        }
    }

    /// How far the graphs have come; `None` when that may be too far behind.
    pub(super) fn position(&self) -> Option<Position> {
        let lost_after = u64::try_from(self.lost_after.as_millis()).unwrap_or(u64::MAX);
        (self.lag_ms() <= lost_after).then(|| *self.position.borrow())
    }

    /// Milliseconds since it was known to be at the end of the log.
    pub(super) fn lag_ms(&self) -> u64 {
        match self.up_to_date_at.load(Ordering::Relaxed) {
            0 => u64::MAX,
            at => self.now().saturating_sub(at),
        }
    }

    /// Whether it gets to `position` within `patience`.
    pub(super) async fn reaches(&self, position: Position, patience: Duration) -> bool {
        if *self.position.borrow() >= position {
            return true;
        }
        if self.position().is_none() {
            return false;
        }
        let mut positions = self.position.subscribe();
        self.wake.notify_one();
        let reached = positions.wait_for(|reached| *reached >= position);
        matches!(tokio::time::timeout(patience, reached).await, Ok(Ok(_)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn up_to_date(&self) {
        self.up_to_date_at.store(self.now(), Ordering::Relaxed);
        if self.told.swap(false, Ordering::Relaxed) {
            tracing::info!("the membership index is fed again");
        }
    }

    /// Says once that answers come from the database.
    fn tell_when_lost(&self, why: &str) {
        if self.position().is_none() && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!("the membership index has lost its feed, answers come from the database: {why}");
        }
    }
}

/// Rows of the log that can be seen but not read yet: PostgreSQL holds them back.
#[derive(Default)]
struct HeldBack {
    /// The last of them, when they were noticed.
    until: Option<Position>,
    looked_at: Option<Instant>,
}

impl Index {
    /// Feeds the index until `stop` is cancelled. Errors are logged and tried again.
    pub async fn follow(self, stop: CancellationToken) {
        let feed = &self.shared.feed;
        let mut commits = self.shared.store.commits();
        let mut held_back = HeldBack::default();
        let mut started = false;
        loop {
            let step = async {
                if !started {
                    feed.position.send_replace(self.shared.store.revision().await?);
                    started = true;
                }
                self.catch_up().await?;
                self.is_up_to_date(&mut held_back).await
            };
            let outcome = tokio::select! {
                () = stop.cancelled() => break,
                outcome = step => outcome,
            };
            let pause = match outcome {
                Ok(true) => {
                    feed.up_to_date();
                    self.shared.settings.poll
                }
                Ok(false) => {
                    feed.tell_when_lost("a transaction that stays open holds back the readers of the change log");
                    self.shared.settings.poll
                }
                Err(error) => {
                    tracing::debug!(%error, cause = ?error.cause, "the change log cannot be read: {error}");
                    feed.tell_when_lost("the change log cannot be read");
                    PAUSE_AFTER_FAILURE
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = feed.wake.notified() => {}
                changed = commits.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(pause) => {}
            }
        }
        // Nobody feeds it any more.
        feed.up_to_date_at.store(0, Ordering::Relaxed);
    }

    /// Reads to the log's end and applies it.
    async fn catch_up(&self) -> Result<()> {
        let feed = &self.shared.feed;
        loop {
            let position = *feed.position.borrow();
            let read = self.shared.store.changes_after(position, BATCH);
            let read = tokio::time::timeout(LONGEST_READ, read).await;
            let read = read.unwrap_or_else(|_| Err(Error::unavailable("the database does not answer")));
            let Some(records) = read? else {
                tracing::warn!("the change log was cut off before the membership index read it: it is loaded anew");
                self.drop_all();
                feed.position.send_replace(self.shared.store.revision().await?);
                continue;
            };
            let Some(last) = records.last().map(|record| record.position) else { return Ok(()) };
            let full = records.len() as u64 == BATCH;
            let mut by_tenant: BTreeMap<TenantId, Vec<Record>> = BTreeMap::new();
            for record in records {
                by_tenant.entry(record.tenant).or_default().push(record);
            }
            for (tenant, records) in by_tenant {
                self.distribute(tenant, records).await?;
            }
            // Only now: whoever reads the position and then a graph finds everything up to it there.
            feed.position.send_replace(last);
            if !full {
                return Ok(());
            }
        }
    }

    /// Applies the rows of one tenant, or keeps them for the load that is under way. After an error they are applied again,
    /// which does no harm.
    async fn distribute(&self, tenant: TenantId, records: Vec<Record>) -> Result<()> {
        let Some(slot) = read(&self.shared.tenants).get(&tenant).cloned() else { return Ok(()) };
        match &mut *write(&slot.state) {
            State::Loading(waiting) => {
                waiting.extend(records);
                return Ok(());
            }
            State::Refused(_) | State::Gone => return Ok(()),
            State::Ready(_) => {}
        }
        apply::to_slot(self, &slot, records).await
    }

    /// Whether the end that was read is near the log's real end.
    async fn is_up_to_date(&self, held_back: &mut HeldBack) -> Result<bool> {
        let position = *self.shared.feed.position.borrow();
        if held_back.until.is_some_and(|until| until <= position) {
            held_back.until = None;
        }
        let looked = held_back.looked_at.is_some_and(|at| at.elapsed() < LOOK_FOR_HELD_BACK);
        if held_back.until.is_none() && !looked {
            held_back.looked_at = Some(Instant::now());
            let newest = self.shared.store.newest_change().await?;
            held_back.until = Some(newest).filter(|newest| *newest > position);
        }
        Ok(held_back.until.is_none())
    }
}
