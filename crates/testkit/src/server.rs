//! The product itself, as one process: `rollcall standalone`, spoken to over real sockets.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::Client;
use crate::keeper::Keeper;
use crate::transcript::Target;

/// `$1` is the binary, `$2` the data directory, the rest further arguments. A word on the pipe is the signal that stops
/// the server; a pipe that closes without one, because the tests ended, kills it and removes the directory.
const KEEPER: &str = r#"
bin=$1 dir=$2
shift 2
rm -f "$dir/endpoints.json"
"$bin" standalone --data-dir "$dir" --http 127.0.0.1:0 --grpc 127.0.0.1:0 "$@" >>"$dir/server.log" 2>&1 </dev/null &
server=$!
tries=0
until [ -s "$dir/endpoints.json" ]; do
    kill -0 $server 2>/dev/null || { echo "the server stopped: $(tail -n 20 "$dir/server.log")"; exit 1; }
    tries=$((tries + 1))
    [ $tries -lt 3000 ] || { echo "no endpoints.json after 30 s: $(tail -n 20 "$dir/server.log")"; kill -KILL $server; exit 1; }
    sleep 0.01
done
echo ready
exec >&-
if read -r signal; then
    kill "-$signal" $server
    wait $server
else
    kill -KILL $server
    wait $server
    rm -rf "$dir"
fi
"#;

/// A running `rollcall standalone`.
pub struct Standalone {
    keeper: Keeper,
    dir: PathBuf,
    /// `http://127.0.0.1:PORT`
    pub http: String,
    /// `http://127.0.0.1:PORT`
    pub grpc: String,
    /// Of `DIR/admin-token`.
    pub admin_token: String,
}

/// What the server writes once it serves.
#[derive(Deserialize)]
struct Endpoints {
    http: String,
    grpc: String,
}

/// A tenant as it was created.
#[derive(Clone, Debug, Deserialize)]
pub struct Tenant {
    /// Its id and name.
    pub tenant: TenantName,
    /// What stands before `/Users`.
    pub base_url: String,
    /// Its first bearer token.
    pub token: String,
}

/// Which tenant.
#[derive(Clone, Debug, Deserialize)]
pub struct TenantName {
    /// A UUID.
    pub id: String,
    /// As it was asked for.
    pub name: String,
}

impl Standalone {
    /// Starts `binary` on `dir` with `arguments` after the usual ones, and waits until it serves.
    pub fn start(binary: &Path, dir: &Path, arguments: &[&str]) -> Result<Standalone> {
        let mut all = vec![binary.as_os_str(), dir.as_os_str()];
        all.extend(arguments.iter().map(OsStr::new));
        let keeper = Keeper::start(KEEPER, &all, None).context("rollcall standalone")?;
        let read = |name: &str| {
            std::fs::read_to_string(dir.join(name)).with_context(|| dir.join(name).display().to_string())
        };
        let endpoints = read("endpoints.json")?;
        let endpoints: Endpoints =
            serde_json::from_str(&endpoints).with_context(|| format!("endpoints.json is {endpoints:?}"))?;
        let admin_token = read("admin-token")?.trim().to_owned();
        Ok(Standalone {
            keeper,
            dir: dir.to_owned(),
            http: endpoints.http,
            grpc: endpoints.grpc,
            admin_token,
        })
    }

    /// Starts `binary` on a new directory.
    pub fn start_fresh(binary: &Path) -> Result<Standalone> {
        let dir = tempfile::Builder::new().prefix("rollcall-data-").tempdir()?.keep();
        Standalone::start(binary, &dir, &[])
    }

    /// The server of this test process, started by the first test that asks for it.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn shared(binary: &Path) -> &'static Standalone {
        static SHARED: OnceLock<Standalone> = OnceLock::new();
        SHARED.get_or_init(|| match Standalone::start_fresh(binary) {
            Ok(server) => server,
            Err(error) => panic!("{error:#}"),
        })
    }

    /// Its data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// SIGKILL, now; returns when the process is gone. The data stay.
    pub fn kill(self) -> Result<()> {
        self.keeper.finish(Some("KILL"))?;
        Ok(())
    }

    /// SIGTERM; succeeds when the server ends with exit code 0.
    pub fn terminate(self) -> Result<()> {
        let status = self.keeper.finish(Some("TERM"))?;
        ensure!(status.success(), "SIGTERM ended the server with {status}: {}", log_tail(&self.dir));
        Ok(())
    }

    /// Calls the admin API; returns status and body (`null` if there is none).
    pub async fn admin(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value)> {
        let client = crate::http_client();
        let mut request =
            client.request(method, format!("{}/admin/v1{path}", self.http)).bearer_auth(&self.admin_token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.timeout(Duration::from_secs(30)).send().await?;
        let status = response.status().as_u16();
        let text = response.text().await?;
        let body =
            if text.is_empty() { Value::Null } else { serde_json::from_str(&text).with_context(|| text)? };
        Ok((status, body))
    }

    /// A new tenant.
    pub async fn tenant(&self, name: &str, preset: &str) -> Result<Tenant> {
        let body = json!({"name": name, "preset": preset});
        let (status, answer) = self.admin(reqwest::Method::POST, "/tenants", Some(body)).await?;
        if status != 201 {
            bail!("creating tenant {name:?} was answered {status}: {answer}");
        }
        serde_json::from_value(answer.clone())
            .with_context(|| format!("creating a tenant was answered {answer}"))
    }
}

impl Standalone {
    /// Changes how the tenant's client speaks SCIM.
    pub async fn set_dialect(&self, tenant: &Tenant, dialect: &str) -> Result<()> {
        let path = format!("/tenants/{}", tenant.tenant.id);
        let (status, answer) =
            self.admin(reqwest::Method::PATCH, &path, Some(json!({"dialect": dialect}))).await?;
        ensure!(status == 200, "setting the dialect {dialect} was answered {status}: {answer}");
        Ok(())
    }

    /// Registers a team; its uuid.
    pub async fn team(&self, tenant: &Tenant, slug: &str) -> Result<String> {
        let path = format!("/tenants/{}/teams", tenant.tenant.id);
        let (status, answer) = self.admin(reqwest::Method::POST, &path, Some(json!({"slug": slug}))).await?;
        ensure!(status == 201, "registering team {slug:?} was answered {status}: {answer}");
        let uuid = answer["uuid"].as_str();
        Ok(uuid.with_context(|| format!("registering a team was answered {answer}"))?.to_owned())
    }

    /// An access token of a new OAuth client with `scope`, for `tenant` (a name or id) or for all.
    pub async fn access_token(&self, client: &str, tenant: Option<&str>, scope: &str) -> Result<String> {
        let body = json!({"name": client, "tenant": tenant, "scopes": [scope]});
        let (status, created) = self.admin(reqwest::Method::POST, "/clients", Some(body)).await?;
        ensure!(status == 201, "creating client {client:?} was answered {status}: {created}");
        let secrets = (created["client_id"].as_str(), created["client_secret"].as_str());
        let (Some(id), Some(secret)) = secrets else { bail!("creating a client was answered {created}") };
        let answer = crate::http_client()
            .post(format!("{}/oauth2/token", self.http))
            .basic_auth(id, Some(secret))
            .form(&[("grant_type", "client_credentials"), ("scope", scope)])
            .send()
            .await?;
        let (status, text) = (answer.status(), answer.text().await?);
        let token: Value = serde_json::from_str(&text).with_context(|| format!("{status}: {text}"))?;
        let token = token["access_token"].as_str();
        Ok(token.with_context(|| format!("/oauth2/token answered {status}: {text}"))?.to_owned())
    }
}

impl Tenant {
    /// A client with its token.
    pub fn client(&self) -> Client {
        Client::new(&self.base_url, &self.token)
    }

    /// To play transcripts on.
    pub fn target(&self) -> Target {
        Target { base_url: self.base_url.clone(), token: self.token.clone() }
    }
}

/// A directory for a server whose data must outlive it.
pub fn data_dir() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("rollcall-data-").tempdir()?)
}

fn log_tail(dir: &Path) -> String {
    let log = std::fs::read_to_string(dir.join("server.log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
