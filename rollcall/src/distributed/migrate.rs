//! `rollcall migrate`: brings the schemas up to date, as their owner. A step of its own, before the new version is rolled out.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use migrations::Service;
use platform::db::{Config, Database, Patience, Pool};
use platform::telemetry;
use sea_orm::{ConnectOptions, ConnectionTrait, Statement, TransactionTrait};
use secrecy::ExposeSecret;

use crate::settings::{self, Role, Settings};

/// `rollcall migrate`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Settings (TOML); the environment (ROLLCALL_SECTION__KEY) goes before it.
    #[arg(long, env = "ROLLCALL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only this service; without it, all.
    #[arg(long, value_name = "SERVICE", value_parser = service)]
    service: Option<Service>,
    /// Wait up to this many seconds for the database to answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, num_args = 0..=1, default_missing_value = "120")]
    wait: u64,
    /// Print the SQL that makes a role for each service (and its schema), to be run once by an administrator of the database
    /// as `psql -v ON_ERROR_STOP=1`, and change nothing.
    #[arg(long)]
    print_roles: bool,
}

fn service(name: &str) -> Result<Service, String> {
    let known = Service::ALL.into_iter().find(|service| service.name() == name);
    known.ok_or_else(|| {
        let names: Vec<&str> = Service::ALL.iter().map(|service| service.name()).collect();
        format!("must be one of {}", names.join(", "))
    })
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let services = arguments.service.map_or_else(|| Service::ALL.to_vec(), |service| vec![service]);
    if arguments.print_roles {
        print_roles(&services);
        return Ok(());
    }
    let settings = settings::load_for(Role::Migrate, arguments.config.as_deref())?;
    let telemetry = telemetry::init(&settings.telemetry, "rollcall-migrate")
        .map_err(|error| anyhow::anyhow!("telemetry cannot be set up: {error}"))?;
    let until = Instant::now() + Duration::from_secs(arguments.wait);
    for service in services {
        migrate(&settings, service, until)
            .await
            .with_context(|| format!("cannot migrate the schema of {}", service.name()))?;
    }
    telemetry.shutdown();
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the outcome of the command")]
async fn migrate(settings: &Settings, service: Service, until: Instant) -> anyhow::Result<()> {
    let url = settings.database.owner_url(&settings.migrate, service).map_err(anyhow::Error::msg)?;
    let mut options = ConnectOptions::new(url.expose_secret());
    options.max_connections(2).sqlx_logging(false).connect_timeout(Duration::from_secs(5));
    let plain = super::patiently(until, || sea_orm::Database::connect(options.clone())).await?;
    let name = service.name();
    // Of several, one does all of it and the others wait: PostgreSQL lets neither CREATE SCHEMA nor GRANT meet itself. A transaction
    // holds the lock, because a pool closes connections that are idle.
    let turn = plain.begin().await?;
    turn.execute_unprepared(&format!("SELECT pg_advisory_xact_lock(hashtext('rollcall migrate of {name}'))"))
        .await?;
    // CREATE SCHEMA IF NOT EXISTS asks for the right to create one also when it is there.
    let exists = format!("SELECT 1 AS one FROM pg_namespace WHERE nspname = '{name}'");
    let exists = plain.query_one_raw(Statement::from_string(plain.get_database_backend(), exists)).await?;
    if exists.is_none() {
        plain.execute_unprepared(&format!("CREATE SCHEMA IF NOT EXISTS {name}")).await?;
    }

    let pool = Pool::of(2);
    let config = Config::Postgres { url, schema: Some(name.to_owned()), pool, replica: None };
    // A migration may take as long as it takes.
    let patience = Patience { statement: Duration::ZERO, ..Patience::default() };
    let database = Database::connect_with(&config, patience).await?;
    let before = migrations::state(database.migrator(), service).await?.pending;
    migrations::up(database.migrator(), service).await?;
    grant(&database, service).await?;
    database.close().await?;
    turn.commit().await?;
    plain.close().await?;
    match before.len() {
        0 => println!("{name}: up to date"),
        count => println!("{name}: applied {count} ({})", before.join(", ")),
    }
    Ok(())
}

/// The role of the service, where there is one of its name as `--print-roles` makes it, may use what the owner made.
async fn grant(database: &Database, service: Service) -> anyhow::Result<()> {
    let (name, role) = (service.name(), role_of(service));
    let backend = database.backend();
    let exists =
        format!("SELECT 1 AS one FROM pg_roles WHERE rolname = '{role}' AND rolname <> current_user");
    if database.migrator().query_one_raw(Statement::from_string(backend, exists)).await?.is_none() {
        return Ok(());
    }
    for statement in grants(name, &role) {
        database.migrator().execute_unprepared(&statement).await?;
    }
    Ok(())
}

fn role_of(service: Service) -> String {
    format!("rollcall_{}", service.name())
}

fn grants(schema: &str, role: &str) -> [String; 3] {
    [
        format!("GRANT USAGE ON SCHEMA {schema} TO {role}"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}"),
        format!("GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"),
    ]
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn print_roles(services: &[Service]) {
    println!(
        "-- One role for each service: it reads and writes the tables of its own schema, changes no schema, and sees"
    );
    println!(
        "-- no other service's. `rollcall migrate` runs as rollcall_owner and grants them what it makes."
    );
    println!("-- Set the passwords with \\password in psql, e.g. \\password rollcall_token.");
    println!("CREATE ROLE rollcall_owner LOGIN;");
    for service in services {
        println!("CREATE ROLE {} LOGIN;", role_of(*service));
    }
    println!("SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \\gexec");
    println!(
        "SELECT format('GRANT CONNECT, CREATE ON DATABASE %I TO rollcall_owner', current_database()) \\gexec"
    );
    for service in services {
        let role = role_of(*service);
        println!("SELECT format('GRANT CONNECT ON DATABASE %I TO {role}', current_database()) \\gexec");
    }
}
