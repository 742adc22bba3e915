//! Member operations as set operations on rows: idempotent, and they cost what they name, whatever the size of the group.

use std::collections::{BTreeSet, HashMap};

use platform::Result;
use platform::clock::Timestamp;
use platform::db::Transaction;
use platform::db::changelog::Position;
use platform::ids::TenantId;
use scim::Warning;
use sea_orm::sea_query::{Expr, ExprTrait, LockType, OnConflict, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::entity::{InTenant, group, member, user};
use super::log::{self, Change, Event, IDS_PER_ROW};
use super::{Author, CHUNK, MEMBER_PAGE};
use crate::domain::members::{MemberType, Selection, Step};

/// An administrator reads these; more than this many tell no more.
const MOST_WARNINGS: usize = 100;

/// The members of one group, whose row the transaction has locked.
pub(super) struct Rows<'t> {
    txn: &'t Transaction,
    author: &'t Author,
    group: Uuid,
    /// The group's version after the change.
    version: i64,
    at: Timestamp,
    /// The last row appended to the change log; `None` while nothing changed.
    pub(super) position: Option<Position>,
    pub(super) warnings: Vec<Warning>,
    pub(super) change: MembersChange,
}

/// The most ids of each kind that [`MembersChange`] lists.
const MOST_LISTED: usize = 20_000;

/// Who became a member by a write and who ceased to be one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MembersChange {
    /// Not a member before.
    pub added: BTreeSet<Uuid>,
    /// Not a member any more.
    pub removed: BTreeSet<Uuid>,
    /// There were more.
    pub truncated: bool,
}

impl MembersChange {
    fn add(&mut self, ids: &[Uuid]) {
        for id in ids {
            // Whoever is removed and added again by the same request was a member all the time.
            if !self.removed.remove(id) {
                self.truncated |= !listed(&mut self.added, *id);
            }
        }
    }

    pub(super) fn remove(&mut self, ids: &[Uuid]) {
        for id in ids {
            if !self.added.remove(id) {
                self.truncated |= !listed(&mut self.removed, *id);
            }
        }
    }
}

/// Whether there was room for it.
fn listed(ids: &mut BTreeSet<Uuid>, id: Uuid) -> bool {
    let room = ids.len() < MOST_LISTED;
    if room {
        ids.insert(id);
    }
    room
}

/// Direct members of a group, as many as [`MembersChange`] lists and one more.
pub(super) async fn listed_members(txn: &Transaction, tenant: TenantId, group: Uuid) -> Result<Vec<Uuid>> {
    let query = member::Entity::in_tenant(tenant)
        .filter(member::Column::GroupId.eq(group))
        .order_by_asc(member::Column::MemberId)
        .limit(MOST_LISTED as u64 + 1)
        .select_only()
        .column(member::Column::MemberId);
    Ok(query.into_tuple().all(txn).await?)
}

impl<'t> Rows<'t> {
    pub(super) fn new(
        txn: &'t Transaction,
        author: &'t Author,
        group: Uuid,
        version: i64,
        at: Timestamp,
    ) -> Self {
        Self {
            txn,
            author,
            group,
            version,
            at,
            position: None,
            warnings: Vec::new(),
            change: MembersChange::default(),
        }
    }

    pub(super) async fn run(&mut self, steps: &[Step]) -> Result<()> {
        for step in steps {
            match step {
                Step::Change { add, remove } => {
                    self.remove(remove).await?;
                    self.add(add).await?;
                }
                Step::RemoveMatching(selections) => self.remove_where(any(selections)).await?,
                Step::Replace(ids) if ids.is_empty() => self.remove_all().await?,
                Step::Replace(ids) => self.replace(ids).await?,
            }
        }
        Ok(())
    }

    /// In the order of the ids, so that two transactions that touch the same rows meet in the same order.
    async fn add(&mut self, ids: &BTreeSet<Uuid>) -> Result<()> {
        let ids: Vec<Uuid> = ids.iter().copied().collect();
        for chunk in ids.chunks(CHUNK) {
            let types = self.types(chunk).await?;
            let mut insert = Query::insert();
            insert
                .into_table(member::Entity)
                .columns([
                    member::Column::TenantId,
                    member::Column::GroupId,
                    member::Column::MemberId,
                    member::Column::MemberType,
                    member::Column::AddedAt,
                    member::Column::RequestId,
                ])
                .on_conflict(OnConflict::new().do_nothing().to_owned())
                .returning_col(member::Column::MemberId);
            let request_id = Some(&self.author.request_id).filter(|id| !id.is_empty());
            let mut any = false;
            for id in chunk {
                let Some(member_type) = types.get(id).copied().unwrap_or(Some(MemberType::Unknown)) else {
                    self.warn(format!("a member was skipped: the user {id} was deleted"));
                    continue;
                };
                if member_type == MemberType::Unknown {
                    self.warn(format!(
                        "no user or group has the id {id} (yet): the membership waits until one arrives"
                    ));
                }
                any = true;
                insert.values_panic([
                    self.author.tenant.uuid().into(),
                    self.group.into(),
                    (*id).into(),
                    (member_type as i16).into(),
                    self.at.micros().into(),
                    request_id.cloned().into(),
                ]);
            }
            if any {
                let added = self.returned(self.txn.query_all(&insert).await?)?;
                self.change.add(&added);
                self.log(Change::MembersAdded, &added).await?;
            }
        }
        Ok(())
    }

    /// What exists under these ids; `None` for a user that was deleted. What is not in the map is not known.
    async fn types(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, Option<MemberType>>> {
        let ids = ids.iter().copied();
        let users: Vec<(Uuid, bool)> = user::Entity::in_tenant(self.author.tenant)
            .filter(user::Column::UserId.is_in(ids.clone()))
            .order_by_asc(user::Column::UserId)
            // None of them is deleted, or comes back, before the membership is there for that to find.
            .lock(LockType::KeyShare)
            .select_only()
            .columns([user::Column::UserId, user::Column::Deleted])
            .into_tuple()
            .all(self.txn)
            .await?;
        let mut types = HashMap::with_capacity(users.len());
        for (id, deleted) in users {
            types.insert(id, (!deleted).then_some(MemberType::User));
        }
        let unknown: Vec<Uuid> = ids.filter(|id| !types.contains_key(id)).collect();
        if unknown.is_empty() {
            return Ok(types);
        }
        let groups: Vec<Uuid> = group::Entity::in_tenant(self.author.tenant)
            .filter(group::Column::Id.is_in(unknown))
            .select_only()
            .column(group::Column::Id)
            .into_tuple()
            .all(self.txn)
            .await?;
        types.extend(groups.into_iter().map(|id| (id, Some(MemberType::Group))));
        Ok(types)
    }

    async fn remove(&mut self, ids: &BTreeSet<Uuid>) -> Result<()> {
        let ids: Vec<Uuid> = ids.iter().copied().collect();
        for chunk in ids.chunks(CHUNK) {
            self.remove_where(member::Column::MemberId.is_in(chunk.iter().copied())).await?;
        }
        Ok(())
    }

    async fn remove_where(&mut self, which: Expr) -> Result<()> {
        let mut delete = Query::delete();
        delete
            .from_table(member::Entity)
            .and_where(member::Column::TenantId.eq(self.author.tenant.uuid()))
            .and_where(member::Column::GroupId.eq(self.group))
            .and_where(which)
            .returning_col(member::Column::MemberId);
        let removed = self.returned(self.txn.query_all(&delete).await?)?;
        self.change.remove(&removed);
        self.log(Change::MembersRemoved, &removed).await
    }

    async fn remove_all(&mut self) -> Result<()> {
        let removed = listed_members(self.txn, self.author.tenant, self.group).await?;
        self.change.remove(&removed);
        let removed = member::Entity::delete_many()
            .filter(member::Column::TenantId.eq(self.author.tenant.uuid()))
            .filter(member::Column::GroupId.eq(self.group))
            .exec(self.txn)
            .await?;
        if removed.rows_affected > 0 {
            self.append(Change::Emptied(removed.rows_affected)).await?;
        }
        Ok(())
    }

    /// The difference to what is there, found by walking the present members once, a page at a time.
    async fn replace(&mut self, ids: &BTreeSet<Uuid>) -> Result<()> {
        let mut missing = ids.clone();
        let mut after = Uuid::nil();
        loop {
            let page: Vec<Uuid> = member::Entity::in_tenant(self.author.tenant)
                .filter(member::Column::GroupId.eq(self.group))
                .filter(member::Column::MemberId.gt(after))
                .order_by_asc(member::Column::MemberId)
                .limit(MEMBER_PAGE)
                .select_only()
                .column(member::Column::MemberId)
                .into_tuple()
                .all(self.txn)
                .await?;
            let Some(last) = page.last() else { break };
            after = *last;
            let unwanted: BTreeSet<Uuid> = page.into_iter().filter(|id| !missing.remove(id)).collect();
            self.remove(&unwanted).await?;
        }
        self.add(&missing).await
    }

    fn returned(&self, rows: Vec<sea_orm::QueryResult>) -> Result<Vec<Uuid>> {
        let mut ids = Vec::with_capacity(rows.len());
        for row in &rows {
            ids.push(row.try_get::<Uuid>("", "member_id")?);
        }
        ids.sort_unstable();
        Ok(ids)
    }

    async fn log(&mut self, change: fn(Vec<Uuid>) -> Change, ids: &[Uuid]) -> Result<()> {
        for ids in ids.chunks(IDS_PER_ROW) {
            self.append(change(ids.to_vec())).await?;
        }
        Ok(())
    }

    async fn append(&mut self, change: Change) -> Result<()> {
        let event = Event { resource: self.group, version: self.version, change, at: self.at };
        self.position = Some(log::append(self.txn, self.author, event).await?);
        Ok(())
    }

    fn warn(&mut self, detail: String) {
        if self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(Warning { attribute: "members.value".to_owned(), detail });
        }
    }
}

fn any(selections: &[Selection]) -> Expr {
    selections.iter().map(condition).reduce(|a, b| a.or(b)).unwrap_or_else(|| Expr::val(1).eq(0))
}

fn condition(selection: &Selection) -> Expr {
    match selection {
        Selection::Const(all) => Expr::val(1).eq(i32::from(*all)),
        Selection::And(parts) => {
            parts.iter().map(condition).reduce(|a, b| a.and(b)).unwrap_or_else(|| Expr::val(1).eq(1))
        }
        Selection::Or(parts) => any(parts),
        Selection::Not(inner) => condition(inner).not(),
        Selection::Id(id) => member::Column::MemberId.eq(*id),
        // As a literal: the index of nested groups is one on `member_type = 2`.
        Selection::Type(member_type) => Expr::cust(format!("member_type = {}", *member_type as i16)),
    }
}
