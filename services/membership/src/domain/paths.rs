//! Why a user is a member of a group: the chains of direct memberships between them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use uuid::Uuid;

/// Steps of one search. A graph of nested groups has more chains than anybody reads.
const BUDGET: usize = 200_000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Each as indices of its edges, from the user up to the group; shortest first.
    pub paths: Vec<Vec<usize>>,
    /// There are more, or the search ended at its budget.
    pub truncated: bool,
}

/// A place on a chain: the edge that led there, and the place before.
struct Place {
    edge: usize,
    before: Option<usize>,
}

/// The chains from `user` to `group` over `edges` of (member, group it is in), at most `most`; none visits a group twice, so
/// cycles do no harm.
pub fn paths(user: Uuid, group: Uuid, edges: &[(Uuid, Uuid)], most: usize) -> Paths {
    let distances = distances(group, edges);
    let mut containers: HashMap<Uuid, Vec<usize>> = HashMap::new();
    for (index, (member, container)) in edges.iter().enumerate() {
        if distances.contains_key(container) {
            containers.entry(*member).or_default().push(index);
        }
    }
    for outgoing in containers.values_mut() {
        outgoing.sort_unstable_by_key(|index| edges[*index].1);
    }

    let mut found = Paths::default();
    let mut places: Vec<Place> = Vec::new();
    // By the length that a chain will have at least, then in the order in which they were found: the shortest come out first,
    // and the search does not spread where no short one is.
    let mut waiting = BinaryHeap::from([Reverse((0, 0, None))]);
    let mut steps = 0;
    while let Some(Reverse((_, _, at))) = waiting.pop() {
        let node = at.map_or(user, |place: usize| edges[places[place].edge].1);
        let chain = chain(&places, at);
        if node == group {
            if found.paths.len() == most {
                found.truncated = true;
                return found;
            }
            found.paths.push(chain);
            continue;
        }
        let behind: HashSet<Uuid> = chain.iter().map(|edge| edges[*edge].1).collect();
        steps += behind.len();
        for edge in containers.get(&node).into_iter().flatten() {
            steps += 1;
            if steps > BUDGET {
                found.truncated = true;
                return found;
            }
            let container = edges[*edge].1;
            if container != user && !behind.contains(&container) {
                let rest = distances.get(&container).copied().unwrap_or_default();
                places.push(Place { edge: *edge, before: at });
                waiting.push(Reverse((chain.len() + 1 + rest, places.len(), Some(places.len() - 1))));
            }
        }
    }
    found
}

/// The groups from which `group` can be reached, itself included, and over how many edges at least.
fn distances(group: Uuid, edges: &[(Uuid, Uuid)]) -> HashMap<Uuid, usize> {
    let mut members: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for (member, container) in edges {
        members.entry(*container).or_default().push(*member);
    }
    let mut distances = HashMap::from([(group, 0)]);
    let mut waiting = VecDeque::from([(group, 0)]);
    while let Some((container, distance)) = waiting.pop_front() {
        for member in members.get(&container).into_iter().flatten() {
            if !distances.contains_key(member) {
                distances.insert(*member, distance + 1);
                waiting.push_back((*member, distance + 1));
            }
        }
    }
    distances
}

fn chain(places: &[Place], end: Option<usize>) -> Vec<usize> {
    let mut edges = Vec::new();
    let mut at = end;
    while let Some(place) = at {
        edges.push(places[place].edge);
        at = places[place].before;
    }
    edges.reverse();
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(pairs: &[(u128, u128)]) -> Vec<(Uuid, Uuid)> {
        pairs.iter().map(|(a, b)| (Uuid::from_u128(*a), Uuid::from_u128(*b))).collect()
    }

    fn shown(edges: &[(Uuid, Uuid)], most: usize) -> (Vec<Vec<u128>>, bool) {
        let Paths { paths, truncated } = paths(Uuid::from_u128(1), Uuid::from_u128(9), edges, most);
        let groups = |path: Vec<usize>| path.into_iter().map(|edge| edges[edge].1.as_u128()).collect();
        (paths.into_iter().map(groups).collect(), truncated)
    }

    #[test]
    fn every_chain_once_and_the_shortest_first() {
        let edges = graph(&[(1, 9), (1, 2), (2, 9), (1, 3), (3, 2), (3, 9), (1, 4), (4, 5)]);
        let all = vec![vec![9], vec![2, 9], vec![3, 9], vec![3, 2, 9]];
        assert_eq!(shown(&edges, 10), (all.clone(), false));
        assert_eq!(shown(&edges, 4), (all.clone(), false));
        assert_eq!(shown(&edges, 3), (all[..3].to_vec(), true));
        assert_eq!(shown(&graph(&[(1, 2), (3, 9)]), 10), (vec![], false));
    }

    #[test]
    fn cycles_end() {
        let edges = graph(&[(1, 2), (2, 3), (3, 2), (3, 3), (3, 9), (9, 2), (9, 9)]);
        assert_eq!(shown(&edges, 10), (vec![vec![2, 3, 9]], false));
    }

    #[test]
    fn a_mesh_is_cut_off() {
        let mut edges = vec![(1, 10)];
        for a in 10..40 {
            edges.extend((10..40).filter(|b| *b != a).map(|b| (a, b)));
        }
        edges.push((39, 8));
        edges.push((8, 9));
        let (found, truncated) = shown(&graph(&edges), 100);
        assert!(truncated);
        assert_eq!(found[0], [10, 39, 8, 9]);
        assert!(found.is_sorted_by_key(Vec::len));
        assert_eq!(found.len(), 100);
    }
}
