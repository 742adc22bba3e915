//! Groups, one at a time: create, read, replace, patch, delete. Each write is one transaction.

use std::sync::Arc;

use platform::clock::Timestamp;
use platform::db::Transaction;
use platform::ids::{GroupId, TenantId};
use platform::{Error, Result};
use scim::Dialect;
use scim::patch::PatchRequest;
use sea_orm::sea_query::LockType;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QuerySelect, Set};
use serde_json::Value;
use uuid::Uuid;

use super::entity::{InTenant, group, member};
use super::log::{self, Event};
use super::members::{MembersChange, Rows, listed_members};
use super::{Author, Deleted, Store, Written, or_taken};
use crate::domain::group::{Attributes, resource_type};
use crate::domain::members::Plan;
use crate::domain::precondition::Precondition;

/// A PATCH, parsed, with the operations on members taken out into a plan.
#[derive(Clone, Debug)]
pub struct Patch {
    /// What is left: operations on attributes.
    pub attributes: PatchRequest,
    /// The operations on members.
    pub members: Plan,
    /// How to apply them.
    pub dialect: Dialect,
}

/// What a change makes of the attributes.
enum Change {
    Keep,
    Set(Attributes),
}

impl Store {
    /// A new group with these members.
    ///
    /// # Errors
    /// `Uniqueness` when the displayName is taken.
    pub async fn create(&self, author: Author, attributes: Attributes, members: Plan) -> Result<Written> {
        let id = GroupId::new(&self.clock);
        let at = self.now();
        let input = Arc::new((author, attributes, members));
        self.db
            .write(move |txn| {
                let input = input.clone();
                Box::pin(async move { insert(txn, &input.0, id, &input.1, &input.2, at).await })
            })
            .await
    }

    /// One group.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn get(&self, tenant: TenantId, id: GroupId) -> Result<group::Model> {
        let query = group::Entity::in_tenant(tenant).filter(group::Column::Id.eq(id.uuid()));
        query.one(self.db.read()).await?.ok_or_else(|| not_found(id))
    }

    /// Replaces attributes and members by those of a PUT body.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`, `Uniqueness`, and what the body is refused for.
    pub async fn replace(
        &self,
        author: Author,
        id: GroupId,
        body: Value,
        dialect: Dialect,
        precondition: Precondition,
    ) -> Result<Written> {
        let at = self.now();
        let input = Arc::new((author, body, precondition));
        self.db
            .write(move |txn| {
                let input = input.clone();
                Box::pin(async move {
                    let (author, body, precondition) = &*input;
                    let current = locked(txn, author.tenant, id, LockType::NoKeyUpdate).await?;
                    precondition.check(current.version)?;
                    let stored = stored(&current)?;
                    let mut decoded = scim::resource::replace(resource_type(), &dialect, stored, body)?;
                    let members = scim::resource::take_members(resource_type(), &mut decoded.resource)?;
                    let mut plan = Plan::replace(members, &dialect)?;
                    plan.warnings.splice(0..0, decoded.warnings);
                    let change = match decoded.resource == *stored {
                        true => Change::Keep,
                        false => Change::Set(Attributes::new(decoded.resource)?),
                    };
                    update(txn, author, current, change, &plan, at).await
                })
            })
            .await
    }

    /// Applies a PATCH: all of it or nothing.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`, `Uniqueness`, and what an operation is refused for.
    pub async fn patch(
        &self,
        author: Author,
        id: GroupId,
        patch: Patch,
        precondition: Precondition,
    ) -> Result<Written> {
        let at = self.now();
        let input = Arc::new((author, patch, precondition));
        self.db
            .write(move |txn| {
                let input = input.clone();
                Box::pin(async move {
                    let (author, patch, precondition) = &*input;
                    let current = locked(txn, author.tenant, id, LockType::NoKeyUpdate).await?;
                    precondition.check(current.version)?;
                    let mut plan = patch.members.clone();
                    let mut change = Change::Keep;
                    if !patch.attributes.operations.is_empty() {
                        let stored = stored(&current)?;
                        let outcome =
                            scim::patch::apply(resource_type(), &patch.dialect, stored, &patch.attributes)?;
                        plan.warnings.splice(0..0, outcome.warnings);
                        if outcome.changed {
                            change = Change::Set(Attributes::new(outcome.resource)?);
                        }
                    }
                    update(txn, author, current, change, &plan, at).await
                })
            })
            .await
    }

    /// Deletes a group, its memberships, and its places in other groups.
    ///
    /// # Errors
    /// `NotFound`, `VersionMismatch`.
    pub async fn delete(&self, author: Author, id: GroupId, precondition: Precondition) -> Result<Deleted> {
        let at = self.now();
        let input = Arc::new((author, precondition));
        self.db
            .write(move |txn| {
                let input = input.clone();
                Box::pin(async move {
                    let (author, precondition) = &*input;
                    let tenant = author.tenant;
                    let current = locked(txn, tenant, id, LockType::Update).await?;
                    precondition.check(current.version)?;
                    let mut members = MembersChange::default();
                    members.remove(&listed_members(txn, tenant, id.uuid()).await?);
                    for column in [member::Column::GroupId, member::Column::MemberId] {
                        member::Entity::delete_many()
                            .filter(member::Column::TenantId.eq(tenant.uuid()))
                            .filter(column.eq(id.uuid()))
                            .exec(txn)
                            .await?;
                    }
                    group::Entity::delete_many()
                        .filter(group::Column::TenantId.eq(tenant.uuid()))
                        .filter(group::Column::Id.eq(id.uuid()))
                        .exec(txn)
                        .await?;
                    let gone = event(id.uuid(), current.version + 1, log::Change::GroupDeleted, at);
                    let revision = log::append(txn, author, gone).await?;
                    Ok(Deleted {
                        revision,
                        changes: difference(stored(&current)?, &scim::Map::new()),
                        members,
                    })
                })
            })
            .await
    }
}

async fn insert(
    txn: &Transaction,
    author: &Author,
    id: GroupId,
    attributes: &Attributes,
    plan: &Plan,
    at: Timestamp,
) -> Result<Written> {
    let Attributes { display_name, display_name_key, external_id, json, search } = attributes.clone();
    let group = group::Model {
        tenant_id: author.tenant.uuid(),
        id: id.uuid(),
        display_name,
        display_name_key,
        external_id,
        created_at: at.micros(),
        updated_at: at.micros(),
        version: 1,
        attributes: json,
        search,
    };
    let row = group::ActiveModel::from(group.clone());
    group::Entity::insert(row).exec_without_returning(txn).await.map_err(or_taken)?;
    let created = log::append(txn, author, event(id.uuid(), 1, log::Change::GroupCreated, at)).await?;

    let mut rows = Rows::new(txn, author, id.uuid(), 1, at);
    rows.run(&plan.steps).await?;
    let revision = rows.position.unwrap_or(created);
    let changes = difference(&scim::Map::new(), stored(&group)?);
    let warnings = with(&plan.warnings, rows.warnings);
    Ok(Written { group, revision, warnings, changes, members: rows.change })
}

/// Carries out a change of a locked group. Without effect it leaves no trace: no new version, no row in the log.
async fn update(
    txn: &Transaction,
    author: &Author,
    current: group::Model,
    change: Change,
    plan: &Plan,
    at: Timestamp,
) -> Result<Written> {
    let version = current.version + 1;
    let mut position = None;
    let mut changes = Vec::new();
    let mut row = group::ActiveModel::from(current.clone());
    if let Change::Set(attributes) = change {
        let Attributes { display_name, display_name_key, external_id, json, search } = attributes;
        changes = difference(stored(&current)?, json.as_object().unwrap_or(&scim::Map::new()));
        row.display_name = Set(display_name);
        row.display_name_key = Set(display_name_key);
        row.external_id = Set(external_id);
        row.attributes = Set(json);
        row.search = Set(search);
        position =
            Some(log::append(txn, author, event(current.id, version, log::Change::GroupUpdated, at)).await?);
    }
    let mut rows = Rows::new(txn, author, current.id, version, at);
    rows.run(&plan.steps).await?;
    position = rows.position.or(position);
    let warnings = with(&plan.warnings, rows.warnings);
    let members = rows.change;

    let mut group = current;
    if position.is_some() {
        row.version = Set(version);
        row.updated_at = Set(at.micros().max(group.updated_at));
        group = row.update(txn).await.map_err(or_taken)?;
    }
    let revision = log::position_or_latest(txn, author.tenant, position).await?;
    Ok(Written { group, revision, warnings, changes, members })
}

async fn locked(txn: &Transaction, tenant: TenantId, id: GroupId, lock: LockType) -> Result<group::Model> {
    let query = group::Entity::in_tenant(tenant).filter(group::Column::Id.eq(id.uuid())).lock(lock);
    query.one(txn).await?.ok_or_else(|| not_found(id))
}

fn event(group: Uuid, version: i64, change: log::Change, at: Timestamp) -> Event {
    Event { resource: group, version, change, at }
}

/// A group's name is no secret: it is how an administrator knows the group.
fn difference(before: &scim::Map, after: &scim::Map) -> Vec<scim::Difference> {
    scim::difference(resource_type(), before, after, &["displayName", "externalId"])
}

fn stored(group: &group::Model) -> Result<&scim::Map> {
    group
        .attributes
        .as_object()
        .ok_or_else(|| Error::internal("the stored attributes of a group are no JSON object"))
}

fn not_found(id: GroupId) -> Error {
    Error::not_found(format!("no group has the id {id}"))
}

fn with(first: &[scim::Warning], then: Vec<scim::Warning>) -> Vec<scim::Warning> {
    let mut all = first.to_vec();
    all.extend(then);
    all
}
