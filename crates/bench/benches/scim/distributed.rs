//! `rollcall gateway|identity|membership|token|journal` as processes, on a PostgreSQL and a Redis of their own: all gone with this
//! process.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::Value;
use testkit::cluster::{Cluster, Options};
use tokio::task::block_in_place;

use crate::processes::Process;

/// See the module.
pub struct Distributed {
    cluster: Cluster,
}

impl Distributed {
    /// Starts everything, with so many processes of each role and PostgreSQL's data in `dir`, and waits until all are ready.
    pub fn start(binary: &Path, dir: &Path, replicas: usize) -> Result<Self> {
        let options = Options { replicas, durable: true, dir, settings: "" };
        let cluster = block_in_place(|| Cluster::start_as(binary, &options)).context(
            "starting the processes (apt-get install postgresql redis-server; cargo build --profile perf -p rollcall)",
        )?;
        Ok(Self { cluster })
    }

    /// Rollcall's first, then PostgreSQL and Redis.
    pub fn processes(&self) -> Result<Vec<Process>> {
        let mut all = Vec::new();
        for (role, id) in self.cluster.processes()?.into_iter().rev() {
            all.push(Process { role, id, ours: true });
        }
        for (role, process) in [("PostgreSQL", &self.cluster.postgres), ("Redis", &self.cluster.redis)] {
            let id = process.lock().map_err(|_| anyhow::anyhow!("a lock of {role}"))?.id()?;
            all.push(Process { role, id, ours: false });
        }
        Ok(all)
    }

    /// Of all gateways.
    pub fn http(&self) -> Vec<String> {
        self.cluster.gateways()
    }

    /// Of Rollcall's database, for its superuser.
    pub fn database_url(&self) -> String {
        self.cluster.postgres_url("rollcall")
    }

    /// Calls the admin API; fails unless it succeeds.
    pub async fn admin(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let (status, answer) = self.cluster.admin(0, method, path, Some(body)).await?;
        ensure!((200..300).contains(&status), "{path} was answered {status}: {answer}");
        Ok(answer)
    }

    /// SIGTERM to all processes of Rollcall; the database stays.
    pub fn terminate(&self) -> Result<()> {
        block_in_place(|| self.cluster.stop_all("TERM"))
    }

    /// Starts what was stopped, PostgreSQL first; until the last process says that it is ready: how long the processes of
    /// Rollcall took.
    pub fn start_again(&self) -> Result<Duration> {
        block_in_place(|| {
            let begun = Instant::now();
            self.cluster.start_all_again()?;
            Ok(begun.elapsed())
        })
    }

    /// SIGKILL to all processes of Rollcall at once, and to PostgreSQL what `pg_ctl stop -m immediate` sends, at the same moment.
    /// PostgreSQL is started again; the others are not.
    pub fn crash(&self) -> Result<()> {
        block_in_place(|| {
            let mut kill = Command::new("kill");
            kill.arg("-KILL");
            let mut quit = Command::new("kill");
            quit.arg("-QUIT");
            for process in self.processes()? {
                match (process.ours, process.role) {
                    (true, _) => drop(kill.arg(process.id.to_string())),
                    (false, "PostgreSQL") => drop(quit.arg(process.id.to_string())),
                    _ => {}
                }
            }
            ensure!(kill.status()?.success() && quit.status()?.success(), "{kill:?} or {quit:?} failed");
            self.cluster.stop_all("KILL")?;
            self.cluster.restart_postgres("QUIT").context("starting PostgreSQL after it was stopped at once")
        })
    }

    /// Rows a second that PostgreSQL takes by itself, by so many connections, each with a commit of its own: pgbench.
    pub fn commits(&self, connections: u64, time: Duration) -> Result<f64> {
        block_in_place(|| {
            let ran = |command: &mut Command| {
                let output = command.output().with_context(|| format!("{command:?}"))?;
                let (said, error) =
                    (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                ensure!(output.status.success(), "{command:?}: {said} {error}");
                Ok(said.into_owned())
            };
            let dir = tempfile::Builder::new().prefix("pgbench-").tempdir()?;
            let script = dir.path().join("insert.sql");
            std::fs::write(&script, INSERT)?;
            ran(self.cluster.postgres_program("psql").args([
                "-q",
                "-c",
                "DROP TABLE IF EXISTS rows",
                "-c",
                ROWS,
            ]))?;
            let mut pgbench = self.cluster.postgres_program("pgbench");
            pgbench.args(["-n", "-M", "prepared", "-j", "2", "-c", &connections.to_string()]);
            pgbench.args(["-T", &time.as_secs().max(1).to_string(), "-f"]).arg(&script).arg("postgres");
            let said = ran(&mut pgbench)?;
            let rate = said.lines().find_map(|line| line.strip_prefix("tps = "));
            let rate = rate.and_then(|rate| rate.split(' ').next()).and_then(|rate| rate.parse().ok());
            rate.with_context(|| format!("pgbench said: {said}"))
        })
    }
}

const ROWS: &str = "CREATE TABLE rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE, \
    body text NOT NULL)";
/// One row, one commit, as durable as ours: `synchronous_commit` is on unless somebody says otherwise.
const INSERT: &str = "\\set row random(1, 9000000000000000)\n\
    INSERT INTO rows (name, body) VALUES (format('%s-%s', :client_id::int, :row::bigint), repeat('x', 1000));\n";
