//! Random histories against brute force: after every step every question is asked of both.

use std::collections::{BTreeMap, BTreeSet};

use platform::ids::{GroupId, UserId};
use uuid::Uuid;

use super::super::nesting::TooLarge;
use super::{Builder, Found, Graph, Group, User};
use crate::domain::refs::{Depth, GroupRef, UserRef};

const USERS: u64 = 6;
const GROUPS: u64 = 8;
const HISTORIES: u64 = 60;
const STEPS: usize = 120;
const DEPTHS: [Depth; 2] = [Depth::Direct, Depth::Transitive];

/// Repeats itself from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn user(&mut self) -> Uuid {
        user(self.below(USERS))
    }

    fn group(&mut self) -> Uuid {
        group(self.below(GROUPS))
    }

    /// Users, groups, what does not exist; most groups have few.
    fn members(&mut self) -> Vec<Uuid> {
        let mut members = BTreeSet::new();
        for _ in 0..=self.below(3) {
            members.insert(if self.below(2) == 0 { self.user() } else { self.group() });
        }
        members.into_iter().collect()
    }
}

/// Ids do not ascend with the numbers, so that ordinals and ids are in different orders.
fn user(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number * 5 % USERS) << 64 | u128::from(number) << 8 | 1)
}

fn group(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number * 3 % GROUPS) << 64 | u128::from(number) << 8 | 2)
}

/// The tables, and what the rules make of them.
#[derive(Default)]
struct Model {
    users: BTreeMap<Uuid, User>,
    groups: BTreeMap<Uuid, Group>,
    /// (group, member), whether it exists or not.
    rows: BTreeSet<(Uuid, Uuid)>,
}

impl Model {
    /// The groups at or below a group.
    fn below(&self, group: Uuid) -> BTreeSet<Uuid> {
        let mut found = BTreeSet::from([group]);
        let mut waiting = vec![group];
        while let Some(at) = waiting.pop() {
            for (_, member) in self.rows.range((at, Uuid::nil())..=(at, Uuid::max())) {
                if self.groups.contains_key(member) && found.insert(*member) {
                    waiting.push(*member);
                }
            }
        }
        found
    }

    fn is_member(&self, user: Uuid, group: Uuid, depth: Depth) -> bool {
        match depth {
            Depth::Direct => self.rows.contains(&(group, user)),
            Depth::Transitive => self.below(group).iter().any(|group| self.rows.contains(&(*group, user))),
        }
    }

    fn groups_of(&self, member: Uuid) -> Vec<Uuid> {
        self.rows.iter().filter(|row| row.1 == member).map(|row| row.0).collect()
    }

    fn built(&self) -> Graph {
        let mut builder = Builder::new(self.users.len(), 0, usize::MAX);
        self.users.values().for_each(|user| builder.user(user).unwrap());
        self.groups.values().for_each(|group| builder.group(group).unwrap());
        self.rows.iter().for_each(|(group, member)| builder.member(*group, *member).unwrap());
        builder.finish().unwrap()
    }
}

/// One step, of both.
fn step(random: &mut Random, model: &mut Model, graph: &mut Graph) -> Result<String, TooLarge> {
    Ok(match random.below(12) {
        0..3 => {
            let name = |random: &mut Random| format!("name-{}", random.below(4));
            let user = User {
                id: random.user(),
                user_name_key: name(random),
                external_id: (random.below(3) > 0).then(|| name(random)),
                active: random.below(4) > 0,
            };
            graph.put_user(&user)?;
            if model.users.insert(user.id, user.clone()).is_none() {
                graph.set_groups_of(user.id, &model.groups_of(user.id));
            }
            format!("{user:?}")
        }
        3 => {
            let id = random.user();
            model.users.remove(&id);
            model.rows.retain(|row| row.1 != id);
            graph.remove_user(id);
            format!("user {id} is gone")
        }
        4..6 => {
            let number = random.below(GROUPS);
            let external_id = (random.below(3) > 0).then(|| format!("ext-{}", random.below(4)));
            let group = Group { id: group(number), display_name_key: format!("group-{number}"), external_id };
            graph.put_group(&group)?;
            if model.groups.insert(group.id, group.clone()).is_none() {
                for parent in model.groups_of(group.id) {
                    graph.add_members(parent, &[group.id])?;
                }
            }
            format!("{group:?}")
        }
        6 => {
            let id = random.group();
            model.groups.remove(&id);
            model.rows.retain(|row| row.0 != id && row.1 != id);
            graph.remove_group(id)?;
            format!("group {id} is gone")
        }
        7..10 => {
            let (group, members) = (random.group(), random.members());
            if model.groups.contains_key(&group) {
                model.rows.extend(members.iter().map(|member| (group, *member)));
            }
            graph.add_members(group, &members)?;
            format!("{members:?} into {group}")
        }
        10 => {
            let (group, members) = (random.group(), random.members());
            model.rows.retain(|row| row.0 != group || !members.contains(&row.1));
            graph.remove_members(group, &members)?;
            format!("{members:?} out of {group}")
        }
        _ => {
            let group = random.group();
            if random.below(3) > 0 {
                return Ok("nothing".into());
            }
            model.rows.retain(|row| row.0 != group);
            while graph.remove_some_users(group, 2) {}
            graph.remove_nested(group)?;
            format!("{group} is emptied")
        }
    })
}

fn one(ids: Vec<Uuid>) -> Option<Option<Uuid>> {
    match ids.as_slice() {
        [] => Some(None),
        [id] => Some(Some(*id)),
        _ => None,
    }
}

/// `None` for several.
fn user_found(graph: &Graph, named: &UserRef) -> Option<Option<Uuid>> {
    match graph.find_user(named) {
        Found::Nobody => Some(None),
        Found::One(user) => Some(Some(graph.users.ids.id(user))),
        Found::Several => None,
    }
}

fn group_found(graph: &Graph, named: &GroupRef) -> Option<Option<Uuid>> {
    match graph.find_group(named) {
        Found::Nobody => Some(None),
        Found::One(group) => Some(Some(graph.groups.ids.id(group))),
        Found::Several => None,
    }
}

fn compare(model: &Model, graph: &Graph) {
    assert_eq!(graph.size(), (model.users.len(), model.groups.len()));
    for number in 0..4 {
        let name = format!("name-{number}");
        let having = |has: &dyn Fn(&User) -> bool| {
            one(model.users.values().filter(|user| has(user)).map(|user| user.id).collect())
        };
        let by_name = having(&|user| user.user_name_key == name);
        assert_eq!(user_found(graph, &UserRef::UserName(name.to_uppercase())), by_name);
        let by_external_id = having(&|user| user.external_id.as_ref() == Some(&name));
        assert_eq!(user_found(graph, &UserRef::ExternalId(name)), by_external_id);
        let external_id = format!("ext-{number}");
        let groups = model.groups.values().filter(|group| group.external_id.as_ref() == Some(&external_id));
        let by_external_id = one(groups.map(|group| group.id).collect());
        assert_eq!(group_found(graph, &GroupRef::ExternalId(external_id)), by_external_id);
    }
    for number in 0..GROUPS {
        let id = group(number);
        let there = model.groups.contains_key(&id).then_some(id);
        assert_eq!(group_found(graph, &GroupRef::Id(GroupId::from_uuid(id))), Some(there));
        let name = GroupRef::DisplayName(format!("Group-{number}"));
        assert_eq!(group_found(graph, &name), Some(there));
    }
    for number in 0..USERS {
        let id = user(number);
        let found = graph.find_user(&UserRef::Id(UserId::from_uuid(id)));
        let Some(user) = model.users.get(&id) else {
            assert_eq!(found, Found::Nobody);
            continue;
        };
        let Found::One(ordinal) = found else { panic!("{id} is not found") };
        assert_eq!(graph.is_active(ordinal), user.active);
        for depth in DEPTHS {
            let mut groups = Vec::new();
            for group in model.groups.keys() {
                let Found::One(at) = graph.find_group(&GroupRef::Id(GroupId::from_uuid(*group))) else {
                    panic!("{group} is not found")
                };
                let expected = model.is_member(id, *group, depth);
                assert_eq!(graph.is_member(ordinal, at, depth), expected, "{id} in {group}, {depth:?}");
                if expected {
                    groups.push((*group, model.is_member(id, *group, Depth::Direct)));
                }
            }
            assert_eq!(graph.groups_of(ordinal, depth, Uuid::nil(), usize::MAX), groups);
            if let Some((first, _)) = groups.first() {
                let rest: Vec<_> = groups[1..].iter().copied().take(2).collect();
                assert_eq!(graph.groups_of(ordinal, depth, *first, 2), rest);
            }
        }
    }
    for group in model.groups.keys() {
        let Found::One(at) = graph.find_group(&GroupRef::Id(GroupId::from_uuid(*group))) else {
            panic!("{group} is not found")
        };
        for depth in DEPTHS {
            for include_inactive in [false, true] {
                let mut expected = Vec::new();
                for user in model.users.values() {
                    if (user.active || include_inactive) && model.is_member(user.id, *group, depth) {
                        expected.push((user.id, model.is_member(user.id, *group, Depth::Direct)));
                    }
                }
                let page = |after, limit| graph.members_of(at, depth, include_inactive, after, limit);
                if let Some((first, _)) = expected.first() {
                    let rest: Vec<_> = expected[1..].iter().copied().take(2).collect();
                    assert_eq!(page(*first, 2), rest);
                }
                let named = page(Uuid::nil(), usize::MAX);
                assert_eq!(named, expected, "the users in {group}, {depth:?}");
            }
        }
    }
}

#[test]
fn every_answer_is_that_of_brute_force_after_every_step() {
    for seed in 0..HISTORIES {
        // Printed only when the test fails: the history to play again.
        println!("seed {seed}");
        let mut random = Random(seed);
        let (mut model, mut graph) = (Model::default(), Graph { allowance: usize::MAX, ..Graph::default() });
        for _ in 0..STEPS {
            let done = step(&mut random, &mut model, &mut graph).unwrap();
            println!("{done}");
            compare(&model, &graph);
        }
        compare(&model, &model.built());
        let member_bytes: usize = graph.groups.members.iter().map(super::Set::bytes).sum();
        assert_eq!(graph.groups.member_bytes, member_bytes);
        assert_eq!(graph.groups.nesting.bytes(), graph.groups.nesting.counted_bytes());
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let mut model = Model::default();
    for number in 0..5000 {
        let id = Uuid::from_u128(number);
        model.users.insert(id, User { id, user_name_key: id.to_string(), external_id: None, active: true });
    }
    let bytes = model.built().bytes();
    let build = |allowance| {
        let mut builder = Builder::new(0, 0, allowance);
        model.users.values().try_for_each(|user| builder.user(user))?;
        builder.finish().map(|graph| graph.bytes())
    };
    build(bytes * 2).unwrap();
    assert_eq!(build(bytes / 2), Err(TooLarge));

    // A chain: each group's set holds all behind it.
    let mut chain = Builder::new(0, 0, 10_000_000);
    let id = |number: u128| Uuid::from_u128(1 << 64 | number);
    for number in 0..20_000 {
        chain
            .group(&Group { id: id(number), display_name_key: number.to_string(), external_id: None })
            .unwrap();
    }
    for number in 1..20_000 {
        chain.member(id(number - 1), id(number)).unwrap();
    }
    assert_eq!(chain.finish().map(|graph| graph.size()), Err(TooLarge));
}
