//! What rows of the change log do to a graph.
//!
//! Rows about members say all there is to know. Those about a user or a group say that it changed: it is read from the database
//! as it is now, which is that state or a later one. So rows may be applied twice, or to a graph that is ahead of them: once all are
//! applied that were written by then, it is what the tables were.
//!
//! Whoever arrives brings the memberships that waited for it, and whoever was deleted in between has those of its new life: they
//! are read from the database too.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use platform::db::changelog::Record;
use platform::ids::TenantId;
use platform::{Error, Result};
use uuid::Uuid;

use super::graph::{Graph, Group, User};
use super::nesting::TooLarge;
use super::{Index, Refusal, Slot, State, read, write};
use crate::store::Store;
use crate::store::log::Change;

/// Ids applied between two moments in which questions are answered: some milliseconds.
const AT_ONCE: usize = 4096;

/// What the rows of one tenant say, and what was read from the database for it.
pub(super) struct Changes {
    /// Of which user or group, in order.
    changes: Vec<(Uuid, Change)>,
    /// The users named that exist.
    users: HashMap<Uuid, User>,
    /// The groups named that exist.
    groups: HashMap<Uuid, Group>,
    /// The groups that those are in who arrive.
    containers: HashMap<Uuid, Vec<Uuid>>,
}

/// All tenants have one feed: the rows of one that were read together may take so long, and then it is out of the index for a
/// while.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// A change takes effect in steps, so that questions are answered in between.
enum Step {
    Done,
    /// The same change is to be applied once more.
    Again,
}

/// Applies rows to the graph of a tenant that is loaded.
pub(super) async fn to_slot(index: &Index, slot: &Arc<Slot>, records: Vec<Record>) -> Result<()> {
    let known = |id: Uuid| match &*read(&slot.state) {
        State::Ready(graph) => graph.has_user(id) || graph.has_group(id),
        _ => false,
    };
    let changes = Changes::read(&index.shared.store, slot.tenant, records, known).await?;
    let target = slot.clone();
    let applied = tokio::task::spawn_blocking(move || apply(&target, &changes)).await;
    match applied {
        Ok(Ok(Keep::Graph)) => {
            if let Err(refusal) = index.make_room(slot) {
                index.refuse(slot, refusal);
            }
        }
        Ok(Ok(Keep::Nothing)) => index.drop_slot(slot),
        Ok(Ok(Keep::NothingForNow)) => index.refuse(slot, Refusal::Busy),
        Ok(Err(TooLarge)) => index.refuse(slot, Refusal::NoRoom),
        // A bug. It must cost this tenant its place, not the others their feed.
        Err(panicked) => index.refuse(slot, Refusal::Failed(Error::internal(panicked))),
    }
    Ok(())
}

/// What is left after changes.
enum Keep {
    Graph,
    /// The tenant is gone, or it is better loaded anew.
    Nothing,
    /// It takes too long.
    NothingForNow,
}

fn apply(slot: &Slot, changes: &Changes) -> Result<Keep, TooLarge> {
    let mut place = 0;
    let began = Instant::now();
    loop {
        if began.elapsed() > PATIENCE {
            return Ok(Keep::NothingForNow);
        }
        let mut state = write(&slot.state);
        let State::Ready(graph) = &mut *state else { return Ok(Keep::Graph) };
        let Some(next) = changes.apply_some(graph, place)? else {
            slot.bytes.store(graph.bytes(), Ordering::Relaxed);
            let purged = changes.end_the_tenant();
            if graph.is_too_large() {
                return Err(TooLarge);
            }
            return Ok(if purged || graph.is_wasteful() { Keep::Nothing } else { Keep::Graph });
        };
        place = next;
    }
}

impl Changes {
    /// Understands rows, and reads what they do not say. `known` tells whom the graph knows already.
    pub(super) async fn read(
        store: &Store,
        tenant: TenantId,
        records: Vec<Record>,
        known: impl Fn(Uuid) -> bool,
    ) -> Result<Self> {
        let (mut users, mut groups, mut arriving) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut changes = Vec::with_capacity(records.len());
        for record in &records {
            // What a newer version writes and this one does not know is passed over.
            let Some(change) = Change::of(record) else { continue };
            let id = record.resource;
            match change {
                Change::UserProjected { deleted, .. } => {
                    users.insert(id);
                    if deleted || !known(id) {
                        arriving.insert(id);
                    }
                }
                Change::GroupCreated | Change::GroupUpdated => {
                    groups.insert(id);
                    if !known(id) {
                        arriving.insert(id);
                    }
                }
                _ => {}
            }
            changes.push((id, change));
        }
        let users = store.index_users(tenant, users.into_iter().collect()).await?;
        let groups = store.index_groups(tenant, groups.into_iter().collect()).await?;
        // After those: whoever exists by now has its memberships read later than that.
        let mut containers: HashMap<Uuid, Vec<Uuid>> = arriving.iter().map(|id| (*id, Vec::new())).collect();
        for (member, group) in store.index_containers(tenant, arriving.into_iter().collect()).await? {
            containers.entry(member).or_default().push(group);
        }
        Ok(Self {
            changes,
            users: users.into_iter().map(|user| (user.id, user)).collect(),
            groups: groups.into_iter().map(|group| (group.id, group)).collect(),
            containers,
        })
    }

    /// Whether nothing is left of the tenant.
    pub(super) fn end_the_tenant(&self) -> bool {
        self.changes.iter().any(|(_, change)| *change == Change::TenantPurged)
    }

    /// Applies all of them to a graph that nobody asks yet, if there is time for it.
    pub(super) fn apply_all(&self, graph: &mut Graph, deadline: Instant) -> Result<(), Refusal> {
        let mut place = 0;
        while let Some(next) = self.apply_some(graph, place)? {
            if Instant::now() >= deadline {
                return Err(Refusal::Busy);
            }
            place = next;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn of_members(changes: Vec<(Uuid, Change)>) -> Self {
        Self { changes, users: HashMap::new(), groups: HashMap::new(), containers: HashMap::new() }
    }

    /// Applies some from `place` on; where to go on, `None` at the end.
    pub(super) fn apply_some(&self, graph: &mut Graph, mut place: usize) -> Result<Option<usize>, TooLarge> {
        let mut ids = 0;
        while let Some((id, change)) = self.changes.get(place) {
            if ids >= AT_ONCE {
                return Ok(Some(place));
            }
            ids += match change {
                // What lies below the groups above changes, too: up to a tenth of a second each.
                Change::MembersAdded(ids) | Change::MembersRemoved(ids)
                    if ids.iter().any(|id| graph.has_group(*id)) =>
                {
                    AT_ONCE
                }
                Change::GroupCreated | Change::GroupUpdated
                    if self.containers.get(id).is_some_and(|parents| !parents.is_empty()) =>
                {
                    AT_ONCE
                }
                Change::MembersAdded(ids) | Change::MembersRemoved(ids) => ids.len(),
                Change::Emptied(_) | Change::GroupDeleted => AT_ONCE,
                _ => 1,
            };
            match self.apply_one(graph, *id, change)? {
                Step::Done => place += 1,
                Step::Again => return Ok(Some(place)),
            }
        }
        Ok(None)
    }

    fn apply_one(&self, graph: &mut Graph, id: Uuid, change: &Change) -> Result<Step, TooLarge> {
        match change {
            Change::GroupCreated | Change::GroupUpdated => {
                if let Some(group) = self.groups.get(&id) {
                    graph.put_group(group)?;
                    for parent in self.containers.get(&id).into_iter().flatten() {
                        graph.add_members(*parent, &[id])?;
                    }
                }
            }
            Change::GroupDeleted => {
                if graph.remove_some_users(id, AT_ONCE) {
                    return Ok(Step::Again);
                }
                graph.remove_group(id)?;
            }
            Change::MembersAdded(members) => graph.add_members(id, members)?,
            Change::MembersRemoved(members) => graph.remove_members(id, members)?,
            Change::Emptied(_) => {
                if graph.remove_some_users(id, AT_ONCE) {
                    return Ok(Step::Again);
                }
                graph.remove_nested(id)?;
            }
            Change::UserProjected { .. } => match self.users.get(&id) {
                Some(user) => {
                    graph.put_user(user)?;
                    if let Some(groups) = self.containers.get(&id) {
                        graph.set_groups_of(id, groups);
                    }
                }
                None => graph.remove_user(id),
            },
            Change::TenantPurged => {}
        }
        Ok(Step::Done)
    }
}
