//! Makes a tenant's graph from its rows, a page at a time, while the tenant changes.
//!
//! No snapshot is held over it: from the moment the tenant is registered the feed keeps its rows of the log, and what a page
//! showed too early or too late they put right. The graph is answered from only after it has caught up with whatever could be
//! seen when the last page was read; then it is what the tables are (the argument: docs/adr/0008-membership-index.md).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use platform::Error;
use uuid::Uuid;

use super::apply::{self, Changes};
use super::feed::MOST_WAITING;
use super::graph::{Builder, Graph};
use super::{Index, Refusal, Slot, State, read, write};

/// The feed has so long to come to where the tables were at the end of the load.
const REACH: Duration = Duration::from_secs(10);
/// When no more rows than this are left, the feed waits until they are applied: no more than it reads at once.
pub(super) const HANDED_OVER: usize = 1000;

/// Loads the tenant that the slot was registered for.
pub(super) async fn load(index: &Index, slot: &Arc<Slot>) -> Result<(), Refusal> {
    let shared = &index.shared;
    let _turn = shared.loading.clone().acquire_owned().await.map_err(Error::internal)?;
    let graph = build(index, slot).await?;
    let seen = shared.store.newest_change_of(slot.tenant).await?;
    if !shared.feed.reaches(seen, REACH).await {
        return Err(Refusal::NotFed);
    }
    hand_over(index, slot, graph).await
}

/// Applies what the feed kept, and lets the graph be asked; unless the tenant was dropped meanwhile.
///
/// A tenant that writes all the time never leaves nothing to apply. So when little is left, the feed is held at the slot's gate
/// for the rest: it gets there with its next rows of this tenant and finds the graph ready for them. A tenant of which it does
/// not become little is given up, or its load would keep others from theirs for ever.
pub(super) async fn hand_over(index: &Index, slot: &Arc<Slot>, mut graph: Box<Graph>) -> Result<(), Refusal> {
    let deadline = Instant::now() + index.shared.settings.catch_up;
    while waiting(slot) > HANDED_OVER {
        if Instant::now() >= deadline {
            return Err(Refusal::Busy);
        }
        let Some(ahead) = catch_up(index, slot, graph, deadline).await? else { return Ok(()) };
        graph = ahead;
    }
    let _gate = slot.gate.lock().await;
    // As long as the feed would take it upon itself.
    let last = catch_up(index, slot, graph, Instant::now() + apply::PATIENCE);
    let last = tokio::time::timeout(apply::PATIENCE, last).await;
    let last = last.unwrap_or_else(|_| Err(Error::unavailable("the database does not answer").into()));
    let Some(graph) = last? else { return Ok(()) };
    slot.bytes.store(graph.bytes(), Ordering::Relaxed);
    index.make_room(slot)?;
    let mut state = write(&slot.state);
    if let State::Loading(_) = *state {
        slot.ready_at.store(index.shared.now().max(1), Ordering::Relaxed);
        *state = State::Ready(graph);
    }
    Ok(())
}

/// Rows kept for the load.
fn waiting(slot: &Slot) -> usize {
    match &*read(&slot.state) {
        State::Loading(waiting) => waiting.len(),
        _ => 0,
    }
}

/// Applies what the feed has kept by now; nothing comes of it when the tenant was dropped.
async fn catch_up(
    index: &Index,
    slot: &Arc<Slot>,
    mut graph: Box<Graph>,
    deadline: Instant,
) -> Result<Option<Box<Graph>>, Refusal> {
    let waiting = match &mut *write(&slot.state) {
        State::Loading(waiting) => std::mem::take(waiting),
        _ => return Ok(None),
    };
    if waiting.is_empty() {
        return Ok(Some(graph));
    }
    let known = |id: Uuid| graph.has_user(id) || graph.has_group(id);
    let changes = Changes::read(&index.shared.store, slot.tenant, waiting, known).await?;
    if changes.end_the_tenant() {
        // Some of what the pages showed may be from before, and no row follows that would take it back.
        index.drop_slot(slot);
        return Ok(None);
    }
    let applied = tokio::task::spawn_blocking(move || {
        changes.apply_all(&mut graph, deadline)?;
        if graph.is_too_large() { Err(Refusal::NoRoom) } else { Ok(graph) }
    });
    Ok(Some(applied.await.map_err(Error::internal)??))
}

async fn build(index: &Index, slot: &Arc<Slot>) -> Result<Box<Graph>, Refusal> {
    let (store, tenant) = (&index.shared.store, slot.tenant);
    let (users, groups) = store.index_counts(tenant).await?;
    // Reserved beforehand is what a million users need; nobody's word is taken for more.
    let mut builder = Builder::new(users.min(1 << 24), groups.min(1 << 24), index.shared.settings.budget);

    let mut after = Uuid::nil();
    loop {
        let (users, next) = store.index_users_page(tenant, after).await?;
        users.iter().try_for_each(|user| builder.user(user))?;
        goes_on(index, slot, builder.bytes())?;
        let Some(next) = next else { break };
        after = next;
    }
    let mut after = Uuid::nil();
    loop {
        let (groups, next) = store.index_groups_page(tenant, after).await?;
        groups.iter().try_for_each(|group| builder.group(group))?;
        goes_on(index, slot, builder.bytes())?;
        let Some(next) = next else { break };
        after = next;
    }
    let mut after = (Uuid::nil(), Uuid::nil());
    loop {
        let (members, next) = store.index_members_page(tenant, after).await?;
        members.iter().try_for_each(|(group, member)| builder.member(*group, *member))?;
        goes_on(index, slot, builder.bytes())?;
        let Some(next) = next else { break };
        after = next;
    }
    let graph = tokio::task::spawn_blocking(move || builder.finish()).await.map_err(Error::internal)??;
    Ok(Box::new(graph))
}

/// Whether there is still room for it, and still a reason to go on.
fn goes_on(index: &Index, slot: &Arc<Slot>, bytes: usize) -> Result<(), Refusal> {
    slot.bytes.store(bytes, Ordering::Relaxed);
    index.make_room(slot)?;
    match &*read(&slot.state) {
        State::Loading(waiting) if waiting.len() > MOST_WAITING => Err(Refusal::NotFed),
        State::Loading(_) => Ok(()),
        _ => Err(Refusal::NotFed),
    }
}
