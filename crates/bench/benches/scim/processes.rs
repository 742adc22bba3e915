//! What runs, and what each process costs: CPU time and memory, as the kernel counts them.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::common;

/// A process, or a parent and its children.
#[derive(Clone, Copy)]
pub struct Process {
    /// What it is, for the tables. Replicas have the same.
    pub role: &'static str,
    pub id: u32,
    /// Of the program that is measured; otherwise it is shown beside it (a database, with the children it forks).
    pub ours: bool,
}

impl Process {
    /// User and system time so far; of a database also that of its children, the ones that are gone included.
    pub fn cpu_time(&self) -> Result<Duration> {
        if self.ours {
            return common::cpu_time(&[self.id]);
        }
        let mut ticks = Stat::of(self.id)?.all();
        for child in children(self.id)? {
            // One that has ended meanwhile is counted by its parent.
            ticks += Stat::of(child).map_or(0, |stat| stat.own());
        }
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Memory, bytes: resident; of a database the proportional share, since its processes share most of theirs.
    pub fn memory(&self) -> Result<u64> {
        if self.ours {
            return common::resident(self.id);
        }
        let mut bytes = proportional(self.id)?;
        for child in children(self.id)? {
            bytes += proportional(child).unwrap_or(0);
        }
        Ok(bytes)
    }
}

/// The ids of ours.
pub fn ours(processes: &[Process]) -> Vec<u32> {
    processes.iter().filter(|process| process.ours).map(|process| process.id).collect()
}

/// CPU time by role, in the order of `processes`.
pub fn cpu_by_role(processes: &[Process]) -> Result<Vec<(&'static str, Duration)>> {
    let mut sums: Vec<(&'static str, Duration)> = Vec::new();
    for process in processes {
        let spent = process.cpu_time()?;
        match sums.iter_mut().find(|sum| sum.0 == process.role) {
            Some(sum) => sum.1 += spent,
            None => sums.push((process.role, spent)),
        }
    }
    Ok(sums)
}

/// Memory by role, the largest of its replicas, in the order of `processes`.
pub fn memory_by_role(processes: &[Process]) -> Result<Vec<(&'static str, u64)>> {
    let mut most: Vec<(&'static str, u64)> = Vec::new();
    for process in processes {
        let bytes = process.memory()?;
        match most.iter_mut().find(|entry| entry.0 == process.role) {
            Some(entry) => entry.1 = entry.1.max(bytes),
            None => most.push((process.role, bytes)),
        }
    }
    Ok(most)
}

/// `12 MiB`.
pub fn mib(bytes: u64) -> String {
    format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Fields of `/proc/PID/stat`, in ticks of 10 ms.
struct Stat {
    parent: u32,
    /// User, system, and both of children that were waited for.
    times: [u64; 4],
}

impl Stat {
    fn of(process: u32) -> Result<Stat> {
        let path = format!("/proc/{process}/stat");
        let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        // The name, in parentheses, may contain anything.
        let (_, fields) = stat.rsplit_once(')').with_context(|| path.clone())?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let number = |at: usize| {
            fields.get(at).and_then(|field| field.parse::<u64>().ok()).with_context(|| path.clone())
        };
        let parent = u32::try_from(number(1)?)?;
        Ok(Stat { parent, times: [number(11)?, number(12)?, number(13)?, number(14)?] })
    }

    fn own(&self) -> u64 {
        self.times[0] + self.times[1]
    }

    fn all(&self) -> u64 {
        self.times.iter().sum()
    }
}

fn children(parent: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Ok(process) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        if Stat::of(process).is_ok_and(|stat| stat.parent == parent) {
            found.push(process);
        }
    }
    Ok(found)
}

fn proportional(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let fields: HashMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let kib = fields.get("Pss").and_then(|value| value.split(' ').next()).context("no Pss")?;
    Ok(kib.parse::<u64>()? * 1024)
}
