//! How many users a second are created durably, beside what the same database does by itself; and that they are durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::common::{self, Load, Outcome, count};
use crate::requests::Tenant;
use crate::target::Target;
use crate::{LONGEST, PATIENCE};

/// How often users and the database by itself take turns, so that both meet the same disk.
const ROUNDS: u64 = 3;

/// Prints both rates and the ratio.
pub async fn rates(target: &Target, connections: u64, requests: u64) -> Result<()> {
    let tenant = target.tenant("durable").await?;
    let each = requests.div_ceil(ROUNDS);
    let mut alone = 0.0;
    let mut of_rounds = Vec::new();
    let mut posts = Outcome::default();
    for round in 0..ROUNDS {
        // As long as the users took, once that is known.
        let time = if round == 0 { Duration::from_secs(2) } else { posts.took / u32::try_from(round)? };
        let limit = target.commits(connections, each, time).await?;
        let (creating, first) = (tenant.clone(), round * each);
        let load = Load::closed(connections, LONGEST, each);
        let outcome = common::run(load, &[], move |number| {
            let tenant = creating.clone();
            async move { tenant.create(first + number).await }
        })
        .await?;
        of_rounds.push((outcome.rate(), limit));
        posts = posts.and(outcome);
        alone += limit / ROUNDS as f64;
    }
    let one = target.commits(1, each, Duration::from_secs(2)).await?;

    println!("\n| durable POST of users, {connections} connections | a second |\n|---|---|");
    println!("| POST /Users (p50, p99: {}) | {} |", posts.percentiles(), count(posts.rate()));
    println!("| {}, {connections} connections | {} |", target.commits_of(), count(alone));
    println!("| … 1 connection | {} |", count(one));
    println!(
        "| ratio to {connections} connections (aim ≥ 60%); to 1 | {:.0}%; {:.0}% |",
        100.0 * posts.rate() / alone,
        100.0 * posts.rate() / one
    );
    let of_rounds: Vec<String> =
        of_rounds.iter().map(|(posts, limit)| format!("{} of {}", count(*posts), count(*limit))).collect();
    println!("| … the two took turns: each turn | {} |", of_rounds.join(", "));
    Ok(())
}

/// Kills everything once so many users were answered, while more are being created; starts it again; looks for each who was answered.
pub async fn crash(target: &mut Target, connections: u64, least: u64) -> Result<()> {
    let tenant = target.tenant("crash").await?;
    let next = Arc::new(AtomicU64::new(0));
    let mut callers = Vec::new();
    for _ in 0..connections {
        let (tenant, next) = (tenant.clone(), next.clone());
        callers.push(tokio::spawn(async move {
            // Until the server is gone.
            while tenant.create(next.fetch_add(1, Ordering::Relaxed)).await.is_ok() {}
        }));
    }
    let enough = async {
        while (tenant.created().len() as u64) < least && !callers.iter().all(|caller| caller.is_finished()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE * 4, enough).await.context("users are not created")?;
    target.crash().await?;
    for caller in callers {
        caller.await.context("a caller panicked")?;
    }
    let answered = tenant.created();
    ensure!(answered.len() as u64 >= least, "only {} users were answered before the kill", answered.len());
    let took = target.start_again().await?;
    let mut missing = Vec::new();
    for number in &answered {
        if let Err(error) = find(&tenant, *number).await {
            missing.push(error);
        }
    }
    println!(
        "| {} after {} answered users, while more came; started again in {}: found by GET | {} of {} |",
        target.crash_of(),
        answered.len(),
        common::time(took),
        answered.len() - missing.len(),
        answered.len()
    );
    match missing.into_iter().next() {
        Some(error) => Err(error.context("a user who was answered is not there after the crash")),
        None => Ok(()),
    }
}

/// A connection of before the crash may be tried first, so once more.
async fn find(tenant: &Tenant, number: u64) -> Result<()> {
    match tenant.get(number).await {
        Ok(()) => Ok(()),
        Err(_) => tenant.get(number).await,
    }
}
