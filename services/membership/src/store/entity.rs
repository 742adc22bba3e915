//! The tables, row by row. A query over one starts with [`InTenant::in_tenant`].

use platform::ids::TenantId;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, Select};

/// Groups.
pub mod group {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "groups")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub display_name: String,
        /// `scim::fold_str(display_name)`: unique in the tenant.
        pub display_name_key: String,
        pub external_id: Option<String>,
        /// Microseconds since the Unix epoch, as every time.
        pub created_at: i64,
        pub updated_at: i64,
        pub version: i64,
        /// The SCIM object without `id`, `meta` and `members`.
        #[sea_orm(column_type = "JsonBinary")]
        pub attributes: Json,
        /// The folded copy that filters look at.
        #[sea_orm(column_type = "JsonBinary")]
        pub search: Json,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// Direct memberships.
pub mod member {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "group_members")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub group_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub member_id: Uuid,
        /// A [`crate::domain::members::MemberType`].
        pub member_type: i16,
        pub added_at: i64,
        /// Correlation id of the request that added it.
        pub request_id: Option<String>,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The projection of users.
pub mod user {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "users")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: Uuid,
        pub version: i64,
        /// A tombstone: the names are empty, and no later change of a lower version brings it back.
        pub deleted: bool,
        pub user_name: String,
        pub user_name_key: String,
        pub external_id: Option<String>,
        pub display_name: Option<String>,
        pub active: bool,
        pub role: Option<String>,
        /// A JSON array of the teams' ids.
        #[sea_orm(column_type = "JsonBinary")]
        pub team_ids: Json,
        /// A JSON array of the teams' slugs, in the same order.
        #[sea_orm(column_type = "JsonBinary")]
        pub team_slugs: Json,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An entity of which every row belongs to a tenant.
pub trait InTenant: EntityTrait {
    /// The column that says so.
    const TENANT: Self::Column;

    /// The rows of one tenant: the only way to start a query.
    #[expect(clippy::disallowed_methods, reason = "this is the in_tenant() that the ban points to")]
    fn in_tenant(tenant: TenantId) -> Select<Self> {
        Self::find().filter(Self::TENANT.eq(tenant.uuid()))
    }
}

impl InTenant for group::Entity {
    const TENANT: group::Column = group::Column::TenantId;
}

impl InTenant for member::Entity {
    const TENANT: member::Column = member::Column::TenantId;
}

impl InTenant for user::Entity {
    const TENANT: user::Column = user::Column::TenantId;
}
