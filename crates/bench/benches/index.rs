//! The membership index alone: `cargo bench -p bench --profile perf --bench index`. Figures: docs/performance.md.
//!
//! One tenant of 1,000,000 users, 100,000 groups and 10,000,000 direct memberships: group sizes as they are found (few large, many
//! small), every fifth group in a chain of twenty, the others in trees of two levels. No database: what is measured is building
//! the graph from rows, its memory, checks, and the application of changes.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for the person who started it")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use membership::index::{Builder, Depth, Found, Graph, Group, GroupRef, User, UserRef};
use platform::ids::{GroupId, UserId};
use uuid::Uuid;

const USERS: u32 = 1_000_000;
const GROUPS: u32 = 100_000;
const EDGES: usize = 10_000_000;
/// Groups of the chains: each holds the next.
const CHAINED: u32 = 20_000;
const DEPTH: u32 = 20;
const CHECKS: usize = 1_000_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u32) -> u32 {
        u32::try_from((u128::from(self.next()) * u128::from(bound)) >> 64).unwrap()
    }
}

/// In the order of their numbers, as UUIDv7 are in that of their times.
fn id(kind: u64, number: u32) -> Uuid {
    let random = Random(kind << 32 | u64::from(number)).next();
    Uuid::from_u64_pair(u64::from(number) << 20 | 0x7000 | kind, random | 1 << 63)
}

fn user_id(number: u32) -> Uuid {
    id(1, number)
}

fn group_id(number: u32) -> Uuid {
    id(2, number)
}

/// How many users are in each group: falling with its number, ten million in all.
fn sizes() -> Vec<usize> {
    let weight = |group: u32| 1.0 / (f64::from(group) + 20.0).powf(0.8);
    let all: f64 = (0..GROUPS).map(weight).sum();
    let scale = EDGES as f64 / all;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes are small and positive"
    )]
    let size = |group| (weight(group) * scale).round() as usize;
    (0..GROUPS).map(size).collect()
}

/// The groups that a group holds. Chains are made of the groups in the middle, of common size.
fn nested(group: u32) -> Vec<u32> {
    let first = GROUPS - CHAINED;
    if group >= first {
        return if (group - first) % DEPTH == DEPTH - 1 { Vec::new() } else { vec![group + 1] };
    }
    // Every tenth one holds the nine behind it.
    if group.is_multiple_of(10) { (group + 1..group + 10).collect() } else { Vec::new() }
}

fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn user(number: u32) -> User {
    let id = user_id(number);
    User {
        id,
        user_name_key: format!("{number}@contoso.example"),
        external_id: Some(format!("ext-{number}")),
        active: !number.is_multiple_of(50),
    }
}

fn built(sizes: &[usize]) -> (Graph, usize, Duration) {
    let mut builder = Builder::new(USERS as usize, GROUPS as usize, usize::MAX);
    let mut spent = Duration::ZERO;
    let mut edges = 0;
    let begun = Instant::now();
    for number in 0..USERS {
        builder.user(&user(number)).unwrap();
    }
    for number in 0..GROUPS {
        let (id, name) = (group_id(number), format!("group {number}"));
        builder.group(&Group { id, display_name_key: name, external_id: None }).unwrap();
    }
    spent += begun.elapsed();
    let mut random = Random(7);
    for (group, size) in (0..).zip(sizes) {
        let mut members: Vec<u32> = (0..*size).map(|_| random.below(USERS)).collect();
        members.sort_unstable();
        members.dedup();
        edges += members.len();
        let members: Vec<Uuid> = members.into_iter().map(user_id).collect();
        let nested: Vec<Uuid> = nested(group).into_iter().map(group_id).collect();
        let group = group_id(group);
        let begun = Instant::now();
        for member in members.iter().chain(&nested) {
            builder.member(group, *member).unwrap();
        }
        spent += begun.elapsed();
    }
    let begun = Instant::now();
    let graph = builder.finish().unwrap();
    (graph, edges, spent + begun.elapsed())
}

fn each(took: Duration, count: usize) -> String {
    format!("{:>8.0} ns", took.as_secs_f64() * 1e9 / count as f64)
}

/// Checks of random users against the chains' groups, `above` levels over the group at their lower end.
fn checks(graph: &Graph, above: u32) -> (Duration, usize) {
    let mut random = Random(11);
    let mut questions = Vec::with_capacity(CHECKS);
    for _ in 0..CHECKS {
        let chain = random.below(CHAINED / DEPTH);
        let group = GROUPS - CHAINED + chain * DEPTH + DEPTH - 1 - above;
        let user = UserRef::Id(UserId::from_uuid(user_id(random.below(USERS))));
        questions.push((user, GroupRef::Id(GroupId::from_uuid(group_id(group)))));
    }
    let begun = Instant::now();
    let mut members = 0;
    for (user, group) in &questions {
        let (Found::One(user), Found::One(group)) = (graph.find_user(user), graph.find_group(group)) else {
            panic!("they exist")
        };
        members += usize::from(graph.is_active(user) && graph.is_member(user, group, Depth::Transitive));
    }
    (begun.elapsed(), members)
}

fn by_name(graph: &Graph) -> Duration {
    let mut random = Random(13);
    let names: Vec<UserRef> =
        (0..CHECKS).map(|_| UserRef::UserName(format!("{}@Contoso.example", random.below(USERS)))).collect();
    let begun = Instant::now();
    for name in &names {
        assert!(matches!(graph.find_user(black_box(name)), Found::One(_)));
    }
    begun.elapsed()
}

fn main() {
    let sizes = sizes();
    let before = resident();
    let (mut graph, edges, took) = built(&sizes);
    let (grown, counted) = (resident() - before, graph.bytes());
    println!("users {USERS}, groups {GROUPS}, edges {edges}; largest group {}", sizes[0]);
    println!("built from rows      {:>8.2} s", took.as_secs_f64());
    println!(
        "bytes an edge        {:>8.1}    (counted; resident memory grew by {:.1})",
        counted as f64 / edges as f64,
        grown as f64 / edges as f64
    );

    let (_, _) = checks(&graph, 0);
    for depth in [1, 2, 20] {
        let (took, members) = checks(&graph, depth - 1);
        println!("check, depth {depth:>2}      {}    ({members} members)", each(took, CHECKS));
    }
    println!("user by userName     {}", each(by_name(&graph), CHECKS));

    let mut random = Random(17);
    let changes: Vec<(Uuid, Uuid)> =
        (0..200_000).map(|_| (group_id(random.below(GROUPS)), user_id(random.below(USERS)))).collect();
    let begun = Instant::now();
    for (group, user) in &changes {
        graph.add_members(*group, &[*user]).unwrap();
    }
    println!("user into a group    {}", each(begun.elapsed(), changes.len()));
    let begun = Instant::now();
    for (group, user) in &changes {
        graph.remove_members(*group, &[*user]).unwrap();
    }
    println!("user out of a group  {}", each(begun.elapsed(), changes.len()));

    // The lower end of a chain gains and loses a group: twenty sets change.
    let lowest: Vec<Uuid> =
        (1..=CHAINED / DEPTH).map(|chain| group_id(GROUPS - CHAINED + chain * DEPTH - 1)).collect();
    let begun = Instant::now();
    for group in &lowest {
        graph.add_members(*group, &[group_id(5)]).unwrap();
    }
    println!("group into a group   {}    (20 levels above it)", each(begun.elapsed(), lowest.len()));
    let begun = Instant::now();
    for group in &lowest {
        graph.remove_members(*group, &[group_id(5)]).unwrap();
    }
    println!("group out of a group {}    (20 levels above it)", each(begun.elapsed(), lowest.len()));
    let largest = GroupRef::Id(GroupId::from_uuid(group_id(0)));
    let Found::One(largest) = graph.find_group(&largest) else { panic!("it exists") };
    let begun = Instant::now();
    let named = graph.members_of(largest, Depth::Transitive, true, Uuid::nil(), usize::MAX);
    println!("members of a group   {}    (of {} users)", each(begun.elapsed(), named.len()), named.len());
}
