//! Playing a transcript over HTTP.

use anyhow::{Context, Result, anyhow, bail, ensure};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

use super::expect::{self, Captures};
use super::{ScimError, Step, Transcript};

/// Sent by Entra with every request, beside `Authorization`; it names no user agent.
const ENTRA_HEADERS: [(&str, &str); 2] = [
    ("ADSCIMVersion", "Date:2026-11-21, ActivityId:5b7c3c0e-9d0c-4b53-9b1c-0a4f35a7f7a1"),
    ("Accept", "application/scim+json"),
];

const LIST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
const ERROR_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// A tenant of some SCIM server.
#[derive(Clone)]
pub struct Target {
    /// Without a slash at its end; what stands before `/Users`.
    pub base_url: String,
    /// The bearer token.
    pub token: String,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    /// `None`: nothing was sent.
    body: Option<Value>,
}

impl Transcript {
    /// Plays all steps in order; the error names the step, the request, and the first difference.
    pub async fn play(&self, target: &Target) -> Result<()> {
        self.play_with(target, &[]).await
    }

    /// The same with further `${name}`s: name and value.
    pub async fn play_with(&self, target: &Target, known: &[(String, String)]) -> Result<()> {
        let client = crate::http_client();
        let mut captures = Captures::default();
        captures.set("base", &target.base_url);
        for (name, value) in known {
            captures.set(name, value);
        }
        for (number, step) in self.steps.iter().enumerate() {
            for round in 1..=step.repeat {
                captures.set("n", round.to_string());
                step.play(&client, target, &mut captures)
                    .await
                    .with_context(|| format!("step {} ({}): {}", number + 1, step.name, step.request))?;
            }
        }
        Ok(())
    }
}

impl Step {
    async fn play(&self, client: &reqwest::Client, target: &Target, captures: &mut Captures) -> Result<()> {
        let answer = self.send(client, target, captures).await?;
        self.check(&answer, captures).map_err(|error| {
            let body = answer.body.as_ref().map_or("no body".to_owned(), |body| format!("{body:#}"));
            anyhow!("{error:#}\nThe answer was {} with {body}", answer.status)
        })
    }

    async fn send(&self, client: &reqwest::Client, target: &Target, captures: &Captures) -> Result<Answer> {
        let (method, path) =
            self.request.split_once(' ').context("`request` is a method, a space and a path")?;
        let url = format!("{}{}", target.base_url, captures.fill(path)?);
        let mut request = client.request(method.parse()?, url).bearer_auth(&target.token);
        for (name, value) in ENTRA_HEADERS {
            request = request.header(name, value);
        }
        if let Some(body) = &self.body {
            request = request.header(CONTENT_TYPE, "application/scim+json; charset=utf-8");
            request = request.body(captures.fill(body)?);
        }
        let mut request = request.build()?;
        for (name, value) in &self.headers {
            request
                .headers_mut()
                .insert(name.parse::<reqwest::header::HeaderName>()?, captures.fill(value)?.parse()?);
        }
        let response = client.execute(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?;
        let body = match bytes.is_empty() {
            true => None,
            false => Some(serde_json::from_slice(&bytes).with_context(|| {
                format!("the answer is {status} and not JSON: {:?}", String::from_utf8_lossy(&bytes))
            })?),
        };
        Ok(Answer { status, headers, body })
    }

    fn check(&self, answer: &Answer, captures: &mut Captures) -> Result<()> {
        ensure!(self.status.allow(answer.status), "expected status {:?}", self.status);
        for (name, expected) in &self.expect_headers {
            let actual = answer.headers.get(name).with_context(|| format!("no header {name}"))?.to_str()?;
            expect::text(expected, actual, captures).with_context(|| format!("header {name}"))?;
        }
        if answer.body.is_some() {
            // Entra's validator gives up on a server that says anything else.
            let content_type =
                answer.headers.get(CONTENT_TYPE).context("a body without Content-Type")?.to_str()?;
            ensure!(content_type.starts_with("application/scim+json"), "Content-Type is {content_type:?}");
        }
        if self.expect.as_ref().is_some_and(|any| any == "any") {
            return Ok(());
        }
        let Some(actual) = &answer.body else {
            let nothing_expected = self.expect.is_none() && self.error.is_none() && self.list.is_none();
            ensure!(nothing_expected, "expected a body");
            return Ok(());
        };
        ensure!(!has_null(actual), "null stands for an absent attribute");
        match (&self.expect, &self.error, &self.list) {
            (Some(expected), _, _) => expect::body(expected, actual, captures),
            (_, Some(error), _) => scim_error(error, answer.status, actual, captures),
            (_, _, Some(resources)) => expect::body(&list_response(resources), actual, captures),
            (None, None, None) => bail!("expected no body"),
        }
    }
}

/// RFC 7644, 3.4.2.
fn list_response(resources: &[Value]) -> Value {
    json!({
        "schemas": [LIST_SCHEMA], "totalResults": resources.len(), "startIndex": 1, "itemsPerPage": resources.len(),
        "Resources": {"$any_order": resources},
    })
}

/// RFC 7644, 3.12; and a detail for people.
fn scim_error(expected: &ScimError, status: u16, actual: &Value, captures: &Captures) -> Result<()> {
    ensure!(actual["schemas"] == json!([ERROR_SCHEMA]), "an error has the schema {ERROR_SCHEMA}");
    ensure!(actual["status"] == json!(status.to_string()), "an error repeats the status as text");
    let scim_type = actual.get("scimType").and_then(Value::as_str);
    ensure!(scim_type == expected.scim_type.as_deref(), "expected scimType {:?}", expected.scim_type);
    let detail = actual["detail"].as_str().unwrap_or_default().to_lowercase();
    ensure!(!detail.is_empty(), "an error says in `detail` what is wrong");
    for text in &expected.detail {
        let text = captures.fill(text)?;
        ensure!(detail.contains(&text.to_lowercase()), "expected a detail that contains {text:?}");
    }
    Ok(())
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.iter().any(has_null),
        Value::Object(object) => object.values().any(has_null),
        _ => false,
    }
}
