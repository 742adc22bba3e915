//! The one binary of Rollcall. `rollcall --help` says what it can do; each module here is one of its verbs.

mod admin_client;
mod build;
mod cli;
mod demo;
mod distributed;
mod settings;
mod standalone;

use std::process::ExitCode;

use clap::Parser;

use settings::Role;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "rollcall", version, about, long_about = None, propagate_version = true)]
#[command(about = "Rollcall: a self-hosted, multi-tenant SCIM 2.0 platform")]
#[command(after_help = "Try it:  rollcall demo\nRun it:  rollcall standalone --data-dir ./data")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run everything in this process on SQLite files.
    Standalone(standalone::Arguments),
    /// Run a gateway: HTTP in, gRPC out.
    Gateway(distributed::Arguments),
    /// Run the identity service on PostgreSQL.
    Identity(distributed::Arguments),
    /// Run the membership service on PostgreSQL.
    Membership(distributed::Arguments),
    /// Run the token service on PostgreSQL.
    Token(distributed::Arguments),
    /// Run the journal, which keeps the provisioning log, on PostgreSQL.
    Journal(distributed::Arguments),
    /// Bring the schemas of the services in PostgreSQL up to date.
    Migrate(distributed::migrate::Arguments),
    /// Check the configuration of a process; make the secrets of an installation.
    Config(cli::config::Arguments),
    /// See it work: a server, a tenant, a simulated Entra ID provisioning cycle, membership questions.
    Demo(demo::Arguments),
    /// Create, list, show, set up, enable, disable and delete tenants of a running server.
    Tenant(cli::tenant::Arguments),
    /// Switch a tenant's provisioning on (with a new token) and off.
    Scim(cli::scim::Arguments),
    /// Create, rotate, list and revoke the provisioning secrets of a tenant.
    Credential(cli::credential::Arguments),
    /// Trust the tokens of an issuer to provision a tenant: Entra ID without a Secret Token.
    Issuer(cli::issuer::Arguments),
    /// List, create, delete and restore users of a tenant, and give them roles.
    User(cli::user::Arguments),
    /// List, show, define and delete the extension schemas of a tenant.
    Schema(cli::schema::Arguments),
    /// Create, list, rename and delete the teams of a tenant.
    Team(cli::team::Arguments),
    /// What a tenant's client asked, and what came of it: why did this person lose access?
    Log(cli::log::Arguments),
    /// Create, rotate, list and delete OAuth clients: internal services that ask about memberships, identity providers.
    Client(cli::client::Arguments),
    /// Who changed what: the audit of what administrators did.
    Audit(cli::audit::Arguments),
    /// Create, list and revoke admin tokens.
    Admin(cli::admin::Arguments),
    /// Rotate the key that signs access tokens.
    Key(cli::key::Arguments),
    /// Compare memberships with users and the index with the database: do they agree?
    Verify(cli::verify::Arguments),
    /// Ask a process whether it is ready, for health checks.
    Ready(cli::ready::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return failed(&anyhow::anyhow!("the TLS provider is already installed"));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("cannot start the async runtime")),
    };
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Standalone(arguments) => standalone::run(arguments).await,
            Command::Gateway(arguments) => distributed::run(Role::Gateway, arguments).await,
            Command::Identity(arguments) => distributed::run(Role::Identity, arguments).await,
            Command::Membership(arguments) => distributed::run(Role::Membership, arguments).await,
            Command::Token(arguments) => distributed::run(Role::Token, arguments).await,
            Command::Journal(arguments) => distributed::run(Role::Journal, arguments).await,
            Command::Migrate(arguments) => distributed::migrate::run(arguments).await,
            Command::Config(arguments) => cli::config::run(arguments),
            Command::Demo(arguments) => demo::run(arguments).await,
            Command::Tenant(arguments) => cli::tenant::run(arguments).await,
            Command::Credential(arguments) => cli::credential::run(arguments).await,
            Command::Schema(arguments) => cli::schema::run(arguments).await,
            Command::Team(arguments) => cli::team::run(arguments).await,
            Command::Log(arguments) => cli::log::run(arguments).await,
            Command::Client(arguments) => cli::client::run(arguments).await,
            Command::Admin(arguments) => cli::admin::run(arguments).await,
            Command::Key(arguments) => cli::key::run(arguments).await,
            Command::Scim(arguments) => cli::scim::run(arguments).await,
            Command::Issuer(arguments) => cli::issuer::run(arguments).await,
            Command::User(arguments) => cli::user::run(arguments).await,
            Command::Audit(arguments) => cli::audit::run(arguments).await,
            Command::Verify(arguments) => cli::verify::run(arguments).await,
            Command::Ready(arguments) => cli::ready::run(arguments).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

#[expect(clippy::print_stderr, reason = "errors of a command go to the terminal")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
