//! A set of ordinals: a sorted list while it is small, a roaring bitmap when it is large.

use roaring::RoaringBitmap;

/// From here on a bitmap is smaller than a list, however thinly it is spread, and moving a list's tail begins to show.
const LARGE: usize = 1024;
/// Back to a list only well below, so that a set at the border does not change its form each time.
const SMALL: usize = 512;
/// What the allocator takes for itself per block, about.
pub(super) const BLOCK: usize = 16;

/// An ordinal in three bytes; compared as the number it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Packed([u8; 3]);

/// Ordinals are below this.
pub(super) const MOST_ORDINALS: usize = 1 << 24;

impl From<u32> for Packed {
    fn from(ordinal: u32) -> Self {
        let [zero, bytes @ ..] = ordinal.to_be_bytes();
        debug_assert_eq!(zero, 0, "whoever numbers things sees to it");
        Self(bytes)
    }
}

impl From<Packed> for u32 {
    fn from(packed: Packed) -> Self {
        let [a, b, c] = packed.0;
        u32::from_be_bytes([0, a, b, c])
    }
}

/// A set of ordinals, iterated in their order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Set {
    Small(Vec<Packed>),
    Large(RoaringBitmap),
}

impl Default for Set {
    fn default() -> Self {
        Self::Small(Vec::new())
    }
}

impl Set {
    /// From ordinals in ascending order, each once.
    pub(super) fn from_sorted(ordinals: &[u32]) -> Self {
        if ordinals.len() < LARGE {
            return Self::Small(ordinals.iter().copied().map(Packed::from).collect());
        }
        let mut bitmap = RoaringBitmap::new();
        bitmap.extend(ordinals.iter().copied());
        Self::Large(bitmap)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Small(list) => list.len(),
            Self::Large(bitmap) => usize::try_from(bitmap.len()).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn contains(&self, ordinal: u32) -> bool {
        match self {
            Self::Small(list) => list.binary_search(&ordinal.into()).is_ok(),
            Self::Large(bitmap) => bitmap.contains(ordinal),
        }
    }

    /// Whether it was not in before.
    pub(super) fn insert(&mut self, ordinal: u32) -> bool {
        let list = match self {
            Self::Large(bitmap) => return bitmap.insert(ordinal),
            Self::Small(list) => list,
        };
        let Err(at) = list.binary_search(&ordinal.into()) else { return false };
        if list.len() == list.capacity() {
            // Doubling would leave a third of the memory of all lists unused.
            list.reserve_exact(list.len() / 8 + 1);
        }
        list.insert(at, ordinal.into());
        if list.len() >= LARGE {
            *self = Self::Large(self.iter().collect());
        }
        true
    }

    /// Whether it was in.
    pub(super) fn remove(&mut self, ordinal: u32) -> bool {
        match self {
            Self::Small(list) => match list.binary_search(&ordinal.into()) {
                Ok(at) => {
                    list.remove(at);
                    if list.len() * 2 < list.capacity() {
                        list.shrink_to(list.len() + list.len() / 8);
                    }
                    true
                }
                Err(_) => false,
            },
            Self::Large(bitmap) => {
                let removed = bitmap.remove(ordinal);
                if removed && bitmap.len() < SMALL as u64 {
                    *self = Self::Small(bitmap.iter().map(Packed::from).collect());
                }
                removed
            }
        }
    }

    /// In ascending order.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Self::Small(list) => Box::new(list.iter().copied().map(u32::from)),
            Self::Large(bitmap) => Box::new(bitmap.iter()),
        }
    }

    /// Whether it holds one of these.
    pub(super) fn contains_any(&self, sorted: &[Packed]) -> bool {
        let list = match self {
            Self::Large(bitmap) => return sorted.iter().any(|ordinal| bitmap.contains((*ordinal).into())),
            Self::Small(list) => list,
        };
        let (Some(first), Some(last)) = (list.first(), list.last()) else { return false };
        let sorted = &sorted[sorted.partition_point(|ordinal| ordinal < first)..];
        let sorted = &sorted[..sorted.partition_point(|ordinal| ordinal <= last)];
        // Whoever is fewer is looked up among the others.
        let (few, many) =
            if list.len() < sorted.len() { (list.as_slice(), sorted) } else { (sorted, list.as_slice()) };
        few.iter().any(|ordinal| many.binary_search(ordinal).is_ok())
    }

    pub(super) fn add_to(&self, bitmap: &mut RoaringBitmap) {
        match self {
            Self::Small(list) => bitmap.extend(list.iter().copied().map(u32::from)),
            Self::Large(own) => *bitmap |= own,
        }
    }

    pub(super) fn take_from(&self, bitmap: &mut RoaringBitmap) {
        match self {
            Self::Small(list) => list.iter().for_each(|ordinal| {
                bitmap.remove((*ordinal).into());
            }),
            Self::Large(own) => *bitmap -= own,
        }
    }

    /// A set that is large while it is built, in its smallest form.
    pub(super) fn from_bitmap(bitmap: RoaringBitmap) -> Self {
        match bitmap.len() < LARGE as u64 {
            true => Self::Small(bitmap.iter().map(Packed::from).collect()),
            false => Self::Large(bitmap),
        }
    }

    /// Bytes on the heap. Of a bitmap's containers only the content is known; what they keep in reserve is assumed.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Small(list) if list.capacity() == 0 => 0,
            Self::Small(list) => list.capacity() * size_of::<Packed>() + BLOCK,
            Self::Large(bitmap) => {
                /// A container's key and its store.
                const CONTAINER: usize = 40;
                let found = bitmap.statistics();
                let lists = found.n_bytes_array_containers + found.n_bytes_run_containers;
                let content = lists + lists / 4 + found.n_bytes_bitset_containers;
                let containers = usize::try_from(found.n_containers).unwrap_or(usize::MAX);
                usize::try_from(content).unwrap_or(usize::MAX)
                    + containers * (CONTAINER + BLOCK) * 5 / 4
                    + BLOCK
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn it_is_the_same_set_in_both_forms() {
        let mut set = Set::default();
        let mut model = BTreeSet::new();
        let mut next = 1_u32;
        // Grows beyond LARGE and shrinks below SMALL, twice.
        for round in 0..20_000_u32 {
            next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let ordinal = next >> 20;
            if (round / 5_000) % 2 == 0 {
                assert_eq!(set.insert(ordinal), model.insert(ordinal));
            } else {
                assert_eq!(set.remove(ordinal), model.remove(&ordinal));
                if let Some(first) = model.first().copied() {
                    assert!(set.remove(first) && model.remove(&first));
                }
            }
            assert_eq!(set.len(), model.len());
            assert_eq!(set.contains(ordinal), model.contains(&ordinal));
        }
        assert!(set.iter().eq(model.iter().copied()));
        let all: Vec<u32> = model.iter().copied().collect();
        assert_eq!(Set::from_sorted(&all), set);
    }

    #[test]
    fn any_of_several_is_found_whoever_is_fewer() {
        for count in [1_u32, 5, 2000] {
            let set = Set::from_sorted(&(0..count).map(|n| n * 2).collect::<Vec<_>>());
            let any = |sorted: &[u32]| {
                let packed: Vec<Packed> = sorted.iter().copied().map(Packed::from).collect();
                set.contains_any(&packed)
            };
            assert!(any(&[1, (count - 1) * 2]));
            assert!(any(&(0..100).collect::<Vec<_>>()));
            assert!(!any(&[1, 3, 5, count * 2]));
            assert!(!any(&[]));
        }
    }
}
