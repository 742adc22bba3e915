//! Schema migrations: one module and one history table per service, run by `rollcall migrate` and at standalone start.
//!
//! To add one: write `src/<service>/m<date>_<what>.rs`, append it to that module's `migrations()`. Never edit a merged
//! migration; add, backfill, switch, drop later, so that the previous version's code keeps running on the new schema.

mod change_log;
mod identity;
mod membership;
mod token;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DatabaseConnection;

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

/// Applies what is pending. Idempotent.
pub async fn up(db: &DatabaseConnection, service: Service) -> Result<(), DbErr> {
    match service {
        Service::Identity => identity::Migrator::up(db, None).await,
        Service::Membership => membership::Migrator::up(db, None).await,
        Service::Token => token::Migrator::up(db, None).await,
    }
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
