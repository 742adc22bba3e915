//! Fills a [`Graph`] from rows, each read once: users, then groups, then each group's members.

use uuid::Uuid;

use super::super::lists::{Lists, push_tight};
use super::super::names::{Ids, Names};
use super::super::nesting::{Bounds, TooLarge};
use super::super::set::{Packed, Set};
use super::{Graph, Group, User};

/// Rows between two looks at how large it has become.
const ROWS: usize = 4096;

/// A graph under construction.
#[derive(Debug)]
pub struct Builder {
    graph: Graph,
    /// In how many groups each user is.
    degrees: Vec<u32>,
    /// The group whose members are being read, when it exists.
    group: Option<u32>,
    group_id: Uuid,
    /// Those read so far.
    members: Vec<u32>,
    rows: usize,
    edges: usize,
}

impl Builder {
    /// With room for so many, so that nothing is moved while it fills; more may come. It fails rather than grow beyond
    /// `allowance` bytes, and so will the graph later.
    pub fn new(users: usize, groups: usize, allowance: usize) -> Self {
        let mut graph = Graph { allowance, ..Graph::default() };
        graph.users.ids = Ids::with_room(users);
        graph.users.user_names = Names::with_room(users);
        graph.users.external_ids = Names::with_room(users);
        graph.groups.ids = Ids::with_room(groups);
        graph.groups.display_names = Names::with_room(groups);
        graph.groups.external_ids = Names::with_room(groups);
        graph.groups.members = Vec::with_capacity(groups);
        Self {
            graph,
            degrees: Vec::with_capacity(users),
            group: None,
            group_id: Uuid::nil(),
            members: Vec::new(),
            rows: 0,
            edges: 0,
        }
    }

    /// A user that exists.
    ///
    /// # Errors
    /// [`TooLarge`] beyond the allowance.
    pub fn user(&mut self, user: &User) -> Result<(), TooLarge> {
        self.graph.put_user(user)?;
        push_tight(&mut self.degrees, 0);
        self.row()
    }

    /// A group that exists, after all users.
    ///
    /// # Errors
    /// [`TooLarge`] beyond the allowance.
    pub fn group(&mut self, group: &Group) -> Result<(), TooLarge> {
        self.graph.put_group(group)?;
        self.row()
    }

    /// A membership, after all users and groups; those of one group together. What does not exist is passed over.
    ///
    /// # Errors
    /// [`TooLarge`] beyond the allowance.
    pub fn member(&mut self, group: Uuid, member: Uuid) -> Result<(), TooLarge> {
        if self.group_id != group {
            self.end_group();
            self.group_id = group;
            self.group = self.graph.group(group);
        }
        let Some(group) = self.group else { return Ok(()) };
        if let Some(user) = self.graph.user(member) {
            self.members.push(user);
        } else if let Some(nested) = self.graph.group(member) {
            self.graph.groups.nesting.link(group, nested);
        }
        self.row()
    }

    /// Bytes that the graph takes so far.
    pub fn bytes(&self) -> usize {
        // The groups of each user come at the end.
        self.graph.bytes() + (self.edges + self.members.len()) * size_of::<Packed>()
    }

    /// The graph.
    ///
    /// # Errors
    /// [`TooLarge`] when it would be larger than its allowance.
    pub fn finish(mut self) -> Result<Graph, TooLarge> {
        self.end_group();
        let mut lists = Lists::with_lengths(&self.degrees).ok_or(TooLarge)?;
        for (group, members) in (0..).zip(&self.graph.groups.members) {
            members.iter().for_each(|user| lists.append(user, group));
        }
        self.graph.users.groups = lists;
        let bounds = Bounds { work: usize::MAX, bytes: self.graph.allowance };
        self.graph.groups.nesting.close(bounds)?;
        if self.graph.bytes() > self.graph.allowance {
            return Err(TooLarge);
        }
        Ok(self.graph)
    }

    fn end_group(&mut self) {
        let Some(group) = self.group.take() else { return };
        // They come by id, and users are numbered by id: nearly always they are sorted already.
        self.members.sort_unstable();
        self.members.dedup();
        for user in &self.members {
            self.degrees[*user as usize] += 1;
        }
        self.edges += self.members.len();
        let set = Set::from_sorted(&self.members);
        self.graph.groups.edit_members(group, |members| *members = set);
        self.members.clear();
    }

    fn row(&mut self) -> Result<(), TooLarge> {
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS) && self.bytes() > self.graph.allowance {
            return Err(TooLarge);
        }
        Ok(())
    }
}
