//! From a hash to the ordinals that have it: open addressing, five bytes a slot, the keys rest elsewhere.
//!
//! A slot has a byte of the hash beside it, so that a probe reads neighbouring bytes and seldom a key that is another one.
//! That lets it be nine tenths full, where a table that doubles is between half and nearly full.

use super::set::BLOCK;

const EMPTY: u8 = 0;
const REMOVED: u8 = 1;
/// Slots in use, of ten, before it grows.
const FULL: usize = 9;

/// A multimap from 64-bit hashes to ordinals.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    tags: Vec<u8>,
    slots: Vec<u32>,
    len: usize,
    /// Slots that are not empty.
    used: usize,
}

impl Lookup {
    /// With room for `count`, without growing.
    pub(super) fn with_room(count: usize) -> Self {
        let slots = count * 10 / FULL + 2;
        Self { tags: vec![EMPTY; slots], slots: vec![0; slots], len: 0, used: 0 }
    }

    /// The ordinals under `hash` for which `is_it` holds.
    pub(super) fn find<'a>(
        &'a self,
        hash: u64,
        is_it: impl Fn(u32) -> bool + 'a,
    ) -> impl Iterator<Item = u32> + 'a {
        let places = self.places(hash).filter(move |at| is_it(self.slots[*at]));
        places.map(|at| self.slots[at])
    }

    /// `hash_of` tells the hash of any ordinal that is in, as it was given.
    pub(super) fn insert(&mut self, hash: u64, ordinal: u32, hash_of: impl Fn(u32) -> u64) {
        if (self.used + 1) * 10 > self.slots.len() * FULL {
            let mut larger = Self::with_room(self.len + self.len / 4 + 8);
            for at in 0..self.slots.len() {
                if self.tags[at] > REMOVED {
                    larger.put(hash_of(self.slots[at]), self.slots[at]);
                }
            }
            *self = larger;
        }
        self.put(hash, ordinal);
    }

    pub(super) fn remove(&mut self, hash: u64, ordinal: u32) {
        let found = self.places(hash).find(|at| self.slots[*at] == ordinal);
        if let Some(at) = found {
            self.tags[at] = REMOVED;
            self.len -= 1;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * (size_of::<u32>() + size_of::<u8>()) + 2 * BLOCK
    }

    fn put(&mut self, hash: u64, ordinal: u32) {
        let mut at = self.home(hash);
        while self.tags[at] > REMOVED {
            at = self.after(at);
        }
        self.used += usize::from(self.tags[at] == EMPTY);
        self.tags[at] = tag(hash);
        self.slots[at] = ordinal;
        self.len += 1;
    }

    /// The slots that may hold `hash`. There is always an empty one to end at.
    fn places(&self, hash: u64) -> impl Iterator<Item = usize> + '_ {
        let mut next = (!self.tags.is_empty()).then(|| self.home(hash));
        let tag = tag(hash);
        std::iter::from_fn(move || {
            let mut at = next?;
            loop {
                let found = self.tags[at];
                if found == EMPTY {
                    next = None;
                    return None;
                }
                let here = at;
                at = self.after(at);
                if found == tag {
                    next = Some(at);
                    return Some(here);
                }
            }
        })
    }

    /// Where the search begins: the hash as a fraction of the table.
    fn home(&self, hash: u64) -> usize {
        let scaled = (u128::from(hash) * self.slots.len() as u128) >> 64;
        usize::try_from(scaled).expect("less than the length, which is a usize")
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }
}

/// From other bits than the place: those are the highest.
fn tag(hash: u64) -> u8 {
    let low = hash.to_le_bytes()[0];
    if low <= REMOVED { low + 2 } else { low }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn it_is_a_multimap_through_growth_and_removal() {
        let mut lookup = Lookup::default();
        let mut model: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
        // Few different hashes, so that several ordinals share one, and all of them crowd at one place.
        let hash_of = |ordinal: u32| u64::from(ordinal % 300) << 3;
        let mut next = 1_u32;
        for round in 0..30_000_u32 {
            next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let ordinal = (next >> 18) % 3_000;
            let hash = hash_of(ordinal);
            let there = model.entry(hash).or_default();
            if (round / 10_000) % 2 == 0 && there.insert(ordinal) {
                lookup.insert(hash, ordinal, hash_of);
            } else if (round / 10_000) % 2 == 1 {
                there.remove(&ordinal);
                lookup.remove(hash, ordinal);
            }
            let found: BTreeSet<u32> =
                lookup.find(hash, |_| true).filter(|at| hash_of(*at) == hash).collect();
            assert_eq!(found, *there);
        }
        assert_eq!(lookup.len, model.values().map(BTreeSet::len).sum::<usize>());
    }

    #[test]
    fn an_empty_one_holds_nothing() {
        assert_eq!(Lookup::default().find(7, |_| true).count(), 0);
        assert_eq!(Lookup::with_room(0).find(7, |_| true).count(), 0);
    }
}
