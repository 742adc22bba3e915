//! The requests, as Entra ID spells them. Each looks at its answer.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Members in one request when a group is filled.
const CHUNK: usize = 1000;

/// A tenant and what was created there. Clones share it.
#[derive(Clone)]
pub struct Tenant {
    http: reqwest::Client,
    base_url: String,
    token: String,
    ids: Arc<RwLock<HashMap<u64, String>>>,
}

impl Tenant {
    pub fn new(base_url: String, token: String) -> Self {
        Self { http: testkit::http_client(), base_url, token, ids: Arc::default() }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<(u16, String)> {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base_url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/scim+json").body(body.to_string());
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    fn id(&self, number: u64) -> Result<String> {
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        ids.get(&number).cloned().with_context(|| format!("there is no user {number}"))
    }

    /// The user of that number.
    pub async fn create(&self, number: u64) -> Result<()> {
        let (status, text) = self.call(Method::POST, "/Users", Some(user(number))).await?;
        ensure!(status == 201, "POST was answered {status}: {text}");
        let created: Value = serde_json::from_str(&text)?;
        let id = created["id"].as_str().context("an id")?.to_owned();
        self.ids.write().unwrap_or_else(PoisonError::into_inner).insert(number, id);
        Ok(())
    }

    pub async fn get(&self, number: u64) -> Result<()> {
        let id = self.id(number)?;
        let (status, text) = self.call(Method::GET, &format!("/Users/{id}"), None).await?;
        ensure!(status == 200 && text.contains(&id), "GET was answered {status}: {text}");
        Ok(())
    }

    /// By userName, externalId, or email.
    pub async fn find(&self, kind: u32, number: u64) -> Result<()> {
        let (id, name) = (self.id(number)?, name(number));
        let filter = match kind {
            0 => format!("userName%20eq%20%22{name}%22"),
            1 => format!("externalId%20eq%20%22ext-{number}%22"),
            _ => format!("emails%5Btype%20eq%20%22work%22%5D.value%20eq%20%22{name}%22"),
        };
        let (status, text) = self.call(Method::GET, &format!("/Users?filter={filter}"), None).await?;
        ensure!(status == 200 && text.contains(&id), "the filter was answered {status}: {text}");
        Ok(())
    }

    /// A hundred users from `start`, of `all`.
    pub async fn page(&self, start: u64, all: u64) -> Result<()> {
        let path = format!("/Users?startIndex={start}&count=100");
        let (status, text) = self.call(Method::GET, &path, None).await?;
        let total = format!("\"totalResults\":{all}");
        ensure!(status == 200 && text.contains(&total), "not {total}: {status} {:.300}", text);
        Ok(())
    }

    pub async fn patch(&self, number: u64, value: u64) -> Result<()> {
        let operation = json!({ "op": "Replace", "path": "title", "value": format!("Engineer {value}") });
        let body = json!({ "schemas": [PATCH], "Operations": [operation] });
        let (status, text) =
            self.call(Method::PATCH, &format!("/Users/{}", self.id(number)?), Some(body)).await?;
        ensure!(matches!(status, 200 | 204), "PATCH was answered {status}: {text}");
        Ok(())
    }

    /// A new group of so many users, from the one of number `first`; its id.
    pub async fn group(&self, name: &str, first: u64, members: u64) -> Result<String> {
        let body = json!({ "schemas": [GROUP], "displayName": name, "externalId": name });
        let (status, text) = self.call(Method::POST, "/Groups", Some(body)).await?;
        ensure!(status == 201, "POST of a group was answered {status}: {text}");
        let created: Value = serde_json::from_str(&text)?;
        let id = created["id"].as_str().context("an id")?.to_owned();
        let users: Vec<u64> = (first..first + members).collect();
        for users in users.chunks(CHUNK) {
            self.add_all(&id, users).await?;
        }
        Ok(id)
    }

    pub async fn add(&self, group: &str, number: u64) -> Result<()> {
        self.add_all(group, &[number]).await
    }

    async fn add_all(&self, group: &str, numbers: &[u64]) -> Result<()> {
        let mut members = Vec::with_capacity(numbers.len());
        for number in numbers {
            members.push(json!({ "value": self.id(*number)? }));
        }
        let operation = json!({ "op": "Add", "path": "members", "value": members });
        let body = json!({ "schemas": [PATCH], "Operations": [operation] });
        let (status, text) = self.call(Method::PATCH, &format!("/Groups/{group}"), Some(body)).await?;
        ensure!(matches!(status, 200 | 204), "PATCH of a group was answered {status}: {text}");
        Ok(())
    }
}

fn name(number: u64) -> String {
    format!("adele.vance{number}@contoso.example")
}

/// With the attributes that Entra ID's default mappings send.
fn user(number: u64) -> Value {
    json!({
        "schemas": [USER, ENTERPRISE],
        "externalId": format!("ext-{number}"),
        "userName": name(number),
        "active": true,
        "displayName": format!("Adele Vance {number}"),
        "title": "Engineer",
        "preferredLanguage": "en-US",
        "name": { "givenName": "Adele", "familyName": format!("Vance {number}"), "formatted": format!("Adele Vance {number}") },
        "emails": [{ "primary": true, "type": "work", "value": name(number) }],
        "addresses": [{ "type": "work", "formatted": "18/2111", "locality": "Redmond", "region": "WA",
            "streetAddress": "One Way", "postalCode": "98052", "country": "US" }],
        "phoneNumbers": [
            { "type": "work", "value": "+1 425 555 0109" },
            { "type": "mobile", "value": "+1 425 555 0110" },
        ],
        ENTERPRISE: { "employeeNumber": number.to_string(), "department": "Retail" },
    })
}
