//! The users of a group and of the groups nested in it, in the order of their ids, each once, in bounded memory.
//!
//! Each group's members rest in the order of their ids, so a merge of the groups reads every row once. What is
//! between two pages takes effect or not; a user that is a member throughout is never missed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use platform::Result;
use platform::ids::TenantId;
use sea_orm::{ColumnTrait, ConnectionTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::entity::{InTenant, member, user};
use super::{CHUNK, Store};
use crate::domain::members::MemberType;
use crate::domain::refs::Depth;

/// Ids held in memory, over all groups of a walk.
const BUFFERED: usize = 20_000;

/// A user met on the walk.
#[derive(Clone, Debug, PartialEq)]
pub struct WalkedMember {
    /// The user.
    pub user: user::Model,
    /// Whether it is a member of the group itself.
    pub direct: bool,
}

/// A walk under way.
pub struct MemberWalk {
    store: Store,
    tenant: TenantId,
    include_inactive: bool,
    /// The group itself comes first.
    groups: Vec<Source>,
    /// The next id of each group that has one.
    next: BinaryHeap<Reverse<(Uuid, usize)>>,
    page: u64,
}

struct Source {
    group: Uuid,
    buffer: VecDeque<Uuid>,
    /// Ids up to here were read.
    after: Uuid,
    exhausted: bool,
}

/// The groups below a group (`$2`). CROSS JOIN keeps SQLite to this order ([`super::queries::up`]).
const DOWN: &str = "WITH RECURSIVE down(group_id) AS ( \
        SELECT m.member_id FROM group_members m \
        WHERE m.tenant_id = $1 AND m.group_id = $2 AND m.member_type = 2 \
        UNION \
        SELECT m.member_id FROM down CROSS JOIN group_members m \
        WHERE m.tenant_id = $1 AND m.group_id = down.group_id AND m.member_type = 2 \
    ) SELECT group_id FROM down";

impl Store {
    /// Starts a walk behind `after`; the nil UUID is the beginning.
    ///
    /// # Errors
    /// The database's.
    pub async fn walk_members(
        &self,
        tenant: TenantId,
        group: Uuid,
        depth: Depth,
        include_inactive: bool,
        after: Uuid,
    ) -> Result<MemberWalk> {
        let mut ids = vec![group];
        if depth == Depth::Transitive {
            ids.extend(self.nested_groups(tenant, group).await?.into_iter().filter(|id| *id != group));
        }
        let page = u64::try_from((BUFFERED / ids.len()).clamp(20, 1000)).unwrap_or(20);
        let source = |group| Source { group, buffer: VecDeque::new(), after, exhausted: false };
        let groups = ids.into_iter().map(source).collect();
        let next = BinaryHeap::new();
        let mut walk = MemberWalk { store: self.clone(), tenant, include_inactive, groups, next, page };
        for index in 0..walk.groups.len() {
            walk.advance(index).await?;
        }
        Ok(walk)
    }

    /// Those of these users that count, in this order; with each id stands whether it is a member of the group itself.
    ///
    /// # Errors
    /// The database's.
    pub async fn walked_members(
        &self,
        tenant: TenantId,
        ids: &[(Uuid, bool)],
        include_inactive: bool,
    ) -> Result<Vec<WalkedMember>> {
        let mut users = HashMap::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let mut query = user::Entity::in_tenant(tenant)
                .filter(user::Column::UserId.is_in(chunk.iter().map(|(id, _)| *id)))
                .filter(user::Column::Deleted.eq(false));
            if !include_inactive {
                query = query.filter(user::Column::Active.eq(true));
            }
            for user in query.all(self.db.read()).await? {
                users.insert(user.user_id, user);
            }
        }
        let mut walked = Vec::with_capacity(users.len());
        for (id, direct) in ids {
            if let Some(user) = users.remove(id) {
                walked.push(WalkedMember { user, direct: *direct });
            }
        }
        Ok(walked)
    }

    /// The groups below a group, each once, in no order; in a cycle the group itself too.
    async fn nested_groups(&self, tenant: TenantId, group: Uuid) -> Result<Vec<Uuid>> {
        let statement = self.statement(DOWN.to_owned(), [tenant.uuid().into(), group.into()]);
        let rows = self.db.read().query_all_raw(statement).await?;
        let mut groups = Vec::with_capacity(rows.len());
        for row in &rows {
            groups.push(row.try_get("", "group_id")?);
        }
        Ok(groups)
    }
}

impl MemberWalk {
    /// The next users, at most about `limit`, and the id behind which to go on; `None` at the end. There may be no users
    /// in a run although there are more to come.
    ///
    /// # Errors
    /// The database's.
    pub async fn next_run(&mut self, limit: usize) -> Result<Option<(Vec<WalkedMember>, Uuid)>> {
        let mut ids: Vec<(Uuid, bool)> = Vec::with_capacity(limit);
        while ids.len() < limit {
            let Some(Reverse((id, index))) = self.next.pop() else { break };
            let direct = index == 0;
            match ids.last_mut() {
                // Equal ids come one after the other, that of the group itself first.
                Some((last, _)) if *last == id => {}
                _ => ids.push((id, direct)),
            }
            self.advance(index).await?;
        }
        let Some((last, _)) = ids.last() else { return Ok(None) };
        let last = *last;
        // The same user in further groups is behind us.
        while let Some(Reverse((id, index))) = self.next.peek().copied() {
            if id != last {
                break;
            }
            self.next.pop();
            self.advance(index).await?;
        }
        let run = self.store.walked_members(self.tenant, &ids, self.include_inactive).await?;
        Ok(Some((run, last)))
    }

    /// Puts the group's next id into the heap.
    async fn advance(&mut self, index: usize) -> Result<()> {
        let source = &mut self.groups[index];
        if source.buffer.is_empty() && !source.exhausted {
            let ids: Vec<Uuid> = member::Entity::in_tenant(self.tenant)
                .filter(member::Column::GroupId.eq(source.group))
                .filter(member::Column::MemberId.gt(source.after))
                .filter(member::Column::MemberType.ne(MemberType::Group as i16))
                .order_by_asc(member::Column::MemberId)
                .limit(self.page)
                .select_only()
                .column(member::Column::MemberId)
                .into_tuple()
                .all(self.store.db.read())
                .await?;
            source.exhausted = (ids.len() as u64) < self.page;
            source.after = ids.last().copied().unwrap_or(source.after);
            source.buffer = ids.into();
        }
        if let Some(id) = source.buffer.pop_front() {
            self.next.push(Reverse((id, index)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan_within_the_tenant;
    use super::*;

    #[test]
    fn only_groups_below_are_read() {
        testkit::db::run(testkit::db::Backend::Sqlite, testkit::db::Service::Membership, |db| async move {
            plan_within_the_tenant(&db, DOWN).await;
        });
    }
}
