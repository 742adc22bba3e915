//! The process that asks: one HTTP/2 connection to each server.

mod questions;
mod writes;

use std::time::Duration;

use anyhow::{Context, Result};
use proto::membership::v1::memberships_client::MembershipsClient;
use tonic::transport::{Channel, Endpoint};

use crate::tenant::Tenant;
use crate::{common, token};
use common::{Load, Outcome, count, time};
use questions::Asker;

/// Rounds in which the two servers take turns, so that whoever else is busy on the machine disturbs both.
const ROUNDS: u32 = 3;

struct Bench {
    ours: Asker,
    echo: Asker,
    servers: [u32; 1],
    /// For one figure.
    lasts: Duration,
    tenant: Tenant,
    quick: bool,
}

/// Asks everything, and prints the rows of the table.
pub async fn run(
    tenant: &Tenant,
    rollcall: &str,
    echo: &str,
    server: u32,
    lasts: Duration,
    quick: bool,
) -> Result<()> {
    let id = tenant.id().to_string();
    let token = token::issue(&id, "memberships:read scim")?;
    let channel = connect(rollcall).await?;
    let asker = |channel| Asker::new(MembershipsClient::new(channel), &token, tenant);
    let bench = Bench {
        ours: asker(channel.clone())?,
        echo: asker(connect(echo).await?)?,
        servers: [server],
        lasts,
        tenant: tenant.clone(),
        quick,
    };
    bench.ours.check_the_shape().await?;
    for streams in [1, 64] {
        bench.check(streams).await?;
    }
    bench.depth().await?;
    bench.batch().await?;
    bench.lists().await?;
    writes::visible(&bench, channel, &token).await
}

async fn connect(address: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(address.to_owned())?.tcp_nodelay(true);
    endpoint.connect().await.with_context(|| address.to_owned())
}

impl Bench {
    async fn asked(&self, asker: &Asker, load: Load, levels: Option<i64>) -> Result<Outcome> {
        let asker = asker.clone();
        common::run(load, &self.servers, move |number| {
            let asker = asker.clone();
            async move { asker.check(number, levels).await }
        })
        .await
    }

    /// Both servers in turn; the outcomes of ours and of the other.
    async fn in_turn(&self, load: Load, other: Load) -> Result<(Outcome, Outcome)> {
        let (mut ours, mut echo) = (Outcome::default(), Outcome::default());
        for _ in 0..ROUNDS {
            echo = echo.and(self.asked(&self.echo, other, None).await?);
            ours = ours.and(self.asked(&self.ours, load, None).await?);
        }
        Ok((ours, echo))
    }

    async fn check(&self, streams: u64) -> Result<()> {
        let load = Load::closed(streams, self.lasts / ROUNDS, u64::MAX);
        let (ours, echo) = self.in_turn(load, load).await?;
        let name = if streams == 1 { "1 stream".to_owned() } else { format!("{streams} streams") };
        println!(
            "| Check, {name}: calls a second, ours and echo | {}, {} | |\n| … ratio | {:.0}% | ≥ 80% |",
            count(ours.rate()),
            count(echo.rate()),
            100.0 * ours.rate() / echo.rate()
        );
        println!(
            "| … CPU time of the server a call, ours and echo | {}, {} | |",
            time(ours.cpu_each()),
            time(echo.cpu_each())
        );
        println!(
            "| … p50, p99: ours | {} | |\n| … p50, p99: echo | {} | |",
            ours.percentiles(),
            echo.percentiles()
        );
        if streams == 1 {
            return Ok(());
        }
        let half = |full: &Outcome| Load { pace: Some(full.rate() / 2.0), ..load };
        let (ours, echo) = self.in_turn(half(&ours), half(&echo)).await?;
        println!(
            "| … at half of that load, p50, p99: ours | {} | p99 < 1 ms |\n| … at half of that load, p50, p99: echo | {} | |",
            ours.percentiles(),
            echo.percentiles()
        );
        Ok(())
    }

    /// The same users, asked about with the groups at the upper and at the lower ends of the chains.
    async fn depth(&self) -> Result<()> {
        let load = Load::closed(64, self.lasts / ROUNDS, u64::MAX);
        let (mut shallow, mut deep) = (Outcome::default(), Outcome::default());
        for _ in 0..ROUNDS {
            shallow = shallow.and(self.asked(&self.ours, load, Some(1)).await?);
            deep = deep.and(self.asked(&self.ours, load, Some(self.tenant.depth)).await?);
        }
        println!(
            "| Check, 64 streams: calls a second at depth 1 and {} | {}, {} | |\n| … CPU time a call | {}, {} | |\n\
             | … time at depth {} to that at depth 1 | {:.2} | ≤ 1.2 |",
            self.tenant.depth,
            count(shallow.rate()),
            count(deep.rate()),
            time(shallow.cpu_each()),
            time(deep.cpu_each()),
            self.tenant.depth,
            shallow.rate() / deep.rate()
        );
        Ok(())
    }

    async fn batch(&self) -> Result<()> {
        let asker = self.ours.clone();
        let outcome = common::run(Load::closed(1, self.lasts, u64::MAX), &self.servers, move |number| {
            let asker = asker.clone();
            async move { asker.batch(number, 1000).await }
        })
        .await?;
        println!(
            "| BatchCheck of 1,000 pairs, 1 stream: p50, p99 | {} | < 2 ms |\n| … pairs a second; CPU time of the server a pair | {}; {:.2} µs | |",
            outcome.percentiles(),
            count(outcome.rate() * 1000.0),
            outcome.cpu_each().as_secs_f64() * 1e3
        );
        Ok(())
    }

    async fn lists(&self) -> Result<()> {
        let asker = self.ours.clone();
        let outcome = common::run(Load::closed(16, self.lasts, u64::MAX), &self.servers, move |number| {
            let asker = asker.clone();
            async move { asker.groups_of(number).await }
        })
        .await?;
        println!(
            "| ListUserGroups, first page of 100, 16 streams: calls a second | {} | |\n| … p50, p99; CPU time a call | {}; {} | |",
            count(outcome.rate()),
            outcome.percentiles(),
            time(outcome.cpu_each())
        );
        for (name, group) in [
            ("with its nested groups", 0),
            ("at the upper end of a chain", self.tenant.with_levels(0, self.tenant.depth)),
        ] {
            let begun = std::time::Instant::now();
            let (mut users, mut walks) = (0, 0);
            while walks == 0 || begun.elapsed() < self.lasts {
                users = self.ours.members_of(group).await?;
                walks += 1;
            }
            let each = begun.elapsed() / walks;
            println!(
                "| ListGroupMembers, a group of {} users {name}: whole stream; users a second | {}; {} | |",
                count(users as f64),
                time(each),
                count(users as f64 / each.as_secs_f64())
            );
        }
        Ok(())
    }
}
