//! Lists of groups: filter, sort, pages, true totals; all of it in the database.

use platform::Result;
use platform::db::cursor::Cursors;
use platform::db::filter::{self, Column, Rows, Table};
use platform::db::page::{Item, Order, Taken, Total, Wanted, json_bytes};
use platform::ids::TenantId;
use scim::filter::{AttrRef, Query};
use sea_orm::sea_query::{Alias, BinOper, Expr, ExprTrait, Query as Sql};
use sea_orm::{ColumnTrait, FromQueryResult, QueryFilter, QueryTrait};

use super::Store;
use super::entity::{InTenant, group, member};
use crate::domain::members::MemberType;

/// What a list is sorted by; without a key by creation.
#[derive(Clone, Debug, Default)]
pub struct Sorting {
    /// As `scim::sort::resolve` found it.
    pub key: Option<AttrRef>,
    /// Largest first.
    pub descending: bool,
}

/// A page of groups.
#[derive(Clone, Debug)]
pub struct Listing {
    /// How many match in all.
    pub total: i64,
    /// This page, in order.
    pub groups: Vec<group::Model>,
    /// Where the next page begins; empty when there is none or pages are by index.
    pub next_cursor: String,
}

impl Store {
    /// A page of the groups that satisfy the filter. `bound_to` is what a cursor of this list opens with.
    ///
    /// # Errors
    /// `InvalidFilter` and `InvalidValue` for what cannot be asked or sorted by, naming the attribute.
    pub async fn list(
        &self,
        tenant: TenantId,
        query: Option<&Query>,
        sorting: &Sorting,
        wanted: &Wanted,
        cursors: &Cursors,
        bound_to: &[&str],
    ) -> Result<Listing> {
        let _turn = self.fair.turn(tenant).await?;
        let table = table(tenant);
        let mut matching = group::Entity::in_tenant(tenant);
        if let Some(query) = query {
            matching = matching.filter(filter::compile(query, &table, self.db.backend())?);
        }
        let key = match &sorting.key {
            // `sortBy=id` is the order there is anyway.
            Some(attr) if attr.name == "id" => None,
            Some(attr) => Some(filter::sort_key(attr, &table, self.db.backend())?),
            None => None,
        };
        let order = Order { key, id: table.id.clone(), descending: sorting.descending };
        let total = match query {
            Some(_) => Total::Counted,
            None => Total::Kept("group_counts", tenant),
        };
        let Taken { items: groups, next, total } = order
            .read(self.db.read(), matching.into_query(), total, wanted, |row| {
                let group = group::Model::from_query_result(row, "")?;
                Ok(Item { id: group.id, bytes: json_bytes(&group.attributes), value: group })
            })
            .await?;
        let next_cursor = next.map(|place| cursors.seal(bound_to, &place)).transpose()?.unwrap_or_default();
        Ok(Listing { total, groups, next_cursor })
    }
}

/// Where the attributes of a group rest.
fn table(tenant: TenantId) -> Table {
    let column = |column: group::Column| Expr::col((group::Entity, column));
    let member_column = |column: member::Column| Expr::col((member::Entity, column));
    let member_type = |of: MemberType| member::Column::MemberType.eq(of as i16);
    // Whoever waits to arrive is no member yet.
    let owners = Sql::select()
        .column((member::Entity, member::Column::GroupId))
        .from(member::Entity)
        .and_where(member::Column::TenantId.eq(tenant.uuid()))
        .and_where(member_type(MemberType::Unknown).not())
        .to_owned();
    let type_name: Expr = Expr::case(member_type(MemberType::User), Expr::val("user"))
        .case(member_type(MemberType::Group), Expr::val("group"))
        .into();
    Table {
        id: column(group::Column::Id),
        search: column(group::Column::Search),
        columns: vec![
            ("id", Column::Uuid(column(group::Column::Id))),
            ("displayName", Column::RequiredText(column(group::Column::DisplayNameKey))),
            ("externalId", Column::Text(column(group::Column::ExternalId))),
            ("meta", Column::Always),
            ("meta.created", Column::Time(column(group::Column::CreatedAt))),
            ("meta.lastModified", Column::Time(column(group::Column::UpdatedAt))),
            ("meta.resourceType", Column::RequiredText(Expr::cust("'Group'"))),
            ("meta.version", Column::RequiredText(etag(column(group::Column::Version)))),
            ("meta.location", Column::Refused("cannot be used in a filter; use id")),
        ],
        rows: vec![Rows {
            attribute: "members",
            owners,
            columns: vec![
                ("members.value", Column::Uuid(member_column(member::Column::MemberId))),
                ("members.type", Column::Text(type_name.cast_as(Alias::new("text")))),
                ("members.$ref", Column::Refused("cannot be used in a filter; use members.value")),
                (
                    "members.display",
                    Column::Refused(
                        "cannot be used in a filter; find the member by its name, then use members.value",
                    ),
                ),
            ],
            in_search: false,
        }],
    }
}

/// `W/"<version>"`, as `meta.version` shows it.
fn etag(version: Expr) -> Expr {
    let join = |left: Expr, right: Expr| left.binary(BinOper::Custom("||"), right);
    join(join(Expr::cust("'W/\"'"), version.cast_as(Alias::new("text"))), Expr::cust("'\"'"))
}
