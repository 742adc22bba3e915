//! `rollcall standalone`: gateway and services in one process.
//!
//! The services are the same as when distributed, and so are the calls between them: gRPC with access tokens,
//! deadlines and trace context, only without a socket (`services.rs`). The data directory holds a SQLite file per
//! service and two secrets (`data_dir.rs`).

mod data_dir;
mod services;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use platform::clock::Clock;
use platform::telemetry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::settings;
use data_dir::DataDir;

/// To write what is left of the provisioning log at the end.
const LEAST_TIME_FOR_THE_LOG: Duration = Duration::from_secs(5);

/// `rollcall standalone`
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where the data rests; made if it is not there. One server at a time.
    #[arg(long, env = "ROLLCALL_DATA_DIR", value_name = "DIR")]
    data_dir: PathBuf,
    /// Where to serve HTTP (SCIM, admin API, OAuth); port 0 takes a free one.
    #[arg(long, env = "ROLLCALL_HTTP", default_value = "127.0.0.1:8080", value_name = "ADDR")]
    http: SocketAddr,
    /// Where to serve gRPC to internal services; port 0 takes a free one.
    #[arg(long, env = "ROLLCALL_GRPC", default_value = "127.0.0.1:8081", value_name = "ADDR")]
    grpc: SocketAddr,
    /// Settings (TOML); the environment (ROLLCALL_SECTION__KEY) goes before it.
    #[arg(long, env = "ROLLCALL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// How to start a [`Server`].
pub(crate) struct Options {
    pub(crate) data_dir: PathBuf,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) config: Option<PathBuf>,
    /// Log filter that goes before the settings'.
    pub(crate) log: Option<String>,
}

pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { data_dir, http, grpc, config } = arguments;
    let server = start(Options { data_dir, http, grpc, config, log: None }).await?;
    server.introduce();
    // Last: scripts wait for it.
    server.data_dir.write_endpoints(&server.http_url, &server.grpc_url)?;
    wait_for_signal().await?;
    server.stop().await
}

/// A running server.
pub(crate) struct Server {
    data_dir: DataDir,
    http_url: String,
    grpc_url: String,
    new_admin_token: bool,
    stop: CancellationToken,
    tasks: TaskTracker,
    token: token::Service,
    log: crate::build::LogWriter,
    databases: Vec<platform::db::Database>,
    grace: Duration,
    telemetry: telemetry::Guard,
}

/// Opens the data directory, migrates, builds the services and serves.
pub(crate) async fn start(options: Options) -> anyhow::Result<Server> {
    let mut settings = settings::load(options.config.as_deref())?;
    if let Some(log) = options.log {
        settings.telemetry.log = log;
    }
    let telemetry = telemetry::init(&settings.telemetry, "rollcall")
        .map_err(|error| anyhow::anyhow!("telemetry cannot be set up: {error}"))?;
    let data_dir = DataDir::open(&options.data_dir)?;
    let http = platform::server::bind(options.http).await?;
    let grpc = platform::server::bind(options.grpc).await?;
    let http_url = format!("http://{}", http.local_addr()?);
    let grpc_url = format!("http://{}", grpc.local_addr()?);

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let built = services::build(&data_dir, &settings, Clock::system(), &stop, &tasks).await?;

    let stopping = stop.clone();
    let gateway = settings.gateway.clone();
    tasks.spawn(async move { gateway::serve(http, built.router, &gateway, stopping).await });
    let stopping = stop.clone();
    tasks.spawn(async move {
        let served =
            platform::server::serve(grpc, built.internal_api, built.verifier, stopping.clone()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the gRPC server failed: {error}");
        }
        stopping.cancel();
    });
    Ok(Server {
        data_dir,
        http_url,
        grpc_url,
        new_admin_token: built.new_admin_token,
        stop,
        tasks,
        token: built.token,
        log: built.log,
        databases: built.databases,
        grace: Duration::from_secs(settings.server.shutdown_grace_seconds),
        telemetry,
    })
}

impl Server {
    /// Base URL of HTTP.
    pub(crate) fn http_url(&self) -> &str {
        &self.http_url
    }

    /// Base URL of gRPC.
    pub(crate) fn grpc_url(&self) -> &str {
        &self.grpc_url
    }

    /// The admin token, from its file.
    pub(crate) fn admin_token(&self) -> anyhow::Result<String> {
        self.data_dir.admin_token()?.context("the file admin-token is gone from the data directory")
    }

    /// Tells whoever started the server where it is and what to do next.
    #[expect(clippy::print_stdout, reason = "for the person who started it; logs go to standard error")]
    fn introduce(&self) {
        let token_file = self.data_dir.admin_token_file();
        println!("Rollcall is ready.");
        println!("  SCIM and admin API   {}", self.http_url);
        println!("  gRPC                 {}", self.grpc_url);
        let new = if self.new_admin_token { " (new)" } else { "" };
        println!("  Admin token          {}{new}", token_file.display());
        println!("\nNext, provision a tenant:");
        println!(
            "  export ROLLCALL_SERVER={} ROLLCALL_ADMIN_TOKEN=\"$(cat '{}')\"",
            self.http_url,
            token_file.display()
        );
        println!("  rollcall tenant create contoso");
    }

    /// Stops taking requests, lets those under way finish, writes what is left of the provisioning log, closes the databases.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.tasks.close();
        let by_then = tokio::time::Instant::now() + self.grace;
        if tokio::time::timeout_at(by_then, self.tasks.wait()).await.is_err() {
            tracing::warn!("calls were still under way after {} s and are cut off", self.grace.as_secs());
        }
        // Whatever the requests took of the time, this gets some of it.
        let left = by_then.saturating_duration_since(tokio::time::Instant::now());
        self.log.finish(left.max(LEAST_TIME_FOR_THE_LOG)).await;
        self.token.flush().await;
        for database in self.databases {
            database.close().await?;
        }
        self.telemetry.shutdown();
        Ok(())
    }
}

/// Returns at SIGTERM or Ctrl-C.
pub(crate) async fn wait_for_signal() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        outcome = tokio::signal::ctrl_c() => outcome?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
