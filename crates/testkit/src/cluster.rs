//! Rollcall distributed, as on many machines: real PostgreSQL, real Redis, two processes of each service (or as many as [`Options`]
//! say), on loopback. Anything can be killed and started again.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::postgres::{postgres_user, programs};
use crate::process::{Process, free_address, http_status, wait_until};
use crate::server::Tenant;

/// The verbs of which processes run.
pub const ROLES: [&str; 5] = ["token", "identity", "membership", "journal", "gateway"];

/// What a cluster is started for.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Processes of each role.
    pub replicas: usize,
    /// PostgreSQL as in production: what is committed is on the disk, and it is spoken to over TCP. Otherwise commits are safe from
    /// the end of the process only, which is quicker.
    pub durable: bool,
    /// Where the directory of PostgreSQL is made. Not what TMPDIR says: the path of its socket may not be longer than 107 bytes.
    pub dir: &'a Path,
    /// Lines of settings (TOML, `section.key = value`) besides those that a cluster needs.
    pub settings: &'a str,
}

impl Default for Options<'_> {
    /// As tests want it.
    fn default() -> Self {
        let settings = "database.max_connections = 8\n";
        Options { replicas: 2, durable: false, dir: Path::new("/tmp"), settings }
    }
}

/// A running cluster. Dropping it ends all of it.
pub struct Cluster {
    /// PostgreSQL; signals `INT` (fast) and `QUIT` (as after a crash) stop it.
    pub postgres: Mutex<Process>,
    /// Redis.
    pub redis: Mutex<Process>,
    members: Vec<Member>,
    admin_token: String,
    site: Site,
    redis_address: SocketAddr,
    _dir: TempDir,
}

/// Where PostgreSQL is.
struct Site {
    programs: PathBuf,
    /// Of its data and its socket.
    dir: PathBuf,
    port: u16,
    /// On 127.0.0.1 at `port`, besides the socket.
    tcp: bool,
}

/// One process of Rollcall.
struct Member {
    role: &'static str,
    replica: usize,
    process: Mutex<Process>,
    serves: SocketAddr,
    ops: SocketAddr,
}

impl Cluster {
    /// Starts everything with the `rollcall` at `binary` and returns when all of it is ready.
    pub fn start(binary: &Path) -> Result<Cluster> {
        Self::start_as(binary, &Options::default())
    }

    /// As [`Cluster::start`], with these lines of settings (TOML, `section.key = value`) besides those it needs itself.
    pub fn start_with(binary: &Path, further: &str) -> Result<Cluster> {
        let options = Options::default();
        Self::start_as(binary, &Options { settings: &format!("{}{further}", options.settings), ..options })
    }

    /// As [`Cluster::start`], for something else than a test.
    pub fn start_as(binary: &Path, options: &Options<'_>) -> Result<Cluster> {
        let dir = tempfile::Builder::new().prefix("rollcall-cluster-").tempdir()?;
        let (postgres, site) = start_postgres(options)?;
        let (redis, redis_address) = crate::redis::private()?;

        let secrets = dir.path().join("secrets");
        run(Command::new(binary).args(["config", "secrets", "--dir"]).arg(&secrets))?;
        let roles = run(Command::new(binary).args(["migrate", "--print-roles"]))?;
        std::fs::write(dir.path().join("roles.sql"), roles)?;
        run(site.program("psql").args(["-q", "-c", "CREATE DATABASE rollcall"]))?;
        let mut psql = site.program("psql");
        psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-d", "rollcall", "-f"]).arg(dir.path().join("roles.sql"));
        run(&mut psql)?;

        let mut addresses = Vec::new();
        for role in ROLES {
            for replica in 0..options.replicas {
                addresses.push((role, replica, free_address()?, free_address()?));
            }
        }
        let config = dir.path().join("rollcall.toml");
        // With certificates (those of `localhost`) in the settings, they are called by that name.
        let origin =
            if options.settings.contains("grpc.tls.") { "https://localhost" } else { "http://127.0.0.1" };
        let common = settings(&addresses, origin, &site, redis_address, &secrets);
        std::fs::write(&config, common + options.settings)?;
        run(Command::new(binary).args(["migrate", "--wait", "30", "--config"]).arg(&config))?;

        let mut members = Vec::new();
        for (role, replica, serves, ops) in addresses {
            let own = dir.path().join(format!("{role}-{replica}"));
            std::fs::create_dir(&own)?;
            let mut command: Vec<OsString> = vec!["env".into()];
            // What the tests were started with is no setting of these.
            let foreign = std::env::vars().filter(|(name, _)| name.starts_with("ROLLCALL_"));
            command.extend(foreign.map(|(name, _)| format!("--unset={name}").into()));
            command.extend([
                format!("ROLLCALL_LISTEN__HTTP={serves}").into(),
                format!("ROLLCALL_LISTEN__GRPC={serves}").into(),
                format!("ROLLCALL_LISTEN__OPS={ops}").into(),
                binary.into(),
                role.into(),
                "--config".into(),
                config.clone().into(),
            ]);
            let command: Vec<&OsStr> = command.iter().map(OsString::as_os_str).collect();
            let process = Mutex::new(Process::start(&own, &command, None)?);
            members.push(Member { role, replica, process, serves, ops });
        }
        let admin_token = std::fs::read_to_string(secrets.join("admin_token"))?.trim().to_owned();
        let (postgres, redis) = (Mutex::new(postgres), Mutex::new(redis));
        let cluster = Cluster { postgres, redis, members, admin_token, site, redis_address, _dir: dir };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Base URLs of the gateways.
    pub fn gateways(&self) -> Vec<String> {
        let gateways = self.members.iter().filter(|member| member.role == "gateway");
        gateways.map(|member| format!("http://{}", member.serves)).collect()
    }

    /// The ops port of a process.
    pub fn ops(&self, role: &str, replica: usize) -> Result<SocketAddr> {
        Ok(self.member(role, replica)?.ops)
    }

    /// Every process of Rollcall: its role and its process id.
    pub fn processes(&self) -> Result<Vec<(&'static str, u32)>> {
        self.members.iter().map(|member| Ok((member.role, lock(&member.process).id()?))).collect()
    }

    /// Ends every process of Rollcall with this signal, the gateways first.
    pub fn stop_all(&self, signal: &str) -> Result<()> {
        self.members.iter().rev().try_for_each(|member| lock(&member.process).stop(signal))
    }

    /// Starts every process of Rollcall again, at once, and returns when all are ready.
    pub fn start_all_again(&self) -> Result<()> {
        self.members.iter().try_for_each(|member| lock(&member.process).start_again())?;
        self.wait_until_ready()
    }

    /// A program of PostgreSQL (`psql`, `pgbench`, …), set up to speak to this one as its superuser.
    pub fn postgres_program(&self, name: &str) -> Command {
        self.site.program(name)
    }

    /// The URL of the database `name` for its superuser; Rollcall's database is called `rollcall`.
    pub fn postgres_url(&self, name: &str) -> String {
        self.site.url("postgres", name)
    }

    /// Ends a process with this signal.
    pub fn stop(&self, role: &str, replica: usize, signal: &str) -> Result<()> {
        lock(&self.member(role, replica)?.process).stop(signal)
    }

    /// Starts a stopped process again and returns when it is ready.
    pub fn start_again(&self, role: &str, replica: usize) -> Result<()> {
        let member = self.member(role, replica)?;
        lock(&member.process).start_again()?;
        member.wait_until_ready()
    }

    /// The log of a process.
    pub fn log(&self, role: &str, replica: usize) -> Result<String> {
        Ok(lock(&self.member(role, replica)?.process).log())
    }

    /// Ends PostgreSQL and starts it again; returns when it takes connections.
    pub fn restart_postgres(&self, signal: &str) -> Result<()> {
        let mut postgres = lock(&self.postgres);
        postgres.stop(signal)?;
        postgres.start_again()?;
        wait_for_postgres(&self.site)
    }

    /// Starts Redis again after it was stopped; returns when it takes connections.
    pub fn start_redis_again(&self) -> Result<()> {
        lock(&self.redis).start_again()?;
        crate::redis::wait(self.redis_address)
    }

    /// Returns when every process says that it is ready.
    pub fn wait_until_ready(&self) -> Result<()> {
        self.members.iter().try_for_each(Member::wait_until_ready)
    }

    /// Calls the admin API of a gateway; returns status and body.
    pub async fn admin(
        &self,
        gateway: usize,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value)> {
        let base = &self.gateways()[gateway];
        let client = crate::http_client();
        let mut request =
            client.request(method, format!("{base}/admin/v1{path}")).bearer_auth(&self.admin_token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_str(&response.text().await?).unwrap_or(Value::Null)))
    }

    /// A new tenant.
    pub async fn tenant(&self, name: &str, preset: &str) -> Result<Tenant> {
        let body = json!({"name": name, "preset": preset});
        let (status, answer) = self.admin(0, Method::POST, "/tenants", Some(body)).await?;
        ensure!(status == 201, "creating tenant {name:?} was answered {status}: {answer}");
        serde_json::from_value(answer.clone())
            .with_context(|| format!("creating a tenant was answered {answer}"))
    }

    fn member(&self, role: &str, replica: usize) -> Result<&Member> {
        let found = self.members.iter().find(|member| member.role == role && member.replica == replica);
        found.with_context(|| format!("there is no {role} {replica}"))
    }
}

impl Member {
    fn wait_until_ready(&self) -> Result<()> {
        let Member { role, replica, .. } = self;
        wait_until(&format!("{role} {replica} is ready"), || http_status(self.ops, "/readyz") == Some(200))
            .with_context(|| lock(&self.process).log_tail(20))
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.args(["-U", "postgres", "-p", &self.port.to_string(), "-h"]);
        match self.tcp {
            true => command.arg("127.0.0.1"),
            false => command.arg(&self.dir),
        };
        command
    }

    fn url(&self, user: &str, database: &str) -> String {
        match self.tcp {
            true => format!("postgres://{user}@127.0.0.1:{}/{database}?sslmode=disable", self.port),
            false => {
                format!("postgres://{user}@localhost:{}/{database}?host={}", self.port, self.dir.display())
            }
        }
    }
}

/// What all processes have in common.
fn settings(
    addresses: &[(&str, usize, SocketAddr, SocketAddr)],
    origin: &str,
    postgres: &Site,
    redis: SocketAddr,
    secrets: &Path,
) -> String {
    let of = |role: &str| {
        let replicas = addresses.iter().filter(|address| address.0 == role);
        replicas.map(|address| format!("{origin}:{}", address.2.port())).collect::<Vec<_>>().join(",")
    };
    let url = |user: &str| postgres.url(user, "rollcall");
    let mut text = format!("redis.urls = \"redis://{redis}\"\nmigrate.url = \"{}\"\n", url("rollcall_owner"));
    text += "server.drain_delay_seconds = 0\n";
    for role in ["identity", "membership", "token", "journal"] {
        text += &format!("services.{role} = \"{}\"\n", of(role));
        text += &format!("database.{role}.url = \"{}\"\n", url(&format!("rollcall_{role}")));
    }
    for secret in ["key_encryption_key", "cursor_key", "platform_secret", "admin_token"] {
        text += &format!("secrets.{secret}_file = \"{}\"\n", secrets.join(secret).display());
    }
    text
}

fn start_postgres(options: &Options<'_>) -> Result<(Process, Site)> {
    let programs = programs()?;
    let dir = tempfile::Builder::new().prefix("rollcall-pg-").tempdir_in(options.dir)?.keep();
    let user = match std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&dir)?) {
        0 => Some(postgres_user()?),
        _ => None,
    };
    let mut initdb = Command::new(programs.join("initdb"));
    initdb.arg("-D").arg(dir.join("data"));
    initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
    initdb.current_dir("/");
    if let Some((uid, gid)) = user {
        chown(&dir, Some(uid), Some(gid)).context("giving the cluster's directory to user postgres")?;
        std::os::unix::process::CommandExt::uid(&mut initdb, uid);
        std::os::unix::process::CommandExt::gid(&mut initdb, gid);
    }
    run(&mut initdb)?;
    let port = free_address()?.port();
    let (postgres, data) = (programs.join("postgres"), dir.join("data"));
    let mut command: Vec<&OsStr> =
        vec![postgres.as_os_str(), "-D".as_ref(), data.as_os_str(), "-k".as_ref(), dir.as_os_str()];
    // Connections: 16 of each process with a database, and some for whoever looks on.
    let further = [format!("port={port}"), format!("max_connections={}", 100 + 64 * options.replicas)];
    let of_kind: &[&str] = match options.durable {
        true => &["listen_addresses=127.0.0.1", "shared_buffers=1GB", "max_wal_size=2GB"],
        false => &["listen_addresses=", "fsync=off"],
    };
    for option in further.iter().map(String::as_str).chain(of_kind.iter().copied()) {
        command.extend::<[&OsStr; 2]>(["-c".as_ref(), option.as_ref()]);
    }
    let process = Process::start(&dir, &command, user)?;
    let site = Site { programs, dir, port, tcp: options.durable };
    wait_for_postgres(&site).with_context(|| process.log_tail(5))?;
    Ok((process, site))
}

fn wait_for_postgres(site: &Site) -> Result<()> {
    wait_until("PostgreSQL takes connections", || {
        site.program("pg_isready").arg("-q").status().is_ok_and(|status| status.success())
    })
}

fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{command:?}: {} {}", text(&output.stdout), text(&output.stderr));
    Ok(text(&output.stdout))
}
