//! Memory over time: a mixed load at a steady pace, and the resident memory of each process meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::common::{self, Load, count};
use crate::processes::{self, Process, memory_by_role, mib};
use crate::requests::{Tenant, any};
use crate::target::Target;

/// Samples of the whole run, about: one a second if it is short.
const SAMPLES: u32 = 1000;

/// Asks the tenant of so many users for `time`, and prints what became of the memory. Calls that fail are counted.
pub async fn run(target: &Target, tenant: &Tenant, users: u64, time: Duration, pace: f64) -> Result<()> {
    let processes = target.processes()?;
    let ids = processes::ours(&processes);
    let failed = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let sampling = tokio::spawn(sample(processes, time, done.clone()));

    let (asked, failures) = (tenant.clone(), failed.clone());
    let load = Load { callers: 16, longest: time, most: u64::MAX, pace: Some(pace) };
    let outcome = common::run(load, &ids, move |number| {
        let (tenant, failures) = (asked.clone(), failures.clone());
        async move {
            if let Err(error) = mixed(&tenant, users, number).await
                && failures.fetch_add(1, Ordering::Relaxed) < 3
            {
                eprintln!("a call of the soak failed: {error:#}");
            }
            Ok(())
        }
    })
    .await?;
    done.store(true, Ordering::Relaxed);
    let samples = sampling.await.context("sampling panicked")??;

    println!(
        "\n| resident memory, {} a second for {}, {} users, {} calls, {} failed | first | middle | last | MiB an hour | … of the second half |\n\
         |---|---|---|---|---|---|",
        count(outcome.rate()),
        common::time(outcome.took),
        count(users as f64),
        count(outcome.latencies.len() as f64),
        failed.load(Ordering::Relaxed)
    );
    for (role, of_role) in samples {
        let (Some(first), Some(last)) = (of_role.first(), of_role.last()) else { continue };
        let middle = of_role.len() / 2;
        println!(
            "| {role} | {} | {} | {} | {:+.1} | {:+.1} |",
            mib(first.1),
            mib(of_role[middle].1),
            mib(last.1),
            slope(&of_role),
            slope(&of_role[middle..])
        );
    }
    println!(
        "| p50, p99; CPU time of ours each | {}; {} | | | | |",
        outcome.percentiles(),
        common::time(outcome.cpu_each())
    );
    Ok(())
}

/// Of twenty calls ten find a user, three ask for a page, five change a user; one creates one, and one deletes one that came long before:
/// the tenant stays as large as it is.
async fn mixed(tenant: &Tenant, users: u64, number: u64) -> Result<()> {
    let any = any(number, users);
    // Not a number of one who stays.
    let passing = |round: u64| 500_000_000 + round;
    let round = number / 20;
    match number % 20 {
        0..=3 => tenant.get(any).await,
        4..=9 => tenant.find(u32::try_from(number % 3)?, any).await,
        10..=12 => tenant.any_page(1 + any % users.saturating_sub(100).max(1)).await,
        13..=17 => tenant.patch(any, number).await,
        18 => tenant.create(passing(round)).await,
        _ => match round.checked_sub(20) {
            Some(earlier) => tenant.delete(passing(earlier)).await,
            None => tenant.get(any).await,
        },
    }
}

/// When, and how many bytes.
type Samples = Vec<(Duration, u64)>;

async fn sample(
    processes: Vec<Process>,
    time: Duration,
    done: Arc<AtomicBool>,
) -> Result<Vec<(&'static str, Samples)>> {
    let pause = (time / SAMPLES).max(Duration::from_secs(1));
    let begun = Instant::now();
    let mut all: Vec<(&'static str, Samples)> = Vec::new();
    while !done.load(Ordering::Relaxed) {
        for (role, bytes) in memory_by_role(&processes)? {
            match all.iter_mut().find(|of_role| of_role.0 == role) {
                Some(of_role) => of_role.1.push((begun.elapsed(), bytes)),
                None => all.push((role, vec![(begun.elapsed(), bytes)])),
            }
        }
        tokio::time::sleep(pause).await;
    }
    Ok(all)
}

/// MiB an hour, of the line that lies closest to the samples.
fn slope(samples: &[(Duration, u64)]) -> f64 {
    let points =
        samples.iter().map(|(at, bytes)| (at.as_secs_f64() / 3600.0, *bytes as f64 / f64::from(1 << 20)));
    let number = samples.len() as f64;
    let (mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0);
    for (hours, size) in points {
        x += hours;
        y += size;
        xx += hours * hours;
        xy += hours * size;
    }
    let spread = number * xx - x * x;
    if spread <= 0.0 { 0.0 } else { (number * xy - x * y) / spread }
}
