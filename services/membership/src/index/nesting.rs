//! Groups in groups, and for each group the set of groups at or below it.
//!
//! An edge more or less changes that set only for the groups at or above its upper end. They are found by walking up; then an
//! edge that closes no cycle adds the same groups to each of them, and otherwise their sets are made anew, from the bottom up.
//! The groups of a cycle are at or below one another: they share one set.

use std::collections::HashMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::lists::push_tight;
use super::set::{BLOCK, Set};

/// The graph of groups, by ordinal.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    /// `None` for a group that is in no group and has none in it: most of them.
    links: Vec<Option<Box<Links>>>,
    /// Of all links and of each set once.
    bytes: usize,
}

#[derive(Debug, Default)]
struct Links {
    parents: Set,
    children: Set,
    /// The group and all below it; `None` while that is only the group itself.
    below: Option<Arc<Set>>,
}

/// What a change of the graph may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Numbers read to make new sets; a nanosecond or two each.
    pub(super) work: usize,
    /// Bytes of the whole.
    pub(super) bytes: usize,
}

/// More than the index may hold, or a graph of groups so dense that keeping its closure costs more than it is worth. The
/// index must be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl Nesting {
    /// One more group.
    pub(super) fn push(&mut self) {
        push_tight(&mut self.links, None);
    }

    /// The groups at or below `group`; `None` when it is only the group itself.
    pub(super) fn below(&self, group: u32) -> Option<&Set> {
        self.links[group as usize].as_ref()?.below.as_deref()
    }

    /// The groups that are in `group` itself.
    pub(super) fn children(&self, group: u32) -> Vec<u32> {
        self.links[group as usize].iter().flat_map(|links| links.children.iter()).collect()
    }

    /// `groups` and what lies above them.
    pub(super) fn above(&self, groups: impl IntoIterator<Item = u32>) -> RoaringBitmap {
        let mut found: RoaringBitmap = groups.into_iter().collect();
        let mut waiting: Vec<u32> = found.iter().collect();
        while let Some(group) = waiting.pop() {
            let Some(links) = &self.links[group as usize] else { continue };
            waiting.extend(links.parents.iter().filter(|parent| found.insert(*parent)));
        }
        found
    }

    /// Records an edge without a look at what lies below: [`Nesting::close`] follows. Whether it is new.
    pub(super) fn link(&mut self, parent: u32, child: u32) -> bool {
        self.edit(child, |links| links.parents.insert(parent));
        self.edit(parent, |links| links.children.insert(child))
    }

    /// Works out what lies below each group, after all edges were recorded.
    pub(super) fn close(&mut self, mut bounds: Bounds) -> Result<(), TooLarge> {
        let linked = (0..).zip(&self.links).filter(|(_, links)| links.is_some());
        let all = linked.map(|(group, _)| group).collect();
        self.make_anew(&all, &mut bounds)
    }

    /// Puts groups into a group.
    pub(super) fn add(&mut self, parent: u32, children: &[u32], mut bounds: Bounds) -> Result<(), TooLarge> {
        let mut gained = RoaringBitmap::new();
        for child in children {
            if self.link(parent, *child) {
                self.add_below(*child, &mut gained);
            }
        }
        let closes_cycle = gained.contains(parent);
        match self.below(parent) {
            Some(below) => below.take_from(&mut gained),
            None => {
                gained.remove(parent);
            }
        }
        if gained.is_empty() {
            return Ok(());
        }
        let affected = self.above([parent]);
        if closes_cycle {
            return self.make_anew(&affected, &mut bounds);
        }
        // Groups that share a set go on sharing one.
        let mut grown: HashMap<*const Set, Arc<Set>> = HashMap::new();
        for group in affected {
            let before = self.links[group as usize].as_ref().and_then(|links| links.below.as_ref());
            let before = before.map(Arc::as_ptr);
            let after = match before.and_then(|shared| grown.get(&shared)) {
                Some(after) => after.clone(),
                None => {
                    let mut all = gained.clone();
                    self.add_below(group, &mut all);
                    self.new_set(all, &mut bounds)?
                }
            };
            if let Some(shared) = before {
                grown.insert(shared, after.clone());
            }
            self.set_below(group, Some(after));
        }
        Ok(())
    }

    /// Takes groups out of a group.
    pub(super) fn remove(
        &mut self,
        parent: u32,
        children: &[u32],
        mut bounds: Bounds,
    ) -> Result<(), TooLarge> {
        let mut any = false;
        for child in children {
            any |= self.unlink(parent, *child);
        }
        if !any {
            return Ok(());
        }
        let affected = self.above([parent]);
        self.make_anew(&affected, &mut bounds)
    }

    /// Takes a group out of the graph.
    pub(super) fn remove_group(&mut self, group: u32, mut bounds: Bounds) -> Result<(), TooLarge> {
        let Some(links) = &self.links[group as usize] else { return Ok(()) };
        let parents: Vec<u32> = links.parents.iter().collect();
        let children: Vec<u32> = links.children.iter().collect();
        for child in children {
            self.unlink(group, child);
        }
        for parent in &parents {
            self.unlink(*parent, group);
        }
        let mut affected = self.above(parents);
        affected.insert(group);
        self.make_anew(&affected, &mut bounds)
    }

    pub(super) fn bytes(&self) -> usize {
        self.links.capacity() * size_of::<Option<Box<Links>>>() + BLOCK + self.bytes
    }

    fn unlink(&mut self, parent: u32, child: u32) -> bool {
        let there = |links: &Links| links.children.contains(child);
        if !self.links[parent as usize].as_deref().is_some_and(there) {
            return false;
        }
        self.edit(child, |links| links.parents.remove(parent));
        self.edit(parent, |links| links.children.remove(child))
    }

    /// Changes the links of a group, and keeps count of their bytes.
    fn edit<T>(&mut self, group: u32, change: impl FnOnce(&mut Links) -> T) -> T {
        let place = &mut self.links[group as usize];
        let before = place.as_ref().map_or(0, |links| links.bytes());
        let links = place.get_or_insert_default();
        let changed = change(links);
        let after = links.bytes();
        self.bytes = self.bytes + after - before;
        changed
    }

    fn add_below(&self, group: u32, all: &mut RoaringBitmap) {
        match self.below(group) {
            Some(below) => below.add_to(all),
            None => {
                all.insert(group);
            }
        }
    }

    fn new_set(&mut self, all: RoaringBitmap, bounds: &mut Bounds) -> Result<Arc<Set>, TooLarge> {
        let set = Set::from_bitmap(all);
        bounds.spend(set.bytes())?;
        self.bytes += set.bytes() + SHARED;
        if self.bytes > bounds.bytes {
            return Err(TooLarge);
        }
        Ok(Arc::new(set))
    }

    fn set_below(&mut self, group: u32, below: Option<Arc<Set>>) {
        let Some(links) = &mut self.links[group as usize] else { return };
        if let Some(before) = std::mem::replace(&mut links.below, below)
            && let Ok(last) = Arc::try_unwrap(before)
        {
            self.bytes -= last.bytes() + SHARED;
        }
    }

    /// Makes the sets of `affected` anew: those of everything else are right, and none of it lies above an affected group.
    /// By Tarjan's algorithm for strongly connected components, which finds what lies below first.
    fn make_anew(&mut self, affected: &RoaringBitmap, bounds: &mut Bounds) -> Result<(), TooLarge> {
        let mut seen: HashMap<u32, Seen> = HashMap::new();
        let mut open: Vec<u32> = Vec::new();
        for start in affected {
            if seen.contains_key(&start) {
                continue;
            }
            let mut path = vec![self.enter(start, affected, &mut seen, &mut open)];
            while let Some(step) = path.last_mut() {
                let group = step.group;
                if let Some(child) = step.children.next() {
                    match seen.get(&child).copied() {
                        None => path.push(self.enter(child, affected, &mut seen, &mut open)),
                        Some(found) if found.open => lower(&mut seen, group, found.number),
                        Some(_) => {}
                    }
                    continue;
                }
                path.pop();
                let Seen { number, lowest, .. } = seen[&group];
                if let Some(step) = path.last() {
                    lower(&mut seen, step.group, lowest);
                }
                if number == lowest {
                    let from = open.iter().rposition(|other| *other == group).unwrap_or_default();
                    let together = open.split_off(from);
                    for member in &together {
                        seen.entry(*member).and_modify(|seen| seen.open = false);
                    }
                    self.join(&together, bounds)?;
                }
            }
        }
        Ok(())
    }

    fn enter(
        &self,
        group: u32,
        affected: &RoaringBitmap,
        seen: &mut HashMap<u32, Seen>,
        open: &mut Vec<u32>,
    ) -> Step {
        let number = seen.len();
        seen.insert(group, Seen { number, lowest: number, open: true });
        open.push(group);
        let links = self.links[group as usize].as_ref();
        let children = links.into_iter().flat_map(|links| links.children.iter());
        let children: Vec<u32> = children.filter(|child| affected.contains(*child)).collect();
        Step { group, children: children.into_iter() }
    }

    /// Gives groups that are below one another their set; those of their other children are right.
    fn join(&mut self, together: &[u32], bounds: &mut Bounds) -> Result<(), TooLarge> {
        let cycle: RoaringBitmap = together.iter().copied().collect();
        let mut all = cycle.clone();
        for group in together {
            let Some(links) = &self.links[*group as usize] else { continue };
            for child in links.children.iter() {
                match self.below(child) {
                    // Within a cycle there is nothing to learn, and what is there may be out of date.
                    _ if cycle.contains(child) => {}
                    Some(below) => {
                        bounds.spend(below.bytes() / size_of::<u32>())?;
                        below.add_to(&mut all);
                    }
                    None => {
                        bounds.spend(1)?;
                        all.insert(child);
                    }
                }
            }
        }
        let below = match all.len() {
            0 | 1 => None,
            _ => Some(self.new_set(all, bounds)?),
        };
        for group in together {
            self.set_below(*group, below.clone());
        }
        Ok(())
    }
}

/// A group on the way of the algorithm.
#[derive(Clone, Copy)]
struct Seen {
    number: usize,
    /// The smallest number that can be reached.
    lowest: usize,
    /// Its component is not complete.
    open: bool,
}

struct Step {
    group: u32,
    /// Those left to look at.
    children: std::vec::IntoIter<u32>,
}

fn lower(seen: &mut HashMap<u32, Seen>, group: u32, number: usize) {
    seen.entry(group).and_modify(|seen| seen.lowest = seen.lowest.min(number));
}

/// Beside a set that is shared: the counts, the set itself, the block.
const SHARED: usize = 2 * size_of::<usize>() + size_of::<Set>() + BLOCK;

impl Links {
    /// Without the set below, which others may share.
    fn bytes(&self) -> usize {
        size_of::<Self>() + BLOCK + self.parents.bytes() + self.children.bytes()
    }
}

impl Bounds {
    fn spend(&mut self, work: usize) -> Result<(), TooLarge> {
        self.work = self.work.checked_sub(work).ok_or(TooLarge)?;
        Ok(())
    }
}

#[cfg(test)]
impl Nesting {
    /// What [`Nesting::bytes`] keeps count of, counted anew.
    pub(super) fn counted_bytes(&self) -> usize {
        let mut shared: HashMap<*const Set, usize> = HashMap::new();
        let mut own = 0;
        for links in self.links.iter().flatten() {
            own += links.bytes();
            if let Some(below) = &links.below {
                shared.insert(Arc::as_ptr(below), below.bytes() + SHARED);
            }
        }
        self.links.capacity() * size_of::<Option<Box<Links>>>() + BLOCK + own + shared.values().sum::<usize>()
    }
}
