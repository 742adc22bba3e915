//! Finding users.

use platform::clock::Timestamp;
use platform::db::filter::{self, Term, sort_key};
use platform::db::page::{Item, Order, Place, Taken, Total, Wanted};
use platform::ids::{TenantId, UserId};
use platform::{Error, Result};
use scim::Map;
use scim::filter::{AttrRef, Query};
use sea_orm::sea_query::ExprTrait;
use sea_orm::{
    ColumnTrait, FromQueryResult, IntoSimpleExpr, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select,
};
use serde_json::Value;
use uuid::Uuid;

use super::entities::users;
use super::{Store, columns, in_tenant};
use crate::domain::{Schema, User};

/// How often a list is asked for anew when the tenant's schemas change meanwhile.
const ATTEMPTS: u32 = 3;

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
    pub(crate) users: Vec<Text>,
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

/// A user for those who pass it on: its attributes are JSON, as the database has it. To read and to write it again would be
/// most of the work of a page.
#[derive(FromQueryResult)]
pub(crate) struct Text {
    pub(crate) id: Uuid,
    pub(crate) version: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    attributes: String,
}

impl Text {
    fn columns(select: Select<users::Entity>) -> Select<users::Entity> {
        use users::Column::{Attributes, CreatedAt, Id, UpdatedAt, Version};
        let text = Attributes.into_simple_expr().cast_as("text");
        select.select_only().columns([Id, Version, CreatedAt, UpdatedAt]).expr_as(text, "attributes")
    }

    /// The attributes as a client sees them ([`User::shown`]).
    pub(crate) fn into_shown(self) -> Result<Vec<u8>> {
        // Compact as serde writes it, with a space as PostgreSQL does. No string can hold it: its quotes would be escaped.
        if !self.attributes.contains(r#""active":null"#) && !self.attributes.contains(r#""active": null"#) {
            return Ok(self.attributes.into_bytes());
        }
        let mut attributes: Map = serde_json::from_str(&self.attributes).map_err(Error::internal)?;
        crate::domain::hide_null(&mut attributes);
        serde_json::to_vec(&attributes).map_err(Error::internal)
    }
}

impl Store {
    pub(crate) async fn get(&self, tenant: TenantId, id: UserId) -> Result<Option<Text>> {
        let select = Text::columns(in_tenant(tenant).filter(users::Column::Id.eq(id.uuid())));
        Ok(select.into_model::<Text>().one(self.db.read()).await?)
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

    /// What `ask` makes of the tenant's schema.
    ///
    /// # Errors
    /// What `ask` returns, and `Unavailable` while what is asked for is not searchable by the schema yet.
    pub(crate) async fn list<F>(&self, tenant: TenantId, ask: F) -> Result<Found>
    where
        F: Fn(&Schema) -> Result<Listing>,
    {
        for _ in 0..ATTEMPTS {
            let known = self.schema(tenant).await?;
            let listing = ask(&known.schema)?;
            known.schema.check_searchable(listing.filter.as_ref(), listing.sort_by.as_ref())?;
            let is_plain = listing.filter.is_none() && listing.sort_by.is_none();
            let found = self.search(tenant, listing).await?;
            // When the schema changed meanwhile, what was searched may have been folded by another than was asked by.
            if is_plain || known.is_built_in() || self.schema(tenant).await?.stamp == known.stamp {
                return Ok(found);
            }
        }
        Err(Error::unavailable("the tenant's schemas are being changed; try again shortly"))
    }

    async fn search(&self, tenant: TenantId, listing: Listing) -> Result<Found> {
        let _turn = self.fair.turn(tenant).await?;
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

        let total = match &listing.filter {
            Some(_) => Total::Counted,
            None => Total::Kept("user_counts", tenant),
        };
        let page = Text::columns(matching).into_query();
        let Taken { items, next, total } = order
            .read(self.db.read(), page, total, &listing.wanted, |row| {
                let user = Text::from_query_result(row, "")?;
                Ok(Item { id: user.id, bytes: user.attributes.len(), value: user })
            })
            .await?;
        Ok(Found { users: items, total, next })
    }
}
