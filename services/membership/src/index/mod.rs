//! Who is a member of what, in memory: in the manner of Zanzibar's Leopard (docs/adr/0008-membership-index.md).
//!
//! | file | what is in it |
//! |---|---|
//! | `graph.rs` | one tenant, and the questions asked of it; made of `names`, `lookup`, `lists`, `set`, `nesting` |
//! | `load.rs` | makes a tenant's graph from its rows, when somebody asks about it |
//! | `apply.rs` | what a row of the change log does to a graph |
//! | `feed.rs` | follows the change log, and knows when it does not |
//! | this one | which tenants are in memory, and how much of it they may take |
//!
//! The index answers only while it is fed: without that, and for tenants that are not loaded (yet), [`Index::ask`] answers
//! nothing and the caller asks the database.

mod apply;
mod feed;
mod graph;
mod lists;
mod load;
mod lookup;
mod names;
mod nesting;
mod set;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};
use std::time::{Duration, Instant};

use platform::db::changelog::{Position, Record};
use platform::ids::TenantId;
use platform::metrics::metrics;
use tokio::sync::{Semaphore, watch};

use crate::store::Store;
use feed::Feed;

pub use crate::domain::refs::{Depth, GroupRef, UserRef};
pub use graph::{Builder, Found, Graph, Group, User};
pub use nesting::TooLarge;

/// What the index may take, and when it may be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes for all tenants together. The coldest ones make room for others; a tenant that does not fit is answered for from the
    /// database.
    pub budget: usize,
    /// Tenants in memory, those without any user or group included. Of these room is made first.
    pub tenants: usize,
    /// Tenants that are loaded at once.
    pub loads: usize,
    /// How long a load may take to catch up with what was written meanwhile.
    pub catch_up: Duration,
    /// A tenant that was asked about within this time does not make room for another.
    pub residence: Duration,
    /// A tenant that could not be loaded is not tried again before; the second time after twice as long, and so on.
    pub retry: Duration,
    /// How often the change log is looked at for what other processes wrote.
    pub poll: Duration,
    /// The feed is lost when it is behind for longer.
    pub lost_after: Duration,
    /// How long a question waits for the index to become as fresh as it asks for, before it goes to the database.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            budget: 1 << 30,
            tenants: 50_000,
            loads: 2,
            catch_up: Duration::from_secs(15),
            residence: Duration::from_secs(10),
            retry: Duration::from_secs(60),
            poll: Duration::from_millis(25),
            lost_after: Duration::from_secs(2),
            patience: Duration::from_millis(20),
        }
    }
}

/// Loads under way and waiting for their turn. Whoever asks about yet another tenant begins its load with a later question.
const MOST_LOADS: usize = 64;
/// Of the tenants that may be in memory, the share that makes room at once when there are too many: looking for the coldest
/// takes a walk through all of them.
const MAKE_ROOM_BY: usize = 16;
/// A tenant refused again and again is tried after twice as long so many times.
const MOST_DOUBLINGS: u32 = 4;

/// The tenants in memory. Clones share them.
#[derive(Clone)]
pub struct Index {
    shared: Arc<Shared>,
}

struct Shared {
    store: Store,
    settings: Settings,
    tenants: RwLock<HashMap<TenantId, Arc<Slot>>>,
    feed: Feed,
    /// A turn to load, for those that have a place.
    loading: Arc<Semaphore>,
    /// A place among the loads.
    places: Arc<Semaphore>,
    began: Instant,
    /// Counts the commits of this process.
    commits: watch::Receiver<u64>,
    /// Whether there are no others.
    alone: bool,
    counts: Counts,
}

/// One tenant.
struct Slot {
    tenant: TenantId,
    state: RwLock<State>,
    bytes: AtomicUsize,
    /// Held by the feed while it looks where rows of the tenant belong, and by a load while it applies the last of those that
    /// were kept for it: in between none come.
    gate: tokio::sync::Mutex<()>,
    /// Milliseconds since the index began.
    used_at: AtomicU64,
    /// As `used_at`, when it could be asked first; 0 for not yet.
    ready_at: AtomicU64,
    /// How often it was refused one time after the other.
    strikes: AtomicU32,
}

enum State {
    /// What the log says meanwhile.
    Loading(Vec<Record>),
    Ready(Box<Graph>),
    /// Not before this time again.
    Refused(Instant),
    /// Dropped; another slot has its place, or none.
    Gone,
}

/// How an index is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether the change log is followed. Otherwise every answer comes from the database.
    pub is_fed: bool,
    /// Since when it is not known to be at the log's end, milliseconds.
    pub lag_ms: u64,
    /// Tenants in memory.
    pub tenants: u64,
    /// Bytes that they take, those being loaded included.
    pub bytes: u64,
    /// Tenants loaded since the start.
    pub loads: u64,
    /// Loads given up, and tenants that outgrew the budget.
    pub refusals: u64,
    /// Tenants that made room for others.
    pub evictions: u64,
    /// Answers from memory.
    pub from_index: u64,
    /// Answers from the database.
    pub from_database: u64,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Memory.
    Index,
    /// The tables.
    Database,
}

/// For the metrics.
#[derive(Default)]
struct Counts {
    from_index: AtomicU64,
    from_database: AtomicU64,
    loads: AtomicU64,
    refusals: AtomicU64,
    evictions: AtomicU64,
}

/// Why a tenant is not in memory.
#[derive(Debug)]
enum Refusal {
    /// It is too large, or the others need the room.
    NoRoom,
    /// The database did not give it.
    Failed(platform::Error),
    /// The feed did not get to where the tables are, or left too much to catch up with.
    NotFed,
    /// Its changes take longer to follow than there is time: other tenants wait for their load, or for the feed.
    Busy,
}

impl From<TooLarge> for Refusal {
    fn from(_: TooLarge) -> Self {
        Self::NoRoom
    }
}

impl From<platform::Error> for Refusal {
    fn from(error: platform::Error) -> Self {
        Self::Failed(error)
    }
}

impl Index {
    /// An index of what is in this store; empty. It answers as long as [`Index::follow`] runs.
    pub fn new(store: Store, settings: Settings) -> Self {
        let shared = Shared {
            loading: Arc::new(Semaphore::new(settings.loads.max(1))),
            places: Arc::new(Semaphore::new(MOST_LOADS.max(settings.loads))),
            feed: Feed::new(settings.lost_after),
            commits: store.commits(),
            alone: store.is_alone(),
            store,
            settings,
            tenants: RwLock::default(),
            began: Instant::now(),
            counts: Counts::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Puts a question to a tenant's graph. With the answer comes the revision that it includes, at least. `None` when the
    /// database must be asked: the feed is lost, or the tenant is not in memory.
    pub fn ask<T>(&self, tenant: TenantId, question: impl FnOnce(&Graph) -> T) -> Option<(T, Position)> {
        // Before the graph is looked at: it may get ahead, never behind.
        let revision = self.shared.feed.position()?;
        let slot = self.slot(tenant)?;
        let state = slot.state_now()?;
        let State::Ready(graph) = &*state else { return None };
        slot.used_at.store(self.shared.now(), Ordering::Relaxed);
        Some((question(graph), revision))
    }

    /// Whether the tenant is in memory, and answers come from there.
    pub fn holds(&self, tenant: TenantId) -> bool {
        self.shared.feed.position().is_some() && self.slot(tenant).is_some_and(|slot| slot.is_ready())
    }

    /// Begins to load the tenant, unless that is under way, was refused lately, or there is no feed.
    pub fn want(&self, tenant: TenantId) {
        if self.shared.feed.position().is_some() && self.slot(tenant).is_none_or(|slot| slot.is_vacant()) {
            self.begin_loading(tenant);
        }
    }

    /// Whether everything up to and including `revision` is in the graphs, after a short wait if need be.
    pub async fn reaches(&self, revision: Position) -> bool {
        self.shared.feed.reaches(revision, self.shared.settings.patience).await
    }

    /// Whether the graphs have everything that was committed before the call, after a short wait if need be. That can be known on
    /// SQLite, where every commit is one of this process.
    pub async fn has_every_commit(&self) -> bool {
        let shared = &self.shared;
        let committed = *shared.commits.borrow();
        shared.alone && shared.feed.reaches_commit(committed, shared.settings.patience).await
    }

    /// Whether nobody else writes.
    pub fn is_alone(&self) -> bool {
        self.shared.alone
    }

    /// Counts an answer.
    pub fn answered(&self, from: Source) {
        let count = match from {
            Source::Index => &self.shared.counts.from_index,
            Source::Database => &self.shared.counts.from_database,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// How it is doing.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let mut status = Status {
            is_fed: shared.feed.position().is_some(),
            lag_ms: shared.feed.lag_ms(),
            loads: shared.counts.loads.load(Ordering::Relaxed),
            refusals: shared.counts.refusals.load(Ordering::Relaxed),
            evictions: shared.counts.evictions.load(Ordering::Relaxed),
            from_index: shared.counts.from_index.load(Ordering::Relaxed),
            from_database: shared.counts.from_database.load(Ordering::Relaxed),
            ..Status::default()
        };
        for slot in read(&shared.tenants).values() {
            status.tenants += u64::from(slot.is_ready());
            status.bytes += u64::try_from(slot.bytes.load(Ordering::Relaxed)).unwrap_or(u64::MAX);
        }
        status
    }

    /// Publishes its [`Status`] as metrics. Once for a process.
    pub fn observe(&self) {
        let gauge = |name, description, read: fn(&Status) -> u64| {
            let index = self.clone();
            metrics().observe(name, description, &[], move || read(&index.status()));
        };
        gauge(
            "rollcall.membership.index.fed",
            "Whether the change log is followed (1) or the feed is lost (0).",
            |status| u64::from(status.is_fed),
        );
        let index = self.clone();
        metrics().observe_seconds(
            "rollcall.membership.index.lag",
            "Since when the index is not known to be at the change log's end; infinite until it was.",
            &[],
            move || match index.status().lag_ms {
                u64::MAX => f64::INFINITY,
                lag => Duration::from_millis(lag).as_secs_f64(),
            },
        );
        gauge("rollcall.membership.index.tenants", "Tenants in memory.", |status| status.tenants);
        gauge("rollcall.membership.index.bytes", "Bytes that they take.", |status| status.bytes);
        let total = |name, description, labels: &[(&'static str, String)], read: fn(&Status) -> u64| {
            let index = self.clone();
            metrics().observe_total(name, description, labels, move || read(&index.status()));
        };
        total("rollcall.membership.index.loads", "Tenants loaded.", &[], |status| status.loads);
        total("rollcall.membership.index.refusals", "Loads given up: no room, or no feed.", &[], |status| {
            status.refusals
        });
        total("rollcall.membership.index.evictions", "Tenants that made room for others.", &[], |status| {
            status.evictions
        });
        let description = "Answers about memberships, by where they came from.";
        let name = "rollcall.membership.answers";
        total(name, description, &[("source", "index".to_owned())], |status| status.from_index);
        total(name, description, &[("source", "database".to_owned())], |status| status.from_database);
    }

    fn slot(&self, tenant: TenantId) -> Option<Arc<Slot>> {
        read(&self.shared.tenants).get(&tenant).cloned()
    }

    /// Registers the tenant with the feed, then reads its rows: in that order, so that nothing is missed in between.
    fn begin_loading(&self, tenant: TenantId) {
        let shared = &self.shared;
        let Ok(place) = shared.places.clone().try_acquire_owned() else { return };
        let (slot, displaced) = {
            let mut tenants = write(&shared.tenants);
            let before = tenants.get(&tenant);
            if before.is_some_and(|slot| !slot.is_vacant()) {
                return;
            }
            let strikes = before.map_or(0, |slot| slot.strikes());
            let Some(displaced) = self.displaced_by_one_more(&tenants) else { return };
            for coldest in &displaced {
                tenants.remove(&coldest.tenant);
            }
            let slot = Arc::new(Slot::new(tenant, State::Loading(Vec::new()), shared.now(), strikes));
            tenants.insert(tenant, slot.clone());
            (slot, displaced)
        };
        let index = self.clone();
        tokio::spawn(async move {
            let _place = place;
            for coldest in displaced {
                index.shared.counts.evictions.fetch_add(1, Ordering::Relaxed);
                coldest.become_(State::Gone);
            }
            match load::load(&index, &slot).await {
                Ok(()) => {
                    index.shared.counts.loads.fetch_add(1, Ordering::Relaxed);
                }
                Err(refusal) => index.refuse(&slot, refusal),
            }
        });
    }

    /// Which tenants go out of memory so that no more than it may hold are in it with the next one: any with nothing in them, else
    /// those that were not asked about for longest. `None` when none may go.
    fn displaced_by_one_more(&self, tenants: &HashMap<TenantId, Arc<Slot>>) -> Option<Vec<Arc<Slot>>> {
        let most = self.shared.settings.tenants.max(1);
        if tenants.len() < most {
            return Some(Vec::new());
        }
        let latest = self.shared.coldest_use();
        let (mut empty, mut cold) = (Vec::new(), Vec::new());
        for slot in tenants.values() {
            let used_at = slot.used_at.load(Ordering::Relaxed);
            match slot.state_now().as_deref() {
                Some(State::Ready(graph)) if graph.is_empty() => empty.push((used_at, slot)),
                Some(State::Ready(_) | State::Refused(_) | State::Gone) if used_at <= latest => {
                    cold.push((used_at, slot));
                }
                _ => {}
            }
        }
        let mut displaced = if empty.is_empty() { cold } else { empty };
        displaced.sort_unstable_by_key(|(used_at, _)| *used_at);
        displaced.truncate(most.div_ceil(MAKE_ROOM_BY));
        (!displaced.is_empty()).then(|| displaced.into_iter().map(|(_, slot)| slot.clone()).collect())
    }

    /// Answers for this tenant come from the database for a while; for twice as long as the last time, if it was not in memory for
    /// as long in between.
    fn refuse(&self, slot: &Slot, refusal: Refusal) {
        self.shared.counts.refusals.fetch_add(1, Ordering::Relaxed);
        let tenant = slot.tenant;
        match refusal {
            Refusal::NoRoom => tracing::warn!(
                %tenant, "tenant {tenant} does not fit into the membership index: its questions go to the database"
            ),
            Refusal::NotFed => tracing::warn!(
                %tenant, "tenant {tenant} is not in the membership index: the change log is too far behind, or too busy"
            ),
            Refusal::Busy => tracing::warn!(
                %tenant, "tenant {tenant} changes faster than the membership index can follow, its groups in groups above all: its \
                 questions go to the database"
            ),
            Refusal::Failed(error) => tracing::warn!(
                %tenant, %error, cause = ?error.cause, "tenant {tenant} could not be loaded into the membership index: {error}"
            ),
        }
        let delay = slot.strike(self.shared.settings.retry, self.shared.now());
        slot.become_(State::Refused(Instant::now() + delay));
    }

    /// Sees to it that all tenants together are within the budget, `slot` among them: others that were not asked about for long
    /// make room.
    fn make_room(&self, slot: &Slot) -> Result<(), Refusal> {
        let shared = &self.shared;
        loop {
            let bytes = |slot: &Arc<Slot>| slot.bytes.load(Ordering::Relaxed);
            if read(&shared.tenants).values().map(bytes).sum::<usize>() <= shared.settings.budget {
                return Ok(());
            }
            let slots: Vec<Arc<Slot>> = read(&shared.tenants).values().cloned().collect();
            let latest = shared.coldest_use();
            let coldest = slots
                .into_iter()
                .filter(|other| other.tenant != slot.tenant && other.is_ready())
                .filter(|other| other.used_at.load(Ordering::Relaxed) <= latest)
                .min_by_key(|other| other.used_at.load(Ordering::Relaxed));
            let Some(coldest) = coldest else { return Err(Refusal::NoRoom) };
            shared.counts.evictions.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(tenant = %coldest.tenant, "tenant {} makes room in the membership index", coldest.tenant);
            self.drop_slot(&coldest);
        }
    }

    /// The next question about the tenant loads it anew.
    fn drop_slot(&self, slot: &Arc<Slot>) {
        let mut tenants = write(&self.shared.tenants);
        if tenants.get(&slot.tenant).is_some_and(|there| Arc::ptr_eq(there, slot)) {
            tenants.remove(&slot.tenant);
        }
        drop(tenants);
        slot.become_(State::Gone);
    }

    /// Every tenant is loaded anew.
    fn drop_all(&self) {
        let all: Vec<Arc<Slot>> = write(&self.shared.tenants).drain().map(|(_, slot)| slot).collect();
        for slot in all {
            slot.become_(State::Gone);
        }
    }
}

impl Shared {
    /// Milliseconds since the index began.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Who was asked about later than that does not make room.
    fn coldest_use(&self) -> u64 {
        let residence = u64::try_from(self.settings.residence.as_millis()).unwrap_or(u64::MAX);
        self.now().saturating_sub(residence)
    }
}

impl Slot {
    fn new(tenant: TenantId, state: State, now: u64, strikes: u32) -> Self {
        Self {
            tenant,
            state: RwLock::new(state),
            bytes: AtomicUsize::new(0),
            gate: tokio::sync::Mutex::default(),
            used_at: AtomicU64::new(now),
            ready_at: AtomicU64::new(0),
            strikes: AtomicU32::new(strikes),
        }
    }

    fn strikes(&self) -> u32 {
        self.strikes.load(Ordering::Relaxed)
    }

    /// Counts a refusal; how long the tenant is not tried again.
    fn strike(&self, retry: Duration, now: u64) -> Duration {
        let delay = |strikes: u32| retry.saturating_mul(1 << strikes.min(MOST_DOUBLINGS));
        let held_out = match self.ready_at.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            ready_at => Duration::from_millis(now.saturating_sub(ready_at)),
        };
        let strikes = if held_out > delay(self.strikes()) { 0 } else { self.strikes() };
        self.strikes.store(strikes.saturating_add(1), Ordering::Relaxed);
        delay(strikes)
    }

    /// Its state; `None` while a change is being made, which may take a while. Nobody who answers waits for that: it would
    /// take a thread of the runtime away from all tenants, and the database has the answer too.
    fn state_now(&self) -> Option<RwLockReadGuard<'_, State>> {
        match self.state.try_read() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Whether it may be asked at this moment.
    fn is_ready(&self) -> bool {
        self.state_now().is_some_and(|state| matches!(&*state, State::Ready(_)))
    }

    /// Whether another may take its place.
    fn is_vacant(&self) -> bool {
        self.state_now().is_some_and(|state| match &*state {
            State::Loading(_) | State::Ready(_) => false,
            State::Refused(until) => *until <= Instant::now(),
            State::Gone => true,
        })
    }

    /// Leaves its state for another that holds no graph.
    fn become_(&self, state: State) {
        let before = std::mem::replace(&mut *write(&self.state), state);
        self.bytes.store(0, Ordering::Relaxed);
        // A large graph takes its time to go; not while somebody waits for the lock.
        drop(before);
    }
}

/// A panic of another thread leaves a graph that may be wrong in one place, and answers nobody: they are read only after what
/// panics is over, and nothing in here does on purpose.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
