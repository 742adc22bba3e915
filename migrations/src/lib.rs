//! Schema migrations: one module and one history table per service, run by `rollcall migrate` and at standalone start.
//!
//! To add one: write `src/<service>/m<date>_<what>.rs`, append it to that module's `migrations()`. Never edit a merged
//! migration; add, backfill, switch, drop later, so that the previous version's code keeps running on the new schema.

mod change_log;
mod identity;
mod journal;
mod kept_counts;
mod membership;
mod purged_tenants;
mod token;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, SqliteTransactionMode, Statement, TransactionOptions,
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
    /// The provisioning log.
    Journal,
}

impl Service {
    /// Every service.
    pub const ALL: [Service; 4] = [Service::Identity, Service::Membership, Service::Token, Service::Journal];

    /// The name of its database schema and of its SQLite file.
    pub fn name(self) -> &'static str {
        match self {
            Service::Identity => "identity",
            Service::Membership => "membership",
            Service::Token => "token",
            Service::Journal => "journal",
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
    // A newer version may have migrated before us: nothing to do, as long as nothing of ours is missing.
    if state(&transaction, service).await?.pending.is_empty() {
        return transaction.commit().await;
    }
    match service {
        Service::Identity => identity::Migrator::up(&transaction, None).await,
        Service::Membership => membership::Migrator::up(&transaction, None).await,
        Service::Token => token::Migrator::up(&transaction, None).await,
        Service::Journal => journal::Migrator::up(&transaction, None).await,
    }?;
    transaction.commit().await
}

/// How the schema of a database compares with what this version of the program knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Migrations that are not applied yet. A service refuses to serve while there are any.
    pub pending: Vec<String>,
    /// Applied migrations that this version does not know, oldest first.
    pub unknown: Vec<String>,
}

/// In the name of a migration that takes away what the previous version's code needs (the last step of "add, backfill, switch,
/// drop later"): no program that does not know it serves on such a schema.
pub const CONTRACT: &str = "_contract_";

impl State {
    /// Whether this version may serve on the schema. Every migration but those named [`CONTRACT`] is safe under the previous
    /// version's code, so a newer schema is no obstacle: that is how replicas are upgraded one by one.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub fn check(&self, service: Service) -> Result<(), String> {
        let name = service.name();
        if !self.pending.is_empty() {
            return Err(format!(
                "the schema of {name} lacks {}: run `rollcall migrate`",
                self.pending.join(", ")
            ));
        }
        let newest = names(service).into_iter().max().unwrap_or_default();
        let breaks = |unknown: &&String| unknown.contains(CONTRACT) || **unknown < newest;
        match self.unknown.iter().find(breaks) {
            Some(unknown) => Err(format!(
                "the schema of {name} was changed by {unknown}, which this version of rollcall does not know and cannot serve \
                 on: run the newer version"
            )),
            None => Ok(()),
        }
    }
}

/// Compares the schema with what this version knows. Changes nothing.
pub async fn state<C: ConnectionTrait>(db: &C, service: Service) -> Result<State, DbErr> {
    let applied = applied(db, service).await?;
    let known = names(service);
    Ok(State {
        pending: known.iter().filter(|name| !applied.contains(name)).cloned().collect(),
        unknown: applied.iter().filter(|name| !known.contains(name)).cloned().collect(),
    })
}

/// The names of the migrations of a service, in order.
fn names(service: Service) -> Vec<String> {
    let migrations = match service {
        Service::Identity => identity::Migrator::migrations(),
        Service::Membership => membership::Migrator::migrations(),
        Service::Token => token::Migrator::migrations(),
        Service::Journal => journal::Migrator::migrations(),
    };
    migrations.iter().map(|migration| migration.name().to_owned()).collect()
}

async fn applied<C: ConnectionTrait>(db: &C, service: Service) -> Result<Vec<String>, DbErr> {
    let backend = db.get_database_backend();
    let table = format!("{}_migrations", service.name());
    let exists = match backend {
        DbBackend::Postgres => format!("SELECT 1 AS one WHERE to_regclass('{table}') IS NOT NULL"),
        _ => format!("SELECT 1 AS one FROM sqlite_master WHERE type = 'table' AND name = '{table}'"),
    };
    if db.query_one_raw(Statement::from_string(backend, exists)).await?.is_none() {
        return Ok(Vec::new());
    }
    let rows = format!("SELECT version FROM {table} ORDER BY version");
    let rows = db.query_all_raw(Statement::from_string(backend, rows)).await?;
    rows.iter().map(|row| row.try_get("", "version")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_schema_is_served_unless_it_took_something_away() {
        let check = |pending: &[&str], unknown: &[&str]| {
            let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            State { pending: texts(pending), unknown: texts(unknown) }.check(Service::Token)
        };
        assert_eq!(check(&[], &[]), Ok(()));
        assert_eq!(check(&[], &["m29990101_000001_added"]), Ok(()));
        assert!(check(&["m29990101_000001_added"], &[]).unwrap_err().contains("run `rollcall migrate`"));
        for foreign in ["m29990101_000001_contract_users", "m20000101_000001_of_a_branch"] {
            let refusal = check(&[], &[foreign]).unwrap_err();
            assert!(refusal.contains(foreign) && refusal.contains("newer version"), "{refusal}");
        }
    }
}
