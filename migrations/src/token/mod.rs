//! Schema of the token service.

mod m20261122_000001_token;
mod m20261122_000002_settings;
mod m20261122_000003_scim_and_rotation;
mod m20261122_000004_federation;
mod m20261122_000005_attempts;
mod statements;

use sea_orm_migration::prelude::*;

/// The migrations of the token service, in order.
pub(crate) struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261122_000001_token::Migration),
            Box::new(m20261122_000002_settings::Migration),
            Box::new(m20261122_000003_scim_and_rotation::Migration),
            Box::new(m20261122_000004_federation::Migration),
            Box::new(m20261122_000005_attempts::Migration),
        ]
    }

    fn migration_table_name() -> DynIden {
        "token_migrations".into_iden()
    }
}
