//! Membership as internal services meet it: questions over gRPC to a service on a tenant as large as they come.
//!
//! ```sh
//! cargo bench --profile perf -p bench --bench membership -- --users 1000000 --groups 100000 --edges 10000000 --depth 20
//! ```
//!
//! This process fills a SQLite file (`fill.rs`), serves it as production does, and beside it a bare tonic server that echoes
//! (`serve.rs`). The load comes from a second process, this program again (`load/`), so that its work is not counted as the
//! server's. It prints a table: figures, and what was aimed at.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the person who started it")]

#[path = "../common/mod.rs"]
mod common;
mod fill;
mod load;
mod serve;
mod tenant;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use tenant::Tenant;

#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Users of the tenant.
    #[arg(long, default_value_t = 100_000)]
    users: i64,
    /// Its groups.
    #[arg(long, default_value_t = 10_000)]
    groups: i64,
    /// Direct memberships of users, about.
    #[arg(long, default_value_t = 1_000_000)]
    edges: i64,
    /// Levels of the deepest nesting.
    #[arg(long, default_value_t = 20)]
    depth: i64,
    /// How long to ask for each figure, seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Everything a tenth as long: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Keeps the filled database here, and takes it from here the next time. Otherwise it is made in the directory for temporary
    /// files, and removed.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Of the process that makes the load: where to ask.
    #[arg(long, hide = true)]
    rollcall: Option<String>,
    /// As `rollcall`: the server to compare with.
    #[arg(long, hide = true)]
    echo: Option<String>,
    /// As `rollcall`: the process of both.
    #[arg(long, hide = true)]
    server: Option<u32>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn tenant(&self) -> Result<Tenant> {
        let chained = self.groups / 5;
        ensure!(
            self.depth >= 2 && chained >= self.depth,
            "a fifth of the groups is to make a chain of {}",
            self.depth
        );
        ensure!((1_000..=10_000_000).contains(&self.users), "1,000 to 10,000,000 users");
        Ok(Tenant::new(self.users, self.groups, self.edges, self.depth))
    }

    fn time(&self) -> Duration {
        Duration::from_secs_f64(if self.quick { self.seconds / 10.0 } else { self.seconds })
    }
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.context("no runtime").and_then(|runtime| runtime.block_on(run(Arguments::parse())));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    let tenant = arguments.tenant()?;
    if let (Some(rollcall), Some(echo), Some(server)) =
        (&arguments.rollcall, &arguments.echo, arguments.server)
    {
        return load::run(&tenant, rollcall, echo, server, arguments.time(), arguments.quick).await;
    }
    let temporary = tempfile::tempdir()?;
    let dir = arguments.keep.as_deref().unwrap_or(temporary.path());
    let database = fill::database(&tenant, dir).await?;
    let serving = serve::start(&tenant, &database).await?;

    println!("\n| what | figure | aim |\n|---|---|---|");
    println!(
        "| tenant: users, groups, direct memberships, levels | {}, {}, {}, {} | |",
        common::count(tenant.users as f64),
        common::count(tenant.groups as f64),
        common::count(tenant.edges() as f64),
        tenant.depth
    );
    for row in &serving.rows {
        println!("{row}");
    }
    // The same program again, with the same shape of tenant.
    let status = tokio::process::Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .args(["--rollcall", &serving.rollcall, "--echo", &serving.echo])
        .args(["--server", &std::process::id().to_string()])
        .status()
        .await?;
    ensure!(status.success(), "the load ended with {status}");
    let status = serving.index.status();
    println!(
        "| answers of the whole run: from memory, from the database | {}, {} | |",
        common::count(status.from_index as f64),
        common::count(status.from_database as f64)
    );
    Ok(())
}
