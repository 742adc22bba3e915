//! Finding users.

use platform::clock::Timestamp;
use platform::db::filter::{self, Term, sort_key};
use platform::db::page::{Order, Place, Wanted};
use platform::ids::{TenantId, UserId};
use platform::{Error, Result};
use scim::filter::{AttrRef, Query};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select,
};
use serde_json::Value;
use uuid::Uuid;

use super::entities::users;
use super::{Store, columns, in_tenant};
use crate::domain::User;

/// What a list asks for.
pub(crate) struct Listing {
    /// All users when none.
    pub(crate) filter: Option<Query>,
    /// Terms of the filter that other services answered.
    pub(crate) terms: Vec<Term>,
    /// Order of creation when none.
    pub(crate) sort_by: Option<AttrRef>,
    pub(crate) descending: bool,
    pub(crate) wanted: Wanted,
}

/// A page of users.
pub(crate) struct Found {
    pub(crate) users: Vec<User>,
    /// How many match in all.
    pub(crate) total: i64,
    /// Where the next page begins; none on the last page and with paging by index.
    pub(crate) next: Option<Place>,
}

/// How the directory is asked for one user.
pub(crate) enum Named<'a> {
    Id(UserId),
    /// Compared exactly. Nothing keeps an identity provider from giving two users the same: the older one is found.
    ExternalId(&'a str),
    /// Folded.
    UserName(&'a str),
}

/// The columns of a [`User`].
#[derive(FromQueryResult)]
pub(super) struct Row {
    id: Uuid,
    version: i64,
    created_at: i64,
    updated_at: i64,
    attributes: Value,
}

impl Row {
    pub(super) fn columns(select: Select<users::Entity>) -> Select<users::Entity> {
        use users::Column::{Attributes, CreatedAt, Id, UpdatedAt, Version};
        select.select_only().columns([Id, Version, CreatedAt, UpdatedAt, Attributes])
    }

    pub(super) fn into_user(self) -> Result<User> {
        let Self { id, version, created_at, updated_at, attributes } = self;
        let Value::Object(attributes) = attributes else {
            return Err(Error::internal(format!("user {id}: attributes are not an object")));
        };
        Ok(User {
            id: UserId::from_uuid(id),
            version,
            created_at: Timestamp::from_micros(created_at),
            updated_at: Timestamp::from_micros(updated_at),
            attributes,
        })
    }
}

impl Store {
    pub(crate) async fn get(&self, tenant: TenantId, id: UserId) -> Result<Option<User>> {
        self.find(tenant, Named::Id(id)).await
    }

    pub(crate) async fn find(&self, tenant: TenantId, user: Named<'_>) -> Result<Option<User>> {
        let named = match user {
            Named::Id(id) => users::Column::Id.eq(id.uuid()),
            Named::ExternalId(external_id) => users::Column::ExternalId.eq(external_id),
            Named::UserName(user_name) => users::Column::UserNameKey.eq(user_name),
        };
        let select = Row::columns(in_tenant(tenant).filter(named)).order_by_asc(users::Column::Id).limit(1);
        let row = select.into_model::<Row>().one(self.db.read()).await?;
        row.map(Row::into_user).transpose()
    }

    pub(crate) async fn list(&self, tenant: TenantId, listing: Listing) -> Result<Found> {
        let backend = self.db.backend();
        let table = columns::of_users(tenant, listing.terms);
        let mut matching = in_tenant(tenant);
        if let Some(query) = &listing.filter {
            matching = matching.filter(filter::compile(query, &table, backend)?);
        }
        let key = match &listing.sort_by {
            // Ids are in the order of creation: that is the order by id already.
            Some(attr) if attr.name != "id" => Some(sort_key(attr, &table, backend)?),
            _ => None,
        };
        let order = Order { key, id: table.id, descending: listing.descending };

        let count = matching.clone().select_only().expr_as(Expr::cust("COUNT(*)"), "total");
        let total: Option<i64> = count.into_tuple().one(self.db.read()).await?;
        let total = total.unwrap_or(0);
        let limit = usize::try_from(listing.wanted.limit()).unwrap_or(usize::MAX);
        if limit == 0 || total == 0 {
            return Ok(Found { users: Vec::new(), total, next: None });
        }

        let mut page = Row::columns(matching);
        order.apply(QuerySelect::query(&mut page), &listing.wanted);
        let rows = self.db.read().query_all(&page.into_query()).await?;
        let mut users = Vec::with_capacity(rows.len().min(limit));
        for row in rows.iter().take(limit) {
            users.push(Row::from_query_result(row, "")?.into_user()?);
        }
        // One row more than asked for came back: there is another page.
        let next = match (rows.get(limit), rows.get(limit - 1), users.last()) {
            (Some(_), Some(last), Some(user)) => Some(order.place(last, user.id.uuid())?),
            _ => None,
        };
        Ok(Found { users, total, next })
    }
}
