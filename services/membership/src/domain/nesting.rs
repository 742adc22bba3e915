//! Nested groups: what lies above a member.

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

/// A group above a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The member that was asked about.
    pub member: Uuid,
    /// The group.
    pub group: Uuid,
    /// Whether it is a member of the group itself, and not only through nested ones.
    pub direct: bool,
}

/// The groups above each member: by member, direct ones first, then by id. Cycles do no harm.
///
/// `direct` holds (member, group) of those asked about, `nested` (group, group it is in) of all groups above them.
pub fn above(direct: Vec<(Uuid, Uuid)>, nested: Vec<(Uuid, Uuid)>) -> Vec<Placed> {
    let mut containers: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for (group, container) in nested {
        containers.entry(group).or_default().push(container);
    }
    let mut starts: HashMap<Uuid, BTreeSet<Uuid>> = HashMap::new();
    for (member, group) in direct {
        starts.entry(member).or_default().insert(group);
    }
    let mut members: Vec<_> = starts.into_iter().collect();
    members.sort_unstable();
    let mut placed = Vec::new();
    for (member, direct) in members {
        let mut seen: HashSet<Uuid> = direct.iter().copied().collect();
        let mut waiting: Vec<Uuid> = direct.iter().copied().collect();
        let mut indirect = BTreeSet::new();
        while let Some(group) = waiting.pop() {
            for container in containers.get(&group).into_iter().flatten() {
                if seen.insert(*container) {
                    indirect.insert(*container);
                    waiting.push(*container);
                }
            }
        }
        placed.extend(direct.into_iter().map(|group| Placed { member, group, direct: true }));
        placed.extend(indirect.into_iter().map(|group| Placed { member, group, direct: false }));
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids<const N: usize>(pairs: [(u128, u128); N]) -> Vec<(Uuid, Uuid)> {
        pairs.into_iter().map(|(a, b)| (Uuid::from_u128(a), Uuid::from_u128(b))).collect()
    }

    fn shown(placed: Vec<Placed>) -> Vec<(u128, u128, bool)> {
        placed.into_iter().map(|p| (p.member.as_u128(), p.group.as_u128(), p.direct)).collect()
    }

    #[test]
    fn direct_ones_come_first_and_a_group_is_there_once() {
        let placed = above(ids([(1, 30), (1, 20), (2, 40)]), ids([(20, 10), (30, 10), (30, 20), (10, 5)]));
        assert_eq!(
            shown(placed),
            [(1, 20, true), (1, 30, true), (1, 5, false), (1, 10, false), (2, 40, true)]
        );
    }

    #[test]
    fn cycles_end() {
        let placed = above(ids([(1, 10)]), ids([(10, 20), (20, 30), (30, 10), (10, 10)]));
        assert_eq!(shown(placed), [(1, 10, true), (1, 20, false), (1, 30, false)]);
    }
}
