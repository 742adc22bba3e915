//! `rollcall standalone`, started here and gone with this process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::requests::Tenant;
use crate::{PATIENCE, common};

/// A running server.
pub struct Server {
    child: Child,
    dir: PathBuf,
    http: String,
}

impl Server {
    /// Starts it and waits for its first answer: how long that took.
    pub async fn start(binary: &Path, dir: &Path) -> Result<(Server, Duration)> {
        std::fs::create_dir_all(dir)?;
        let endpoints = dir.join("endpoints.json");
        if endpoints.exists() {
            std::fs::remove_file(&endpoints)?;
        }
        let client = testkit::http_client();
        let log = std::fs::File::create(dir.join("server.log"))?;
        let begun = Instant::now();
        let mut child = Command::new(binary)
            .arg("standalone")
            .arg("--data-dir")
            .arg(dir)
            .args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} (cargo build --profile perf -p rollcall)", binary.display()))?;
        let http = loop {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!(
                    "the server ended with {status}: {}",
                    std::fs::read_to_string(dir.join("server.log"))?
                );
            }
            ensure!(begun.elapsed() < PATIENCE, "no endpoints.json");
            let said = std::fs::read_to_string(&endpoints).ok();
            let said: Option<Value> = said.and_then(|text| serde_json::from_str(&text).ok());
            if let Some(http) = said.as_ref().and_then(|said| said["http"].as_str()) {
                break http.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        let answer = client.get(format!("{http}/healthz")).send().await?;
        ensure!(answer.status().is_success(), "/healthz answered {}", answer.status());
        Ok((Server { child, dir: dir.to_owned(), http }, begun.elapsed()))
    }

    /// Its process id.
    pub fn process(&self) -> Result<u32> {
        self.child.id().context("the server is gone")
    }

    /// Resident memory, bytes.
    pub fn resident(&self) -> Result<u64> {
        common::resident(self.process()?)
    }

    /// A tenant as Entra ID uses it, without limits on how much it may ask.
    pub async fn tenant(&self) -> Result<Tenant> {
        let made =
            self.admin(Method::POST, "/tenants", json!({ "name": "bench", "preset": "entra" })).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("the tenant as created");
        let limits = json!({ "requests_per_second": -1, "concurrent": 64 });
        self.admin(Method::PATCH, "/tenants/bench", json!({ "settings": { "limits": limits } })).await?;
        Ok(Tenant::new(text(&made["base_url"])?, text(&made["token"])?))
    }

    async fn admin(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let token = std::fs::read_to_string(self.dir.join("admin-token"))?;
        let request = testkit::http_client().request(method, format!("{}/admin/v1{path}", self.http));
        let answer = request.bearer_auth(token.trim()).json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{path} was answered {status}: {text}");
        serde_json::from_str(&text).context(text)
    }

    /// SIGTERM, and waits until it is gone.
    pub async fn terminate(mut self) -> Result<()> {
        let process = self.process()?.to_string();
        Command::new("kill").args(["-TERM", &process]).status().await?;
        let status =
            tokio::time::timeout(PATIENCE, self.child.wait()).await.context("SIGTERM did not end it")??;
        ensure!(status.success(), "SIGTERM ended it with {status}");
        Ok(())
    }
}
