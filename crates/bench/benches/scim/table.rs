//! Every kind of request, at every size: how many a second, how long, and what it costs whom.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::common::{self, Load, Outcome, count, time};
use crate::processes::{self, cpu_by_role, memory_by_role, mib};
use crate::requests::{Tenant, any};
use crate::target::Target;
use crate::{LONGEST, fill};

/// What is asked of a table.
pub struct Plan {
    pub connections: u64,
    /// Of each kind.
    pub requests: u64,
    /// Larger sizes are filled by SQL.
    pub most_posted: u64,
    /// Of the largest group.
    pub most_members: u64,
}

/// Measures, and prints a row for each figure.
pub struct Table<'a> {
    pub target: &'a mut Target,
    pub tenant: &'a Tenant,
    pub plan: Plan,
    users: u64,
    by_process: Vec<ByProcess>,
}

/// A row of the second table.
struct ByProcess {
    what: String,
    /// By role, as text.
    figures: Vec<(&'static str, String)>,
}

impl<'a> Table<'a> {
    /// Of a tenant without users.
    pub fn new(target: &'a mut Target, tenant: &'a Tenant, plan: Plan) -> Self {
        Self { target, tenant, plan, users: 0, by_process: Vec::new() }
    }

    /// How many there are by now.
    pub fn users(&self) -> u64 {
        self.users
    }

    /// All of it. Returns how long a start took at each size.
    pub async fn run(&mut self, sizes: &[u64]) -> Result<Vec<(u64, Duration)>> {
        println!(
            "\n| request | users | requests a second | p50, p99 | CPU time of ours each | of the database each | aim |\n\
             |---|---|---|---|---|---|---|"
        );
        let mut starts = Vec::new();
        for size in sizes {
            self.grow(*size).await?;
            self.target.terminate().await?;
            starts.push((self.users, self.target.start_again().await?));
            self.memory("just started")?;
            self.warm_up().await?;
            self.requests().await?;
            self.memory("after these requests")?;
        }
        self.members().await?;
        self.memory("at the end")?;
        self.print_by_process();
        Ok(starts)
    }

    async fn asked<F, C>(&mut self, what: &str, aim: &str, requests: u64, call: F) -> Result<Outcome>
    where
        F: Fn(Tenant, u64) -> C + Clone + Send + Sync + 'static,
        C: Future<Output = Result<()>> + Send,
    {
        let processes = self.target.processes()?;
        let ours = processes::ours(&processes);
        let before = cpu_by_role(&processes)?;
        let (tenant, load) = (self.tenant.clone(), Load::closed(self.plan.connections, LONGEST, requests));
        let outcome = common::run(load, &ours, move |number| call(tenant.clone(), number)).await?;
        let mut figures = Vec::new();
        let mut database = String::new();
        for ((role, before), (_, after)) in before.into_iter().zip(cpu_by_role(&processes)?) {
            let each = time(after.saturating_sub(before).div_f64(outcome.latencies.len().max(1) as f64));
            if role == "PostgreSQL" {
                database.clone_from(&each);
            }
            figures.push((role, each));
        }
        println!(
            "| {what} | {} | {} | {} | {} | {database} | {aim} |",
            count(self.users as f64),
            count(outcome.rate()),
            outcome.percentiles(),
            time(outcome.cpu_each())
        );
        self.by_process
            .push(ByProcess { what: format!("{what}, {} users", count(self.users as f64)), figures });
        Ok(outcome)
    }

    fn memory(&mut self, when: &str) -> Result<()> {
        let memory = memory_by_role(&self.target.processes()?)?;
        let figures = memory.into_iter().map(|(role, bytes)| (role, mib(bytes))).collect();
        let what = format!("memory, {} users, {when}", count(self.users as f64));
        self.by_process.push(ByProcess { what, figures });
        Ok(())
    }

    fn print_by_process(&self) {
        let Some(first) = self.by_process.first() else { return };
        let roles: Vec<&str> = first.figures.iter().map(|(role, _)| *role).collect();
        println!(
            "\n| CPU time each, and memory | {} |\n|---{}|",
            roles.join(" | "),
            "|---".repeat(roles.len())
        );
        for ByProcess { what, figures } in &self.by_process {
            // Of a single process the first table tells the CPU time.
            if roles.len() > 1 || what.starts_with("memory") {
                let figures: Vec<&str> = figures.iter().map(|(_, figure)| figure.as_str()).collect();
                println!("| {what} | {} |", figures.join(" | "));
            }
        }
    }

    /// Creates users, by the requests that this is about.
    async fn posts(&mut self, more: u64) -> Result<()> {
        let first = self.users;
        self.users += more;
        self.asked("POST /Users", "", more, move |tenant, number| async move {
            tenant.create(first + number).await
        })
        .await?;
        Ok(())
    }

    async fn grow(&mut self, size: u64) -> Result<()> {
        ensure!(size > self.users, "sizes are to rise");
        let more = size - self.users;
        if size <= self.plan.most_posted || more <= self.plan.requests + 1 {
            return self.posts(more).await;
        }
        let (template, last) = (self.users, size - self.plan.requests);
        self.tenant.create(template).await?;
        fill::run(self.target, self.tenant, template, template + 1..last).await?;
        self.users = last;
        self.warm_up().await?;
        self.posts(size - last).await?;
        for filled in [template + 1, (template + last) / 2, last - 1] {
            fill::compare(self.target, self.tenant, last, filled).await?;
        }
        Ok(())
    }

    /// What a server does once after it was started (caches, the index of the tenant) is no request's.
    async fn warm_up(&self) -> Result<()> {
        let processes = self.target.processes()?;
        let ours = processes::ours(&processes);
        let users = self.users;
        for kind in 0..3 {
            let (tenant, load) = (self.tenant.clone(), Load::closed(self.plan.connections, LONGEST, 200));
            common::run(load, &ours, move |number| {
                let tenant = tenant.clone();
                async move {
                    tenant.get(any(number, users)).await?;
                    tenant.find(kind, any(number, users)).await
                }
            })
            .await?;
        }
        Ok(())
    }

    async fn requests(&mut self) -> Result<()> {
        let (users, requests) = (self.users, self.plan.requests);
        self.asked("GET /Users/{id}", "≤ 150 µs", requests, move |tenant, number| async move {
            tenant.get(any(number, users)).await
        })
        .await?;
        for (name, kind) in [("userName", 0), ("externalId", 1), ("emails[type eq \"work\"].value", 2)] {
            let what = format!("GET /Users?filter={name} eq …");
            self.asked(&what, "≤ 200 µs", requests, move |tenant, number| async move {
                tenant.find(kind, any(number, users)).await
            })
            .await?;
        }
        self.asked(
            "GET /Users, the first page of 100",
            "≤ 2 ms",
            requests / 10,
            move |tenant, _| async move { tenant.page(1, users).await },
        )
        .await?;
        let pages = (users / 100).max(1);
        self.asked(
            "GET /Users, a page of 100, any",
            "≤ 2 ms",
            requests / 10,
            move |tenant, number| async move { tenant.page(1 + (any(number, users) % pages) * 100, users).await },
        )
        .await?;
        self.asked("PATCH /Users/{id}, one attribute", "", requests, move |tenant, number| async move {
            tenant.patch(any(number, users), number).await
        })
        .await?;
        Ok(())
    }

    /// One member at a time into groups of about ten, and into larger ones, up to one of nearly everybody.
    async fn members(&mut self) -> Result<()> {
        let added = self.plan.requests.min(self.users / 10);
        let rest = self.users - added;
        let most = rest.min(self.plan.most_members);
        let mut small = Vec::new();
        for number in 0..added.div_ceil(5) {
            small.push(self.tenant.group(&format!("small {number}"), 0, 8).await?);
        }
        let mut groups = vec![("8 to 13".to_owned(), small)];
        for size in [most / 10, most] {
            if size >= 1000 {
                let name = count(size as f64);
                let group = self.tenant.group(&format!("of {name}"), 0, size).await?;
                groups.push((name, vec![group]));
            }
        }
        let mut figures = Vec::new();
        for (name, groups) in groups {
            let what = format!("PATCH /Groups/{{id}}: one member more, group of {name}");
            let outcome = self
                .asked(&what, "≤ 1 ms", added, move |tenant, number| {
                    let group = groups[usize::try_from(number).unwrap_or(0) % groups.len()].clone();
                    async move { tenant.add(&group, rest + number).await }
                })
                .await?;
            figures.push(outcome.cpu_each());
        }
        if let [small, .., large] = figures[..] {
            println!(
                "| … largest to small | | | | {:.2} | | ≤ 1.5 |",
                large.as_secs_f64() / small.as_secs_f64().max(1e-9)
            );
        }
        Ok(())
    }
}
