//! `rollcall demo`: the whole product in one minute, on a temporary directory.
//!
//! Nothing here is special-cased in the server: the demo is a client. It provisions over HTTP with the requests that
//! Entra ID sends (`entra.rs`) and asks over gRPC as an internal service would (`questions.rs`).

mod entra;
mod questions;

use std::net::SocketAddr;

use anyhow::Context;

use crate::admin_client::AdminClient;
use crate::{cli, standalone};

/// `rollcall demo`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Users to provision.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    users: u32,
    /// Groups to provision.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    groups: u32,
    /// Where to serve HTTP; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    http: SocketAddr,
    /// Where to serve gRPC; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDR")]
    grpc: SocketAddr,
    /// Stop when the demonstration is over instead of serving until Ctrl-C.
    #[arg(long)]
    once: bool,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let directory = tempfile::Builder::new()
        .prefix("rollcall-demo-")
        .tempdir()
        .context("cannot make a temporary directory")?;
    let server = standalone::start(standalone::Options {
        data_dir: directory.path().to_owned(),
        http: arguments.http,
        grpc: arguments.grpc,
        config: None,
        // The demonstration's own output stands on its own.
        log: Some("warn".to_owned()),
    })
    .await?;
    let outcome = demonstrate(&arguments, &server).await;
    if outcome.is_ok() && !arguments.once {
        say("\nStill serving. Press Ctrl-C to stop; the data goes with it.");
        standalone::wait_for_signal().await?;
    }
    server.stop().await?;
    outcome
}

async fn demonstrate(arguments: &Arguments, server: &standalone::Server) -> anyhow::Result<()> {
    say(&format!("Rollcall serves HTTP on {} and gRPC on {}.", server.http_url(), server.grpc_url()));
    let admin = AdminClient::new(server.http_url(), &server.admin_token()?)?;
    let created = cli::tenant::create(&admin, "contoso", "entra").await?;
    say(&format!("Created the tenant {} ({}).\n", created.tenant.name, created.tenant.id));

    let directory =
        entra::provision(&created.base_url, &created.token, arguments.users, arguments.groups).await?;

    let scopes = ["memberships:read".to_owned()];
    let client = cli::client::create(&admin, "demo-service", Some(&created.tenant.id), &scopes).await?;
    questions::ask(server, &client, &directory).await?;

    let somebody = &directory.user_names[directory.user_names.len() / 2];
    say(&format!(
        "\nAn administrator asks what happened to {somebody} (rollcall log --tenant contoso --user {somebody}):"
    ));
    for line in cli::log::story(admin, "contoso", somebody, 5).await? {
        say(&format!("  {line}"));
    }

    say("\nTo provision from a real Entra ID, make this address reachable over HTTPS and paste:");
    say(&format!("  Tenant URL    {}", created.base_url));
    say(&format!("  Secret Token  {}", created.token));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is the command's output")]
fn say(text: &str) {
    println!("{text}");
}
