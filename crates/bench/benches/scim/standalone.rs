//! `rollcall standalone`, started here and gone with this process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::PATIENCE;

/// A server with its directory; stopped, it can be started again on the same port.
pub struct Standalone {
    binary: PathBuf,
    dir: PathBuf,
    address: String,
    child: Option<Child>,
}

impl Standalone {
    /// Not started yet.
    pub fn new(binary: &Path, dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        Ok(Self { binary: binary.to_owned(), dir: dir.to_owned(), address, child: None })
    }

    /// Starts it and waits for its first answer: how long that took.
    pub async fn start(&mut self) -> Result<Duration> {
        let endpoints = self.dir.join("endpoints.json");
        if endpoints.exists() {
            std::fs::remove_file(&endpoints)?;
        }
        let client = testkit::http_client();
        let log = std::fs::File::create(self.dir.join("server.log"))?;
        let begun = Instant::now();
        let child = Command::new(&self.binary)
            .arg("standalone")
            .arg("--data-dir")
            .arg(&self.dir)
            .args(["--http", &self.address, "--grpc", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} (cargo build --profile perf -p rollcall)", self.binary.display()))?;
        let child = self.child.insert(child);
        while !endpoints.exists() {
            if let Some(status) = child.try_wait()? {
                let log = std::fs::read_to_string(self.dir.join("server.log"))?;
                anyhow::bail!("the server ended with {status}: {log}");
            }
            ensure!(begun.elapsed() < PATIENCE, "no endpoints.json");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let answer = client.get(format!("{}/healthz", self.http())).send().await?;
        ensure!(answer.status().is_success(), "/healthz answered {}", answer.status());
        Ok(begun.elapsed())
    }

    pub fn http(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process id.
    pub fn process(&self) -> Result<u32> {
        self.child.as_ref().and_then(Child::id).context("the server is gone")
    }

    /// Of its databases, one file for each service.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Calls the admin API; fails unless it succeeds.
    pub async fn admin(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let token = std::fs::read_to_string(self.dir.join("admin-token"))?;
        let request = testkit::http_client().request(method, format!("{}/admin/v1{path}", self.http()));
        let answer = request.bearer_auth(token.trim()).json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{path} was answered {status}: {text}");
        serde_json::from_str(&text).context(text)
    }

    /// SIGTERM, and waits until it is gone.
    pub async fn terminate(&mut self) -> Result<()> {
        let process = self.process()?.to_string();
        Command::new("kill").args(["-TERM", &process]).status().await?;
        let mut child = self.child.take().context("the server is gone")?;
        let status =
            tokio::time::timeout(PATIENCE, child.wait()).await.context("SIGTERM did not end it")??;
        ensure!(status.success(), "SIGTERM ended it with {status}");
        Ok(())
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the server is gone")?;
        child.kill().await.context("SIGKILL")
    }
}
