//! The registry of teams, and the users in them.
//!
//! A team's slug stands in its users' attributes, where filters find it. So a rename or a deletion changes the registry in
//! one transaction and the users after it, each in its own. A writer of a user locks the teams it names against change, so
//! that each user is either seen by those transactions or written by the registry as it is behind the change. A call that
//! was cut off is finished by repeating it.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use platform::clock::Clock;
use platform::db::Transaction;
use platform::ids::{TeamId, TenantId, UserId};
use platform::{Error, Result};
use scim::{Map, Warning};
use sea_orm::sea_query::Condition;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select, SqlErr,
};
use uuid::Uuid;

use super::audit::{self, Deed};
use super::entities::{teams, user_teams};
use super::{Author, Store, log, schemas, write};
use crate::domain::role_teams::{self, Wanted};
use crate::domain::team::{self, Named, Team};
use crate::domain::{self, Edit};

/// Users whose ids are read at once, and those that are changed at once.
const BATCH: u64 = 500;
const AT_ONCE: usize = 4;

/// What is to be otherwise about a team.
#[derive(Clone, Debug, Default)]
pub(crate) struct TeamChange {
    pub(crate) slug: Option<String>,
    pub(crate) name: Option<String>,
}

impl Store {
    /// # Errors
    /// `Uniqueness` when the slug is taken.
    pub(crate) async fn create_team(&self, author: Author, slug: String, name: String) -> Result<Team> {
        let now = domain::moment(self.clock.now());
        let team = Team { id: TeamId::new(&self.clock), slug, name, created_at: now, updated_at: now };
        let work = Arc::new((author, team.clone(), self.clock.clone()));
        self.db
            .write(move |transaction| {
                let work = work.clone();
                Box::pin(async move {
                    let (author, team, clock) = work.as_ref();
                    let row = teams::ActiveModel {
                        tenant_id: Set(author.tenant.uuid()),
                        id: Set(team.id.uuid()),
                        slug: Set(team.slug.clone()),
                        slug_key: Set(scim::fold_str(&team.slug)),
                        name: Set(team.name.clone()),
                        created_at: Set(team.created_at.micros()),
                        updated_at: Set(team.updated_at.micros()),
                        is_going: Set(false),
                    };
                    teams::Entity::insert(row).exec_without_returning(transaction).await.map_err(taken)?;
                    note_deed(transaction, clock, author, "team.created", None, Some(team)).await
                })
            })
            .await?;
        Ok(team)
    }

    pub(crate) async fn team(&self, tenant: TenantId, named: Named) -> Result<Option<Team>> {
        let row =
            in_registry(tenant, &named).filter(teams::Column::IsGoing.eq(false)).one(self.db.read()).await?;
        Ok(row.map(team_of))
    }

    /// In order of slugs, those behind `after`.
    pub(crate) async fn teams(
        &self,
        tenant: TenantId,
        after: Option<String>,
        limit: u64,
    ) -> Result<Vec<Team>> {
        let mut select = teams_of(tenant).filter(teams::Column::IsGoing.eq(false));
        if let Some(after) = after {
            select = select.filter(teams::Column::SlugKey.gt(after));
        }
        let rows = select.order_by_asc(teams::Column::SlugKey).limit(limit).all(self.db.read()).await?;
        Ok(rows.into_iter().map(team_of).collect())
    }

    /// Changes a team, and what its users show of it.
    ///
    /// # Errors
    /// `NotFound`, and `Uniqueness` when the slug is taken.
    pub(crate) async fn update_team(&self, author: Author, named: Named, change: TeamChange) -> Result<Team> {
        let now = domain::moment(self.clock.now());
        let tenant = author.tenant;
        let work = Arc::new((author.clone(), named, change, self.clock.clone()));
        let team = self
            .db
            .write(move |transaction| {
                let work = work.clone();
                Box::pin(async move {
                    let (author, named, change, clock) = work.as_ref();
                    let mut team = locked(transaction, tenant, named).await?;
                    let before = team.clone();
                    let TeamChange { slug, name } = change.clone();
                    team.slug = slug.unwrap_or(team.slug);
                    team.name = name.unwrap_or(team.name);
                    team.updated_at = now;
                    let row = teams::ActiveModel {
                        slug: Set(team.slug.clone()),
                        slug_key: Set(scim::fold_str(&team.slug)),
                        name: Set(team.name.clone()),
                        updated_at: Set(now.micros()),
                        ..Default::default()
                    };
                    set(transaction, tenant, team.id, row).await?;
                    // A repetition that finishes what was cut off does nothing here.
                    if (&team.slug, &team.name) != (&before.slug, &before.name) {
                        note_deed(transaction, clock, author, "team.updated", Some(&before), Some(&team))
                            .await?;
                    }
                    Ok(team)
                })
            })
            .await?;
        self.change_members(author, team.id, Some(team.slug.clone())).await?;
        Ok(team)
    }

    /// Takes a team out of the registry and off its users.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) async fn delete_team(&self, author: Author, named: Named) -> Result<()> {
        let tenant = author.tenant;
        let work = Arc::new((author.clone(), named, self.clock.clone()));
        let id = self
            .db
            .write(move |transaction| {
                let work = work.clone();
                Box::pin(async move {
                    let (author, named, clock) = work.as_ref();
                    // Also one that an earlier call left on its way out, by its id.
                    let row = in_registry(tenant, named).order_by_asc(teams::Column::IsGoing);
                    let row = row.lock_exclusive().one(transaction).await?.ok_or_else(team::no_such_team)?;
                    let is_news = !row.is_going;
                    let team = team_of(row);
                    let going = teams::ActiveModel { is_going: Set(true), ..Default::default() };
                    set(transaction, tenant, team.id, going).await?;
                    if is_news {
                        note_deed(transaction, clock, author, "team.deleted", Some(&team), None).await?;
                    }
                    Ok(team.id)
                })
            })
            .await?;
        self.change_members(author, id, None).await?;
        self.db
            .write(move |transaction| {
                Box::pin(async move {
                    let gone = teams::Entity::delete_many()
                        .filter(teams::Column::TenantId.eq(tenant.uuid()))
                        .filter(teams::Column::Id.eq(id.uuid()));
                    gone.exec(transaction).await?;
                    Ok(())
                })
            })
            .await
    }

    /// Shows the team's users under its new slug, or takes them out of it.
    async fn change_members(&self, author: Author, team: TeamId, slug: Option<String>) -> Result<()> {
        let work = Arc::new((author, self.schemas.clone(), slug));
        let mut after = None;
        loop {
            let mut members = members_of(work.0.tenant, team);
            if let Some(after) = after {
                members = members.filter(user_teams::Column::UserId.gt(after));
            }
            let members = members.select_only().column(user_teams::Column::UserId);
            let members = members.order_by_asc(user_teams::Column::UserId).limit(BATCH);
            let ids: Vec<Uuid> = members.into_tuple().all(self.db.read()).await?;
            let Some(last) = ids.last() else { return Ok(()) };
            after = Some(*last);
            let changes =
                ids.into_iter().map(|id| self.change_member(work.clone(), team, UserId::from_uuid(id)));
            stream::iter(changes).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
    }

    /// Each user in a transaction of its own. The log's order is that in which transactions got their number, which is with the
    /// first lock: of two users in one transaction, the second's row would stand before what others did to it meanwhile.
    async fn change_member(
        &self,
        work: Arc<(Author, schemas::Schemas, Option<String>)>,
        team: TeamId,
        id: UserId,
    ) -> Result<()> {
        let now = domain::moment(self.clock.now());
        self.db
            .write(move |transaction| {
                let work = work.clone();
                Box::pin(async move {
                    let (author, schemas, slug) = work.as_ref();
                    let schema = schemas.locked(transaction, author.tenant).await?;
                    let current = write::locked_if_there(transaction, author.tenant, id).await?;
                    let (Some(current), Some(urn)) = (current, schema.role_teams.as_deref()) else {
                        return Ok(());
                    };
                    let changed = role_teams::with_team(urn, &current.attributes, team, slug.as_deref());
                    if let Some(attributes) = changed {
                        write::save(transaction, author, &schema, &current, attributes, Vec::new(), now)
                            .await?;
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// Notes in log and audit what was done to a team.
async fn note_deed(
    transaction: &Transaction,
    clock: &Clock,
    author: &Author,
    action: &'static str,
    before: Option<&Team>,
    after: Option<&Team>,
) -> Result<()> {
    let Some(id) = before.or(after).map(|team| team.id) else { return Ok(()) };
    let state = |team: &Team| {
        Map::from_iter([
            ("slug".to_owned(), team.slug.as_str().into()),
            ("name".to_owned(), team.name.as_str().into()),
        ])
    };
    let (before, after) = (before.map(state).unwrap_or_default(), after.map(state).unwrap_or_default());
    log::append_deed(transaction, author, action, id.uuid(), 0, clock.now()).await?;
    audit::record(transaction, clock, author, Deed::between(action, id.to_string(), before, after)).await
}

/// Brings the teams that attributes name up to date with the registry: a renamed one shows its new slug, one that is no
/// more is left out. Nobody changes the others until the transaction ends.
pub(super) async fn refresh(
    transaction: &Transaction,
    tenant: TenantId,
    urn: &str,
    attributes: &mut Map,
) -> Result<()> {
    let named = role_teams::teams_of(urn, attributes);
    let wanted = named.iter().map(|id| Wanted { id: Some(*id), slug_key: None }).collect();
    let registry = look_up(transaction, tenant, wanted).await?;
    for id in named {
        let slug = registry.iter().find(|team| team.id == id).map(|team| team.slug.as_str());
        if let Some(changed) = role_teams::with_team(urn, attributes, id, slug) {
            *attributes = changed;
        }
    }
    Ok(())
}

/// Lets the rules of role and teams decide about an edit, with the teams of the registry that it names.
pub(super) async fn settle(
    transaction: &Transaction,
    tenant: TenantId,
    current: Option<&Map>,
    edit: Edit,
) -> Result<(Map, Vec<Warning>)> {
    let Edit { mut attributes, mut warnings, role_teams } = edit;
    if let Some(rules) = role_teams {
        let registry = look_up(transaction, tenant, rules.wanted(current, &attributes)).await?;
        rules.apply(current, &mut attributes, &registry, &mut warnings)?;
    }
    Ok((attributes, warnings))
}

/// The teams of the registry that are wanted. Nobody changes them until the transaction ends.
async fn look_up(transaction: &Transaction, tenant: TenantId, wanted: Vec<Wanted>) -> Result<Vec<Team>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let ids = wanted.iter().filter_map(|wanted| wanted.id).map(TeamId::uuid);
    let slugs = wanted.iter().filter_map(|wanted| wanted.slug_key.clone());
    let named = Condition::any().add(teams::Column::Id.is_in(ids)).add(teams::Column::SlugKey.is_in(slugs));
    let found = teams_of(tenant).filter(teams::Column::IsGoing.eq(false)).filter(named);
    // In one order, so that writers do not wait for each other in a circle.
    let rows = found.order_by_asc(teams::Column::Id).lock_shared().all(transaction).await?;
    Ok(rows.into_iter().map(team_of).collect())
}

/// Notes which teams a user is in.
pub(super) async fn note(
    transaction: &Transaction,
    tenant: TenantId,
    user: UserId,
    before: &[TeamId],
    after: &[TeamId],
) -> Result<()> {
    let left: Vec<Uuid> = before.iter().filter(|id| !after.contains(id)).map(|id| id.uuid()).collect();
    if !left.is_empty() {
        user_teams::Entity::delete_many()
            .filter(user_teams::Column::TenantId.eq(tenant.uuid()))
            .filter(user_teams::Column::UserId.eq(user.uuid()))
            .filter(user_teams::Column::TeamId.is_in(left))
            .exec(transaction)
            .await?;
    }
    let mut joined: Vec<user_teams::ActiveModel> = Vec::new();
    for team in after.iter().filter(|id| !before.contains(id)) {
        joined.push(user_teams::ActiveModel {
            tenant_id: Set(tenant.uuid()),
            team_id: Set(team.uuid()),
            user_id: Set(user.uuid()),
        });
    }
    if !joined.is_empty() {
        user_teams::Entity::insert_many(joined).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Removes the registry of a tenant whose users are gone.
pub(super) async fn purge(transaction: &Transaction, tenant: TenantId) -> Result<()> {
    teams::Entity::delete_many().filter(teams::Column::TenantId.eq(tenant.uuid())).exec(transaction).await?;
    Ok(())
}

async fn locked(transaction: &Transaction, tenant: TenantId, named: &Named) -> Result<Team> {
    let row = in_registry(tenant, named).filter(teams::Column::IsGoing.eq(false)).lock_exclusive();
    Ok(team_of(row.one(transaction).await?.ok_or_else(team::no_such_team)?))
}

async fn set(transaction: &Transaction, tenant: TenantId, id: TeamId, row: teams::ActiveModel) -> Result<()> {
    let one = teams::Entity::update_many()
        .set(row)
        .filter(teams::Column::TenantId.eq(tenant.uuid()))
        .filter(teams::Column::Id.eq(id.uuid()));
    one.exec(transaction).await.map_err(taken)?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "limits a query to a tenant, as `in_tenant` does for users")]
fn teams_of(tenant: TenantId) -> Select<teams::Entity> {
    teams::Entity::find().filter(teams::Column::TenantId.eq(tenant.uuid()))
}

fn in_registry(tenant: TenantId, named: &Named) -> Select<teams::Entity> {
    match named {
        Named::Id(id) => teams_of(tenant).filter(teams::Column::Id.eq(id.uuid())),
        Named::Slug(key) => teams_of(tenant).filter(teams::Column::SlugKey.eq(key.as_str())),
    }
}

#[expect(clippy::disallowed_methods, reason = "limits a query to a tenant, as `in_tenant` does for users")]
fn members_of(tenant: TenantId, team: TeamId) -> Select<user_teams::Entity> {
    user_teams::Entity::find()
        .filter(user_teams::Column::TenantId.eq(tenant.uuid()))
        .filter(user_teams::Column::TeamId.eq(team.uuid()))
}

fn team_of(row: teams::Model) -> Team {
    Team {
        id: TeamId::from_uuid(row.id),
        slug: row.slug,
        name: row.name,
        created_at: platform::clock::Timestamp::from_micros(row.created_at),
        updated_at: platform::clock::Timestamp::from_micros(row.updated_at),
    }
}

/// The one unique index besides the primary key is that of the slug.
fn taken(error: DbErr) -> Error {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => team::slug_taken(),
        _ => error.into(),
    }
}
