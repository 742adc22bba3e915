//! The requests, as Entra ID spells them. Each looks at its answer.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// Members in one request when a group is filled.
const CHUNK: usize = 1000;

/// A tenant and who is there. Clones share it.
#[derive(Clone)]
pub struct Tenant {
    id: Uuid,
    http: reqwest::Client,
    /// What stands before `/Users`, at each gateway; they take turns.
    bases: Arc<[String]>,
    turn: Arc<AtomicUsize>,
    token: String,
    ids: Arc<RwLock<Ids>>,
}

/// By which id a user is known.
#[derive(Default)]
struct Ids {
    /// As they were answered.
    created: HashMap<u64, String>,
    filled: Vec<Filled>,
}

/// Users that were put into the database (`fill.rs`).
#[derive(Clone, Debug)]
pub struct Filled {
    /// Their numbers.
    pub numbers: Range<u64>,
    /// Milliseconds since 1970: the time in the id of the first. The next one is a millisecond younger.
    pub born: u64,
}

impl Filled {
    /// The id of a user: a UUIDv7 with this as its last 48 bits.
    pub const TAIL: (u64, u64) = (25_214_903_917, 11);

    fn id(&self, number: u64) -> String {
        let time = self.born + (number - self.numbers.start);
        let tail = (number * Self::TAIL.0 + Self::TAIL.1) & 0xffff_ffff_ffff;
        Uuid::from_u128((u128::from(time) << 80) | 0x7000_8000_0000_0000_0000 | u128::from(tail)).to_string()
    }
}

impl Tenant {
    pub fn new(id: Uuid, bases: Vec<String>, token: String) -> Self {
        let (bases, http) = (bases.into(), testkit::http_client());
        Self { id, http, bases, turn: Arc::default(), token, ids: Arc::default() }
    }

    /// Its id.
    pub fn uuid(&self) -> Uuid {
        self.id
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<(u16, String)> {
        let base = &self.bases[self.turn.fetch_add(1, Ordering::Relaxed) % self.bases.len()];
        let mut request = self.http.request(method, format!("{base}{path}")).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/scim+json").body(body.to_string());
        }
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// The id of the user of that number.
    pub fn id(&self, number: u64) -> Result<String> {
        let ids = self.ids.read().unwrap_or_else(PoisonError::into_inner);
        let filled = || ids.filled.iter().find(|filled| filled.numbers.contains(&number));
        let id = ids.created.get(&number).cloned().or_else(|| Some(filled()?.id(number)));
        id.with_context(|| format!("there is no user {number}"))
    }

    /// Who was put into the database meanwhile.
    pub fn know(&self, filled: Filled) {
        self.ids.write().unwrap_or_else(PoisonError::into_inner).filled.push(filled);
    }

    /// Numbers of the users that a POST was answered for.
    pub fn created(&self) -> Vec<u64> {
        self.ids.read().unwrap_or_else(PoisonError::into_inner).created.keys().copied().collect()
    }

    /// The user of that number.
    pub async fn create(&self, number: u64) -> Result<()> {
        let (status, text) = self.call(Method::POST, "/Users", Some(user(number))).await?;
        ensure!(status == 201, "POST was answered {status}: {text}");
        let created: Value = serde_json::from_str(&text)?;
        let id = created["id"].as_str().context("an id")?.to_owned();
        self.ids.write().unwrap_or_else(PoisonError::into_inner).created.insert(number, id);
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
            1 => format!("externalId%20eq%20%22ext-{}%22", digits(number)),
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

    /// A hundred users from `start`, of however many.
    pub async fn any_page(&self, start: u64) -> Result<()> {
        let (status, text) =
            self.call(Method::GET, &format!("/Users?startIndex={start}&count=100"), None).await?;
        ensure!(status == 200, "a page was answered {status}: {text}");
        Ok(())
    }

    /// Deletes the user, who is known no more.
    pub async fn delete(&self, number: u64) -> Result<()> {
        let (status, text) = self.call(Method::DELETE, &format!("/Users/{}", self.id(number)?), None).await?;
        ensure!(status == 204, "DELETE was answered {status}: {text}");
        self.ids.write().unwrap_or_else(PoisonError::into_inner).created.remove(&number);
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

/// A number as it stands in everything that is told of its user, and nowhere else in it.
pub fn digits(number: u64) -> String {
    format!("{number:09}")
}

fn name(number: u64) -> String {
    format!("adele.vance{}@contoso.example", digits(number))
}

/// With the attributes that Entra ID's default mappings send.
fn user(number: u64) -> Value {
    let digits = digits(number);
    json!({
        "schemas": [USER, ENTERPRISE],
        "externalId": format!("ext-{digits}"),
        "userName": name(number),
        "active": true,
        "displayName": format!("Adele Vance {digits}"),
        "title": "Engineer",
        "preferredLanguage": "en-US",
        "name": { "givenName": "Adele", "familyName": format!("Vance {digits}"), "formatted": format!("Adele Vance {digits}") },
        "emails": [{ "primary": true, "type": "work", "value": name(number) }],
        "addresses": [{ "type": "work", "formatted": "18/2111", "locality": "Redmond", "region": "WA",
            "streetAddress": "One Way", "postalCode": "98052", "country": "US" }],
        "phoneNumbers": [
            { "type": "work", "value": "+1 425 555 0109" },
            { "type": "mobile", "value": "+1 425 555 0110" },
        ],
        ENTERPRISE: { "employeeNumber": digits, "department": "Retail" },
    })
}

/// Users in no order.
pub fn any(number: u64, users: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % users
}
