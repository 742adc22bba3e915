//! A SCIM server under load: `rollcall standalone`, or rollcall distributed, as processes, spoken to over HTTP as an identity provider
//! does.
//!
//! ```sh
//! cargo build --profile perf -p rollcall
//! cargo bench --profile perf -p bench --bench scim -- --help
//! ```
//!
//! The tenant grows from size to size (`table.rs`); at each size every kind of request is made, by eight connections. What counts is the
//! CPU time of the server's processes for each request, because that holds on a busy machine; what a request leaves to be done behind
//! it (the log, the projection of users) is included. Then durable POSTs beside the database by itself, and a crash (`durable.rs`), and
//! memory over time (`soak.rs`).
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the person who started it")]

#[path = "../common/mod.rs"]
mod common;
mod distributed;
mod durable;
mod fill;
mod processes;
mod requests;
mod soak;
mod sqlite;
mod standalone;
mod table;
mod target;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use common::{count, time};
use table::{Plan, Table};
use target::{Kind, Target};

/// Measures a SCIM server: requests of every kind, durability, memory.
///
/// It starts everything itself (distributed: PostgreSQL and Redis too, on loopback), and leaves nothing behind. CPU times are those of
/// rollcall's processes, all together, for each request; what PostgreSQL spends stands beside them.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Arguments {
    /// What to measure, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "standalone")]
    against: Vec<Kind>,
    /// What to do of it.
    #[arg(long, value_delimiter = ',', default_value = "requests,durable,crash")]
    parts: Vec<Part>,
    /// How many users the tenant has at each step, rising. At the last one groups are measured as well.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    sizes: Vec<u64>,
    /// Requests of each kind at each size (a tenth of that for pages; members no more than a tenth of the users).
    #[arg(long, default_value_t = 2000)]
    requests: u64,
    /// Connections.
    #[arg(long, default_value_t = 8)]
    connections: u64,
    /// Up to this size all users are created by POST; beyond it most are copies in the database of one that was, which the run
    /// compares with others that were.
    #[arg(long, value_name = "USERS", default_value_t = 10_000)]
    posted: u64,
    /// Members of the largest group, if there are so many users.
    #[arg(long, default_value_t = 100_000)]
    members: u64,
    /// Distributed: processes of each role.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// In the end a mixed load for so many seconds, and what memory does meanwhile.
    #[arg(long, value_name = "SECONDS")]
    soak: Option<f64>,
    /// Calls a second of that.
    #[arg(long, value_name = "RATE", default_value_t = 100.0)]
    soak_pace: f64,
    /// The program to measure.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/perf/rollcall"))]
    rollcall: PathBuf,
    /// Where the databases are: on a disk, if commits are to mean something. A short path.
    #[arg(long, value_name = "DIR", default_value = "/tmp")]
    dir: PathBuf,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

const EXAMPLES: &str = "\
Examples (each behind `cargo bench --profile perf -p bench --bench scim --`, after `cargo build --profile perf -p rollcall`):
  --sizes 1000 --requests 500                      a first look, standalone: under a minute
  --against standalone,distributed                 1,000 and 10,000 users, both ways: some minutes
  --against distributed --sizes 10000,100000,1000000
                                                   the large ones are filled by SQL; needs 10 GB
  --parts durable,crash                            only POST beside the database's own limit, and kill -9
  --parts requests --sizes 10000 --soak 3600       memory over an hour

Standalone with 1,000,000 users takes 4 GB of disk and a minute, distributed 10 GB and some minutes.";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Every kind of request at every size: rate, latency, CPU time, memory.
    Requests,
    /// POSTs a second beside single-row commits of the same database.
    Durable,
    /// 200 users, kill -9, are they there?
    Crash,
}

/// Of the part `crash`.
const ANSWERED: u64 = 200;
/// No figure takes longer.
const LONGEST: Duration = Duration::from_secs(600);
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome =
        runtime.context("no runtime").and_then(|runtime| runtime.block_on(run(&Arguments::parse())));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    for kind in &arguments.against {
        println!("\n## {kind}");
        measure(arguments, *kind).await.with_context(|| format!("measuring {kind}"))?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments, kind: Kind) -> Result<()> {
    let Arguments { parts, sizes, requests, connections, .. } = arguments;
    let dir = tempfile::Builder::new().prefix("rollcall-bench-").tempdir_in(&arguments.dir)?;
    // The user that PostgreSQL runs as goes through it.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
    let (mut target, first) =
        Target::start(kind, &arguments.rollcall, dir.path(), arguments.replicas).await?;
    let tenant = target.tenant("bench").await?;
    let mut users = 0;

    if parts.contains(&Part::Requests) {
        let plan = Plan {
            connections: *connections,
            requests: *requests,
            most_posted: arguments.posted,
            most_members: arguments.members,
        };
        let mut table = Table::new(&mut target, &tenant, plan);
        let starts = table.run(sizes).await?;
        users = table.users();
        println!("\n| start, to the first answer of all processes | | aim |\n|---|---|---|");
        if let Some(first) = first {
            println!("| an empty directory | {} | < 200 ms |", time(first));
        }
        for (users, took) in starts {
            println!("| with {} users | {} | < 200 ms |", count(users as f64), time(took));
        }
    }
    if parts.contains(&Part::Durable) {
        durable::rates(&target, *connections, *requests).await?;
    }
    if parts.contains(&Part::Crash) {
        println!("\n| crash | there |\n|---|---|");
        durable::crash(&mut target, *connections, ANSWERED).await?;
    }
    if let Some(seconds) = arguments.soak {
        if users == 0 {
            users = 1000;
            for number in 0..users {
                tenant.create(number).await?;
            }
        }
        soak::run(&target, &tenant, users, Duration::from_secs_f64(seconds), arguments.soak_pace).await?;
    }
    target.terminate().await
}
