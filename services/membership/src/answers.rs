//! Answers about memberships, from the index when it can give them and from the database otherwise: as fresh as was asked for.
//!
//! With every answer comes a revision that it includes, at least: passed back as [`Consistency::AtLeastAsFresh`] it never leads
//! to an older state, whichever replica answers.

use std::collections::VecDeque;

use platform::db::changelog::Position;
use platform::ids::{GroupId, TenantId};
use platform::{Error, Result};
use scim::ErrorKind;
use uuid::Uuid;

use crate::domain::refs::{Depth, GroupRef, TeamRef, UserRef};
use crate::index::{Found, Graph, Index, Source};
use crate::store::{GroupEntry, MemberWalk, Outcome, Store, WalkedMember};

/// Ids of members taken from the index at once.
const SLAB: usize = 16_384;

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// What is at hand: some milliseconds old at most.
    MinimizeLatency,
    /// Not older than this.
    AtLeastAsFresh(Position),
    /// Everything that was committed before the question.
    Fully,
}

/// Whom a question is about, and how far it reaches.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Whose data.
    pub tenant: TenantId,
    /// How fresh.
    pub consistency: Consistency,
    /// Direct or transitive.
    pub depth: Depth,
    /// Whether deactivated users count.
    pub include_inactive: bool,
}

/// A page of a user's groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupsPage {
    /// Ordered by id. One that was deleted at this moment is missing.
    pub groups: Vec<GroupEntry>,
    /// Where to go on behind, when there are more.
    pub next: Option<Uuid>,
}

/// Answers questions.
#[derive(Clone)]
pub struct Answers {
    store: Store,
    index: Index,
}

impl Answers {
    /// From this index, which is of this store.
    pub fn new(store: Store, index: Index) -> Self {
        Self { store, index }
    }

    /// What they come from at best.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Whether the user is a member of the group.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for a name that several have, `VersionMismatch` for a revision of the future.
    pub async fn check(&self, scope: Scope, user: &UserRef, group: &GroupRef) -> Result<(bool, Position)> {
        let asked = self.ask(scope, |graph| {
            let (Found::One(user), Found::One(group)) = (graph.find_user(user), graph.find_group(group))
            else {
                return None;
            };
            let counts = scope.include_inactive || graph.is_active(user);
            Some(counts && graph.is_member(user, group, scope.depth))
        });
        // Whom the index does not know may have come a moment ago.
        if let Some((Some(member), revision)) = asked.await {
            self.index.answered(Source::Index);
            return Ok((member, revision));
        }
        let revision = self.database(scope.consistency).await?;
        let Scope { tenant, depth, include_inactive, .. } = scope;
        let user = self.store.find_user(tenant, user).await?;
        let group = self.store.find_group(tenant, group).await?;
        let counts = user.active || include_inactive;
        Ok((counts && self.store.is_member(tenant, user.id, group, depth).await?, revision))
    }

    /// Whether the user is in the team.
    ///
    /// # Errors
    /// As [`Answers::check`].
    pub async fn check_team(&self, scope: Scope, user: &UserRef, team: &TeamRef) -> Result<(bool, Position)> {
        let revision = self.database(scope.consistency).await?;
        let user = self.store.find_user(scope.tenant, user).await?;
        let counts = user.active || scope.include_inactive;
        Ok((counts && self.store.is_in_team(scope.tenant, user.id, team).await?, revision))
    }

    /// The answers to many questions, in their order, from one state. A name that can be nobody's is `None`.
    ///
    /// # Errors
    /// `VersionMismatch` for a revision of the future.
    pub async fn batch_check(
        &self,
        scope: Scope,
        questions: &[(Option<UserRef>, Option<GroupRef>)],
    ) -> Result<(Vec<Outcome>, Position)> {
        let asked = self.ask(scope, |graph| {
            questions
                .iter()
                .map(|(user, group)| outcome(graph, scope, user.as_ref(), group.as_ref()))
                .collect()
        });
        if let Some(answer) = asked.await {
            self.index.answered(Source::Index);
            return Ok(answer);
        }
        let revision = self.database(scope.consistency).await?;
        let Scope { tenant, depth, include_inactive, .. } = scope;
        Ok((self.store.batch_check(tenant, questions, depth, include_inactive).await?, revision))
    }

    /// A page of the groups of a user, those with ids after `after`; none of a user that does not count.
    ///
    /// # Errors
    /// As [`Answers::check`].
    pub async fn groups_of(
        &self,
        scope: Scope,
        user: &UserRef,
        after: Uuid,
        limit: usize,
    ) -> Result<(GroupsPage, Position)> {
        let Scope { tenant, consistency, depth, include_inactive } = scope;
        // One more tells whether there are more.
        let asked = self.ask(scope, |graph| {
            let Found::One(user) = graph.find_user(user) else { return None };
            let counts = include_inactive || graph.is_active(user);
            Some(if counts { graph.groups_of(user, depth, after, limit + 1) } else { Vec::new() })
        });
        if let Some((Some(mut found), revision)) = asked.await {
            self.index.answered(Source::Index);
            let more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().filter(|_| more).map(|(id, _)| *id);
            let groups = self.store.group_entries(tenant, &found).await?;
            return Ok((GroupsPage { groups, next }, revision));
        }
        let revision = self.database(consistency).await?;
        let user = self.store.find_user(tenant, user).await?;
        if !user.active && !include_inactive {
            return Ok((GroupsPage::default(), revision));
        }
        let mut groups = self.store.groups_of(tenant, user.id, depth, after, limit as u64 + 1).await?;
        let more = groups.len() > limit;
        groups.truncate(limit);
        let next = groups.last().filter(|_| more).map(|group| group.id);
        Ok((GroupsPage { groups, next }, revision))
    }

    /// Begins to walk the users in a group behind `after`; the nil UUID is the beginning.
    ///
    /// # Errors
    /// As [`Answers::check`].
    pub async fn members_of(
        &self,
        scope: Scope,
        group: &GroupRef,
        after: Uuid,
    ) -> Result<(Members, Position)> {
        let asked = self.ask(scope, |graph| match graph.find_group(group) {
            Found::One(group) => Some(graph.group_id(group)),
            Found::Nobody | Found::Several => None,
        });
        let (group, walk, revision) = match asked.await {
            Some((Some(group), revision)) => {
                self.index.answered(Source::Index);
                (group, None, revision)
            }
            _ => {
                let revision = self.database(scope.consistency).await?;
                let group = self.store.find_group(scope.tenant, group).await?;
                (group, Some(self.walk(scope, group, after).await?), revision)
            }
        };
        let answers = self.clone();
        Ok((Members { answers, scope, group, after, ids: VecDeque::new(), last_ids: false, walk }, revision))
    }

    /// The database is going to be asked. The revision that it includes, at least.
    ///
    /// # Errors
    /// `VersionMismatch` for a revision of the future.
    pub async fn database(&self, consistency: Consistency) -> Result<Position> {
        self.index.answered(Source::Database);
        // First, so that it is not newer than what is read.
        let revision = self.store.revision().await?;
        let Consistency::AtLeastAsFresh(asked) = consistency else { return Ok(revision) };
        if asked <= revision {
            return Ok(revision);
        }
        if self.store.may_have_been(asked).await? {
            // It was committed before anybody could know it.
            return Ok(asked);
        }
        let detail = "at_least_as_fresh is a revision that this database has not reached: was it given by another one?";
        Err(Error::new(ErrorKind::VersionMismatch, detail).with_attribute("consistency"))
    }

    /// Asks the index, if it may be asked for something that fresh.
    async fn ask<T>(&self, scope: Scope, question: impl FnOnce(&Graph) -> T) -> Option<(T, Position)> {
        let Scope { tenant, consistency, .. } = scope;
        let alone = self.index.is_alone();
        // On PostgreSQL the log's end shows only after every transaction under way: there is nothing to wait for.
        if consistency == Consistency::Fully && !alone {
            return None;
        }
        if !self.index.holds(tenant) {
            self.index.want(tenant);
            return None;
        }
        let is_fresh = match consistency {
            Consistency::AtLeastAsFresh(revision) => self.index.reaches(revision).await,
            Consistency::MinimizeLatency if !alone => true,
            // Alone, it is never behind a write that was answered: nobody has to ask for that.
            Consistency::MinimizeLatency | Consistency::Fully => self.index.has_every_commit().await,
        };
        if is_fresh { self.index.ask(tenant, question) } else { None }
    }

    async fn walk(&self, scope: Scope, group: Uuid, after: Uuid) -> Result<MemberWalk> {
        let Scope { tenant, depth, include_inactive, .. } = scope;
        self.store.walk_members(tenant, group, depth, include_inactive, after).await
    }
}

fn outcome(graph: &Graph, scope: Scope, user: Option<&UserRef>, group: Option<&GroupRef>) -> Outcome {
    let user = user.map_or(Found::Nobody, |user| graph.find_user(user));
    let group = group.map_or(Found::Nobody, |group| graph.find_group(group));
    match (user, group) {
        (Found::Several, _) | (Found::One(_), Found::Several) => Outcome::Ambiguous,
        (Found::Nobody, _) => Outcome::UnknownUser,
        (_, Found::Nobody) => Outcome::UnknownGroup,
        (Found::One(user), Found::One(group)) => {
            let counts = scope.include_inactive || graph.is_active(user);
            match counts && graph.is_member(user, group, scope.depth) {
                true => Outcome::Member,
                false => Outcome::NotMember,
            }
        }
    }
}

/// A walk through the users in a group, by id. It begins in the index, when that has the tenant, and goes on in the database
/// when that has it no more: a place in it means the same to both.
pub struct Members {
    answers: Answers,
    scope: Scope,
    group: Uuid,
    /// Ids up to here were taken out.
    after: Uuid,
    /// Ids from the index to come; with each whether the user is a member of the group itself.
    ids: VecDeque<(Uuid, bool)>,
    /// Whether there are none after those.
    last_ids: bool,
    walk: Option<MemberWalk>,
}

impl Members {
    /// The next users, at most `limit`, and the id behind which to go on; `None` at the end. There may be no users in a run
    /// although there are more to come.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_run(&mut self, limit: usize) -> Result<Option<(Vec<WalkedMember>, Uuid)>> {
        if self.walk.is_none() && self.ids.is_empty() && !self.last_ids && !self.more_ids().await {
            self.walk = Some(self.answers.walk(self.scope, self.group, self.after).await?);
        }
        if let Some(walk) = &mut self.walk {
            return walk.next_run(limit).await;
        }
        let run: Vec<(Uuid, bool)> = self.ids.drain(..limit.min(self.ids.len())).collect();
        let Some((last, _)) = run.last().copied() else { return Ok(None) };
        self.after = last;
        let Scope { tenant, include_inactive, .. } = self.scope;
        Ok(Some((self.answers.store.walked_members(tenant, &run, include_inactive).await?, last)))
    }

    /// Takes further ids from the index; false when that does not have the tenant (any more).
    async fn more_ids(&mut self) -> bool {
        let Scope { depth, include_inactive, .. } = self.scope;
        let (group, after) = (self.group, self.after);
        let asked = self.answers.ask(self.scope, |graph| {
            match graph.find_group(&GroupRef::Id(GroupId::from_uuid(group))) {
                Found::One(group) => graph.members_of(group, depth, include_inactive, after, SLAB),
                // Deleted meanwhile: nobody is in it any more.
                Found::Nobody | Found::Several => Vec::new(),
            }
        });
        let Some((ids, _)) = asked.await else { return false };
        self.last_ids = ids.len() < SLAB;
        self.ids = ids.into();
        true
    }
}
