//! Many questions at once, straight from the rows: a few statements for thousands of pairs. For when there is no index.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use platform::Result;
use platform::db::Transaction;
use platform::ids::TenantId;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, Select, Statement,
};
use uuid::Uuid;

use super::entity::{InTenant, group, user};
use super::queries::{Membership, UserEntry};
use super::{CHUNK, Store};
use crate::domain::refs::{Depth, GroupRef, UserRef};

/// Ids per statement of those that look up names.
const NAMES: usize = 2000;

/// The answer to one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The user is a member.
    Member,
    /// The user is not a member.
    NotMember,
    /// There is no such user.
    UnknownUser,
    /// There is no such group.
    UnknownGroup,
    /// Several have the name.
    Ambiguous,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found<T> {
    /// This one.
    One(T),
    /// Nothing has the name.
    None,
    /// Several have it.
    Several,
}

/// Names of one kind, and what was found under each.
struct Names<'n, N, T> {
    places: HashMap<N, Vec<usize>>,
    found: &'n mut [Found<T>],
}

impl<N: Hash + Eq, T: Copy> Names<'_, N, T> {
    fn found(&mut self, name: &N, entry: T) {
        for place in self.places.get(name).into_iter().flatten() {
            let found = &mut self.found[*place];
            *found = match found {
                Found::None => Found::One(entry),
                Found::One(_) | Found::Several => Found::Several,
            };
        }
    }
}

/// One state of the data, and whose.
struct Snapshot {
    data: Transaction,
    tenant: TenantId,
}

impl Store {
    /// The answers, in the order of the questions, from one state of the data. A name that can be nobody's is `None`.
    ///
    /// # Errors
    /// The database's.
    pub async fn batch_check(
        &self,
        tenant: TenantId,
        questions: &[(Option<UserRef>, Option<GroupRef>)],
        depth: Depth,
        include_inactive: bool,
    ) -> Result<Vec<Outcome>> {
        let _turn = self.fair.turn(tenant).await?;
        let data = self.db.read().snapshot().await?;
        let snapshot = Snapshot { data, tenant };
        let (users, groups): (Vec<_>, Vec<_>) = questions.iter().cloned().unzip();
        let users = snapshot.find_users(&users).await?;
        let groups = snapshot.find_groups(&groups).await?;
        let mut outcomes = Vec::with_capacity(questions.len());
        let (mut pairs, mut open) = (Vec::new(), Vec::new());
        for (user, group) in users.into_iter().zip(groups) {
            outcomes.push(match (user, group) {
                (Found::Several, _) | (Found::One(_), Found::Several) => Outcome::Ambiguous,
                (Found::None, _) => Outcome::UnknownUser,
                (_, Found::None) => Outcome::UnknownGroup,
                (Found::One(user), Found::One(group)) => {
                    if user.active || include_inactive {
                        open.push(outcomes.len());
                        pairs.push((user.id, group));
                    }
                    Outcome::NotMember
                }
            });
        }
        let answers = snapshot.are_members(&pairs, depth).await?;
        for (place, member) in open.into_iter().zip(answers) {
            if member {
                outcomes[place] = Outcome::Member;
            }
        }
        snapshot.data.end().await?;
        Ok(outcomes)
    }
}

impl Snapshot {
    /// The users with these names, in this order.
    async fn find_users(&self, named: &[Option<UserRef>]) -> Result<Vec<Found<UserEntry>>> {
        let mut found = vec![Found::None; named.len()];
        let (mut ids, mut external_ids, mut names) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (place, name) in named.iter().enumerate() {
            match name {
                Some(UserRef::Id(id)) => places(&mut ids, id.uuid(), place),
                Some(UserRef::ExternalId(id)) => places(&mut external_ids, id.clone(), place),
                Some(UserRef::UserName(name)) => places(&mut names, scim::fold_str(name), place),
                None => {}
            }
        }
        let all = user::Entity::in_tenant(self.tenant).filter(user::Column::Deleted.eq(false));
        let entry = |(id, active): (Uuid, bool)| UserEntry { id, active };
        let columns = [user::Column::UserId, user::Column::Active];
        for chunk in keys(&ids).chunks(NAMES) {
            let query = all.clone().filter(user::Column::UserId.is_in(chunk.iter().copied()));
            let rows = self.tuples::<_, (Uuid, bool)>(query, columns).await?;
            let mut names = Names { places: take(&mut ids, chunk), found: &mut found };
            rows.into_iter().for_each(|row| names.found(&row.0, entry(row)));
        }
        let columns = [user::Column::ExternalId, user::Column::UserId, user::Column::Active];
        for chunk in keys(&external_ids).chunks(NAMES) {
            let query = all.clone().filter(user::Column::ExternalId.is_in(chunk.iter().cloned()));
            let rows = self.tuples::<_, (String, Uuid, bool)>(query, columns).await?;
            let mut names = Names { places: take(&mut external_ids, chunk), found: &mut found };
            rows.into_iter().for_each(|(name, id, active)| names.found(&name, entry((id, active))));
        }
        let columns = [user::Column::UserNameKey, user::Column::UserId, user::Column::Active];
        for chunk in keys(&names).chunks(NAMES) {
            let query = all.clone().filter(user::Column::UserNameKey.is_in(chunk.iter().cloned()));
            let rows = self.tuples::<_, (String, Uuid, bool)>(query, columns).await?;
            let mut names = Names { places: take(&mut names, chunk), found: &mut found };
            rows.into_iter().for_each(|(name, id, active)| names.found(&name, entry((id, active))));
        }
        Ok(found)
    }

    /// The groups with these names, in this order.
    async fn find_groups(&self, named: &[Option<GroupRef>]) -> Result<Vec<Found<Uuid>>> {
        let mut found = vec![Found::None; named.len()];
        let (mut ids, mut external_ids, mut names) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (place, name) in named.iter().enumerate() {
            match name {
                Some(GroupRef::Id(id)) => places(&mut ids, id.uuid(), place),
                Some(GroupRef::ExternalId(id)) => places(&mut external_ids, id.clone(), place),
                Some(GroupRef::DisplayName(name)) => places(&mut names, scim::fold_str(name), place),
                None => {}
            }
        }
        let all = group::Entity::in_tenant(self.tenant);
        for chunk in keys(&ids).chunks(NAMES) {
            let query = all.clone().filter(group::Column::Id.is_in(chunk.iter().copied()));
            let rows = self.tuples::<_, Uuid>(query, [group::Column::Id]).await?;
            let mut names = Names { places: take(&mut ids, chunk), found: &mut found };
            rows.into_iter().for_each(|id| names.found(&id, id));
        }
        for chunk in keys(&external_ids).chunks(NAMES) {
            let query = all.clone().filter(group::Column::ExternalId.is_in(chunk.iter().cloned()));
            let rows = self
                .tuples::<_, (String, Uuid)>(query, [group::Column::ExternalId, group::Column::Id])
                .await?;
            let mut names = Names { places: take(&mut external_ids, chunk), found: &mut found };
            rows.into_iter().for_each(|(name, id)| names.found(&name, id));
        }
        for chunk in keys(&names).chunks(NAMES) {
            let query = all.clone().filter(group::Column::DisplayNameKey.is_in(chunk.iter().cloned()));
            let columns = [group::Column::DisplayNameKey, group::Column::Id];
            let rows = self.tuples::<_, (String, Uuid)>(query, columns).await?;
            let mut names = Names { places: take(&mut names, chunk), found: &mut found };
            rows.into_iter().for_each(|(name, id)| names.found(&name, id));
        }
        Ok(found)
    }

    /// Whether each user is a member of the group beside it, in this order, active or not.
    async fn are_members(&self, pairs: &[(Uuid, Uuid)], depth: Depth) -> Result<Vec<bool>> {
        let mut asked: HashMap<Uuid, Vec<usize>> = HashMap::new();
        for (place, (user, _)) in pairs.iter().enumerate() {
            places(&mut asked, *user, place);
        }
        let mut answers = vec![false; pairs.len()];
        // Of groups above those seen so far: read once, however many users are in them.
        let mut containers: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        for users in keys(&asked).chunks(CHUNK) {
            let mut direct: HashMap<Uuid, HashSet<Uuid>> = HashMap::new();
            for Membership { member, container } in self.containers_of(users).await? {
                direct.entry(member).or_default().insert(container);
            }
            if depth == Depth::Transitive {
                let met: HashSet<Uuid> = direct.values().flatten().copied().collect();
                self.read_above(met, &mut containers).await?;
            }
            for (user, groups) in direct {
                let reached = match depth {
                    Depth::Direct => groups,
                    Depth::Transitive => above(groups, &containers),
                };
                for place in asked.get(&user).into_iter().flatten() {
                    answers[*place] = reached.contains(&pairs[*place].1);
                }
            }
        }
        Ok(answers)
    }

    /// Adds what lies above these groups: after it, each group met has an entry with the groups it is in. A statement for each
    /// level of nesting.
    async fn read_above(&self, met: HashSet<Uuid>, containers: &mut HashMap<Uuid, Vec<Uuid>>) -> Result<()> {
        let mut level: Vec<Uuid> = met.into_iter().filter(|group| !containers.contains_key(group)).collect();
        while !level.is_empty() {
            containers.extend(level.iter().map(|group| (*group, Vec::new())));
            let mut next = HashSet::new();
            for groups in level.chunks(CHUNK) {
                for Membership { member, container } in self.containers_of(groups).await? {
                    if let Some(own) = containers.get_mut(&member) {
                        own.push(container);
                    }
                    if !containers.contains_key(&container) {
                        next.insert(container);
                    }
                }
            }
            level = next.into_iter().collect();
        }
        Ok(())
    }

    /// The direct memberships of these users or groups.
    async fn containers_of(&self, members: &[Uuid]) -> Result<Vec<Membership>> {
        let mut values = vec![self.tenant.uuid().into()];
        let mut places = Vec::with_capacity(members.len());
        for member in members {
            values.push((*member).into());
            places.push(format!("${}", values.len()));
        }
        let sql = format!(
            "SELECT m.member_id AS member, m.group_id AS container FROM group_members m \
             WHERE m.tenant_id = $1 AND m.member_id IN ({})",
            places.join(",")
        );
        let statement = Statement::from_sql_and_values(self.data.get_database_backend(), sql, values);
        Ok(Membership::find_by_statement(statement).all(&self.data).await?)
    }

    async fn tuples<E, T>(
        &self,
        query: Select<E>,
        columns: impl IntoIterator<Item = E::Column>,
    ) -> Result<Vec<T>>
    where
        E: EntityTrait,
        T: sea_orm::TryGetableMany + Send + Sync,
    {
        Ok(query.select_only().columns(columns).into_tuple().all(&self.data).await?)
    }
}

/// These groups and all above them.
fn above(groups: HashSet<Uuid>, containers: &HashMap<Uuid, Vec<Uuid>>) -> HashSet<Uuid> {
    let mut waiting: Vec<Uuid> = groups.iter().copied().collect();
    let mut reached = groups;
    while let Some(group) = waiting.pop() {
        for container in containers.get(&group).into_iter().flatten() {
            if reached.insert(*container) {
                waiting.push(*container);
            }
        }
    }
    reached
}

fn places<N: Hash + Eq>(names: &mut HashMap<N, Vec<usize>>, name: N, place: usize) {
    names.entry(name).or_default().push(place);
}

fn keys<N: Clone>(names: &HashMap<N, Vec<usize>>) -> Vec<N> {
    names.keys().cloned().collect()
}

fn take<N: Hash + Eq + Clone>(names: &mut HashMap<N, Vec<usize>>, chunk: &[N]) -> HashMap<N, Vec<usize>> {
    chunk.iter().filter_map(|name| names.remove_entry(name)).collect()
}
