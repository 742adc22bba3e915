//! Schema of the identity service.

mod m20261122_000001_users;
mod m20261122_000002_extension_schemas;
mod m20261122_000003_teams;
mod m20261122_000004_purged_tenants;
mod m20261122_000005_log_horizon;
mod m20261122_000006_suspended_users;
mod m20261122_000007_audit;
mod m20261122_000008_user_counts;

use sea_orm_migration::prelude::*;

/// The migrations of the identity service, in order.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_users::Migration),
            Box::new(m20261122_000002_extension_schemas::Migration),
            Box::new(m20261122_000003_teams::Migration),
            Box::new(m20261122_000004_purged_tenants::Migration),
            Box::new(m20261122_000005_log_horizon::Migration),
            Box::new(m20261122_000006_suspended_users::Migration),
            Box::new(m20261122_000007_audit::Migration),
            Box::new(m20261122_000008_user_counts::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "identity_migrations".into_iden()
    }
}
