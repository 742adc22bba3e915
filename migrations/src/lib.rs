//! Schema migrations: one module and one history table per service, run by `rollcall migrate` and at standalone start.
//!
//! To add one: write `src/<service>/m<date>_<what>.rs`, append it to that module's `migrations()`. Never edit a merged
//! migration; add, backfill, switch, drop later, so that the previous version's code keeps running on the new schema.

mod change_log;
mod identity;
mod membership;
mod purged_tenants;
mod token;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};

/// The services that own a database schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Users and their schemas.
    Identity,
    /// Groups, members, the projection of users.
    Membership,
    /// Tenants, settings, credentials, keys.
    Token,
}

impl Service {
    /// Every service.
    pub const ALL: [Service; 3] = [Service::Identity, Service::Membership, Service::Token];

    /// The name of its database schema and of its SQLite file.
    pub fn name(self) -> &'static str {
        match self {
            Service::Identity => "identity",
            Service::Membership => "membership",
            Service::Token => "token",
        }
    }
}

/// Applies what is pending: all of it or, when the process dies in between, none. Idempotent; of several processes
/// one migrates and the others wait for it.
pub async fn up(db: &DatabaseConnection, service: Service) -> Result<(), DbErr> {
    // sea-orm-migration has a transaction per migration on PostgreSQL and none on SQLite, whose DDL is transactional too.
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let transaction = db.begin_with_options(options).await?;
    if db.get_database_backend() == DbBackend::Postgres {
        let lock =
            format!("SELECT pg_advisory_xact_lock(hashtext('rollcall migrations of {}'))", service.name());
        transaction.execute_unprepared(&lock).await?;
    }
    match service {
        Service::Identity => identity::Migrator::up(&transaction, None).await,
        Service::Membership => membership::Migrator::up(&transaction, None).await,
        Service::Token => token::Migrator::up(&transaction, None).await,
    }?;
    transaction.commit().await
}

/// The names of the migrations that are not applied yet; a service refuses to serve while there are any.
pub async fn pending(db: &DatabaseConnection, service: Service) -> Result<Vec<String>, DbErr> {
    let pending = match service {
        Service::Identity => identity::Migrator::get_pending_migrations(db).await?,
        Service::Membership => membership::Migrator::get_pending_migrations(db).await?,
        Service::Token => token::Migrator::get_pending_migrations(db).await?,
    };
    Ok(pending.iter().map(|m| m.name().to_owned()).collect())
}
