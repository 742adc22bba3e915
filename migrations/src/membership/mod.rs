//! Schema of the membership service.

mod m20261122_000001_groups;
mod m20261122_000002_role_and_teams;
mod m20261122_000003_purged_tenants;
mod m20261122_000004_log_horizon;
mod m20261122_000005_reasons;
mod m20261122_000006_group_counts;

use sea_orm_migration::prelude::*;

/// The migrations of the membership service, in order.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_groups::Migration),
            Box::new(m20261122_000002_role_and_teams::Migration),
            Box::new(m20261122_000003_purged_tenants::Migration),
            Box::new(m20261122_000004_log_horizon::Migration),
            Box::new(m20261122_000005_reasons::Migration),
            Box::new(m20261122_000006_group_counts::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "membership_migrations".into_iden()
    }
}
