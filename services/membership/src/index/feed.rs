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
/// How often PostgreSQL is asked whether it holds rows back, or has lost some.
const LOOK_AROUND: Duration = Duration::from_millis(250);
/// How often the log is looked at when nobody else writes to it.
const ALONE: Duration = Duration::from_millis(500);
/// Tenants whose last row read is remembered: one of them is not purged, most likely.
const REMEMBERED: usize = 8;
/// A tenant that is being loaded is given up when more rows than this come meanwhile.
pub(super) const MOST_WAITING: usize = 200_000;

/// How far the index has come, and whether that is near enough.
pub(super) struct Feed {
    position: watch::Sender<Position>,
    wake: Notify,
    began: Instant,
    lost_after: Duration,
    /// How many commits of this process are in the graphs.
    commits: watch::Sender<u64>,
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
            commits: watch::Sender::new(0),
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

    /// Whether it gets to this process's commit of that number within `patience`.
    pub(super) async fn reaches_commit(&self, number: u64, patience: Duration) -> bool {
        if *self.commits.borrow() >= number {
            return true;
        }
        if self.position().is_none() {
            return false;
        }
        let mut commits = self.commits.subscribe();
        let reached = commits.wait_for(|reached| *reached >= number);
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

/// What is known of the log beyond what can be read of it.
#[derive(Default)]
pub(super) struct Outlook {
    /// The last row that could be seen but not read yet when it was looked for: PostgreSQL holds it back.
    held_back: Option<Position>,
    looked_at: Option<Instant>,
    /// The last rows read, each of another tenant, the very last one at the end. They have to stay where they are.
    last_read: Vec<(Position, TenantId)>,
}

impl Outlook {
    fn read(&mut self, batch: &BTreeMap<TenantId, Vec<Record>>) {
        self.last_read.retain(|(_, tenant)| !batch.contains_key(tenant));
        let last = |(tenant, rows): (&TenantId, &Vec<Record>)| Some((rows.last()?.position, *tenant));
        self.last_read.extend(batch.iter().filter_map(last));
        self.last_read.sort_unstable();
        self.last_read.drain(..self.last_read.len().saturating_sub(REMEMBERED));
    }

    #[cfg(test)]
    pub(super) fn look_again(&mut self) {
        self.looked_at = None;
    }
}

impl Index {
    /// Feeds the index until `stop` is cancelled. Errors are logged and tried again.
    pub async fn follow(self, stop: CancellationToken) {
        let feed = &self.shared.feed;
        let mut commits = self.shared.store.commits();
        let mut outlook = Outlook::default();
        let mut started = false;
        let poll = if self.shared.alone { ALONE } else { self.shared.settings.poll };
        loop {
            // Before the log is read: it has what they wrote.
            let committed = *commits.borrow_and_update();
            let step = async {
                if !started {
                    feed.position.send_replace(self.shared.store.revision().await?);
                    started = true;
                }
                self.catch_up(&mut outlook).await?;
                feed.commits.send_replace(committed);
                self.is_up_to_date(&mut outlook).await
            };
            let outcome = tokio::select! {
                () = stop.cancelled() => break,
                outcome = step => outcome,
            };
            let pause = match outcome {
                Ok(true) => {
                    feed.up_to_date();
                    poll
                }
                Ok(false) => {
                    feed.tell_when_lost(
                        "a transaction that stays open holds back the readers of the change log",
                    );
                    poll
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
    pub(super) async fn catch_up(&self, outlook: &mut Outlook) -> Result<()> {
        let feed = &self.shared.feed;
        loop {
            let position = *feed.position.borrow();
            let read = self.shared.store.changes_after(position, BATCH);
            let read = tokio::time::timeout(LONGEST_READ, read).await;
            let read = read.unwrap_or_else(|_| Err(Error::unavailable("the database does not answer")));
            let Some(records) = read? else {
                tracing::warn!(
                    "the change log was cut off before the membership index read it: it is loaded anew"
                );
                self.begin_anew(outlook).await?;
                continue;
            };
            let Some(last) = records.last().map(|record| record.position) else { return Ok(()) };
            let full = records.len() as u64 == BATCH;
            let mut by_tenant: BTreeMap<TenantId, Vec<Record>> = BTreeMap::new();
            for record in records {
                by_tenant.entry(record.tenant).or_default().push(record);
            }
            outlook.read(&by_tenant);
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
    pub(super) async fn distribute(&self, tenant: TenantId, records: Vec<Record>) -> Result<()> {
        let Some(slot) = read(&self.shared.tenants).get(&tenant).cloned() else { return Ok(()) };
        {
            // A load that is at its end leaves a graph behind.
            let _gate = slot.gate.lock().await;
            match &mut *write(&slot.state) {
                State::Loading(waiting) => {
                    waiting.extend(records);
                    return Ok(());
                }
                State::Refused(_) | State::Gone => return Ok(()),
                State::Ready(_) => {}
            }
        }
        apply::to_slot(self, &slot, records).await
    }

    /// Whether the end that was read is near the log's real end.
    pub(super) async fn is_up_to_date(&self, outlook: &mut Outlook) -> Result<bool> {
        if self.shared.alone {
            return Ok(true);
        }
        let position = *self.shared.feed.position.borrow();
        if outlook.held_back.is_some_and(|until| until <= position) {
            outlook.held_back = None;
        }
        if outlook.looked_at.is_some_and(|at| at.elapsed() < LOOK_AROUND) {
            return Ok(outlook.held_back.is_none());
        }
        outlook.looked_at = Some(Instant::now());
        if self.has_lost_rows(outlook).await? {
            tracing::warn!(
                "the change log has lost rows that the membership index had read: it is loaded anew"
            );
            self.begin_anew(outlook).await?;
            return Ok(true);
        }
        if outlook.held_back.is_none() {
            let newest = self.shared.store.newest_change().await?;
            outlook.held_back = Some(newest).filter(|newest| *newest > position);
        }
        Ok(outlook.held_back.is_none())
    }

    /// Whether the last row that was read is gone, and nobody removed it: the database is another one than it was. With a tenant
    /// its rows are removed, and with time those of all; then the row before tells.
    async fn has_lost_rows(&self, outlook: &mut Outlook) -> Result<bool> {
        let store = &self.shared.store;
        while let Some((last, tenant)) = outlook.last_read.last().copied() {
            if store.has_change(last).await? {
                return Ok(false);
            }
            if !store.has_removed(last, tenant).await? {
                return Ok(true);
            }
            outlook.last_read.pop();
        }
        Ok(false)
    }

    /// After a gap in the feed nothing that is in memory can be trusted.
    async fn begin_anew(&self, outlook: &mut Outlook) -> Result<()> {
        let feed = &self.shared.feed;
        // Nothing is answered from here or loaded before it is fed again.
        feed.up_to_date_at.store(0, Ordering::Relaxed);
        self.drop_all();
        *outlook = Outlook::default();
        feed.position.send_replace(self.shared.store.revision().await?);
        // Nor what was asked for at the very moment.
        self.drop_all();
        Ok(())
    }
}
