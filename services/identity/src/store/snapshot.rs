//! Everybody, some at a time: for followers that begin anew, and for exports.

use platform::Result;
use platform::ids::{TenantId, UserId};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::entities::users;
use super::read::Row;
use super::{Change, Store, in_tenant};
use crate::domain::User;

impl Store {
    /// Users of all tenants as changes that made them so, in order of tenants and ids, those behind `after`. With where the
    /// next ones begin; none when these were the last.
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever follows the log of all tenants needs the users of all"
    )]
    pub(crate) async fn everybody(
        &self,
        after: Option<(TenantId, UserId)>,
        limit: u64,
    ) -> Result<(Vec<Change>, Option<(TenantId, UserId)>)> {
        use users::Column::{Id, TenantId as Tenant};

        let mut keys = users::Entity::find();
        if let Some((tenant, user)) = after {
            let place = Expr::tuple([Expr::value(tenant.uuid()), Expr::value(user.uuid())]);
            keys = keys.filter(Expr::tuple([Expr::col(Tenant), Expr::col(Id)]).gt(place));
        }
        let keys =
            keys.select_only().columns([Tenant, Id]).order_by_asc(Tenant).order_by_asc(Id).limit(limit);
        let keys: Vec<(Uuid, Uuid)> = keys.into_tuple().all(self.db.read()).await?;

        let mut changes = Vec::with_capacity(keys.len());
        for run in keys.chunk_by(|a, b| a.0 == b.0) {
            let tenant = TenantId::from_uuid(run[0].0);
            let ids = run.iter().map(|(_, id)| *id);
            let select = Row::columns(in_tenant(tenant).filter(Id.is_in(ids))).order_by_asc(Id);
            let schema = self.schema(tenant).await?.schema;
            for row in select.into_model::<Row>().all(self.db.read()).await? {
                changes.push(Change::of(tenant, &row.into_user()?, schema.role_teams.as_deref()));
            }
        }
        let last = keys.last().filter(|_| keys.len() as u64 == limit);
        Ok((changes, last.map(|(tenant, id)| (TenantId::from_uuid(*tenant), UserId::from_uuid(*id)))))
    }

    /// Users of a tenant in order of ids, those behind `after`.
    pub(crate) async fn everybody_of(
        &self,
        tenant: TenantId,
        after: Option<UserId>,
        limit: u64,
    ) -> Result<Vec<User>> {
        let mut select = in_tenant(tenant);
        if let Some(after) = after {
            select = select.filter(users::Column::Id.gt(after.uuid()));
        }
        let select = Row::columns(select).order_by_asc(users::Column::Id).limit(limit);
        select.into_model::<Row>().all(self.db.read()).await?.into_iter().map(Row::into_user).collect()
    }
}
