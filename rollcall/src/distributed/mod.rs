//! `rollcall gateway|identity|membership|token|journal`: one service per process, on PostgreSQL and Redis, called over the network
//! by mutual TLS where that is configured. Any replica of any of them can die at any time.
//!
//! A process starts by checking its settings and its schema, and refuses to run on bad ones. It stops in order: it says that it
//! is not ready, goes on answering for as long as others take to notice, finishes what is under way, and closes.

pub(crate) mod migrate;
mod ops;
mod services;

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use platform::clock::Clock;
use platform::db::Database;
use platform::server::{self, Health};
use platform::telemetry;
use sea_orm::DbErr;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::build::Surroundings;
use crate::settings::{self, Role, Settings};
use crate::standalone::wait_for_signal;
use ops::Readiness;
use services::Built;

/// A verb that runs one service.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Settings (TOML); the environment (ROLLCALL_SECTION__KEY) goes before it.
    #[arg(long, env = "ROLLCALL_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The database is asked this often whether it answers, and must within this time. So many times in a row that it does not, and
/// the process says that it is not ready.
const PING_EVERY: Duration = Duration::from_secs(2);
const PING_PATIENCE: Duration = Duration::from_secs(2);
const FAILURES: u32 = 2;
/// To write what is left of the provisioning log at the end.
const LEAST_TIME_FOR_THE_LOG: Duration = Duration::from_secs(5);

/// Runs the service of `role` until SIGTERM.
pub(crate) async fn run(role: Role, arguments: Arguments) -> anyhow::Result<()> {
    let settings = settings::load_for(role, arguments.config.as_deref())?;
    let telemetry = telemetry::init(&settings.telemetry, process_name(role))
        .map_err(|error| anyhow::anyhow!("telemetry cannot be set up: {error}"))?;
    let outcome = tokio::select! {
        outcome = start_and_serve(role, &settings) => outcome,
        // Before it serves there is nothing to finish; once it serves it has seen the signal itself and ends in time.
        outcome = cut_short(&settings) => outcome,
    };
    telemetry.shutdown();
    outcome
}

fn process_name(role: Role) -> &'static str {
    match role {
        Role::Gateway => "rollcall-gateway",
        Role::Identity => "rollcall-identity",
        Role::Membership => "rollcall-membership",
        Role::Token => "rollcall-token",
        Role::Journal => "rollcall-journal",
        Role::Standalone | Role::Migrate => "rollcall",
    }
}

/// Returns some time after the signal at which everything should have ended.
async fn cut_short(settings: &Settings) -> anyhow::Result<()> {
    wait_for_signal().await?;
    let server = &settings.server;
    let patience = Duration::from_secs(server.drain_delay_seconds + server.shutdown_grace_seconds);
    tokio::time::sleep(patience + 2 * LEAST_TIME_FOR_THE_LOG).await;
    anyhow::bail!("did not stop in time and was cut off")
}

async fn start_and_serve(role: Role, settings: &Settings) -> anyhow::Result<()> {
    let began = Instant::now();
    let stop_ops = CancellationToken::new();
    let readiness = Readiness::default();
    let ops = server::bind(settings.listen.ops).await.context("listen.ops")?;
    let ops_address = ops.local_addr()?;
    tokio::spawn(ops::serve(ops, readiness.clone(), stop_ops.clone()));

    let around = Surroundings {
        settings,
        clock: Clock::system(),
        stop: CancellationToken::new(),
        tasks: TaskTracker::new(),
    };
    let signal = wait_for_signal();
    tokio::pin!(signal);
    let built = tokio::select! {
        built = services::build(role, &around) => built?,
        outcome = &mut signal => return outcome,
    };
    // Others that end with it: streams without an end, the servers.
    let stop_serving = around.stop.clone();
    let serving = TaskTracker::new();
    let address = match &built {
        Built::Service(built) => {
            let listener = server::bind(settings.listen.grpc).await.context("listen.grpc")?;
            let address = listener.local_addr()?;
            let (routes, verifier) = (built.routes.clone(), built.verifier.clone());
            let options = built.options.clone();
            let stop = stop_serving.clone();
            serving.spawn(async move {
                let served = server::serve_with(listener, routes, verifier, &options, stop.clone()).await;
                if let Err(error) = served {
                    tracing::error!(%error, "the gRPC server failed: {error}");
                }
                stop.cancel();
            });
            around.tasks.spawn(watch_database(
                built.database.clone(),
                built.health.clone(),
                around.stop.clone(),
            ));
            let health = built.health.clone();
            readiness.is(move || health.is_ready());
            address
        }
        Built::Gateway(built) => {
            let listener = server::bind(settings.listen.http).await.context("listen.http")?;
            let address = listener.local_addr()?;
            let (router, config) = (built.router.clone(), settings.gateway.clone());
            let stop = stop_serving.clone();
            serving.spawn(async move { gateway::serve(listener, router, &config, stop).await });
            let draining = built.draining.clone();
            readiness.is(move || !draining.is_cancelled());
            address
        }
    };
    let took_ms = began.elapsed().as_millis();
    tracing::info!(%address, ops.address = %ops_address, "{} serves on {address}, ops on {ops_address}, after {took_ms} ms", role.name());

    tokio::select! {
        outcome = &mut signal => outcome?,
        () = stop_serving.cancelled() => anyhow::bail!("the server ended by itself; the log says why"),
    }
    tracing::info!(
        "stopping: not ready from now on, and serving for {} s more",
        settings.server.drain_delay_seconds
    );
    built.drain().await;
    tokio::time::sleep(Duration::from_secs(settings.server.drain_delay_seconds)).await;
    around.stop.cancel();
    let grace = Duration::from_secs(settings.server.shutdown_grace_seconds);
    let by_then = tokio::time::Instant::now() + grace;
    serving.close();
    around.tasks.close();
    let finished = async {
        serving.wait().await;
        around.tasks.wait().await;
    };
    if tokio::time::timeout_at(by_then, finished).await.is_err() {
        tracing::warn!("calls were still under way after {} s and are cut off", grace.as_secs());
    }
    let left = by_then.saturating_duration_since(tokio::time::Instant::now());
    built.close(left.max(LEAST_TIME_FOR_THE_LOG)).await;
    stop_ops.cancel();
    Ok(())
}

/// Keeps health in step with the database.
async fn watch_database(database: Database, health: Health, stop: CancellationToken) {
    let mut failures = 0;
    let mut every = tokio::time::interval(PING_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = every.tick() => {}
        }
        match tokio::time::timeout(PING_PATIENCE, database.ping()).await {
            Ok(Ok(())) => {
                if failures >= FAILURES {
                    tracing::warn!("the database answers again");
                }
                failures = 0;
            }
            outcome => {
                failures += 1;
                if failures == FAILURES {
                    let cause = outcome.ok().and_then(Result::err).and_then(|error| error.cause);
                    tracing::error!(?cause, "the database does not answer; calls are not to be sent here");
                }
            }
        }
        health.set(failures < FAILURES).await;
    }
}

/// Opens the database of the role's service, as soon as it answers, and makes sure that its schema is one that we know.
async fn open(settings: &Settings, service: migrations::Service) -> anyhow::Result<Database> {
    let config = settings.database.config(service).map_err(anyhow::Error::msg)?;
    let until = Instant::now() + Duration::from_secs(settings.database.start_timeout_seconds);
    let database = patiently(until, || Database::connect_with(&config, settings.database.patience())).await?;
    let state = migrations::state(database.read(), service)
        .await
        .with_context(|| format!("cannot read which migrations the schema of {} has", service.name()))?;
    state.check(service).map_err(anyhow::Error::msg)?;
    if !state.unknown.is_empty() {
        let newer = state.unknown.join(", ");
        tracing::warn!("the schema of {} is newer than this version: it has {newer}", service.name());
    }
    database.observe(service.name());
    Ok(database)
}

/// Connects, again and again until `until`: in a cluster the database may start after us.
async fn patiently<T, F>(until: Instant, connect: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Result<T, DbErr>>,
{
    let mut said = false;
    loop {
        match connect().await {
            Ok(connected) => return Ok(connected),
            Err(error) if Instant::now() < until => {
                if !said {
                    tracing::warn!(%error, "the database does not answer yet: {error}");
                    said = true;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Err(error) => return Err(error).context("cannot connect to the database (database.url)"),
        }
    }
}
