//! The verbs that talk to a running server.

pub(crate) mod admin;
pub(crate) mod audit;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod credential;
pub(crate) mod issuer;
pub(crate) mod key;
pub(crate) mod log;
mod log_story;
pub(crate) mod ready;
pub(crate) mod schema;
pub(crate) mod scim;
mod settings;
mod table;
pub(crate) mod team;
pub(crate) mod tenant;
pub(crate) mod user;
pub(crate) mod verify;

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::admin_client::AdminClient;

/// The first `limit` entries of a list of the admin API, page after page.
async fn pages<T: DeserializeOwned>(
    client: &AdminClient,
    path: &str,
    list: &str,
    query: &[(&str, &str)],
    limit: usize,
) -> anyhow::Result<Vec<T>> {
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let mut query = query.to_vec();
        query.push(("page_token", &token));
        let mut page: Value = client.get(path, &query).await?;
        let entries: Vec<T> = serde_json::from_value(page[list].take()).with_context(|| {
            format!("`{list}` of the server's answer to GET {path} is not what this version expects")
        })?;
        found.extend(entries);
        let next = table::text(&page["next_page_token"]);
        if next.is_empty() || found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
        token = next;
    }
}
