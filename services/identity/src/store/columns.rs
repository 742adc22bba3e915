//! Which attributes of a user rest in indexed columns, for filters and sorting.

use platform::db::filter::{Column, Rows, Table, Term};
use platform::ids::TenantId;
use sea_orm::sea_query::{BinOper, Expr, ExprTrait, Query};

use super::entities::{emails, users};

/// Users of a tenant, as filters see them. `terms` are what other services answered.
pub(super) fn of_users(tenant: TenantId, terms: Vec<Term>) -> Table {
    let column = |column: users::Column| Expr::col((users::Entity, column));
    Table {
        id: column(users::Column::Id),
        search: column(users::Column::Search),
        columns: vec![
            ("id", Column::Uuid(column(users::Column::Id))),
            ("userName", Column::RequiredText(column(users::Column::UserNameKey))),
            ("externalId", Column::Text(column(users::Column::ExternalId))),
            ("displayName", Column::Text(column(users::Column::DisplayNameKey))),
            ("active", Column::Boolean(column(users::Column::Active))),
            ("meta", Column::Always),
            ("meta.resourceType", Column::RequiredText(Expr::cust("'User'"))),
            ("meta.created", Column::Time(column(users::Column::CreatedAt))),
            ("meta.lastModified", Column::Time(column(users::Column::UpdatedAt))),
            ("meta.version", Column::RequiredText(etag(column(users::Column::Version)))),
            ("meta.location", Column::Refused("cannot be used in a filter; use id")),
            (
                "groups",
                Column::Elsewhere(
                    terms,
                    "users can be filtered by their groups only with `groups.value eq \"<id of a group>\"`",
                ),
            ),
        ],
        rows: vec![of_emails(tenant)],
    }
}

fn of_emails(tenant: TenantId) -> Rows {
    let column = |column: emails::Column| Expr::col((emails::Entity, column));
    let mut owners = Query::select();
    owners
        .expr(column(emails::Column::UserId))
        .from(emails::Entity)
        .and_where(column(emails::Column::TenantId).eq(tenant.uuid()));
    Rows {
        attribute: "emails",
        owners,
        columns: vec![
            ("emails.value", Column::Text(column(emails::Column::ValueKey))),
            ("emails.type", Column::Text(column(emails::Column::TypeKey))),
            ("emails.primary", Column::Boolean(column(emails::Column::IsPrimary))),
        ],
        in_search: true,
    }
}

/// `W/"<version>"`, as `meta.version` shows it.
fn etag(version: Expr) -> Expr {
    let join = |left: Expr, right: Expr| left.binary(BinOper::Custom("||"), right);
    join(join(Expr::cust("'W/\"'"), version.cast_as("text")), Expr::cust("'\"'"))
}
