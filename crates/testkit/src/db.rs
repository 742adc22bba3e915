//! A fresh, migrated database per test, on SQLite and on PostgreSQL: see [`store_tests!`](crate::store_tests).

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
pub use migrations::{Service, up as migrate};
pub use platform::db::{Config, Database, Pool};
use sea_orm::{ConnectOptions, ConnectionTrait as _};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::postgres;

/// Where a test's database lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A file in a temporary directory.
    Sqlite,
    /// A database of its own on [`postgres::server`].
    Postgres,
}

/// A database of one test. `config` opens it a second time, as another replica would.
pub struct Fresh {
    /// The open database, migrated.
    pub database: Database,
    /// What it was opened with.
    pub config: Config,
    /// Holds SQLite's file; removed on drop.
    _dir: Option<TempDir>,
}

/// A new database with the schema of `service`.
pub async fn fresh(backend: Backend, service: Service) -> Result<Fresh> {
    match backend {
        Backend::Sqlite => {
            let dir = tempfile::Builder::new().prefix("rollcall-sqlite-").tempdir()?;
            let config = Config::Sqlite { path: dir.path().join(service.name()).with_extension("sqlite") };
            let database = migrated(&config, service).await?;
            Ok(Fresh { database, config, _dir: Some(dir) })
        }
        Backend::Postgres => {
            let config = postgres_config(&postgres_database(service).await?, service);
            let database = Database::connect(&config).await.context("opening a PostgreSQL database")?;
            Ok(Fresh { database, config, _dir: None })
        }
    }
}

/// Runs one test body on one backend; what [`store_tests!`](crate::store_tests) expands to.
///
/// # Panics
///
/// When the database cannot be made, and whenever the body does.
pub fn run<F>(backend: Backend, service: Service, body: impl FnOnce(Database) -> F)
where
    F: Future<Output = ()>,
{
    run_fresh(backend, service, async |fresh: &Fresh| body(fresh.database.clone()).await);
}

/// Like [`run`], for bodies that take the whole [`Fresh`], to open the database more than once.
///
/// # Panics
///
/// When the database cannot be made, and whenever the body does.
pub fn run_fresh(backend: Backend, service: Service, body: impl AsyncFnOnce(&Fresh)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime needs only threads");
    runtime.block_on(async {
        let fresh = match fresh(backend, service).await {
            Ok(fresh) => fresh,
            Err(error) => panic!("no {backend:?} database to test on: {error:#}"),
        };
        body(&fresh).await;
    });
}

/// Creates a database for one test by copying one that is migrated once per process and service.
async fn postgres_database(service: Service) -> Result<String> {
    static TEMPLATES: [OnceCell<String>; 4] = [const { OnceCell::const_new() }; 4];
    static COUNT: AtomicU32 = AtomicU32::new(0);

    // The first call runs initdb: not on a thread that other futures need.
    let server = tokio::task::spawn_blocking(postgres::server).await?;
    let process = std::process::id();
    let cell = match service {
        Service::Identity => &TEMPLATES[0],
        Service::Membership => &TEMPLATES[1],
        Service::Token => &TEMPLATES[2],
        Service::Journal => &TEMPLATES[3],
    };
    let template = cell
        .get_or_try_init(async || {
            let name = format!("rollcall_template_{}_{process}", service.name());
            execute(server.admin_url(), &format!(r#"CREATE DATABASE "{name}""#)).await?;
            let url = server.url(&name);
            execute(&url, &format!("CREATE SCHEMA {}", service.name())).await?;
            migrated(&postgres_config(&url, service), service).await?.close().await?;
            anyhow::Ok(name)
        })
        .await?;
    let name = format!("rollcall_test_{process}_{}", COUNT.fetch_add(1, Ordering::Relaxed));
    execute(server.admin_url(), &format!(r#"CREATE DATABASE "{name}" TEMPLATE "{template}""#)).await?;
    Ok(server.url(&name))
}

/// As in production: a schema per service, found by the search path.
fn postgres_config(url: &str, service: Service) -> Config {
    Config::Postgres {
        url: url.into(),
        schema: Some(service.name().to_owned()),
        pool: Pool::of(8),
        replica: None,
    }
}

async fn migrated(config: &Config, service: Service) -> Result<Database> {
    let database = Database::connect(config).await.with_context(|| format!("opening {config:?}"))?;
    migrations::up(database.migrator(), service)
        .await
        .with_context(|| format!("migrating {}", service.name()))?;
    Ok(database)
}

/// Runs one statement outside the product's ways.
async fn execute(url: &str, statement: &str) -> Result<()> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let admin = sea_orm::Database::connect(options).await.with_context(|| format!("connecting to {url}"))?;
    admin.execute_unprepared(statement).await.with_context(|| statement.to_owned())?;
    admin.close().await?;
    Ok(())
}

/// Writes a test once and runs it on both databases: each function becomes `sqlite::<name>` and `postgres::<name>`,
/// with a fresh database that has the schema of `service` (a [`migrations::Service`]). Once per file. The example is in
/// the documentation of this crate.
///
/// A function takes `db: Database`, or `fresh: &Fresh` when it opens the database more than once, as replicas do
/// ([`testkit::db::Fresh`](crate::db::Fresh)).
#[macro_export]
macro_rules! store_tests {
    (service: $service:ident; $($(#[$meta:meta])* async fn $name:ident($db:ident: $($kind:tt)+) $body:block)+) => {
        $($crate::store_tests! { @body $(#[$meta])* $name $db [$($kind)+] $body })+
        mod sqlite {
            $(#[test]
            fn $name() {
                $crate::store_tests! { @run Sqlite $service $name [$($kind)+] }
            })+
        }
        mod postgres {
            $(#[test]
            fn $name() {
                $crate::store_tests! { @run Postgres $service $name [$($kind)+] }
            })+
        }
    };
    (@body $(#[$meta:meta])* $name:ident $db:ident [Database] $body:block) => {
        $(#[$meta])*
        #[cfg(test)] // it always is; this tells clippy that it may unwrap
        async fn $name($db: $crate::db::Database) $body
    };
    (@body $(#[$meta:meta])* $name:ident $db:ident [&Fresh] $body:block) => {
        $(#[$meta])*
        #[cfg(test)] // it always is; this tells clippy that it may unwrap
        async fn $name($db: &$crate::db::Fresh) $body
    };
    (@run $backend:ident $service:ident $name:ident [Database]) => {
        $crate::db::run($crate::db::Backend::$backend, $crate::db::Service::$service, super::$name)
    };
    (@run $backend:ident $service:ident $name:ident [&Fresh]) => {
        $crate::db::run_fresh($crate::db::Backend::$backend, $crate::db::Service::$service, async |fresh: &$crate::db::Fresh| {
            super::$name(fresh).await
        })
    };
}
