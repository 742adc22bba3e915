//! A plain SCIM client for tests: it sends what it is told, and keeps the whole answer.

use anyhow::{Context, Result};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// Speaks to one tenant with one token. Belongs to the runtime it was made in.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    token: String,
}

/// All of an answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// As it came.
    pub text: String,
    /// Parsed; `null` when there is no body or it is no JSON.
    pub body: Value,
}

impl Client {
    /// A client of the tenant at `base_url` (what stands before `/Users`).
    pub fn new(base_url: &str, token: &str) -> Client {
        Client { http: crate::http_client(), base_url: base_url.to_owned(), token: token.to_owned() }
    }

    /// The same tenant's URL with another token.
    pub fn with_token(&self, token: &str) -> Client {
        Client { token: token.to_owned(), ..self.clone() }
    }

    /// A request to `path` below the base URL, with the token, to be completed and passed to [`Client::send`].
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base_url)).bearer_auth(&self.token)
    }

    /// Sends `request` and reads the answer.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.context("the answer broke off")?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Answer { status, headers, text, body })
    }

    /// Sends a body, if any, as `application/scim+json`.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.header("content-type", "application/scim+json").body(body.to_string());
        }
        self.send(request).await
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.call(Method::GET, path, None).await
    }

    /// POST.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// PUT.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Answer> {
        self.call(Method::PUT, path, Some(body)).await
    }

    /// PATCH.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Answer> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.call(Method::DELETE, path, None).await
    }
}

impl Answer {
    /// The id of the resource in the answer; the error shows the answer when there is none.
    pub fn id(&self) -> Result<String> {
        let id = self.body["id"].as_str();
        Ok(id.with_context(|| format!("no resource: {} {}", self.status, self.text))?.to_owned())
    }

    /// A header as text, empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Succeeds when this is a SCIM error (RFC 7644, 3.12) that says something for people.
    pub fn check_scim_error(&self) -> Result<()> {
        anyhow::ensure!(
            (400..500).contains(&self.status),
            "not a client's error: {} {}",
            self.status,
            self.text
        );
        let content_type = self.header("content-type");
        anyhow::ensure!(
            content_type.starts_with("application/scim+json"),
            "Content-Type {content_type:?}: {}",
            self.text
        );
        let schemas = &self.body["schemas"];
        anyhow::ensure!(
            *schemas == serde_json::json!(["urn:ietf:params:scim:api:messages:2.0:Error"]),
            "schemas: {}",
            self.text
        );
        anyhow::ensure!(
            self.body["status"] == serde_json::json!(self.status.to_string()),
            "status is to be text: {}",
            self.text
        );
        anyhow::ensure!(
            self.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()),
            "no detail: {}",
            self.text
        );
        Ok(())
    }
}
