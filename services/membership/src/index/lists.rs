//! Very many short sorted lists in one allocation: the groups of each user.
//!
//! A list has room up to the next of a few sizes; a list that outgrows its room moves to another, and what it left is given to
//! the next list that needs a room of this size.

use std::collections::HashMap;

use super::set::{BLOCK, Packed};

/// Where a list stands.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    len: u32,
}

/// Sorted lists of ordinals, by number.
#[derive(Debug, Default)]
pub(super) struct Lists {
    spans: Vec<Span>,
    items: Vec<Packed>,
    /// Starts of rooms that nobody is in, by their size.
    free: HashMap<u32, Vec<u32>>,
}

impl Lists {
    /// As many empty lists as there are lengths, each with room for that many, in one allocation of the right size. `None`
    /// when that is more than can be counted.
    pub(super) fn with_lengths(lengths: &[u32]) -> Option<Self> {
        let mut spans = Vec::with_capacity(lengths.len());
        let mut start = 0_u32;
        for len in lengths {
            spans.push(Span { start, len: 0 });
            start = start.checked_add(room(*len))?;
        }
        Some(Self {
            spans,
            items: vec![Packed::default(); usize::try_from(start).ok()?],
            free: HashMap::new(),
        })
    }

    /// Adds to the end of a list that [`Lists::with_lengths`] left room in. `item` is larger than those that are in.
    pub(super) fn append(&mut self, list: u32, item: u32) {
        let span = &mut self.spans[list as usize];
        self.items[(span.start + span.len) as usize] = item.into();
        span.len += 1;
    }

    /// One more list, empty.
    pub(super) fn push_list(&mut self) {
        push_tight(&mut self.spans, Span::default());
    }

    pub(super) fn get(&self, list: u32) -> &[Packed] {
        let Span { start, len } = self.spans[list as usize];
        &self.items[start as usize..][..len as usize]
    }

    /// Whether it was not in before.
    pub(super) fn insert(&mut self, list: u32, item: u32) -> bool {
        let Err(place) = self.get(list).binary_search(&item.into()) else { return false };
        let Span { start, len } = self.spans[list as usize];
        let new_room = room(len + 1);
        let start = if new_room == room(len) { start } else { self.moved(start, len, new_room) };
        let to = start as usize;
        self.items.copy_within(to + place..to + len as usize, to + place + 1);
        self.items[to + place] = item.into();
        self.spans[list as usize] = Span { start, len: len + 1 };
        true
    }

    /// Whether it was in.
    pub(super) fn remove(&mut self, list: u32, item: u32) -> bool {
        let Ok(place) = self.get(list).binary_search(&item.into()) else { return false };
        let Span { start, len } = self.spans[list as usize];
        let from = start as usize;
        self.items.copy_within(from + place + 1..from + len as usize, from + place);
        let new_room = room(len - 1);
        let start = if new_room == room(len) { start } else { self.moved(start, len, new_room) };
        self.spans[list as usize] = Span { start, len: len - 1 };
        true
    }

    pub(super) fn contains(&self, list: u32, item: u32) -> bool {
        self.get(list).binary_search(&item.into()).is_ok()
    }

    pub(super) fn iter(&self, list: u32) -> impl Iterator<Item = u32> + '_ {
        self.get(list).iter().copied().map(u32::from)
    }

    /// Empties a list; what was in it.
    pub(super) fn take(&mut self, list: u32) -> Vec<u32> {
        let items = self.iter(list).collect();
        let Span { start, len } = std::mem::take(&mut self.spans[list as usize]);
        self.leave(start, room(len));
        items
    }

    pub(super) fn bytes(&self) -> usize {
        let free: usize = self.free.values().map(|starts| starts.capacity() * size_of::<u32>() + BLOCK).sum();
        self.spans.capacity() * size_of::<Span>()
            + self.items.capacity() * size_of::<Packed>()
            + self.free.capacity() * (size_of::<(u32, Vec<u32>)>() + 1)
            + free
            + 2 * BLOCK
    }

    /// Moves what is in a list to a room of another size; what the new one has no room for is not kept.
    fn moved(&mut self, start: u32, len: u32, new_room: u32) -> u32 {
        let to = self.enter(new_room);
        let from = start as usize;
        self.items.copy_within(from..from + len.min(new_room) as usize, to as usize);
        self.leave(start, room(len));
        to
    }

    /// A room of that size.
    fn enter(&mut self, size: u32) -> u32 {
        if size == 0 {
            return 0;
        }
        if let Some(start) = self.free.get_mut(&size).and_then(Vec::pop) {
            return start;
        }
        let start = self.items.len();
        let more = size as usize;
        if self.items.capacity() - start < more {
            self.items.reserve_exact(more.max(start / 16));
        }
        self.items.resize(start + more, Packed::default());
        u32::try_from(start).expect("4 billion edges are beyond any memory budget: loading refuses them")
    }

    fn leave(&mut self, start: u32, size: u32) {
        if size > 0 {
            self.free.entry(size).or_default().push(start);
        }
    }
}

/// The room of a list: its length, rounded up by an eighth at most.
fn room(len: u32) -> u32 {
    let step = (len.next_power_of_two() / 8).max(1);
    len.next_multiple_of(step)
}

/// As `push`, but a vector that grows is not twice as large as it need be.
pub(super) fn push_tight<T>(all: &mut Vec<T>, item: T) {
    if all.len() == all.capacity() {
        all.reserve_exact(all.len() / 16 + 16);
    }
    all.push(item);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn lists_do_not_touch_one_another() {
        let mut lists = Lists::with_lengths(&[3, 0, 40]).unwrap();
        let mut model = vec![BTreeSet::new(); 8];
        for item in 0..3 {
            lists.append(0, item);
            model[0].insert(item);
        }
        for item in 0..40 {
            lists.append(2, item);
            model[2].insert(item);
        }
        (3..8).for_each(|_| lists.push_list());
        let mut next = 1_u32;
        for round in 0..40_000_u32 {
            next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (list, item) = ((next >> 28) % 8, (next >> 12) % 200);
            let own = &mut model[list as usize];
            match round % 3 + (round / 10_000) % 2 {
                0 | 1 => assert_eq!(lists.insert(list, item), own.insert(item)),
                2 => assert_eq!(lists.remove(list, item), own.remove(&item)),
                _ if round % 500 == 0 => {
                    assert!(lists.take(list).into_iter().eq(std::mem::take(own)));
                }
                _ => {}
            }
            for (list, model) in (0..).zip(&model) {
                assert!(lists.iter(list).eq(model.iter().copied()), "list {list} in round {round}");
            }
        }
        // Rooms are used again: all lists together never held more than 1,600 items.
        assert!(lists.items.len() < 10_000, "{}", lists.items.len());
    }
}
