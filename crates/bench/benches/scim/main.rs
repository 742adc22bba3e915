//! A SCIM server under load: `rollcall standalone` as a process, spoken to over HTTP as an identity provider does.
//!
//! ```sh
//! cargo build --profile perf -p rollcall
//! cargo bench --profile perf -p bench --bench scim -- --sizes 1000,10000
//! ```
//!
//! The tenant grows from size to size; at each size every kind of request is made, by eight connections. What counts is the CPU time
//! of the server for each request, because that holds on a busy machine; what a request leaves to be done behind it (the log, the
//! projection of users) is included.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the person who started it")]

mod commits;
#[path = "../common/mod.rs"]
mod common;
mod requests;
mod server;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use common::{Load, Outcome, count, time};
use requests::Tenant;
use server::Server;

#[derive(Parser)]
struct Arguments {
    /// How many users the tenant has at each step.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000")]
    sizes: Vec<u64>,
    /// Requests of each kind.
    #[arg(long, default_value_t = 2000)]
    requests: u64,
    /// Connections.
    #[arg(long, default_value_t = 8)]
    connections: u64,
    /// The program to measure.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/perf/rollcall"))]
    rollcall: PathBuf,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

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
    let dir = tempfile::Builder::new().prefix("rollcall-bench-").tempdir()?;
    let data = dir.path().join("data");
    let (server, first) = Server::start(&arguments.rollcall, &data).await?;
    let bare = server.resident()?;
    let tenant = server.tenant().await?;
    let mut table = Table { server: &server, tenant: &tenant, arguments, users: 0 };

    println!(
        "\n| request | users | requests a second | p50, p99 | CPU time each | aim |\n|---|---|---|---|---|---|"
    );
    for size in &arguments.sizes {
        table.grow(*size).await?;
        table.requests().await?;
    }
    table.members().await?;

    println!("\n| durable POST of users, {} connections | a second |\n|---|---|", arguments.connections);
    let posts = table.posts(arguments.requests).await?;
    let commits = commits::rate(dir.path(), arguments.connections, arguments.requests).await?;
    let alone = commits::rate(dir.path(), 1, arguments.requests).await?;
    println!("| POST /Users (p50, p99: {}) | {} |", posts.percentiles(), count(posts.rate()));
    println!(
        "| SQLite by itself: one row, one commit (WAL, synchronous=FULL), {} connections | {} |",
        arguments.connections,
        count(commits)
    );
    println!("| … 1 connection | {} |", count(alone));
    println!(
        "| ratio to {} connections (aim ≥ 60%); to 1 | {:.0}%; {:.0}% |",
        arguments.connections,
        100.0 * posts.rate() / commits,
        100.0 * posts.rate() / alone
    );

    let (users, loaded) = (table.users, server.resident()?);
    server.terminate().await?;
    let (server, again) = Server::start(&arguments.rollcall, &data).await?;
    let started = server.resident()?;
    let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
    println!("\n| the process | | aim |\n|---|---|---|");
    println!(
        "| start to the first answer: empty directory; with {} users | {}; {} | < 200 ms |",
        count(users as f64),
        time(first),
        time(again)
    );
    println!(
        "| resident memory: at the first start; with {} users just started; at the end of this load | {}, {}, {} | < 40 MiB with 10,000 users |",
        count(users as f64),
        mib(bare),
        mib(started),
        mib(loaded)
    );
    server.terminate().await
}

/// Measures, and prints a row for each figure.
struct Table<'a> {
    server: &'a Server,
    tenant: &'a Tenant,
    arguments: &'a Arguments,
    users: u64,
}

impl Table<'_> {
    async fn asked<F, C>(&self, requests: u64, call: F) -> Result<Outcome>
    where
        F: Fn(Tenant, u64) -> C + Clone + Send + Sync + 'static,
        C: Future<Output = Result<()>> + Send,
    {
        let tenant = self.tenant.clone();
        let load = Load::closed(self.arguments.connections, LONGEST, requests);
        common::run(load, &[self.server.process()?], move |number| call(tenant.clone(), number)).await
    }

    fn row(&self, what: &str, outcome: &Outcome, aim: &str) {
        println!(
            "| {what} | {} | {} | {} | {} | {aim} |",
            count(self.users as f64),
            count(outcome.rate()),
            outcome.percentiles(),
            time(outcome.cpu_each())
        );
    }

    /// Creates users, by the requests that this is about.
    async fn posts(&mut self, more: u64) -> Result<Outcome> {
        let first = self.users;
        let outcome = self
            .asked(more, move |tenant, number| async move { tenant.create(first + number).await })
            .await?;
        self.users += more;
        Ok(outcome)
    }

    async fn grow(&mut self, size: u64) -> Result<()> {
        ensure!(size > self.users, "sizes are to rise");
        let outcome = self.posts(size - self.users).await?;
        self.row("POST /Users", &outcome, "");
        Ok(())
    }

    async fn requests(&self) -> Result<()> {
        let (users, requests) = (self.users, self.arguments.requests);
        // Users in no order.
        let any = move |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % users;
        let get =
            self.asked(requests, move |tenant, number| async move { tenant.get(any(number)).await }).await?;
        self.row("GET /Users/{id}", &get, "≤ 150 µs");
        for (name, kind) in [("userName", 0), ("externalId", 1), ("emails[type eq \"work\"].value", 2)] {
            let found = self
                .asked(requests, move |tenant, number| async move { tenant.find(kind, any(number)).await })
                .await?;
            self.row(&format!("GET /Users?filter={name} eq …"), &found, "≤ 200 µs");
        }
        let pages = users / 100;
        let page = self
            .asked(requests / 10, move |tenant, number| async move {
                tenant.page(1 + (any(number) % pages) * 100, users).await
            })
            .await?;
        self.row("GET /Users, a page of 100, any", &page, "≤ 2 ms");
        let patch = self
            .asked(requests, move |tenant, number| async move { tenant.patch(any(number), number).await })
            .await?;
        self.row("PATCH /Users/{id}, one attribute", &patch, "");
        Ok(())
    }

    /// One member at a time into groups of about ten, and into one of nearly everybody.
    async fn members(&self) -> Result<()> {
        let added = (self.arguments.requests / 4).min(self.users / 10);
        let small: Vec<String> = {
            let mut groups = Vec::new();
            for number in 0..added.div_ceil(5) {
                groups.push(self.tenant.group(&format!("small {number}"), 0, 8).await?);
            }
            groups
        };
        let everybody = self.users - added;
        let large = vec![self.tenant.group("large", 0, everybody).await?];
        let mut figures = Vec::new();
        for (name, groups) in [("8 to 13".to_owned(), small), (count(everybody as f64), large)] {
            let outcome = self
                .asked(added, move |tenant, number| {
                    let group = groups[usize::try_from(number).unwrap_or(0) % groups.len()].clone();
                    async move { tenant.add(&group, everybody + number).await }
                })
                .await?;
            self.row(&format!("PATCH /Groups/{{id}}: one member more, group of {name}"), &outcome, "≤ 1 ms");
            figures.push(outcome.cpu_each());
        }
        if let [small, large] = figures[..] {
            println!("| … large to small | | | | {:.2} | ≤ 1.5 |", large.as_secs_f64() / small.as_secs_f64());
        }
        Ok(())
    }
}

/// No figure takes longer.
const LONGEST: Duration = Duration::from_secs(600);
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
