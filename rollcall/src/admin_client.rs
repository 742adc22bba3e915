//! A client of the admin API (`/admin/v1`), for the command line and the demo.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Where the server is and how to be let in. Shared by every verb that talks to a running server.
#[derive(clap::Args, Clone)]
pub(crate) struct Connection {
    /// Base URL of the server.
    #[arg(
        long,
        env = "ROLLCALL_SERVER",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        global = true
    )]
    server: String,
    /// Admin token: the content of DIR/admin-token of a standalone server.
    #[arg(long, env = "ROLLCALL_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN", global = true)]
    admin_token: Option<String>,
    /// File with the admin token; keeps it off the command line.
    #[arg(long, env = "ROLLCALL_ADMIN_TOKEN_FILE", value_name = "FILE", global = true)]
    admin_token_file: Option<PathBuf>,
}

pub(crate) struct AdminClient {
    http: reqwest::Client,
    /// Without an end to how long an answer may take.
    streaming: reqwest::Client,
    base: String,
    token: String,
}

impl Connection {
    pub(crate) fn client(&self) -> anyhow::Result<AdminClient> {
        let from_file = || -> anyhow::Result<String> {
            let file = self.admin_token_file.as_ref().context(
                "no admin token: pass --admin-token or --admin-token-file, or set ROLLCALL_ADMIN_TOKEN \
                 (a standalone server wrote it to the file admin-token in its data directory)",
            )?;
            std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the admin token from {}", file.display()))
        };
        let token = self.admin_token.clone().map_or_else(from_file, Ok)?;
        AdminClient::new(&self.server, token.trim())
    }
}

impl AdminClient {
    pub(crate) fn new(server: &str, token: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(30)).build()?;
        let streaming =
            reqwest::Client::builder().read_timeout(std::time::Duration::from_secs(30)).build()?;
        Ok(Self {
            http,
            streaming,
            base: format!("{}/admin/v1", server.trim_end_matches('/')),
            token: token.to_owned(),
        })
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let request = self.http.get(self.url(path, query)?);
        let body = self.send(request, path).await?;
        serde_json::from_slice(&body)
            .with_context(|| format!("the server's answer to GET {path} is not what this version expects"))
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        let answer = self.send(self.http.post(self.url(path, &[])?).json(body), path).await?;
        serde_json::from_slice(&answer)
            .with_context(|| format!("the server's answer to POST {path} is not what this version expects"))
    }

    /// As [`AdminClient::post`], for what may take up to an hour.
    pub(crate) async fn post_patiently<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<T> {
        let patience = std::time::Duration::from_secs(3600);
        let request = self.http.post(self.url(path, &[])?).timeout(patience).json(body);
        let answer = self.send(request, path).await?;
        serde_json::from_slice(&answer)
            .with_context(|| format!("the server's answer to POST {path} is not what this version expects"))
    }

    pub(crate) async fn patch<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        let answer = self.send(self.http.patch(self.url(path, &[])?).json(body), path).await?;
        serde_json::from_slice(&answer)
            .with_context(|| format!("the server's answer to PATCH {path} is not what this version expects"))
    }

    pub(crate) async fn put<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        let answer = self.send(self.http.put(self.url(path, &[])?).json(body), path).await?;
        serde_json::from_slice(&answer)
            .with_context(|| format!("the server's answer to PUT {path} is not what this version expects"))
    }

    /// Writes the lines of an answer to a file, or to standard output, as they come, and says how many there were.
    ///
    /// # Errors
    /// Also when the last line does not say that it is the end: then the answer broke off.
    pub(crate) async fn save(&self, path: &str, file: Option<&Path>) -> anyhow::Result<u64> {
        let mut answer = self.answer(self.streaming.get(self.url(path, &[])?), path).await?;
        let mut out: Box<dyn Write> = match file {
            Some(file) => {
                Box::new(File::create(file).with_context(|| format!("cannot write to {}", file.display()))?)
            }
            None => Box::new(std::io::stdout()),
        };
        let mut lines = 0;
        let mut last = Vec::new();
        while let Some(chunk) =
            answer.chunk().await.context("the answer broke off: what was written is not complete")?
        {
            out.write_all(&chunk).context("cannot write what was received")?;
            for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
                if last.ends_with(b"\n") {
                    last.clear();
                }
                last.extend_from_slice(piece);
                lines += u64::from(piece.ends_with(b"\n"));
            }
        }
        out.flush().context("cannot write what was received")?;
        let end = serde_json::from_slice::<Value>(&last).is_ok_and(|line| line["type"] == "end");
        anyhow::ensure!(end, "the answer broke off: what was written is not complete");
        Ok(lines)
    }

    pub(crate) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.send(self.http.delete(self.url(path, &[])?), path).await?;
        Ok(())
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<reqwest::Url> {
        let text = format!("{}{path}", self.base);
        reqwest::Url::parse_with_params(&text, query).with_context(|| {
            format!("`{}` is not a URL; --server wants one such as http://127.0.0.1:8080", self.base)
        })
    }

    async fn send(&self, request: reqwest::RequestBuilder, path: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.answer(request, path).await?;
        Ok(answer.bytes().await.context("the answer broke off")?.to_vec())
    }

    /// The answer, if it is a good one.
    async fn answer(
        &self,
        request: reqwest::RequestBuilder,
        path: &str,
    ) -> anyhow::Result<reqwest::Response> {
        let answer = request
            .bearer_auth(&self.token)
            .send()
            .await
            .with_context(|| format!("no answer from {}: is the server running there?", self.base))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.context("the answer broke off")?;
        let detail = serde_json::from_slice::<Value>(&body)
            .ok()
            .and_then(|body| body["detail"].as_str().map(str::to_owned));
        match detail {
            Some(detail) => bail!("{detail} ({status})"),
            None => bail!("the server answered {status} to {path}"),
        }
    }
}

/// One path segment, percent-encoded: a tenant's name may contain anything.
pub(crate) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => encoded.push(char::from(byte)),
            // A dot is percent-encoded too, lest a tenant named ".." walk up the path.
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn names_stay_one_segment() {
        assert_eq!(segment("Contoso AG/../x"), "Contoso%20AG%2F%2E%2E%2Fx");
    }
}
