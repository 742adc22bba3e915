//! Schema of the journal service.

mod m20261122_000001_exchanges;
mod m20261122_000002_purged_tenants;

use sea_orm_migration::prelude::*;

/// The migrations of the journal service, in order.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_exchanges::Migration),
            Box::new(m20261122_000002_purged_tenants::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "journal_migrations".into_iden()
    }
}
