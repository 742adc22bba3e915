//! One tenant's users, groups and memberships in memory, and the questions asked of them. No I/O.
//!
//! Everything has an ordinal: its place in arrays. A user has the list of its groups, a group the set of its users, and groups
//! that are nested know what is at or below them ([`super::nesting`]). A check looks whether one of the user's groups is at or
//! below the group asked about: it costs the same however deep that is.
//!
//! Only edges between things that exist are here. A membership that waits for its member is read from the database when that
//! arrives; a user or group that is gone takes its edges along.

mod build;

use roaring::RoaringBitmap;
use uuid::Uuid;

use super::lists::{Lists, push_tight};
use super::names::{Hasher, Ids, Named, Names};
use super::nesting::{Bounds, Nesting, TooLarge};
use super::set::{BLOCK, Set};
use crate::domain::refs::{Depth, GroupRef, UserRef};

pub use build::Builder;

/// What one change of the graph of groups may cost: below a tenth of a second.
const WORK: usize = 30_000_000;

/// A user, as far as the index looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: Uuid,
    /// As it is compared.
    pub user_name_key: String,
    /// As provisioned.
    pub external_id: Option<String>,
    /// Whether it counts as a member of anything.
    pub active: bool,
}

/// A group, as far as the index looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which.
    pub id: Uuid,
    /// As it is compared.
    pub display_name_key: String,
    /// As provisioned.
    pub external_id: Option<String>,
}

/// What a name led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nobody has the name.
    Nobody,
    /// This one, by its ordinal.
    One(u32),
    /// More than one.
    Several,
}

/// One tenant in memory.
#[derive(Debug, Default)]
pub struct Graph {
    hasher: Hasher,
    users: Users,
    groups: Groups,
    /// The most bytes it may grow to.
    allowance: usize,
}

#[derive(Debug, Default)]
struct Users {
    ids: Ids,
    user_names: Names,
    external_ids: Names,
    inactive: Set,
    groups: Lists,
}

#[derive(Debug, Default)]
struct Groups {
    ids: Ids,
    display_names: Names,
    external_ids: Names,
    members: Vec<Set>,
    /// Of all sets in `members`.
    member_bytes: usize,
    nesting: Nesting,
}

impl Graph {
    /// The user of that name.
    pub fn find_user(&self, named: &UserRef) -> Found {
        match named {
            UserRef::Id(id) => self.user(id.uuid()).map_or(Found::Nobody, Found::One),
            UserRef::ExternalId(id) => self.users.external_ids.find(self.hasher.name(id)).into(),
            UserRef::UserName(name) => {
                self.users.user_names.find(self.hasher.name(&scim::fold_str(name))).into()
            }
        }
    }

    /// The group of that name.
    pub fn find_group(&self, named: &GroupRef) -> Found {
        match named {
            GroupRef::Id(id) => self.group(id.uuid()).map_or(Found::Nobody, Found::One),
            GroupRef::ExternalId(id) => self.groups.external_ids.find(self.hasher.name(id)).into(),
            GroupRef::DisplayName(name) => {
                self.groups.display_names.find(self.hasher.name(&scim::fold_str(name))).into()
            }
        }
    }

    /// Rollcall's id of a group.
    pub fn group_id(&self, group: u32) -> Uuid {
        self.groups.ids.id(group)
    }

    /// Whether the user counts as a member of anything.
    pub fn is_active(&self, user: u32) -> bool {
        !self.users.inactive.contains(user)
    }

    /// Whether the user is a member of the group; whether it is active is the caller's to judge.
    pub fn is_member(&self, user: u32, group: u32, depth: Depth) -> bool {
        match (depth, self.groups.nesting.below(group)) {
            (Depth::Transitive, Some(below)) => below.contains_any(self.users.groups.get(user)),
            (Depth::Direct, _) | (Depth::Transitive, None) => self.users.groups.contains(user, group),
        }
    }

    /// The groups of a user with ids after `after`, ordered by id, at most `limit`; with each whether the user is a member of the
    /// group itself.
    pub fn groups_of(&self, user: u32, depth: Depth, after: Uuid, limit: usize) -> Vec<(Uuid, bool)> {
        let own = &self.users.groups;
        let mut found: Vec<(Uuid, bool)> = Vec::new();
        let mut consider = |group: u32, direct: bool| {
            let id = self.groups.ids.id(group);
            if id > after {
                found.push((id, direct));
            }
        };
        match depth {
            Depth::Direct => own.iter(user).for_each(|group| consider(group, true)),
            Depth::Transitive => {
                let above = self.groups.nesting.above(own.iter(user));
                above.iter().for_each(|group| consider(group, own.contains(user, group)));
            }
        }
        found.sort_unstable();
        found.truncate(limit);
        found
    }

    /// The users in a group with ids after `after`, ordered by id, at most `limit`; with each whether it is a member of the group
    /// itself.
    pub fn members_of(
        &self,
        group: u32,
        depth: Depth,
        include_inactive: bool,
        after: Uuid,
        limit: usize,
    ) -> Vec<(Uuid, bool)> {
        let direct = &self.groups.members[group as usize];
        let mut users = RoaringBitmap::new();
        match (depth, self.groups.nesting.below(group)) {
            (Depth::Transitive, Some(below)) => {
                below.iter().for_each(|group| self.groups.members[group as usize].add_to(&mut users));
            }
            (Depth::Direct, _) | (Depth::Transitive, None) => direct.add_to(&mut users),
        }
        // Most users are numbered in the order of their ids: from there on they need not be looked for.
        let (start, unordered) = self.users.ids.after(after);
        let counts = |user: &u32| include_inactive || self.is_active(*user);
        let ordered = users.range(start..unordered).filter(counts).take(limit);
        let others = users.range(unordered..).filter(counts).filter(|user| self.users.ids.id(*user) > after);
        let mut page: Vec<(Uuid, bool)> =
            ordered.chain(others).map(|user| (self.users.ids.id(user), direct.contains(user))).collect();
        page.sort_unstable();
        page.truncate(limit);
        page
    }

    /// A user that is there from now on, or became this.
    ///
    /// # Errors
    /// [`TooLarge`]: the index must be dropped.
    pub fn put_user(&mut self, user: &User) -> Result<(), TooLarge> {
        let User { id, user_name_key, external_id, active } = user;
        let users = &mut self.users;
        let ordinal = match users.ids.find(&self.hasher, *id) {
            Some(ordinal) => ordinal,
            None if users.ids.has_room() => {
                users.user_names.push();
                users.external_ids.push();
                users.groups.push_list();
                users.ids.push(&self.hasher, *id)
            }
            None => return Err(TooLarge),
        };
        users.user_names.set(ordinal, Some(self.hasher.name(user_name_key)));
        users.external_ids.set(ordinal, external_id.as_deref().map(|id| self.hasher.name(id)));
        match active {
            true => users.inactive.remove(ordinal),
            false => users.inactive.insert(ordinal),
        };
        Ok(())
    }

    /// Makes these the groups that the user is in. Ids of groups that do not exist do not count.
    pub fn set_groups_of(&mut self, user: Uuid, groups: &[Uuid]) {
        let Some(user) = self.user(user) else { return };
        for group in self.users.groups.take(user) {
            self.groups.edit_members(group, |members| members.remove(user));
        }
        for group in groups {
            if let Some(group) = self.group(*group) {
                self.users.groups.insert(user, group);
                self.groups.edit_members(group, |members| members.insert(user));
            }
        }
    }

    /// A user that is gone, with its memberships.
    pub fn remove_user(&mut self, id: Uuid) {
        let Some(user) = self.user(id) else { return };
        self.set_groups_of(id, &[]);
        self.users.user_names.set(user, None);
        self.users.external_ids.set(user, None);
        self.users.inactive.remove(user);
        self.users.ids.remove(&self.hasher, user);
    }

    /// A group that is there from now on, or became this.
    ///
    /// # Errors
    /// [`TooLarge`]: the index must be dropped.
    pub fn put_group(&mut self, group: &Group) -> Result<(), TooLarge> {
        let Group { id, display_name_key, external_id } = group;
        let groups = &mut self.groups;
        let ordinal = match groups.ids.find(&self.hasher, *id) {
            Some(ordinal) => ordinal,
            None if groups.ids.has_room() => {
                groups.display_names.push();
                groups.external_ids.push();
                push_tight(&mut groups.members, Set::default());
                groups.nesting.push();
                groups.ids.push(&self.hasher, *id)
            }
            None => return Err(TooLarge),
        };
        groups.display_names.set(ordinal, Some(self.hasher.name(display_name_key)));
        groups.external_ids.set(ordinal, external_id.as_deref().map(|id| self.hasher.name(id)));
        Ok(())
    }

    /// A group that is gone, with all memberships in it and of it. A large one is first emptied ([`Graph::remove_some_users`]).
    ///
    /// # Errors
    /// [`TooLarge`]: the index must be dropped.
    pub fn remove_group(&mut self, id: Uuid) -> Result<(), TooLarge> {
        let Some(group) = self.group(id) else { return Ok(()) };
        self.remove_some_users(id, usize::MAX);
        let bounds = self.bounds();
        self.groups.nesting.remove_group(group, bounds)?;
        self.groups.display_names.set(group, None);
        self.groups.external_ids.set(group, None);
        self.groups.ids.remove(&self.hasher, group);
        Ok(())
    }

    /// Members come into a group. Those that do not exist wait outside.
    ///
    /// # Errors
    /// [`TooLarge`]: the index must be dropped.
    pub fn add_members(&mut self, group: Uuid, members: &[Uuid]) -> Result<(), TooLarge> {
        let Some(group) = self.group(group) else { return Ok(()) };
        let mut nested = Vec::new();
        for member in members {
            if let Some(user) = self.user(*member) {
                self.users.groups.insert(user, group);
                self.groups.edit_members(group, |members| members.insert(user));
            } else {
                nested.extend(self.group(*member));
            }
        }
        if nested.is_empty() {
            return Ok(());
        }
        let bounds = self.bounds();
        self.groups.nesting.add(group, &nested, bounds)
    }

    /// Members leave a group.
    ///
    /// # Errors
    /// [`TooLarge`]: the index must be dropped.
    pub fn remove_members(&mut self, group: Uuid, members: &[Uuid]) -> Result<(), TooLarge> {
        let Some(group) = self.group(group) else { return Ok(()) };
        let mut nested = Vec::new();
        for member in members {
            if let Some(user) = self.user(*member) {
                self.users.groups.remove(user, group);
                self.groups.edit_members(group, |members| members.remove(user));
            } else {
                nested.extend(self.group(*member));
            }
        }
        let bounds = self.bounds();
        self.groups.nesting.remove(group, &nested, bounds)
    }

    /// At most `limit` users leave a group, whoever they are. Whether there are more.
    pub fn remove_some_users(&mut self, group: Uuid, limit: usize) -> bool {
        let Some(group) = self.group(group) else { return false };
        let some: Vec<u32> = self.groups.members[group as usize].iter().take(limit).collect();
        for user in &some {
            self.users.groups.remove(*user, group);
        }
        self.groups.edit_members(group, |members| {
            if some.len() == members.len() {
                *members = Set::default();
            } else {
                some.iter().for_each(|user| {
                    members.remove(*user);
                });
            }
        });
        !self.groups.members[group as usize].is_empty()
    }

    /// Every group in a group leaves it.
    ///
    /// # Errors
    /// [`TooLarge`]: the index must be dropped.
    pub fn remove_nested(&mut self, group: Uuid) -> Result<(), TooLarge> {
        let Some(group) = self.group(group) else { return Ok(()) };
        let bounds = self.bounds();
        let nested = self.groups.nesting.children(group);
        self.groups.nesting.remove(group, &nested, bounds)
    }

    /// Whether the user is known.
    pub fn has_user(&self, id: Uuid) -> bool {
        self.user(id).is_some()
    }

    /// Whether the group is known.
    pub fn has_group(&self, id: Uuid) -> bool {
        self.group(id).is_some()
    }

    /// Whether it is larger than it was allowed to become.
    pub fn is_too_large(&self) -> bool {
        self.bytes() > self.allowance
    }

    /// How many users and groups it knows.
    pub fn size(&self) -> (usize, usize) {
        (self.users.ids.len(), self.groups.ids.len())
    }

    /// Whether there is nobody and nothing in it.
    pub fn is_empty(&self) -> bool {
        self.size() == (0, 0)
    }

    /// Whether so many of its places stand for what is gone that it should be loaded anew.
    pub fn is_wasteful(&self) -> bool {
        let gone = self.users.ids.gone() + self.groups.ids.gone();
        gone > 10_000 + (self.users.ids.len() + self.groups.ids.len()) / 4
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        let Users { ids, user_names, external_ids, inactive, groups } = &self.users;
        let users =
            ids.bytes() + user_names.bytes() + external_ids.bytes() + inactive.bytes() + groups.bytes();
        let Groups { ids, display_names, external_ids, members, member_bytes, nesting } = &self.groups;
        let members = members.capacity() * size_of::<Set>() + BLOCK + member_bytes;
        let groups = ids.bytes() + display_names.bytes() + external_ids.bytes() + members + nesting.bytes();
        size_of::<Self>() + users + groups
    }

    fn user(&self, id: Uuid) -> Option<u32> {
        self.users.ids.find(&self.hasher, id)
    }

    fn group(&self, id: Uuid) -> Option<u32> {
        self.groups.ids.find(&self.hasher, id)
    }

    fn bounds(&self) -> Bounds {
        Bounds { work: WORK, bytes: self.allowance }
    }
}

impl Groups {
    fn edit_members<T>(&mut self, group: u32, change: impl FnOnce(&mut Set) -> T) -> T {
        let members = &mut self.members[group as usize];
        let before = members.bytes();
        let changed = change(members);
        self.member_bytes = self.member_bytes + members.bytes() - before;
        changed
    }
}

impl From<Named> for Found {
    fn from(named: Named) -> Self {
        match named {
            Named::Nobody => Self::Nobody,
            Named::One(ordinal) => Self::One(ordinal),
            Named::Several => Self::Several,
        }
    }
}

#[cfg(test)]
mod tests;
