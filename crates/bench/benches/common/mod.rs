//! What the benchmarks of running servers share: load with a given number of callers, latencies, CPU time of processes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// How long to ask, and how fast.
#[derive(Clone, Copy)]
pub struct Load {
    /// Calls under way at once.
    pub callers: u64,
    /// The end of it, whichever comes first.
    pub longest: Duration,
    /// See `longest`.
    pub most: u64,
    /// Calls a second in all; without it each caller asks again as soon as it has its answer.
    pub pace: Option<f64>,
}

impl Load {
    /// As fast as the answers come, for so long or so many calls.
    pub fn closed(callers: u64, longest: Duration, most: u64) -> Self {
        Self { callers, longest, most, pace: None }
    }
}

/// What came of it.
#[derive(Clone, Default)]
pub struct Outcome {
    /// Of each call, sorted.
    pub latencies: Vec<Duration>,
    /// From the first call to the last answer.
    pub took: Duration,
    /// CPU time that the servers' processes spent meanwhile.
    cpu: Duration,
}

impl Outcome {
    /// Calls a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// The latency that so many in a hundred did not exceed.
    pub fn percentile(&self, hundredths: usize) -> Duration {
        let at = (self.latencies.len() * hundredths).div_ceil(100).saturating_sub(1);
        self.latencies.get(at).copied().unwrap_or_default()
    }

    /// CPU time of the servers for each call.
    pub fn cpu_each(&self) -> Duration {
        self.cpu.div_f64(self.latencies.len().max(1) as f64)
    }

    /// Both together.
    pub fn and(mut self, other: Outcome) -> Outcome {
        self.latencies.extend(other.latencies);
        self.latencies.sort_unstable();
        Outcome { took: self.took + other.took, cpu: self.cpu + other.cpu, ..self }
    }

    /// `p50, p99`, for the table.
    pub fn percentiles(&self) -> String {
        format!("{}, {}", time(self.percentile(50)), time(self.percentile(99)))
    }
}

/// Calls `call` with 0, 1, 2, …; the first error ends it. A call of a paced load counts from when it is sent.
pub async fn run<F, C>(load: Load, servers: &[u32], call: F) -> Result<Outcome>
where
    F: Fn(u64) -> C + Clone + Send + 'static,
    C: Future<Output = Result<()>> + Send,
{
    let spent = cpu_time(servers)?;
    let numbers = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut callers = Vec::new();
    for _ in 0..load.callers {
        let (numbers, call) = (numbers.clone(), call.clone());
        callers.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            while begun.elapsed() < load.longest {
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                if number >= load.most {
                    break;
                }
                if let Some(pace) = load.pace {
                    let due = begun + Duration::from_secs_f64(number as f64 / pace);
                    tokio::time::sleep_until(due.into()).await;
                }
                let sent = Instant::now();
                call(number).await?;
                latencies.push(sent.elapsed());
            }
            Ok::<_, anyhow::Error>(latencies)
        }));
    }
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await.context("a caller panicked")??);
    }
    let took = begun.elapsed();
    let cpu = settled_cpu_time(servers).await?.saturating_sub(spent);
    latencies.sort_unstable();
    Ok(Outcome { latencies, took, cpu })
}

/// CPU time once it stands still: what a call leaves to be done behind it belongs to the call.
async fn settled_cpu_time(servers: &[u32]) -> Result<Duration> {
    let mut last = cpu_time(servers)?;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = cpu_time(servers)?;
        if now.saturating_sub(last) <= Duration::from_millis(10) {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

/// User and system time of these processes so far, from `/proc/PID/stat`: steps of 10 ms.
pub fn cpu_time(processes: &[u32]) -> Result<Duration> {
    let mut ticks = 0;
    for process in processes {
        let path = format!("/proc/{process}/stat");
        let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        // The name, in parentheses, may contain anything.
        let (_, fields) = stat.rsplit_once(')').with_context(|| path.clone())?;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u64>().with_context(|| path.clone())?;
        }
    }
    Ok(Duration::from_millis(ticks * 10))
}

/// Resident memory of a process, bytes.
pub fn resident(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib = line.split_whitespace().nth(1).context("VmRSS is a number")?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// `12.3 µs`, `4.56 ms`, `7.8 s`.
pub fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..1000.0 => format!("{micros:.0} µs"),
        ..1_000_000.0 => format!("{:.2} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

/// `12,345`.
pub fn count(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::with_capacity(digits.len() + 4);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
