//! Who has which id and which name: from 16-byte ids and from hashes of names to ordinals.
//!
//! Names themselves are not kept: 79 bits of a hash under a key that is new in each process. That a question for a name that
//! nobody has meets one of a million is as likely as 1 in 10^17, and nobody can search for such a name without the key.

use std::hash::{BuildHasher, RandomState};

use uuid::Uuid;

use super::lists::push_tight;
use super::lookup::Lookup;
use super::set::{BLOCK, MOST_ORDINALS};

/// Hashes under a secret of this process.
#[derive(Clone, Debug, Default)]
pub(super) struct Hasher {
    first: RandomState,
    second: RandomState,
}

/// What is kept of a name; zero for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 10]);

impl Fingerprint {
    const NONE: Self = Self([0; 10]);

    fn hash(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Hasher {
    fn id(&self, id: Uuid) -> u64 {
        self.first.hash_one(id.as_u128())
    }

    /// Of a name as it is compared: a folded userName, an externalId as it came.
    pub(super) fn name(&self, name: &str) -> Fingerprint {
        let [a, b, c, d, e, f, g, h] = self.first.hash_one(name).to_le_bytes();
        let [i, j, ..] = self.second.hash_one(name).to_le_bytes();
        // Never that of "none".
        Fingerprint([a, b, c, d, e, f, g, h, i, j | 1])
    }
}

/// Ids of one kind of thing, numbered in the order in which they came. A number is given once: what is gone leaves a gap.
#[derive(Debug, Default)]
pub(super) struct Ids {
    by_ordinal: Vec<Uuid>,
    lookup: Lookup,
    /// So many from the first on are in the order of their ids.
    ordered: usize,
    gone: usize,
}

impl Ids {
    /// With room for `count`.
    pub(super) fn with_room(count: usize) -> Self {
        Self { by_ordinal: Vec::with_capacity(count), lookup: Lookup::with_room(count), ordered: 0, gone: 0 }
    }

    pub(super) fn find(&self, hasher: &Hasher, id: Uuid) -> Option<u32> {
        self.lookup.find(hasher.id(id), |ordinal| self.by_ordinal[ordinal as usize] == id).next()
    }

    /// Whether there is an ordinal left.
    pub(super) fn has_room(&self) -> bool {
        self.by_ordinal.len() < MOST_ORDINALS
    }

    /// The next ordinal, for an id that is not in. There must be room for it.
    pub(super) fn push(&mut self, hasher: &Hasher, id: Uuid) -> u32 {
        let ordinal = u32::try_from(self.by_ordinal.len()).expect("has_room() was asked: it is below 2^24");
        if self.ordered == self.by_ordinal.len() && self.by_ordinal.last().is_none_or(|last| *last < id) {
            self.ordered += 1;
        }
        push_tight(&mut self.by_ordinal, id);
        let by_ordinal = &self.by_ordinal;
        self.lookup.insert(hasher.id(id), ordinal, |other| hasher.id(by_ordinal[other as usize]));
        ordinal
    }

    pub(super) fn remove(&mut self, hasher: &Hasher, ordinal: u32) {
        self.lookup.remove(hasher.id(self.id(ordinal)), ordinal);
        self.gone += 1;
    }

    pub(super) fn id(&self, ordinal: u32) -> Uuid {
        self.by_ordinal[ordinal as usize]
    }

    /// The first of those numbered in the order of their ids that comes after `id`, and the first that is not numbered so.
    pub(super) fn after(&self, id: Uuid) -> (u32, u32) {
        let start = self.by_ordinal[..self.ordered].partition_point(|other| *other <= id);
        let ordinal = |place| u32::try_from(place).expect("ordinals are below 2^24");
        (ordinal(start), ordinal(self.ordered))
    }

    /// Those that are in.
    pub(super) fn len(&self) -> usize {
        self.by_ordinal.len() - self.gone
    }

    /// Ordinals that stand for nothing any more.
    pub(super) fn gone(&self) -> usize {
        self.gone
    }

    pub(super) fn bytes(&self) -> usize {
        self.by_ordinal.capacity() * size_of::<Uuid>() + BLOCK + self.lookup.bytes()
    }
}

/// One kind of name of the things in an [`Ids`]. Several may have the same.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_ordinal: Vec<Fingerprint>,
    lookup: Lookup,
}

/// Who has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Nobody,
    One(u32),
    Several,
}

impl Names {
    /// With room for `count`.
    pub(super) fn with_room(count: usize) -> Self {
        Self { by_ordinal: Vec::with_capacity(count), lookup: Lookup::with_room(count) }
    }

    pub(super) fn find(&self, name: Fingerprint) -> Named {
        let mut found = self.lookup.find(name.hash(), |ordinal| self.by_ordinal[ordinal as usize] == name);
        match (found.next(), found.next()) {
            (None, _) => Named::Nobody,
            (Some(ordinal), None) => Named::One(ordinal),
            (Some(_), Some(_)) => Named::Several,
        }
    }

    /// Of a new ordinal; all of them in order.
    pub(super) fn push(&mut self) {
        push_tight(&mut self.by_ordinal, Fingerprint::NONE);
    }

    pub(super) fn set(&mut self, ordinal: u32, name: Option<Fingerprint>) {
        let name = name.unwrap_or(Fingerprint::NONE);
        let before = std::mem::replace(&mut self.by_ordinal[ordinal as usize], name);
        if before == name {
            return;
        }
        if before != Fingerprint::NONE {
            self.lookup.remove(before.hash(), ordinal);
        }
        if name != Fingerprint::NONE {
            let by_ordinal = &self.by_ordinal;
            self.lookup.insert(name.hash(), ordinal, |other| by_ordinal[other as usize].hash());
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.by_ordinal.capacity() * size_of::<Fingerprint>() + BLOCK + self.lookup.bytes()
    }
}
