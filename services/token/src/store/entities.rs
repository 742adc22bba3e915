//! The rows (`migrations/src/token`).

/// A tenant.
pub mod tenants {
    use sea_orm::entity::prelude::*;

    /// Row.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "tenants")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
        pub name_key: String,
        pub state: String,
        pub preset: String,
        pub dialect: String,
        pub dialect_auto: bool,
        pub dialect_sign: Option<String>,
        pub dialect_recognised_at_us: Option<i64>,
        pub scim_path: String,
        #[sea_orm(column_type = "JsonBinary")]
        pub settings: Json,
        pub scim_enabled: bool,
        pub scim_enabled_at_us: i64,
        pub version: i64,
        pub created_at_us: i64,
        pub updated_at_us: i64,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A provisioning secret of a tenant.
pub mod credentials {
    use sea_orm::entity::prelude::*;

    /// Row.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "credentials")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub label: String,
        pub secret_sha256: Vec<u8>,
        pub created_at_us: i64,
        pub expires_at_us: Option<i64>,
        pub last_used_at_us: Option<i64>,
        pub revoked_at_us: Option<i64>,
        pub replaces: Option<Uuid>,
        pub rotation: Option<String>,
    }

    /// To the tenant, for resolving.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        /// Whose it is.
        #[sea_orm(
            belongs_to = "super::tenants::Entity",
            from = "Column::TenantId",
            to = "super::tenants::Column::Id"
        )]
        Tenant,
    }

    impl Related<super::tenants::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Tenant.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// An administrator's secret.
pub mod admin_credentials {
    use sea_orm::entity::prelude::*;

    /// Row.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "admin_credentials")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub label: String,
        pub secret_sha256: Vec<u8>,
        pub created_at_us: i64,
        pub last_used_at_us: Option<i64>,
        pub revoked_at_us: Option<i64>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An OAuth client.
pub mod clients {
    use sea_orm::entity::prelude::*;

    /// Row.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "clients")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub is_system: bool,
        pub tenant_id: Option<Uuid>,
        pub name: String,
        pub name_key: String,
        pub scopes: String,
        pub secret_sha256: Vec<u8>,
        pub created_at_us: i64,
        pub version: i64,
        pub token_epoch: i64,
        pub jwks: Option<String>,
        pub federation_issuer: Option<String>,
        pub federation_audience: Option<String>,
        pub federation_subject: Option<String>,
    }

    /// To the tenant it is bound to, if any.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        /// The one tenant it may ask about.
        #[sea_orm(
            belongs_to = "super::tenants::Entity",
            from = "Column::TenantId",
            to = "super::tenants::Column::Id"
        )]
        Tenant,
    }

    impl Related<super::tenants::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Tenant.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// An earlier secret of an OAuth client that still works.
pub mod client_secrets {
    use sea_orm::entity::prelude::*;

    /// Row.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "client_secrets")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub client_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub secret_sha256: Vec<u8>,
        pub ends_at_us: i64,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An assertion that an OAuth client has used up.
pub mod used_assertions {
    use sea_orm::entity::prelude::*;

    /// Row.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "used_assertions")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub client_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub jti_sha256: Vec<u8>,
        pub ends_at_us: i64,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// An issuer that a tenant trusts.
pub mod trusted_issuers {
    use sea_orm::entity::prelude::*;

    /// Row.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "trusted_issuers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub label: String,
        pub issuer: String,
        pub audience: String,
        pub directory_id: String,
        pub app_id: String,
        pub subject: String,
        pub created_at_us: i64,
    }

    /// To the tenant, for resolving.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {
        /// Who trusts it.
        #[sea_orm(
            belongs_to = "super::tenants::Entity",
            from = "Column::TenantId",
            to = "super::tenants::Column::Id"
        )]
        Tenant,
    }

    impl Related<super::tenants::Entity> for Entity {
        fn to() -> RelationDef {
            Relation::Tenant.def()
        }
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// A request of an administrator that may be repeated.
pub mod idempotency_keys {
    use sea_orm::entity::prelude::*;

    /// Row.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "idempotency_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub subject: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub key_sha256: Vec<u8>,
        pub fingerprint: Vec<u8>,
        pub state: String,
        pub sealed_answer: Option<Vec<u8>>,
        pub began_at_us: i64,
        pub attempt: Option<String>,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// A signing key.
pub mod signing_keys {
    use sea_orm::entity::prelude::*;

    /// Row.
    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "signing_keys")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub generation: i64,
        pub public_key: Vec<u8>,
        pub sealed_private_key: Vec<u8>,
        pub created_at_us: i64,
        pub signs_from_us: i64,
    }

    /// None.
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}
