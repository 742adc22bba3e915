//! What is measured: standalone on SQLite, or distributed on PostgreSQL and Redis. Everything else asks this.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use reqwest::Method;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};

use crate::distributed::Distributed;
use crate::processes::Process;
use crate::requests::Tenant;
use crate::sqlite;
use crate::standalone::Standalone;

/// Which way of running it.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// One process on SQLite.
    Standalone,
    /// Gateway, identity, membership, token and journal as processes, on PostgreSQL and Redis.
    Distributed,
}

/// A running one.
pub enum Target {
    Standalone(Standalone),
    Distributed(Distributed),
}

/// A service with a database that holds something of users.
#[derive(Clone, Copy)]
pub enum Service {
    Identity,
    Membership,
}

impl Service {
    pub fn name(self) -> &'static str {
        match self {
            Service::Identity => "identity",
            Service::Membership => "membership",
        }
    }
}

impl Target {
    /// Starts it on nothing, with its data below `dir`; and how long that took to the first answer, where it means something: of a cluster it is mostly the
    /// making of PostgreSQL.
    pub async fn start(
        kind: Kind,
        binary: &Path,
        dir: &Path,
        replicas: usize,
    ) -> Result<(Self, Option<Duration>)> {
        match kind {
            Kind::Standalone => {
                let mut server = Standalone::new(binary, &dir.join("data"))?;
                let took = server.start().await?;
                Ok((Target::Standalone(server), Some(took)))
            }
            Kind::Distributed => Ok((Target::Distributed(Distributed::start(binary, dir, replicas)?), None)),
        }
    }

    /// Ours first, then what it stands on.
    pub fn processes(&self) -> Result<Vec<Process>> {
        match self {
            Target::Standalone(server) => {
                Ok(vec![Process { role: "standalone", id: server.process()?, ours: true }])
            }
            Target::Distributed(cluster) => cluster.processes(),
        }
    }

    /// SIGTERM, data and database stay.
    pub async fn terminate(&mut self) -> Result<()> {
        match self {
            Target::Standalone(server) => server.terminate().await,
            Target::Distributed(cluster) => cluster.terminate(),
        }
    }

    /// Starts it again after it was stopped; until it answers: how long that took.
    pub async fn start_again(&mut self) -> Result<Duration> {
        match self {
            Target::Standalone(server) => server.start().await,
            Target::Distributed(cluster) => cluster.start_again(),
        }
    }

    /// SIGKILL, to a database of its own as well. Only that is started again.
    pub async fn crash(&mut self) -> Result<()> {
        match self {
            Target::Standalone(server) => server.kill().await,
            Target::Distributed(cluster) => cluster.crash(),
        }
    }

    /// A tenant as Entra ID uses it, without limits on how much it may ask.
    pub async fn tenant(&self, name: &str) -> Result<Tenant> {
        let made = self.admin(Method::POST, "/tenants", json!({ "name": name, "preset": "entra" })).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("the tenant as created");
        let limits = json!({ "requests_per_second": -1, "concurrent": 64 });
        let settings = json!({ "settings": { "limits": limits } });
        self.admin(Method::PATCH, &format!("/tenants/{name}"), settings).await?;
        let path = reqwest::Url::parse(&text(&made["base_url"])?)?.path().to_owned();
        let servers = match self {
            Target::Standalone(server) => vec![server.http()],
            Target::Distributed(cluster) => cluster.http(),
        };
        let bases = servers.iter().map(|server| format!("{server}{path}")).collect();
        Ok(Tenant::new(text(&made["tenant"]["id"])?.parse()?, bases, text(&made["token"])?))
    }

    async fn admin(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        match self {
            Target::Standalone(server) => server.admin(method, path, body).await,
            Target::Distributed(cluster) => cluster.admin(method, path, body).await,
        }
    }

    /// The database of a service, over one connection that may do anything.
    pub async fn database(&self, service: Service) -> Result<DatabaseConnection> {
        let url = match self {
            Target::Standalone(server) => {
                let file = server.dir().join(format!("{}.sqlite", service.name()));
                format!("sqlite://{}?mode=rw", file.display())
            }
            Target::Distributed(cluster) => cluster.database_url(),
        };
        let mut options = ConnectOptions::new(url);
        options.max_connections(1).sqlx_logging(false);
        let db = Database::connect(options).await?;
        if let Target::Distributed(_) = self {
            db.execute_unprepared(&format!("SET search_path = {}", service.name())).await?;
        }
        Ok(db)
    }

    /// Rows a second that the same database takes by itself, each with a commit of its own, by so many connections: for about
    /// `time`, if `rows` fit into that.
    pub async fn commits(&self, connections: u64, rows: u64, time: Duration) -> Result<f64> {
        match self {
            Target::Standalone(server) => sqlite::commits(server.dir(), connections, rows).await,
            Target::Distributed(cluster) => cluster.commits(connections, time),
        }
    }

    /// What [`Target::commits`] measures.
    pub fn commits_of(&self) -> &'static str {
        match self {
            Target::Standalone(_) => "SQLite by itself: one row, one commit (WAL, synchronous=FULL)",
            Target::Distributed(_) => {
                "PostgreSQL by itself: pgbench, one row, one commit (-M prepared, fsync and synchronous_commit on)"
            }
        }
    }

    /// What a crash of it is.
    pub fn crash_of(&self) -> &'static str {
        match self {
            Target::Standalone(_) => "kill -9",
            Target::Distributed(_) => "kill -9 of all processes, PostgreSQL stopped at once (-m immediate)",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Standalone => "standalone",
            Kind::Distributed => "distributed",
        })
    }
}
